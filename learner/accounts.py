"""Whose objective rules a request: everybody's, or that of an account which has its own, each kept by its own λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learner.budget import Controller


@dataclass(slots=True)
class Accounts:
    """The controllers of all objectives; None stands for everybody.

    Args:
        everybody: Keeps the objective of all accounts without one of their own.
        own: By account.
    """

    everybody: Controller
    own: dict[str, Controller] = field(default_factory=dict)

    def of(self, account: str | None) -> Controller:
        """Return who keeps the objective that rules an account."""
        return self.everybody if account is None else self.own.get(account, self.everybody)

    def set(self, account: str | None, controller: Controller | None) -> None:
        """Put a controller in place of an account's; None ends the account's own."""
        if account is None:
            self.everybody = controller or self.everybody
        elif controller is None:
            self.own.pop(account, None)
        else:
            self.own[account] = controller

    def has(self, account: str | None, objective: object) -> bool:
        """Tell whether this is already the objective of exactly this account."""
        known = self.everybody if account is None else self.own.get(account)
        return known is not None and known.objective == objective

    @property
    def lambdas(self) -> Mapping[str, float]:
        """Price of money of every account that has its own, in quality per USD."""
        return {account: controller.lambda_ for account, controller in self.own.items()}

    @property
    def left_over(self) -> frozenset[str | None]:
        """Whose budget stays unspent at the lowest λ; None stands for everybody."""
        every = [(None, self.everybody), *self.own.items()]
        return frozenset(account for account, controller in every if controller.is_left_over)

    @property
    def requests_usd(self) -> Mapping[str, float]:
        """What a request of every account that has its own objective may cost on average, USD."""
        return {account: controller.request_usd for account, controller in self.own.items()}

    @property
    def budgets_usd(self) -> Mapping[str | None, float]:
        """Budget per request of everybody and of every account, where the objective is one."""
        every = [(None, self.everybody), *self.own.items()]
        return {a: float(c.objective.value or 0.0) for a, c in every if c.objective.kind == "budget"}
