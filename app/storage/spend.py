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

    def plus(self, row: SpendRow) -> "Spend":
        """Return this spend with a row added."""
        return Spend(
            total_usd=self.total_usd + row.usd,
            requests_usd=self.requests_usd + row.usd * (row.account == "request"),
            background_usd=self.background_usd + row.usd * (row.account == "background"),
            exploration_usd=self.exploration_usd + row.explored_usd,
            judges_usd=self.judges_usd + row.usd * (row.purpose == "judge"),
            explored_quality=self.explored_quality + row.explored_quality,
            calls=self.calls + row.calls,
            requests=self.requests + row.requests,
        )


class SpendLedger:
    """Keep the spend in total and by day."""

    def __init__(self, rows: Iterable[SpendRow] = ()) -> None:
        self.total = Spend()
        self._days: dict[str, Spend] = {}
        self.add(rows)

    def on(self, day: str) -> Spend:
        """Return the spend of one UTC day, `YYYY-MM-DD`."""
        return self._days.get(day, Spend())

    def add(self, rows: Iterable[SpendRow]) -> None:
        """Add sums of calls, as `summed` gives them."""
        for row in rows:
            self.total = self.total.plus(row)
            self._days[row.day] = self.on(row.day).plus(row)


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
