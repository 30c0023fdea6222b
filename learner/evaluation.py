"""Was it any good? Means with their intervals, and what a fixed mix of arms would have reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from learner.types import FloatArray

Number = TypeVar("Number", float, FloatArray)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward with its 95 % interval and the effective number of observations behind it."""

    mean: float
    low: float
    high: float
    effective_n: float


def estimate(values: FloatArray, effective_n: float) -> Estimate:
    """Return the mean of independent values, shape (n,), with its normal interval; infinite for a single one."""
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(mean, mean - half, mean + half, effective_n)


def effective_sample_size(weights: FloatArray) -> float:
    """Kish's effective sample size (Σw)² / Σw²; 0 where no logged decision is supported."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def corrected(value: Number, *, reward: Number, model: Number, weight: Number) -> Number:
    """Correct a model's value of a policy by the weighted residual of what was logged (Dudík et al. 2014, eq. 3.3)."""
    return value + weight * (reward - model)


def interpolation(costs_usd: FloatArray, qualities: FloatArray, at_usd: float) -> float:
    """Quality of the best fixed random mix of arms at a mean cost: the upper concave hull of (cost, quality).

    Args:
        costs_usd: Mean cost of each arm, USD per request, shape (k,).
        qualities: Mean quality of each arm, shape (k,).
        at_usd: Mean cost to compare at; below the cheapest arm's, the rest goes unanswered and counts 0.
    """
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for cost, quality in sorted(zip(costs_usd.tolist(), qualities.tolist(), strict=True)):
        if quality <= hull[-1][1]:
            continue
        while len(hull) > 1 and _bends_up(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    costs, values = zip(*hull, strict=True)
    return float(np.interp(at_usd, costs, values))


def _bends_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - b[0]) <= (c[1] - b[1]) * (b[0] - a[0])
