"""Hard budgets: what each key has spent of its period, and what its requests under way are expected to add.

Both numbers are kept in memory and built anew at start, so that a request is admitted or refused by comparing two
numbers. Whatever a request caused counts from its end on, also where it failed or its client had gone.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import BudgetExceeded
from app.schemas.keys import KeyBudget, Period

DAY_S = 86_400
LONGEST_MONTH_S = 31 * DAY_S


def period_start(per: Period, at: float) -> float:
    """Return when the period (UTC) began that a time in seconds since 1970 lies in; 0 for a key's whole life."""
    if per == "day":
        return at - at % DAY_S
    if per == "month":
        return datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return 0.0


def period_end(per: Period, at: float) -> float | None:
    """Return when that period ends; None for a key's whole life."""
    if per == "total":
        return None
    begun = period_start(per, at)
    return begun + DAY_S if per == "day" else period_start("month", begun + LONGEST_MONTH_S)


@dataclass(slots=True)
class _Account:
    """One key's money in its present period, which began at `since`."""

    key_id: str
    budget: KeyBudget | None
    since: float
    spent_usd: float
    reserved_usd: float = 0.0

    @property
    def per(self) -> Period:
        return self.budget.per if self.budget else "total"

    def turn_to(self, at: float) -> None:
        begun = period_start(self.per, at)
        if begun > self.since:
            self.since, self.spent_usd = begun, 0.0

    def admit(self, at: float) -> None:
        self.turn_to(at)
        if self.budget is not None and self.spent_usd + self.reserved_usd >= self.budget.usd:
            raise BudgetExceeded(self._refusal(self.budget, at))

    def _refusal(self, budget: KeyBudget, at: float) -> str:
        end = period_end(budget.per, at)
        limit = f"{budget.usd:g} USD {'in all' if end is None else f'a {budget.per}'}"
        resets = "It never resets: use" if end is None else f"It resets at {_iso(end)}: wait until then, use"
        return (
            f"The key {self.key_id} has a budget of {limit}; it has spent {self.spent_usd:.6g} USD, and requests under "
            f"way are expected to cost {max(self.reserved_usd, 0.0):.6g} USD. {resets} another key, or have one made "
            "with a higher budget"
        )

    def settle(self, at: float, expected_usd: float, cost_usd: float) -> None:
        self.reserved_usd -= expected_usd
        # A request counts in the period in which it began, as the sum over stored decisions has it after a restart.
        if at >= self.since:
            self.spent_usd += cost_usd


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Budgets:
    """The accounts of all stored keys, by id; whoever has none, such as the bootstrap key, spends without a limit."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def open(self, key_id: str, budget: KeyBudget | None, at: float, *, spent_usd: float = 0.0) -> None:
        """Keep an account for a key.

        Args:
            key_id: The key.
            budget: Its limit, if it has one.
            at: The present time, in seconds since 1970.
            spent_usd: What it has spent in the present period.
        """
        since = period_start(budget.per if budget else "total", at)
        self._accounts[key_id] = _Account(key_id, budget, since, spent_usd)

    def spent_usd(self, key_id: str, at: float) -> float:
        """Return what a key has spent in the present period of its budget; without a budget, in all."""
        account = self._accounts[key_id]
        account.turn_to(at)
        return account.spent_usd

    def left_usd(self, key_id: str | None, at: float) -> float:
        """Return what a key may still spend beside its requests under way; endless where it has no budget."""
        account = self._accounts.get(key_id or "")
        if account is None or account.budget is None:
            return math.inf
        account.turn_to(at)
        return account.budget.usd - account.spent_usd - account.reserved_usd

    @contextmanager
    def charged(
        self, key_id: str | None, at: float, *, expected_usd: float, cost_usd: Callable[[], float]
    ) -> Iterator[None]:
        """Hold what a request is expected to cost while it is under way, then charge what it did cost, however it ends.

        Args:
            key_id: Who asks.
            at: When the request began, in seconds since 1970.
            expected_usd: Counts against the budget until the end.
            cost_usd: Says at the end what the request has cost.

        Raises:
            BudgetExceeded: the key has reached its budget; nothing is held.
        """
        account = self._accounts.get(key_id or "")
        if account is None:
            yield
            return
        account.admit(at)
        account.reserved_usd += expected_usd
        try:
            yield
        finally:
            account.settle(at, expected_usd, cost_usd())
