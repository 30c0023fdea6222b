"""The price of money where something changes at once: another objective, another price, another budget.

Between such changes the controllers move λ request by request (`learner.budget`); here it is taken from the curve of
spend that beliefs foretell on what came lately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learner.accounts import Accounts
from learner.budget import LAMBDA_MIN, Controller, clip_lambda
from learner.policy import View
from learner.pool import Arm
from learner.traffic import Traffic
from learner.types import Objective


@dataclass(frozen=True, slots=True)
class Curve:
    """What beliefs foretell of spend.

    Args:
        traffic: What came lately.
        view: What is believed.
        spendable: Share of a budget that exploration leaves, in (0, 1].
    """

    traffic: Traffic
    view: View
    spendable: float

    def lambda_for(self, budget_usd: float) -> float:
        """Return the λ at which beliefs meet a budget, in quality per USD."""
        return self.traffic.lambda_for(self.view, budget_usd * self.spendable)

    def lambdas(self, budgets_usd: Mapping[str | None, float]) -> dict[str | None, float]:
        """Return the λ of every account with a budget."""
        # Most keys share a few budgets, and a curve takes milliseconds.
        found = {usd: self.lambda_for(usd) for usd in set(budgets_usd.values())}
        return {account: found[usd] for account, usd in budgets_usd.items()}


def started(objective: Objective, arms: Sequence[Arm], curve: Curve | None) -> Controller:
    """Return a controller for an objective, its λ where the curve meets the budget, if there is one."""
    usd = [arm.cost_usd(200, 250) for arm in arms if arm.is_routable]
    controller = Controller.of(objective, scale_usd=float(np.median(usd)) if usd else 1e-3)
    if objective.kind == "budget" and curve is not None:
        controller.lambda_ = curve.lambda_for(float(objective.value or 0.0))
    return controller


def follow(accounts: Accounts, before: Mapping[str | None, float], after: Mapping[str | None, float]) -> None:
    """Move every λ as the curve of spend has moved by new prices."""
    for account, lambda_ in after.items():
        controller, start = accounts.of(account), before[account]
        # At its lower end the curve says no more than that money was no object: there is nothing to scale then.
        moved = controller.lambda_ * lambda_ / start if start > 2.0 * LAMBDA_MIN else lambda_
        controller.lambda_ = clip_lambda(moved)
