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
    """Discounted sums by arm and category, shape (m, 7, k): answers, Σp, Σp², Σr, Σr², Σpr, ratings.

    p is the belief in an answer, r its rating's rectifier (0 without one) times the share of answers that are rated.
    That share is divided out only when the sums are read, so that a first rating does not stand for all before it.
    """

    sums: FloatArray = field(default_factory=lambda: np.zeros((0, 7, 0)))

    def make_room(self, arms: int, categories: int) -> None:
        """Grow to this many arms and categories."""
        missing = arms - self.sums.shape[0], categories - self.sums.shape[2]
        if max(missing) > 0:
            self.sums = np.pad(self.sums, ((0, missing[0]), (0, 0), (0, missing[1])))

    def serve(self, arm: int, context: Context, p: float) -> None:
        """Take in an answer that is believed to be good with probability p."""
        sums = self.sums[arm]
        sums *= GAMMA
        self._add(slice(3), arm, context, (1.0, p, p * p))

    def rate(self, arm: int, context: Context, p: float, rectifier: float, weight: float) -> None:
        """Correct an answer, believed good with probability p, by its rating's rectifier; `weight` lies in [0, 1]."""
        r = weight * rectifier
        self._add(slice(3, 7), arm, context, (r, r * r, p * r, weight))

    def _add(self, rows: slice, arm: int, context: Context, terms: tuple[float, ...]) -> None:
        sums = self.sums[arm, rows, : len(context.categories)]
        sums += np.array(terms)[:, None].dot(context.categories[None])

    def of_arm(self, arm: int, rated: float) -> Estimate | None:
        """Estimate an arm's quality over the answers it gave, of which a share is rated; None where there are none."""
        return estimate(self.sums[arm].sum(axis=1), rated)

    def of_category(self, arm: int, category: int, rated: float) -> Estimate | None:
        """Estimate an arm's quality in one category; None where it gave no answer there."""
        return estimate(self.sums[arm, :, category], rated)


def estimate(sums: FloatArray, rated: float) -> Estimate | None:
    """Return the mean of p + r with its interval by the central limit theorem; None for less than one answer.

    Args:
        sums: As `HonestQuality` keeps them, shape (7,).
        rated: Share of all answers that are rated, in (0, 1].
    """
    answers, p, pp, r, rr, pr, labelled = sums.tolist()
    if answers < 1.0:
        return None
    mean = (p + r / rated) / answers
    squares = (pp + 2.0 * pr / rated + rr / rated**2) / answers
    # Each p + r is the answer's quality, 0 or 1, and noise: beliefs that hardly differ must not look certain.
    centred = min(max(mean, 0.05), 0.95)
    half = Z * math.sqrt(max(squares - mean * mean, centred * (1.0 - centred)) / answers)
    low, centre, high = (min(max(x, 0.0), 1.0) for x in (mean - half, mean, mean + half))
    return Estimate(centre, low, high, answers, labelled)
