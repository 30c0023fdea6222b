"""Intervals that hold for means of values that are few, unequal in weight, or skewed."""

from __future__ import annotations

import math

import numpy as np

from learner.evaluation import Estimate
from learner.types import FloatArray

Z = 1.96
# Of skewness through √n, from which on it matters.
LEAST_SKEW = 1e-3


def interval(values: FloatArray, variance: float, effective_n: float, widened: float = 0.0) -> Estimate:
    """Return the mean of values of a variance with its 95 % interval, wider where few of them count.

    The quantile is Student's with as many degrees of freedom as there are effective observations, to the first order
    (Cornish & Fisher 1938): z + (z³ + z) / 4f. Where the values are skewed, the interval also holds that of Hall's
    transformation (JRSS B 54 (1992) 221), which reaches further to the side of the rare large ones.
    """
    if math.isnan(float(values.sum())):
        return Estimate(math.nan, -math.inf, math.inf, 0.0)
    quantile = Z + (Z**3 + Z) / (4.0 * max(effective_n - 1.0, 1.0))
    error, mean = math.sqrt(variance / len(values)), float(values.mean())
    below, above = unskewed(values, quantile)
    return Estimate(mean, mean - below * error - widened, mean + above * error + widened, effective_n)


def unskewed(values: FloatArray, quantile: float) -> tuple[float, float]:
    """Return how many standard errors an interval reaches below and above the mean, at least `quantile` each."""
    spread = float(values.std())
    if not spread:
        return quantile, quantile
    a = float(((values - values.mean()) ** 3).mean()) / spread**3 / math.sqrt(len(values))
    if abs(a) < LEAST_SKEW:
        return quantile, quantile
    below, above = (3.0 / a * (np.cbrt(1.0 + a * (z - a / 6.0)) - 1.0) for z in (quantile, -quantile))
    return max(quantile, float(below)), max(quantile, -float(above))
