"""Running totals of money spent, kept in memory beside the table `spend`.

The journal builds the ledger from the table when it opens and adds each batch of calls after its commit, so that
budgets and caps read a number instead of the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from app.storage.tables import CallRow, SpendRow

DAY_S = 86_400
_FIRST_DAY = date(1970, 1, 1).toordinal()


def day_of(at: float) -> str:
    """Return the UTC day, `YYYY-MM-DD`, of a time in seconds since 1970."""
    return date.fromordinal(_FIRST_DAY + int(at // DAY_S)).isoformat()


@dataclass(frozen=True, slots=True)
class Spend:
    """Money spent, in USD: `requests_usd + background_usd == total_usd`; the other two are parts of the total."""

    total_usd: float = 0.0
    requests_usd: float = 0.0
    background_usd: float = 0.0
    exploration_usd: float = 0.0
    judges_usd: float = 0.0
    calls: int = 0

    def plus(self, row: SpendRow) -> "Spend":
        """Return this spend with a row added."""
        return Spend(
            total_usd=self.total_usd + row.usd,
            requests_usd=self.requests_usd + row.usd * (row.account == "request"),
            background_usd=self.background_usd + row.usd * (row.account == "background"),
            exploration_usd=self.exploration_usd + row.explored_usd,
            judges_usd=self.judges_usd + row.usd * (row.purpose == "judge"),
            calls=self.calls + row.calls,
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


def summed(calls: Iterable[CallRow]) -> list[SpendRow]:
    """Sum calls by day, model, account and purpose."""
    sums: dict[tuple[str, str, str, str], SpendRow] = {}
    for call in calls:
        key = (day_of(call.created_at), call.model, call.account, call.purpose)
        row = sums.get(key)
        if row is None:
            row = sums[key] = SpendRow(
                day=key[0],
                model=call.model,
                account=call.account,
                purpose=call.purpose,
                usd=0.0,
                explored_usd=0.0,
                calls=0,
            )
        row.usd += call.cost_usd
        row.explored_usd += call.cost_usd * (call.explored_share or 0.0)
        row.calls += 1
    return list(sums.values())
