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

    def update(self, p: float, y: float) -> None:
        """Take in one stated probability and its outcome, both in [0, 1]."""
        at = min(int(p * BINS), BINS - 1)
        self.count[at] += 1.0
        self.stated[at] += p
        self.came[at] += y

    @property
    def n(self) -> int:
        """Number of labels taken in."""
        return int(self.count.sum())

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
