"""How well stated probabilities keep their word: their running reliability, and the error it amounts to.

With few labels in many bins, that error is largely chance: probabilities that keep their word to the letter show one of
0.04 to 0.05 after 500 thumbs, and of more where some are pressed by mistake. What chance alone would give stands beside
it, and what is left without that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from learner.types import FloatArray

BINS = 15


@dataclass(slots=True)
class Calibration:
    """Running reliability of stated probabilities in 15 equal bins; gives the expected calibration error."""

    count: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    stated: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    came: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    squares: FloatArray = field(default_factory=lambda: np.zeros(BINS))

    def update(self, p: float, y: float, weight: float = 1.0) -> None:
        """Take in one stated probability and its outcome, both in [0, 1]; `weight` says what the label counts for."""
        at = min(int(p * BINS), BINS - 1)
        self.count[at] += weight
        self.stated[at] += weight * p
        self.came[at] += weight * y
        self.squares[at] += (weight * (y - p)) ** 2

    @property
    def n(self) -> int:
        """Labels taken in, each as far as it counts."""
        return round(float(self.count.sum()))

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1] (Naeini et al. 2015), equal-width bins; 0 without any label."""
        return float(np.abs(self.stated - self.came).sum() / max(self.count.sum(), 1.0))

    @property
    def by_chance(self) -> float:
        """Return what `ece` would be on average if all that was stated kept its word.

        The gap of a bin is then a sum of errors with mean zero, nearly normal: its mean size is √(2/π) of its spread,
        which the squared errors tell, whatever mistakes or halves there are among the labels.
        """
        return math.sqrt(2.0 / math.pi) * float(np.sqrt(self.squares).sum() / max(self.count.sum(), 1.0))

    @property
    def debiased(self) -> float:
        """Return `ece` less what chance adds to it, in quadrature; at 0 where it is no more than that.

        The mean of |δ + ε| over noise ε is near √(δ² + (E|ε|)²). On the bias: Kumar et al., NeurIPS 2019, section 5.
        """
        return math.sqrt(max(self.ece**2 - self.by_chance**2, 0.0))

    @property
    def reliability(self) -> list[dict[str, float]]:
        """What was stated and what came, on average, in every bin that holds a label."""
        return [
            {"n": float(n), "stated": float(stated / n), "came": float(came / n)}
            for n, stated, came in zip(self.count, self.stated, self.came, strict=True)
            if n > 0
        ]
