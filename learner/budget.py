"""λ, the price of money: how much quality one USD must buy. One controller per kind of objective.

`tradeoff` and `quality` fix λ. `budget` moves it by mirror descent on the spend (ParetoBandit's pacer in multiplicative
form: λ ← λ·exp(η(c/B − 1))), and pays debts back: the target of the next requests is the budget less what was
overspent so far, spread over a horizon. `quality_floor` keeps a virtual queue of missing quality (MESS+, arXiv
2505.19947): Q ← max(0, Q + α − ŷ), λ = V/Q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from learner.types import Objective

STEP = 0.05
LAMBDA_MIN, LAMBDA_MAX = 1e-2, 1e7
MAX_RATIO = 5.0
HORIZON = 120.0


@dataclass(slots=True)
class Controller:
    """Moves λ after every request.

    Args:
        objective: What to keep.
        lambda_: Quality per USD that is believed to meet the objective.
        requests: Requests settled since the objective was set.
        spent_usd: All spend since then, background included.
        queue: Missing quality of a floor, in units of requests.
        queue_price: V of the floor's λ = V/Q, in quality per USD times requests.
        is_started: λ was set from a fitted cost curve at least once.
    """

    objective: Objective
    lambda_: float = 100.0
    requests: float = 0.0
    spent_usd: float = 0.0
    queue: float = 0.0
    queue_price: float = 0.0
    is_started: bool = False

    @classmethod
    def of(cls, objective: Objective, scale_usd: float) -> Controller:
        """Start a controller; `scale_usd` is a typical cost of one request, for the first guess of λ."""
        if objective.kind == "tradeoff":
            return cls(objective, lambda_=0.01 / float(objective.value or 1.0))
        if objective.kind == "quality":
            return cls(objective, lambda_=0.0)
        first = clip_lambda(0.1 / max(scale_usd, 1e-9))
        return cls(objective, lambda_=first, queue=1.0, queue_price=first)

    def recentre(self, lambda_: float) -> None:
        """Start from a fitted λ; later calls move only a part of the way, on the log scale."""
        if self.objective.kind == "budget":
            share = 0.1 if self.is_started else 1.0
            self.lambda_ = clip_lambda(math.exp(share * math.log(lambda_) + (1 - share) * math.log(self.lambda_)))
            self.is_started = True

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
            self.queue = max(0.0, self.queue + float(self.objective.value or 0.0) - quality)
            self.lambda_ = clip_lambda(self.queue_price / max(self.queue, 1e-6))

    def _pace(self, spent_usd: float, requests: float) -> None:
        target = self.target_usd
        ratio = min(spent_usd / target, MAX_RATIO) - requests
        self.lambda_ = clip_lambda(self.lambda_ * math.exp(STEP * ratio))

    @property
    def target_usd(self) -> float:
        """Spend per request to aim at now: the budget less the debt over the horizon, within half of the budget."""
        budget = float(self.objective.value or 0.0)
        debt = self.spent_usd - self.requests * budget
        return min(max(budget - debt / HORIZON, 0.5 * budget), 1.5 * budget)


def clip_lambda(value: float) -> float:
    """Keep λ where exponentials and products stay finite."""
    return min(max(value, LAMBDA_MIN), LAMBDA_MAX)
