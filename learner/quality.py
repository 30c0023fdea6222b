"""How good each arm's answer to a query will be, before it is called: shrunken cells first, context as evidence grows.

Three levels, each shrunk to the one above it: an arm's mean leans on the pool's (tilted by price, or on the operator's
`prior_quality`), a category's mean for an arm leans on the arm's mean shifted by how hard the category is for all,
and a ridge on what the cells leave unexplained adds the context. Two gates, one for familiar and one for unfamiliar
queries, give the ridge a say only as far as its own predictions, made before each label, were the better ones.
All counts are discounted per observation of the arm, so that old evidence fades. `Quality` is the writer's mutable
half, `QualityView` the readers' immutable one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from learner.ease import Ease
from learner.errors import InvalidObservation
from learner.estimators import DiscountedRidge, odds, sigmoid
from learner.lately import Lately
from learner.pool import Arm
from learner.types import Context, FloatArray

GAMMA = 0.997
ARM_PRIOR_COUNT = 4.0
STATED_PRIOR_COUNT = 20.0
CELL_PRIOR_COUNT = 12.0
SHIFT_PRIOR_COUNT = 12.0
POOL_PRIOR_QUALITY = 0.6
QUALITY_PER_PRICE_DECADE = 0.08
NOISE_VARIANCE = 0.2
RIDGE_PRECISION = 20.0
LEVELLINGS = 2
FAMILIAR = 0.5
GATE_PRIOR_LOGIT = (-2.0, -1.0)
GATE_BOUND = 6.0
LEAST_GATE = 0.01
LEAST_QUALITY, MOST_QUALITY = 0.02, 0.98


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of one answer's quality: a value, and how many observations it counts for.

    Args:
        weight: Observations, ≥ 0.
        value: Probability that the answer is good; corrected for how hard the query was, it may leave [0, 1].
        is_level: Whether the value is corrected for how hard the query was, as agreement, or other outcomes, tell.
        ease: How much easier than usual the query was believed to be when the label was counted.
    """

    weight: float
    value: float
    is_level: bool = False
    ease: float = 0.0

    def above(self, expected: float) -> float:
        """Return the weighed value, net of the query's ease, above what was expected of the arm."""
        return self.weight * (self.value - self.ease - expected)


UNLABELLED = Label(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Belief:
    """Quality of every arm on one query: mean and variance, shape (m,) each, and whether the context had the say."""

    mean: FloatArray
    variance: FloatArray
    is_contextual: bool


class Predictor(Protocol):
    """What a policy asks of quality; `means` is that of each arm over all queries, shape (m,)."""

    @property
    def means(self) -> FloatArray:
        """Quality of each arm over all queries, shape (m,)."""
        ...

    @property
    def doubts(self) -> FloatArray:
        """Standard deviation of these means, shape (m,)."""
        ...

    def predict(self, context: Context) -> Belief:
        """Believe something about every arm's quality on a query."""
        ...

    def mean(self, context: Context) -> FloatArray:
        """Return every arm's quality on a query, shape (m,)."""
        ...


@dataclass(frozen=True)
class QualityView:
    """An immutable copy that predicts.

    Args:
        cells: Shrunken quality of arm m in category k, shape (m, k).
        counts: Observations behind each arm's mean incl. the prior, shape (m,).
        means: Quality of each arm over all queries, shape (m,).
        weights: Ridge weights, shape (m, d).
        covariances: Ridge covariance of each arm in units of the noise variance, shape (d, d); none is ever changed.
        gates: Weight in [0, 1] of the ridge on familiar and on unfamiliar queries.
        ease: How much easier a query is than the usual one, for all arms, as a linear function of its features, (d,).
    """

    cells: FloatArray
    counts: FloatArray
    means: FloatArray
    weights: FloatArray
    covariances: tuple[FloatArray, ...]
    gates: tuple[float, float]
    ease: FloatArray

    def predict(self, context: Context) -> Belief:
        """Believe something about every arm's quality on a query."""
        gate, level = self.gates[context.familiarity < FAMILIAR], self._level(context)
        variance = level * (1.0 - level) / (self.counts + 1.0)
        if gate > LEAST_GATE:
            directions = self._stacked.dot(context.vector).reshape(self.weights.shape)
            variance += gate * gate * NOISE_VARIANCE * directions.dot(context.vector)
        return Belief(self._moved(level, gate, context), variance, gate > 0.5)

    def mean(self, context: Context) -> FloatArray:
        """Return every arm's quality on a query, shape (m,): `predict` without the variance, which costs more."""
        return self._moved(self._level(context), self.gates[context.familiarity < FAMILIAR], context)

    def _level(self, context: Context) -> FloatArray:
        """Return what the cells alone say, shape (m,)."""
        level: FloatArray = self.cells[:, : len(context.categories)].dot(context.categories)
        return level

    def _moved(self, level: FloatArray, gate: float, context: Context) -> FloatArray:
        """Let the ridge move what the cells say as far as its gate lets it, shape (m,)."""
        moved: FloatArray = level + self.ease.dot(context.vector)
        if gate > LEAST_GATE:
            moved += gate * self.weights.dot(context.vector)
        return np.minimum(np.maximum(moved, LEAST_QUALITY), MOST_QUALITY)

    @property
    def doubts(self) -> FloatArray:
        """Standard deviation of the means, shape (m,)."""
        deviations: FloatArray = np.sqrt(self.means * (1.0 - self.means) / (self.counts + 1.0))
        return deviations

    @cached_property
    def _stacked(self) -> FloatArray:
        """The covariances one below the other, shape (m·d, d); a learner that only looks at means never pays for it."""
        return np.concatenate(self.covariances)


class Fit(NamedTuple):
    """What the cells say: quality by arm and category, (m, k); observations behind each mean incl. the prior, (m,)."""

    cells: FloatArray
    counts: FloatArray
    means: FloatArray


@dataclass(slots=True)
class Quality:
    """Everything learned about quality; grows with arms and categories, forgets per observation.

    Args:
        size: Features of a context.
        arms: The pool.
        sums: Observations and the sum of their values by arm and category, shape (2, m, k).
        ridges: What the cells leave unexplained, by arm.
        gate_evidence: Log-odds that labels have added to the gates' own, shape (2,).
        ease: How much easier queries are than the usual one, for all arms alike.
        lately: What the cells said lately, by which labels are measured.
    """

    size: int
    arms: list[Arm] = field(default_factory=list)
    sums: FloatArray = field(default_factory=lambda: np.zeros((2, 0, 0)))
    ridges: list[DiscountedRidge] = field(default_factory=list)
    gate_evidence: FloatArray = field(default_factory=lambda: np.zeros(2))
    ease: Ease = field(init=False)
    _tilts: FloatArray = field(default_factory=lambda: np.zeros(0))
    _bounds: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    _strength: FloatArray = field(default_factory=lambda: np.zeros(0))
    lately: Lately[Fit] = field(default_factory=Lately)
    _fitted: Fit | None = None
    _is_stale: bool = False
    _view: QualityView | None = None
    _changed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start with no query easier than another."""
        self.ease = Ease.of(self.size)

    def set_arm(self, index: int, arm: Arm, categories: int) -> None:
        """Add an arm at the end, or replace what is known of its prices and prior."""
        self._view = self._fitted = self.lately.fitted = None
        if index < len(self.arms):
            self.arms[index] = arm
        else:
            self.arms.append(arm)
            ridge = DiscountedRidge(prior_precision=RIDGE_PRECISION, gamma=GAMMA)
            ridge.resize(self.size)
            self.ridges.append(ridge)
            self.sums = np.concatenate([self.sums.reshape(2, -1, categories), np.zeros((2, 1, categories))], axis=1)
        self.set_priors()

    def set_priors(self) -> None:
        """Take the priors from the arms: tilted by price around the pool's, or as the operator stated them."""
        decades = np.log10([max(arm.cost_usd(250, 250), 1e-9) for arm in self.arms])
        self._tilts = QUALITY_PER_PRICE_DECADE * (decades - decades.mean())
        stated = [arm.prior_quality for arm in self.arms]
        self._bounds = np.array([(0.1, 0.95) if prior is None else (prior, prior) for prior in stated]).T
        self._strength = np.array(list(map(prior_count, self.arms)))

    def set_categories(self, categories: int) -> None:
        """Make room for categories that were added."""
        missing = categories - self.sums.shape[2]
        if missing > 0:
            self.sums = np.pad(self.sums, ((0, 0), (0, 0), (0, missing)))
            self._view = self._fitted = self.lately.fitted = None

    @property
    def count(self) -> FloatArray:
        """Observations of each arm in each category, shape (m, k)."""
        count: FloatArray = self.sums[0]
        return count

    @property
    def total(self) -> FloatArray:
        """Sum of their values, shape (m, k)."""
        total: FloatArray = self.sums[1]
        return total

    def observe(self, index: int, context: Context, label: Label, before: Label = UNLABELLED) -> Label:
        """Learn one answer's label, or replace what was learned of this answer `before`.

        All labels between two measures are measured by the first one.

        Returns:
            The label as it was counted, to be given as `before` when it is corrected.

        Raises:
            InvalidObservation: the label is not finite or its weight is negative.
        """
        if not (math.isfinite(label.value) and label.weight >= 0.0):
            raise InvalidObservation(f"a label needs a finite value and a weight >= 0, got {label}")
        shares, vector = context.categories, context.vector
        count, total = self.sums[0, index], self.sums[1, index]
        seen, had = count[: len(shares)], total[: len(shares)]
        known = self.lately.fitted or self.measure()
        expected = float(known.cells[index, : len(shares)].dot(shares))
        is_new = before.weight == 0.0
        # Forgetting may have left less than there is to take back: then a correction counts no less than before.
        least = 0.0 if is_new or (seen >= before.weight * shares - 1e-12).all() else before.weight
        ease = float(self.ease.weights.dot(vector)) if is_new else before.ease
        label = Label(max(label.weight, least), label.value, label.is_level, ease)
        if is_new:
            self._weigh_gate(index, context, label, expected)
            count *= GAMMA
            total *= GAMMA
        weight, gained = label.weight - before.weight, label.above(expected) - before.above(expected)
        self.ridges[index].revise(vector, weight, gained, is_new=is_new)
        self._learn_ease(vector, label, before, expected)
        seen += weight * shares
        had += (label.above(0.0) - before.above(0.0)) * shares
        self._touch(index, max(label.weight, before.weight) / float(known.counts[index]))
        return label

    def _learn_ease(self, vector: FloatArray, label: Label, before: Label, expected: float) -> None:
        """Learn from a lone answer how easy its query was, or take that back where others have told by now."""
        now, then = UNLABELLED if label.is_level else label, UNLABELLED if before.is_level else before
        if now.weight == then.weight == 0.0:
            return
        weight, ease = now.weight - then.weight, label.ease
        gained = now.above(expected) - then.above(expected) + weight * ease
        self.ease.observe(vector, weight, gained, is_new=then.weight == 0.0)

    def _weigh_gate(self, index: int, context: Context, label: Label, expected: float) -> None:
        """Bayesian model averaging of the two predictions made before this label (prior odds: the gate's)."""
        net = label.value - label.ease
        full = min(max(expected + float(self.ridges[index].mean.dot(context.vector)), LEAST_QUALITY), MOST_QUALITY)
        gained = (net - expected) ** 2 - (net - full) ** 2
        at = int(context.familiarity < FAMILIAR)
        evidence = float(self.gate_evidence[at]) * GAMMA + label.weight * gained / (2.0 * NOISE_VARIANCE)
        self.gate_evidence[at] = min(max(evidence, -GATE_BOUND), GATE_BOUND)

    def _touch(self, index: int, news: float = math.inf) -> None:
        """Note that something else is known of an arm than was fitted and published."""
        self._changed.add(index)
        self._is_stale = True
        self.lately.learned(index, news)

    def shrink(self, index: int, kept: float) -> None:
        """Forget all but a share of what is known of an arm, as after a drift alarm."""
        self.sums[:, index] *= kept
        self.ridges[index].discount(kept)
        self._touch(index)

    def shrink_category(self, index: int, category: int, kept: float) -> None:
        """Forget all but a share of what is known of an arm in one category."""
        self.sums[:, index, category] *= kept
        self._touch(index)

    def age(self, index: int, most: float) -> float:
        """Forget all but `most` observations of an arm and still believe its mean; returns the share that was kept.

        What is taken away is as good as the mean: so an arm that was bad stays bad until its answers say otherwise.
        """
        count, total = self.sums[:, index]
        seen = float(count.sum())
        kept = min(1.0, most / max(seen, most))
        if kept < 1.0:
            # What the prior would move the mean by, now that less stands against it.
            gap = float(total.sum()) - float(self.fitted().means[index]) * seen
            self.total[index] = kept * total + (1.0 - kept) * gap / seen * count
            self.count[index] = kept * count
            self.ridges[index].discount(kept)
            self._touch(index)
        return kept

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Return each arm's quality over all queries and the observations behind it incl. the prior, shape (m,)."""
        fit = self.fitted()
        return fit.means, fit.counts

    def fitted(self) -> Fit:
        """Return what the cells say by now; the same as long as nothing is learned."""
        if self._fitted is None or self._is_stale:
            self._fitted, self._is_stale = self._fit(), False
        return self._fitted

    def measure(self) -> Fit:
        """Return what the cells said lately, for lessons."""
        return self.lately.told(self.fitted)

    def believed(self, context: Context, arms: Iterable[int]) -> dict[int, float]:
        """Return the quality of some arms on a query, by what the cells said lately."""
        cells, shares, gate = self.measure().cells, context.categories, self.gates()[context.familiarity < FAMILIAR]
        ease = float(self.ease.weights.dot(context.vector))
        believed = {}
        for arm in arms:
            quality = ease + float(cells[arm, : len(shares)].dot(shares))
            if gate > LEAST_GATE:
                quality += gate * float(self.ridges[arm].mean.dot(context.vector))
            believed[arm] = min(max(quality, LEAST_QUALITY), MOST_QUALITY)
        return believed

    def _fit(self) -> Fit:
        if not self.arms:
            return Fit(np.zeros((0, self.sums.shape[2])), np.zeros(0), np.zeros(0))
        # One reduction of both tables along each axis: this is done for every label.
        seen, had = np.add.reduce(self.sums, 1)
        means, counts = self._levelled_means(seen, had)
        return Fit(self._cells(means, seen, had), counts, means)

    def _cells(self, means: FloatArray, seen: FloatArray, had: FloatArray) -> FloatArray:
        shifted = (means / (1.0 - means))[:, None].dot(self._shifts(means, seen, had)[None])
        base = shifted / (1.0 + shifted)
        cells = (self.total + CELL_PRIOR_COUNT * base) / (self.count + CELL_PRIOR_COUNT)
        clipped: FloatArray = np.minimum(np.maximum(cells, 0.01), 0.99)
        return clipped

    def _levelled_means(self, seen: FloatArray, had: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fit the arms' means and the observations behind these incl. the prior, shape (m,) each.

        Arms are not asked in all categories alike, least of all those that are tried where others are weak: what is
        easy for all must not be taken for the merit of one (a two-way layout, fitted by alternating least squares).
        """
        count, (counts, total) = self.count, np.add.reduce(self.sums, 2)
        observed = sum(counts.tolist())
        pool = (sum(total.tolist()) + 2.0 * POOL_PRIOR_QUALITY) / (observed + 2.0)
        low, high = self._bounds
        total += self._strength * np.minimum(np.maximum(pool + self._tilts, low), high)
        counts += self._strength
        means, slack, shares = total / counts, seen + SHIFT_PRIOR_COUNT, seen / max(observed, 1.0)
        for _ in range(LEVELLINGS):
            # How much better arms do in each category than their means say, 0 on average.
            above = (had - means.dot(count)) / slack
            above -= shares.dot(above)
            means = (total - count.dot(above)) / counts
        # Labels may leave [0, 1]; what is believed may not.
        return np.minimum(np.maximum(means, 0.01), 0.99), counts

    def _shifts(self, means: FloatArray, seen: FloatArray, had: FloatArray) -> FloatArray:
        """How much easier each category is for the whole pool, as a factor of the odds, shape (k,)."""
        level = SHIFT_PRIOR_COUNT * sum(means.tolist()) / len(means)
        sums = np.array([had, means.dot(self.count)]) + level
        found, foreseen = odds(sums / (seen + SHIFT_PRIOR_COUNT))
        shifts: FloatArray = found / foreseen
        return shifts

    def view(self) -> QualityView:
        """Return an immutable copy for readers; only what changed since the last one is built anew."""
        if self._view is None:
            weights = np.array([ridge.mean for ridge in self.ridges]).reshape(-1, self.size)
        elif self._changed:
            weights = self._view.weights.copy()
            for index in self._changed:
                weights[index] = self.ridges[index].mean
        else:
            return self._view
        self._changed.clear()
        fit, covariances = self.fitted(), tuple(ridge.covariance for ridge in self.ridges)
        self._view = QualityView(
            fit.cells, fit.counts, fit.means, weights, covariances, self.gates(), self.ease.weights
        )
        return self._view

    def gates(self) -> tuple[float, float]:
        """Weight of the ridge on familiar and on unfamiliar queries, each in (0, 1)."""
        familiar, unfamiliar = self.gate_evidence.tolist()
        return sigmoid(GATE_PRIOR_LOGIT[0] + familiar), sigmoid(GATE_PRIOR_LOGIT[1] + unfamiliar)


def prior_count(arm: Arm) -> float:
    """Return how many observations an arm's prior counts for."""
    return ARM_PRIOR_COUNT if arm.prior_quality is None else STATED_PRIOR_COUNT


def interval(mean: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a proportion seen `count` times (Wilson 1927), within [0, 1]."""
    centre = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
