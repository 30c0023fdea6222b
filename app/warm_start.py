"""`headrace learn`: teach the service recorded outcomes before, or between, its live traffic.

A file has one row per query and model: prompt, model, response (may be empty), quality in [0, 1], cost_usd,
input_tokens, output_tokens. Each query becomes one event of the log, so that what was taught survives as everything
else does. Nothing was billed here, so nothing enters the spend.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from uuid_utils import uuid7

from app.replay import pack_context
from app.storage.batch import Entry
from app.storage.tables import RecordedRow
from learner.answers import NOTHING, extract, same
from learner.features import Features
from learner.types import Query

COLUMNS = {
    "prompt": pa.string(), "model": pa.string(), "response": pa.string(), "quality": pa.float64(),
    "cost_usd": pa.float64(), "input_tokens": pa.int64(), "output_tokens": pa.int64(),
}  # fmt: skip


class UnusableData(Exception):
    """The file of recorded outcomes cannot be used; nothing was learned from it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one model did with one query."""

    model: str
    response: str
    quality: float
    cost_usd: float
    input_tokens: int
    output_tokens: int


def read_outcomes(path: Path) -> dict[str, list[Outcome]]:
    """Read a parquet file whole, by prompt in order of appearance, and check every row before any is used.

    Raises:
        UnusableData: the file cannot be read, lacks a column, or a value is of the wrong type or range.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as err:
        raise UnusableData(f"{path} cannot be read as parquet: {err}") from err
    if missing := [name for name in COLUMNS if name not in table.column_names and name != "response"]:
        raise UnusableData(f"{path} lacks the columns {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    if "response" not in table.column_names:
        table = table.append_column("response", pa.nulls(len(table), pa.string()))
    try:
        rows = table.select(list(COLUMNS)).cast(pa.schema(list(COLUMNS.items()))).to_pylist()
    except pa.ArrowException as err:
        raise UnusableData(f"{path} has a column of the wrong type: {err}") from err
    outcomes: dict[str, list[Outcome]] = {}
    for number, row in enumerate(rows):
        outcomes.setdefault(row["prompt"], []).append(_outcome(row, path, number))
    return outcomes


def _outcome(row: dict[str, object], path: Path, number: int) -> Outcome:
    if absent := [name for name, value in row.items() if value is None and name != "response"]:
        raise UnusableData(f"{path}: row {number} has no {', '.join(absent)}")
    outcome = Outcome(**{**{k: v for k, v in row.items() if k != "prompt"}, "response": row["response"] or ""})  # type: ignore[arg-type]  # the schema was cast
    if not 0.0 <= outcome.quality <= 1.0:
        raise UnusableData(f"{path}: row {number} has quality {outcome.quality}; it should be from 0 to 1")
    if not (
        math.isfinite(outcome.cost_usd) and min(outcome.cost_usd, outcome.input_tokens, outcome.output_tokens) >= 0
    ):
        raise UnusableData(f"{path}: row {number} has a cost or token count that is negative or not finite")
    return outcome


def unknown_models(outcomes: dict[str, list[Outcome]], known: list[str]) -> list[str]:
    """Return the models of a file that the pool does not have."""
    return sorted({o.model for rows in outcomes.values() for o in rows} - set(known))


def entries(
    outcomes: dict[str, list[Outcome]], features: Features, known: list[str], clock: Callable[[], float]
) -> Iterator[Entry]:
    """Turn outcomes into events of the log, one per query; models outside of the pool are left out."""
    for prompt, rows in outcomes.items():
        kept = [row for row in rows if row.model in known]
        if not kept:
            continue
        query_id = f"recorded-{uuid7().hex}"
        context = features.context(Query(prompt), features.seeds)
        groups = answer_groups([row.response for row in kept], prompt)
        yield Entry("recorded", query_id, clock(), {}, tuple(
            RecordedRow(
                query_id=query_id, model=row.model, quality=row.quality, cost_usd=row.cost_usd,
                input_tokens=row.input_tokens, output_tokens=row.output_tokens, answer_group=group,
                feature_version=context.version, context=pack_context(context),
            )
            for row, group in zip(kept, groups, strict=True)
        ))  # fmt: skip


def answer_groups(responses: list[str], prompt: str) -> list[int | None]:
    """Number equal answers; None for those that cannot be compared."""
    found = [extract(text, prompt) if text else NOTHING for text in responses]
    firsts = [next(j for j, other in enumerate(found) if other is answer or same(other, answer)) for answer in found]
    numbers = {first: i for i, first in enumerate(dict.fromkeys(firsts))}
    return [numbers[first] if answer.key else None for first, answer in zip(firsts, found, strict=True)]
