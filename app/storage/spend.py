"""Running totals of money spent, kept in memory beside the table `spend`.

The journal builds the ledger from the table when it opens and adds each batch of calls after its commit, so that
budgets and caps read a number instead of the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from app.storage.tables import Account, CallRow, DecisionRow, Purpose, SpendRow

DAY_S = 86_400
_FIRST_DAY = date(1970, 1, 1).toordinal()


def day_of(at: float) -> str:
    """Return the UTC day, `YYYY-MM-DD`, of a time in seconds since 1970."""
    return date.fromordinal(_FIRST_DAY + int(at // DAY_S)).isoformat()


@dataclass(frozen=True, slots=True)
class Spend:
    """Money spent, in USD: `requests_usd + background_usd == total_usd`; the other two are parts of the total.

    `explored_quality` is what exploration is believed to have given up, summed over requests.
    """

    total_usd: float = 0.0
    requests_usd: float = 0.0
    background_usd: float = 0.0
    exploration_usd: float = 0.0
    judges_usd: float = 0.0
    explored_quality: float = 0.0
    calls: int = 0
    requests: int = 0

    @classmethod
    def of(cls, row: SpendRow) -> "Spend":
        """Return the spend that a row tells of."""
        return cls(
            total_usd=row.usd,
            requests_usd=row.usd * (row.account == "request"),
            background_usd=row.usd * (row.account == "background"),
            exploration_usd=row.explored_usd,
            judges_usd=row.usd * (row.purpose == "judge"),
            explored_quality=row.explored_quality,
            calls=row.calls,
            requests=row.requests,
        )

    def __add__(self, other: "Spend") -> "Spend":
        """Return both together."""
        return Spend(
            self.total_usd + other.total_usd,
            self.requests_usd + other.requests_usd,
            self.background_usd + other.background_usd,
            self.exploration_usd + other.exploration_usd,
            self.judges_usd + other.judges_usd,
            self.explored_quality + other.explored_quality,
            self.calls + other.calls,
            self.requests + other.requests,
        )


NOTHING = Spend()
Whose = tuple[str, str, Account, Purpose]
"""Model, key, account and purpose."""


class SpendLedger:
    """Keep the spend in total, by whose it is, and by day.

    Args:
        whose: Sums by model, key, account and purpose.
        when: Sums by day, account and purpose.
    """

    def __init__(self, whose: Iterable[SpendRow] = (), when: Iterable[SpendRow] = ()) -> None:
        self.total = Spend()
        self.cells: dict[Whose, Spend] = {}
        self.days: dict[str, Spend] = {}
        for row in whose:
            self._add_cell(row, Spend.of(row))
        for row in when:
            self._add_day(row, Spend.of(row))

    def on(self, day: str) -> Spend:
        """Return the spend of one UTC day, `YYYY-MM-DD`."""
        return self.days.get(day, NOTHING)

    def add(self, rows: Iterable[SpendRow]) -> None:
        """Add sums of calls, as `summed` gives them."""
        for row in rows:
            spend = Spend.of(row)
            self._add_cell(row, spend)
            self._add_day(row, spend)

    def _add_cell(self, row: SpendRow, spend: Spend) -> None:
        cell = (row.model, row.key_id, row.account, row.purpose)
        self.total += spend
        self.cells[cell] = self.cells.get(cell, NOTHING) + spend

    def _add_day(self, row: SpendRow, spend: Spend) -> None:
        self.days[row.day] = self.on(row.day) + spend


Cell = tuple[str, str, Account, Purpose, str]
"""Day, model, account, purpose and key."""


def summed(calls: Iterable[CallRow], requests: Iterable[DecisionRow] = ()) -> list[SpendRow]:
    """Sum calls by day, model, account, purpose and key, and count the requests that ended with them."""
    sums: dict[Cell, SpendRow] = {}
    for call in calls:
        row = _cell(sums, (day_of(call.created_at), call.model, call.account, call.purpose, call.key_id or ""))
        row.usd += call.cost_usd
        row.explored_usd += call.cost_usd * (call.explored_share or 0.0)
        row.explored_quality += call.explored_quality or 0.0
        row.calls += 1
    for request in requests:
        account: Account = "request" if request.status == "answered" else "background"
        model = request.answer_model or request.arm
        _cell(sums, (day_of(request.created_at), model, account, "answer", request.key_id or "")).requests += 1
    return list(sums.values())


def _cell(sums: dict[Cell, SpendRow], cell: Cell) -> SpendRow:
    row = sums.get(cell)
    if row is None:
        day, model, account, purpose, key_id = cell
        row = sums[cell] = SpendRow(day=day, model=model, account=account, purpose=purpose, key_id=key_id)
    return row
