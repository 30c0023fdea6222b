"""How well stated probabilities keep their word: their running reliability, and the error it amounts to."""

from __future__ import annotations

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

    def update(self, p: float, y: float, weight: float = 1.0) -> None:
        """Take in one stated probability and its outcome, both in [0, 1]; `weight` says what the label counts for."""
        at = min(int(p * BINS), BINS - 1)
        self.count[at] += weight
        self.stated[at] += weight * p
        self.came[at] += weight * y

    @property
    def n(self) -> int:
        """Labels taken in, each as far as it counts."""
        return round(float(self.count.sum()))

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1] (Naeini et al. 2015), equal-width bins; 0 without any label."""
        return float(np.abs(self.stated - self.came).sum() / max(self.count.sum(), 1.0))

    @property
    def reliability(self) -> list[dict[str, float]]:
        """What was stated and what came, on average, in every bin that holds a label."""
        return [
            {"n": float(n), "stated": float(stated / n), "came": float(came / n)}
            for n, stated, came in zip(self.count, self.stated, self.came, strict=True)
            if n > 0
        ]
