"""What the benchmark reports, as functions of arrays: frontier, matched points, regret, compliance and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learner.evaluation import interpolation
from learner.types import FloatArray

BINS = 15
RESAMPLES = 500
MATCHED = 0.05
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


# -- the frontier: points (cost, quality) of one policy over a sweep of budgets -------------------------------------


def aiq(points: Points, low: float, high: float) -> float:
    """Average improvement in quality (RouterBench, arXiv 2403.12031): mean height of the non-decreasing concave hull.

    A mix of a policy's points with asking nobody (cost 0, quality 0) is always possible: the hull starts there, and is
    flat to the right of its best point.

    Args:
        points: Mean cost and mean quality of a policy at each budget.
        low: Least cost of the range, USD.
        high: Greatest cost, common to all that are compared.
    """
    costs, qualities = np.array(points).T
    grid = np.unique(np.concatenate([np.linspace(low, high, 512), costs[(costs > low) & (costs < high)]]))
    return area(grid, np.array([interpolation(costs, qualities, float(at)) for at in grid]))


def auc(points: Points, low: float, high: float) -> float:
    """Mean height of the raw curve over a range of costs (as in arXiv 2410.10347), flat beyond its ends."""
    costs, qualities = np.array(sorted(points)).T
    grid = np.unique(np.concatenate([np.linspace(low, high, 512), costs[(costs > low) & (costs < high)]]))
    return area(grid, np.interp(grid, costs, qualities))


def area(at: FloatArray, height: FloatArray) -> float:
    """Area under a curve divided by its width (trapezoids)."""
    return float(np.trapezoid(height, at) / (at[-1] - at[0]))


def quality_at(points: Points, usd: float) -> float:
    """Quality of a policy's curve at a cost, linear between its points; not a number far outside of them."""
    costs, qualities = np.array(sorted(points)).T
    inside = costs[0] / (1.0 + MATCHED) <= usd <= costs[-1] * (1.0 + MATCHED)
    return float(np.interp(usd, costs, qualities)) if inside else float("nan")


def usd_for(points: Points, quality: float) -> float:
    """Least cost at which a policy's curve reaches a quality; not a number where it never does."""
    ordered = sorted(points)
    if ordered[0][1] >= quality:
        return ordered[0][0]
    for (cost, below), (next_cost, above) in pairwise(ordered):
        if below < quality <= above:
            return cost + (next_cost - cost) * (quality - below) / (above - below)
    return float("nan")


def best_mixes(costs: FloatArray, qualities: FloatArray, at_usd: FloatArray) -> FloatArray:
    """Return `interpolation` for many pools at once: the best mix of two models, or of one with asking nobody.

    Args:
        costs: Mean cost of each model, shape (r, m).
        qualities: Mean quality, shape (r, m).
        at_usd: Mean cost to compare at, shape (r,).
    """
    nobody = np.zeros((len(costs), 1))
    cost, quality = np.hstack([nobody, costs]), np.hstack([nobody, qualities])
    at = at_usd[:, None]
    best: FloatArray = np.where(cost <= at, quality, 0.0).max(axis=1)
    for i in range(cost.shape[1]):
        low, base = cost[:, i : i + 1], quality[:, i : i + 1]
        spans = (low <= at) & (cost > at)
        share = (at - low) / np.where(spans, cost - low, 1.0)
        best = np.maximum(best, np.where(spans, base + share * (quality - base), 0.0).max(axis=1))
    return best


# -- what perfect knowledge would have reached -------------------------------------------------------------------------


def oracle(usd: FloatArray, quality: FloatArray, at_usd: float) -> float:
    """Best mean quality of one model per query, chosen with hindsight, at a mean cost of at most `at_usd`.

    The optimum of the linear programme: the choices at the price of money where the budget is crossed, on both sides
    of it, mixed so that the budget is met (arXiv 2410.10347, optimal routing).

    Args:
        usd: Cost of every model on every query, shape (n, m).
        quality: Same shape.
        at_usd: Mean cost per query.
    """
    low, high, rows = 0.0, 1e8, np.arange(len(usd))
    for _ in range(60):
        middle = (low + high) / 2.0
        chosen = (quality - middle * usd).argmax(axis=1)
        low, high = (middle, high) if usd[rows, chosen].mean() > at_usd else (low, middle)
    cheap, dear = ((quality - price * usd).argmax(axis=1) for price in (high, low))
    costs, qualities = zip(*((usd[rows, c].mean(), quality[rows, c].mean()) for c in (cheap, dear)), strict=True)
    return float(np.interp(at_usd, costs, qualities))


# -- calibration -------------------------------------------------------------------------------------------------------


def brier(stated: FloatArray, came: FloatArray) -> float:
    """Mean squared distance of stated probabilities from outcomes in [0, 1]."""
    return float(((stated - came) ** 2).mean())


def ece(stated: FloatArray, came: FloatArray) -> float:
    """Expected calibration error over 15 bins of equal mass (Naeini et al. 2015; Nguyen & O'Connor 2015)."""
    bins = np.array_split(np.argsort(stated, kind="stable"), BINS)
    return float(sum(abs(stated[b].sum() - came[b].sum()) for b in bins) / len(stated))


# -- intervals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One seed's graded requests of one policy, with what every model would have done on them.

    Args:
        quality: Of the answers given, shape (n,).
        usd: All that was billed for each request, shape (n,).
        model_quality: Of every model, shape (n, m).
        model_usd: Same shape.
    """

    quality: FloatArray
    usd: FloatArray
    model_quality: FloatArray
    model_usd: FloatArray

    def points_over_interpolation(self, weights: FloatArray) -> FloatArray:
        """Points above the best static mix at the same spend, once per row of weights, shape (r, n), rows sum to 1."""
        quality, usd = weights @ self.quality, weights @ self.usd
        costs, qualities = weights @ self.model_usd, weights @ self.model_quality
        points: FloatArray = 100.0 * (quality - best_mixes(costs, qualities, usd))
        return points

    @property
    def level(self) -> float:
        """Points above the best static mix at the same spend."""
        n = len(self.usd)
        return float(self.points_over_interpolation(np.full((1, n), 1.0 / n))[0])


def compared(ours: Sequence[Sample], theirs: Sequence[Sample] | None = None, *, resamples: int = RESAMPLES) -> Interval:
    """Points over interpolation, or those of one policy less another's, with a two-level bootstrap.

    Seeds are resampled, and within each the requests, the same ones for both policies: the interval is paired.

    Args:
        ours: One sample per seed.
        theirs: Of another policy on the same seeds; None for the level itself.
        resamples: Number of bootstrap resamples.
    """
    rng = np.random.default_rng(0)
    drawn, levels = [], []
    for s, sample in enumerate(ours):
        n = len(sample.usd)
        weights = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples) / n
        drawn.append(sample.points_over_interpolation(weights))
        levels.append(sample.level)
        if theirs is not None:
            drawn[-1] = drawn[-1] - theirs[s].points_over_interpolation(weights)
            levels[-1] -= theirs[s].level
    return interval_of(np.array(drawn), np.array(levels), rng)


def interval_of(drawn: FloatArray, levels: FloatArray, rng: np.random.Generator) -> Interval:
    """Resample the first axis of bootstrap values, shape (seeds, resamples), and take quantiles of the means."""
    seeds, resamples = drawn.shape
    means = drawn[rng.integers(seeds, size=(resamples, seeds)), np.arange(resamples)[:, None]].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(levels.mean()), float(low), float(high))
