"""The traffic as its busiest categories, and the price of money at which beliefs foretell a given spend on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learner.curve import Segment, lambda_for
from learner.policy import View
from learner.pool import serving
from learner.types import Context, FloatArray, Limits

MOST_SEGMENTS = 8


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came lately.

    Args:
        shares: Requests by category, in any unit, shape (k,).
        cells: Quality of arm m in category k, shape (m, k).
        input_chars: Mean length of a request.
    """

    shares: FloatArray
    cells: FloatArray
    input_chars: int

    def segments(self, view: View) -> list[Segment]:
        """Describe the busiest categories by what is believed of them."""
        busiest = [int(k) for k in np.argsort(-self.shares)[:MOST_SEGMENTS] if self.shares[k] > 0.0]
        return [
            Segment(float(self.shares[k]), view.prospects(self._typical(view, k), Limits(), self.cells[:, k]))
            for k in busiest
        ]

    def _typical(self, view: View, category: int) -> Context:
        place = np.zeros(len(self.shares))
        place[category] = 1.0
        return Context(view.feature_version, np.zeros(0), place, 1.0, self.input_chars)

    def lambda_for(self, view: View, budget_usd: float) -> float:
        """Return the price of money, in quality per USD, at which answers are expected to cost a budget per request."""
        return lambda_for(budget_usd, self.segments(view), serving(view.arms, Limits()))
