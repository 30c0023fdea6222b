"""How much easier a query is than the usual one, for every arm alike, by its features.

Arms are tried where others are weak, so what is rated of them are hard queries. Labels are therefore counted net of how
easy their query was: the choice of queries is not taken for the merit of an arm (the shared part of the hybrid model of
Li et al., WWW 2010, section 3.2). Ratings of lone answers teach it; where answers can be compared, the others tell how
hard the very query was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from learner.estimators import DiscountedRidge, sigmoid
from learner.types import FloatArray

PRECISION = 10.0
GAMMA = 0.999
NOISE_VARIANCE = 0.2
MOST_EVIDENCE = 6.0


def new_ridge() -> DiscountedRidge:
    """Return a ridge that knows nothing."""
    return DiscountedRidge(prior_precision=PRECISION, gamma=GAMMA)


@dataclass(slots=True)
class Ease:
    """A ridge that all arms share, over features less their mean; the first feature is always 1.

    Args:
        features: Discounted sum of the features it was taught with, shape (d,).
        weights: How much easier a query of these features is than the usual one, as a linear function, shape (d,).
        ridge: Over the centred features.
        evidence: Log-odds that the ridge foretells better than nothing, by its predictions made before each label.
    """

    features: FloatArray
    weights: FloatArray
    ridge: DiscountedRidge = field(default_factory=new_ridge)
    evidence: float = 0.0

    @classmethod
    def of(cls, size: int) -> Ease:
        """Return what knows nothing of this many features."""
        return cls(np.zeros(size), np.zeros(size))

    def observe(self, phi: FloatArray, weight: float, weighted_target: float, *, is_new: bool) -> None:
        """Learn how much better an answer was than its arm's level, or correct what was learned of it.

        Args:
            phi: Features of the query, shape (d,).
            weight: What the observation counts for, or what it counts for more than before.
            weighted_target: Weight times how much better; of a correction, what is added to that.
            is_new: Whether this answer was not learned from before.
        """
        if is_new:
            self._weigh(phi, weight, weighted_target)
            self.features = GAMMA * self.features + phi
        centre = self._centre()
        self.ridge.revise(phi - centre, weight, weighted_target, is_new=is_new)
        linear = self.ridge.mean.copy()
        linear[0] -= float(linear.dot(centre))
        self.weights = sigmoid(self.evidence) * linear

    def _centre(self) -> FloatArray:
        """Return the mean features of what it was taught with, shape (d,)."""
        return self.features / max(float(self.features[0]), 1.0)

    def _weigh(self, phi: FloatArray, weight: float, weighted_target: float) -> None:
        """Bayesian model averaging with an ease that is nought everywhere, at even prior odds."""
        foretold = float(self.ridge.mean.dot(phi - self._centre())) if len(self.ridge.mean) else 0.0
        gained = (2.0 * weighted_target - weight * foretold) * foretold / (2.0 * NOISE_VARIANCE)
        self.evidence = min(max(GAMMA * self.evidence + gained, -MOST_EVIDENCE), MOST_EVIDENCE)
