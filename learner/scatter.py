"""How far labels of one kind scatter about what was foretold: the less they do, the more each of them says.

A thumb scatters as chance does, and some more where it was pressed by mistake; ratings between 0 and 1 keep much nearer
to what is foretold. Both are learned from by one regression, whose likelihood is that of a label which is 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_COUNT = 5.0
GAMMA = 0.999
LEAST_VARIANCE = 0.01
LEAST_PRECISION, MOST_PRECISION = 1.0, 20.0


@dataclass(slots=True)
class Scatter:
    """Running sums: squared errors in units of p(1 − p), and how many there were.

    One over their ratio is the weight of a label under the quasi-likelihood with variance φp(1 − p) (Wedderburn,
    Biometrika 61 (1974) 439), φ being estimated by Pearson's statistic.
    """

    squares: float = PRIOR_COUNT
    count: float = PRIOR_COUNT

    def observe(self, p: float, y: float, weight: float) -> None:
        """Take in a label y of a weight ≥ 0 that was foretold with probability p, in [0, 1]."""
        self.squares = GAMMA * self.squares + weight * (y - p) ** 2 / max(p * (1.0 - p), LEAST_VARIANCE)
        self.count = GAMMA * self.count + weight

    @property
    def precision(self) -> float:
        """What one label says, in labels that are 0 or 1 by chance alone."""
        return min(max(self.count / max(self.squares, 1e-9), LEAST_PRECISION), MOST_PRECISION)
