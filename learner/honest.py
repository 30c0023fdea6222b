"""Honest quality: the mean quality of the answers a model gave, by beliefs on all of them and thumbs on a few.

Prediction-powered inference (Angelopoulos et al., Science 382 (2023) 669): the mean of the belief in every answer, plus
the mean of what the rated ones show it to be wrong by, each weighed by the inverse of its chance to be rated. However
wrong the beliefs are, the mean is right where the channel is; the better they are, the narrower the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from learner.types import Context, FloatArray

GAMMA = 0.999
Z = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in [0, 1] with its 95 % interval, and the answers and ratings behind it after forgetting."""

    mean: float
    low: float
    high: float
    answers: float
    labelled: float


@dataclass(slots=True)
class HonestQuality:
    """Discounted sums by arm and category: answers, Σz, Σz², ratings; z = belief + rectifier; shape (4, m, k)."""

    sums: FloatArray = field(default_factory=lambda: np.zeros((4, 0, 0)))

    def make_room(self, arms: int, categories: int) -> None:
        """Grow to this many arms and categories."""
        missing = arms - self.sums.shape[1], categories - self.sums.shape[2]
        if max(missing) > 0:
            self.sums = np.pad(self.sums, ((0, 0), (0, missing[0]), (0, missing[1])))

    def serve(self, arm: int, context: Context, p: float) -> None:
        """Take in an answer that is believed to be good with probability p."""
        self.sums[:, arm] *= GAMMA
        self._add(arm, context, np.array([1.0, p, p * p, 0.0]))

    def rate(self, arm: int, context: Context, p: float, rectifier: float, weight: float) -> None:
        """Correct an answer, believed good with probability p, by its rating's rectifier; `weight` lies in [0, 1]."""
        moved = weight * rectifier
        self._add(arm, context, np.array([0.0, moved, moved * (2.0 * p + moved), weight]))

    def _add(self, arm: int, context: Context, terms: FloatArray) -> None:
        known = len(context.categories)
        self.sums[:, arm, :known] += terms[:, None] * context.categories

    def of_arm(self, arm: int) -> Estimate | None:
        """Estimate an arm's quality over the answers it gave; None where there are none."""
        return estimate(*self.sums[:, arm].sum(axis=1).tolist())

    def of_category(self, arm: int, category: int) -> Estimate | None:
        """Estimate an arm's quality in one category; None where it gave no answer there."""
        return estimate(*self.sums[:, arm, category].tolist())


def estimate(answers: float, total: float, squares: float, labelled: float) -> Estimate | None:
    """Return the mean of z with its interval by the central limit theorem; None for less than one answer."""
    if answers < 1.0:
        return None
    mean = total / answers
    # Each z is the answer's quality, 0 or 1, and noise: beliefs that hardly differ must not look certain.
    centred = min(max(mean, 0.05), 0.95)
    variance = max(squares / answers - mean * mean, centred * (1.0 - centred))
    half = Z * math.sqrt(variance / answers)
    low, centre, high = (min(max(x, 0.0), 1.0) for x in (mean - half, mean, mean + half))
    return Estimate(centre, low, high, answers, labelled)
