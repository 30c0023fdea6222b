"""λ, the price of money: how much quality one USD must buy. One controller per kind of objective.

`tradeoff` and `quality` fix λ. `budget` moves it by mirror descent on the spend (ParetoBandit's pacer in multiplicative
form, arXiv 2604.00136) with the debt as a second term, so that not only the recent requests but all of them together
meet the budget: λ ← λ · exp(η (min(c/B, r) − 1 + debt/H)), the debt counted in requests. `quality_floor` moves it by
mirror descent on the quality: λ ← λ · exp(κ (ŷ − α)), so that ln λ falls by κ times the quality that is missing in
all. A virtual queue Q with λ = V/Q (MESS+, arXiv 2505.19947) is the same with steps of 1/Q: where little is missing,
it is empty after one request and not after the next, and λ leaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from learner.types import Objective

STEP = 0.02
LAMBDA_MIN, LAMBDA_MAX = 1e-2, 1e7
MAX_RATIO = 100.0
# Nats by which a whole answer's quality above or below the floor moves λ.
FLOOR_STEP = 0.08
# In nats.
LARGEST_MOVE = 50.0
HORIZON = 100.0


@dataclass(slots=True)
class Controller:
    """Moves λ after every request.

    Args:
        objective: What to keep.
        lambda_: Quality per USD that is believed to meet the objective.
        requests: Requests settled since the objective was set.
        spent_usd: All spend since then, background included.
    """

    objective: Objective
    lambda_: float = 100.0
    requests: float = 0.0
    spent_usd: float = 0.0

    @classmethod
    def of(cls, objective: Objective, scale_usd: float) -> Controller:
        """Start a controller; `scale_usd` is a typical cost of one request, where no budget says what to expect."""
        if objective.kind == "tradeoff":
            return cls(objective, lambda_=0.01 / float(objective.value or 1.0))
        if objective.kind == "quality":
            return cls(objective, lambda_=0.0)
        scale = float(objective.value) if objective.kind == "budget" and objective.value else scale_usd
        return cls(objective, lambda_=clip_lambda(0.1 / max(scale, 1e-9)))

    @property
    def request_usd(self) -> float:
        """What one request may cost on average: its budget, or what requests have cost so far."""
        budget = self.objective.value if self.objective.kind == "budget" else None
        return budget or self.spent_usd / max(self.requests, 1.0)

    @property
    def is_left_over(self) -> bool:
        """Whether the budget stays unspent though λ has come to its lower end: money buys nothing more."""
        return self.objective.kind == "budget" and self.lambda_ <= LAMBDA_MIN

    def settle(self, *, spent_usd: float, quality: float, requests: float = 1.0) -> None:
        """Account one answered request (or background spend, with `requests` 0) and move λ.

        Args:
            spent_usd: What it cost, judges and background included.
            quality: Believed quality of the answer, in [0, 1].
            requests: 1 for a request, 0 for background spend.
        """
        self.spent_usd += spent_usd
        self.requests += requests
        if self.objective.kind == "budget":
            self._pace(spent_usd, requests)
        elif self.objective.kind == "quality_floor" and requests:
            self._hold(quality - float(self.objective.value or 0.0))

    def _pace(self, spent_usd: float, requests: float) -> None:
        budget = float(self.objective.value or 0.0)
        debt = self.spent_usd / budget - self.requests
        # Not cut where one answer costs many budgets: a cut ratio would settle at a multiple of the budget.
        ratio = min(spent_usd / budget, MAX_RATIO) - requests
        # One answer may cost millions of budgets, where a price is wrong: λ is at its end long before.
        move = min(STEP * (ratio + requests * debt / HORIZON), LARGEST_MOVE)
        self.lambda_ = clip_lambda(self.lambda_ * math.exp(move))

    def _hold(self, surplus: float) -> None:
        moved = self.lambda_ * math.exp(FLOOR_STEP * surplus)
        # Where a usual bill weighs as much as a right answer λ rises no further: the way back would be long.
        dear = 1.0 / max(self.request_usd, 1.0 / LAMBDA_MAX)
        self.lambda_ = clip_lambda(min(moved, max(dear, self.lambda_)))


def clip_lambda(value: float) -> float:
    """Keep λ where exponentials and products stay finite."""
    return min(max(value, LAMBDA_MIN), LAMBDA_MAX)
