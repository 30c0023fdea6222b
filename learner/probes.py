"""Probes: answers drawn at random and shown to the best judges, so that thumbs have something to be held against.

A probed answer is judged apart from what is believed of its model, so that thumbs do not vouch for themselves: as if
all models were of quality q. With u = p(1 − p) / q(1 − q), the share of that prior's doubt which the judges left
standing, the mean belief p lies only 1 − u times as far from q as the model's quality does. Undone, that bounds where
thumbs alone may push the model's quality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from learner.quality import POOL_PRIOR_QUALITY as Q
from learner.types import FloatArray

GAMMA = 0.995
LEAST_PROBES = 20.0
SLACK = 0.1
Z = 1.96
LEAST_TOLD = 0.05


@dataclass(slots=True)
class Probes:
    """Discounted sums by arm: probes, Σ(p − q), Σ(p − q)², Σu; shape (4, m)."""

    sums: FloatArray = field(default_factory=lambda: np.zeros((4, 0)))

    def make_room(self, arms: int) -> None:
        """Grow to this many arms."""
        self.sums = np.pad(self.sums, ((0, 0), (0, max(arms - self.sums.shape[1], 0))))

    def observe(self, arm: int, p: float) -> None:
        """Take in one probe of an arm's answer, which is good with probability p apart from what is believed of it."""
        moved, left = p - Q, p * (1.0 - p) / (Q * (1.0 - Q))
        self.sums[:, arm] = GAMMA * self.sums[:, arm] + (1.0, moved, moved * moved, min(left, 1.0))

    def supported(self, arm: int) -> tuple[float, float] | None:
        """Return the interval of quality that the probes of an arm support; None while they are few or say little."""
        count, moved, squares, left = self.sums[:, arm].tolist()
        told = 1.0 - left / max(count, 1.0)
        if count < LEAST_PROBES or told < LEAST_TOLD:
            return None
        mean = moved / count
        half = Z * math.sqrt(max(squares / count - mean * mean, 0.0) / count) / told + SLACK
        return Q + mean / told - half, Q + mean / told + half

    def allows(self, arm: int, *, quality: float, label: float) -> bool:
        """Tell whether a thumb's label may move an arm's quality: not further out of what the probes support."""
        bounds = self.supported(arm)
        if bounds is None:
            return True
        low, high = bounds
        return not (label < quality < low or label > quality > high)
