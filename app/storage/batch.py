"""One transaction of the journal: rows grouped by table, events numbered in the order they came.

Rows are written with one multi-row statement per table, compiled once and handed straight to the driver: the unit of
work of an ORM session, and even the compilation of a statement, cost more than the database does.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Dialect, Insert, Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from app.storage.spend import summed
from app.storage.tables import (
    SUMMED,
    CallRow,
    DecisionRow,
    EventKind,
    EventRow,
    FeedbackRow,
    JudgeScoreRow,
    KeyRow,
    ModelRow,
    PolicyRow,
    RecordedRow,
    SpendRow,
)

REPLACED = (DecisionRow, KeyRow, ModelRow, PolicyRow)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the log with the rows that belong to it; without a kind, rows only.

    A decision, key, model or policy given again replaces the stored row whole. Calls, judge scores, feedback and
    recorded outcomes are only ever added and learn their `event_seq` here.
    """

    kind: EventKind | None
    ref: str
    at: float
    body: dict[str, Any] = field(default_factory=dict)
    rows: tuple[SQLModel, ...] = ()


class Batch:
    """Collect entries that share one transaction, then write them."""

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self.logged: list[tuple[int, Entry]] = []
        self.spend: list[SpendRow] = []
        self._calls: list[CallRow] = []
        self._requests: list[DecisionRow] = []
        self._rows: dict[type[SQLModel], list[dict[str, Any]]] = defaultdict(list)

    def add(self, entry: Entry) -> int | None:
        """Take an entry and return the number of its event, None where it has none."""
        seq = self._log(entry)
        for row in entry.rows:
            if isinstance(row, CallRow | JudgeScoreRow | FeedbackRow | RecordedRow):
                row.event_seq = seq
            if isinstance(row, CallRow):
                self._calls.append(row)
            elif entry.kind == "request" and isinstance(row, DecisionRow) and row.parent_id is None:
                self._requests.append(row)
            self.add_row(row)
        return seq

    def add_row(self, row: SQLModel) -> None:
        """Take a row that belongs to no entry."""
        self._rows[type(row)].append(_values(row))

    def _log(self, entry: Entry) -> int | None:
        if entry.kind is None:
            return None
        self.last_seq += 1
        self.logged.append((self.last_seq, entry))
        event = {"seq": self.last_seq, "at": entry.at, "kind": entry.kind, "ref": entry.ref, "body": entry.body}
        self._rows[EventRow].append(event)
        return self.last_seq

    def write(self, connection: Connection) -> None:
        """Write everything through a connection that is in a transaction; the caller commits."""
        self.spend = summed(self._calls, self._requests)
        for row in self.spend:
            self.add_row(row)
        cursor = connection.connection.cursor()
        for table, rows in self._rows.items():
            statement = _prepared(table, connection.dialect)
            cursor.executemany(statement.sql, [statement.parameters(row) for row in rows])
        cursor.close()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as the driver takes it: compiled once, its parameters in the driver's order."""

    sql: str
    names: Sequence[str]
    is_positional: bool
    in_json: frozenset[str]
    to_json: Callable[[Any], str]

    def parameters(self, row: dict[str, Any]) -> Any:
        """Return the values of one row; JSON as text, with null for None."""
        values = {
            name: self.to_json(row[name]) if name in self.in_json and row[name] is not None else row[name]
            for name in self.names
        }
        return tuple(values.values()) if self.is_positional else values


@cache
def _prepared(table: type[SQLModel], dialect: Dialect) -> _Prepared:
    compiled = _statement(table, dialect.name).compile(dialect=dialect, column_keys=list(_columns(table)))
    positional = getattr(compiled, "positiontup", None)
    names = positional or list(_columns(table))
    in_json = frozenset(column.name for column in _table(table).columns if isinstance(column.type, JSON))
    to_json = getattr(dialect, "_json_serializer", None) or json.dumps
    return _Prepared(str(compiled), names, positional is not None, in_json, to_json)


@cache
def _columns(table: type[SQLModel]) -> Sequence[str]:
    # A row numbered by the database leaves its number out.
    numbered = _table(table).autoincrement_column
    return [column.name for column in _table(table).columns if column is not numbered]


def _table(table: type[SQLModel]) -> Table:
    found = inspect(table).local_table
    assert isinstance(found, Table)
    return found


def _values(row: SQLModel) -> dict[str, Any]:
    return {name: row.__dict__[name] for name in _columns(type(row))}


@cache
def _statement(table: type[SQLModel], dialect: str) -> Insert:
    target = _table(table)
    insert = sqlite.insert(target) if dialect == "sqlite" else postgresql.insert(target)
    changes: dict[str, Any]
    if table in REPLACED:
        changes = {name: insert.excluded[name] for name in _columns(table)}
    elif table is SpendRow:
        changes = {name: target.c[name] + insert.excluded[name] for name in SUMMED}
    else:
        return insert
    return insert.on_conflict_do_update(index_elements=target.primary_key, set_=changes)
