"""Files of feedback: CSV, JSON lines or parquet, one item a row, with the names of `POST /v1/feedback`.

A file is read whole before anything is sent. A cell is text: of a metric whose value is no text, `true`, `false` and
numbers are read as what they say, and `tags` as a JSON object. An empty cell is an absent field.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.schemas.feedback import FeedbackItem

FIELDS = tuple(FeedbackItem.model_fields)
NEEDED = ("metric_name", "value")
TEXT_METRICS = ("comment", "demonstration")

Item = dict[str, Any]


class UnusableFile(Exception):
    """The file of feedback cannot be used; nothing of it was sent."""


def read_items(path: Path) -> list[Item]:
    """Read a file; its name's end tells its form, `.csv`, `.jsonl` or `.parquet`.

    Raises:
        UnusableFile: it cannot be read, has an unknown column or lacks one, or a cell cannot be sent as JSON.
    """
    form = path.suffix.lower()
    if form not in READERS:
        raise UnusableFile(f"{path} should end in {', '.join(READERS)}; its end tells how to read it")
    try:
        rows = enumerate(READERS[form](path), start=1)
        return [_sendable(_item(row, path, number), path, number) for number, row in rows]
    except (OSError, ValueError, OverflowError, csv.Error, pa.ArrowException) as err:
        raise UnusableFile(f"{path} cannot be read as {form[1:]}: {err}") from err


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, restkey="beyond the last column")
        _check_columns(rows.fieldnames or (), path)
        yield from rows


def _jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(filter(str.strip, file), start=1):
            try:
                row = json.loads(line, parse_constant=_no_number)
            except (ValueError, RecursionError) as err:
                raise UnusableFile(f"{path}: row {number} is not JSON: {err}") from err
            if not isinstance(row, dict):
                raise UnusableFile(f"{path}: row {number} should be a JSON object, with {', '.join(NEEDED)}")
            yield row


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    table = pq.read_table(path)
    _check_columns(table.column_names, path)
    yield from table.to_pylist()


READERS: Mapping[str, Callable[[Path], Iterable[Mapping[str, Any]]]] = {
    ".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet,
}  # fmt: skip


def _check_columns(names: Iterable[str], path: Path) -> None:
    names = list(names)
    if missing := [name for name in NEEDED if name not in names]:
        raise UnusableFile(f"{path} lacks the columns {', '.join(missing)}; it may have {', '.join(FIELDS)}")
    if unknown := [name for name in names if name not in FIELDS]:
        raise UnusableFile(f"{path} has the unknown columns {', '.join(unknown)}; it may have {', '.join(FIELDS)}")


def _item(row: Mapping[str, Any], path: Path, number: int) -> Item:
    """Return a row as the item to send; what is wrong with its values, the service says."""
    item = {name: value for name, value in row.items() if not _is_absent(value)}
    if path.suffix.lower() == ".jsonl":
        return item
    if item.get("metric_name") not in TEXT_METRICS and "value" in item:
        item["value"] = _scalar(item["value"])
    if "tags" in item:
        item["tags"] = _tags(item["tags"], path, number)
    if "occurred_at" in item:
        item["occurred_at"] = _scalar(item["occurred_at"])
    return item


def _sendable(item: Item, path: Path, number: int) -> Item:
    """Return an item as JSON has it, or tell the row that JSON cannot say."""
    try:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False, default=_as_json)
        text.encode()
        sent: Item = json.loads(text)
    except (ValueError, TypeError, RecursionError) as err:
        raise UnusableFile(f"{path}: row {number} cannot be sent as JSON: {err}") from err
    return sent


def _as_json(cell: Any) -> float | str:
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, date | time):
        return cell.isoformat()
    raise TypeError(f"a cell of the type {type(cell).__name__}; use text, numbers, truth values and dates")


def _is_absent(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _scalar(cell: Any) -> Any:
    """Read a truth value or a number; whatever else stays as it is."""
    if not isinstance(cell, str):
        return cell
    try:
        read = json.loads(cell.strip().lower())
    except (ValueError, RecursionError):
        return cell
    return read if isinstance(read, bool | int | float) and not _is_absent(read) else cell


def _tags(cell: Any, path: Path, number: int) -> Any:
    if isinstance(cell, dict):  # a struct of parquet, whose fields every row has
        return {name: value for name, value in cell.items() if value is not None}
    try:
        return dict(cell) if isinstance(cell, list) else json.loads(cell)  # a list is a map of parquet
    except (ValueError, TypeError, RecursionError) as err:
        raise UnusableFile(f"{path}: row {number}: tags should be a JSON object, got {str(cell)[:80]!r}") from err
