"""Who is right together with whom: a joint model of the answers to one query, and what agreement says.

Difficulty z ~ N(0, 1) is common to all arms and takes five Gauss-Hermite nodes. At node j arm m is right with
probability a_mj = σ(l_m + s·z_j), independently of the others; the level l_m is such that Σ_j w_j a_mj is the arm's
quality. Right answers are equal; wrong answers coincide like the tables of a Chinese restaurant with chance c. So the
probability of every partition of the answers into equal ones, together with which group is right, has a closed form,
and the posterior of each group allows for arms that err together. `s` and `c` are inferred from the partitions
themselves, without any label, over a small grid; thumbs then set the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learner.types import FloatArray

NODES, _weights = np.polynomial.hermite_e.hermegauss(5)
NODE_WEIGHTS = _weights / _weights.sum()
ALL_NODES = np.ones(len(NODES))
SPREADS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
COINCIDENCES = (0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36)
PRIOR_SPREAD, PRIOR_COINCIDENCE = 2.0, 0.16
LOG_PRIOR = (
    -2.0 * (SPREADS - PRIOR_SPREAD)[:, None] ** 2 - 2.0 * np.log(np.array(COINCIDENCES) / PRIOR_COINCIDENCE) ** 2
)
GAMMA = 0.998
MAX_ANSWERS = 24
LOWEST, HIGHEST = 0.01, 0.99
GRID = np.linspace(LOWEST, HIGHEST, 513)
ROWS_PER_QUALITY = (len(GRID) - 1) / (HIGHEST - LOWEST)

# Positions of two arms, the lower one first.
Pair = tuple[int, int]
Pairs = frozenset[Pair]


@lru_cache(maxsize=16)
def right_table(spread: float) -> FloatArray:
    """Return a_mj as a linear function from each quality of `GRID` to the next, at a spread s ≥ 0, shape (512, 2, 5).

    That is its value at 0 and its slope. Each a_m satisfies Σ_j w_j a_mj = quality; the level that does so is found by
    bisection. Linear interpolation keeps the equality, and saves solving for the level on every request.
    """
    low, high = np.full(len(GRID), -60.0), np.full(len(GRID), 60.0)
    for _ in range(60):
        level = (low + high) / 2.0
        is_low = at_nodes(level, spread) @ NODE_WEIGHTS < GRID
        low, high = np.where(is_low, level, low), np.where(is_low, high, level)
    right = at_nodes((low + high) / 2.0, spread)
    slope = np.diff(right, axis=0) * ROWS_PER_QUALITY
    return np.stack([right[:-1] - slope * GRID[:-1, None], slope], axis=1)


def at_nodes(level: FloatArray, spread: float) -> FloatArray:
    """Return σ(l_m + s·z_j), shape (m, 5)."""
    right: FloatArray = 1.0 / (1.0 + np.exp(-(level[:, None] + spread * NODES)))
    return right


def interpolated(table: FloatArray, quality: FloatArray) -> FloatArray:
    """Read a_mj of qualities of shape (…, m) from a table, or from several that lie side by side: (…, m, nodes)."""
    within = np.minimum(np.maximum(quality, LOWEST), HIGHEST)
    rows = table.take(((within - LOWEST) * ROWS_PER_QUALITY).astype(np.intp), 0, mode="clip")
    read: FloatArray = rows[..., 0, :] + within[..., None] * rows[..., 1, :]
    return read


def pattern(right: FloatArray, groups: tuple[int, ...]) -> FloatArray:
    """Return the chance that just the answers of each hypothesis' group are right, shape (…, G + 1, nodes)."""
    either = np.concatenate((right, 1.0 - right), -2)
    chance: FloatArray = np.multiply.reduce(either.take(members(groups), -2), -2)
    return chance


def coincidence_law(sizes: Sequence[int], c: float) -> float:
    """Log-probability that wrong answers fall into groups of these sizes (Chinese restaurant, Pitman 2006 §3.1).

    The n-th wrong answer equals a given earlier group of size k with probability k·c / (1 − c + (n − 1)·c).
    """
    count = sum(sizes)
    tables = sum(math.log1p(-c) + (size - 1) * math.log(c) + math.lgamma(size) for size in sizes)
    return tables - sum(math.log(1.0 - c + i * c) for i in range(count))


@dataclass(frozen=True, slots=True)
class Partition:
    """One query's answers, grouped by equality, under the joint model.

    Args:
        right: a_mj of the arms that answered, shape (r, 5).
        groups: Group of each answer, length r.
        sizes: Answers in each group, length G; those that repeat a twin's are not counted.
        mass: P(partition, evidence, hypothesis h, node j), shape (G + 1, 5); h = 0: no group is right.
    """

    right: FloatArray
    groups: tuple[int, ...]
    sizes: tuple[int, ...]
    mass: FloatArray

    @property
    def posterior(self) -> FloatArray:
        """Probability of each hypothesis, shape (G + 1,); entry 0: no answer is right."""
        total = self.mass.dot(ALL_NODES)
        posterior: FloatArray = total / sum(total.tolist())
        return posterior

    @property
    def of_answers(self) -> FloatArray:
        """Probability of each answer to be right, shape (r,)."""
        return self.posterior.take(own(self.groups))

    def weighed(self, evidence: FloatArray) -> Partition:
        """Return the partition with log-likelihood ratios on its answers, shape (r,); a group has its members' mean."""
        said = np.exp(means_over(self.groups).dot(evidence))
        return Partition(self.right, self.groups, self.sizes, self.mass * said[:, None])

    def told(self, group: int, belief: float) -> Partition:
        """Return the partition after something outside set the probability that `group` is right (Jeffrey's rule)."""
        before = min(max(float(self.posterior[1 + group]), 1e-6), 1.0 - 1e-6)
        mass = self.mass * ((1.0 - belief) / (1.0 - before))
        mass[1 + group] = self.mass[1 + group] * (belief / before)
        return Partition(self.right, self.groups, self.sizes, mass)

    def credits(self) -> tuple[FloatArray, FloatArray]:
        """Return what this query teaches of each arm's quality, free of how hard the query happened to be.

        With the posterior over (hypothesis, node), r_mj = P(m right, node j) and n_j = P(node j), one Newton step on
        the level l_m moves by Σ_j (r_mj − n_j a_mj) against the curvature Σ_j n_j a_mj (1 − a_mj). Expressed in
        quality: a label of weight curvature / D_m and value q_m + residual / weight, with D_m = dq_m / dl_m. An arm
        asked only on hard queries, as after a deferral, is thereby not blamed for them.

        Returns:
            Residuals, shape (r,), and weights ≥ 0, shape (r,).
        """
        node = np.add.reduce(self.mass, 0)
        total = sum(node.tolist())
        slope = self.right * (1.0 - self.right)
        residual = (self.mass.take(own(self.groups), 0) - node * self.right).dot(ALL_NODES) / total
        weight: FloatArray = slope.dot(node) / (total * slope.dot(NODE_WEIGHTS))
        return residual, weight


@dataclass(frozen=True, slots=True)
class JointView:
    """The joint model with fixed spread s and coincidence c, and the pairs of arms that are twins."""

    spread: float = PRIOR_SPREAD
    coincidence: float = PRIOR_COINCIDENCE
    twins: Pairs = frozenset()

    def are_twins(self, one: int, other: int) -> bool:
        """Tell whether two arms repeat each other, whose equal answers are one witness."""
        return bool(self.twins) and (min(one, other), max(one, other)) in self.twins

    def right(self, quality: FloatArray) -> FloatArray:
        """Return a_mj for arms of these qualities, shape (m, 5)."""
        return interpolated(right_table(self.spread), quality)

    def partition(
        self,
        quality: FloatArray,
        groups: tuple[int, ...],
        evidence: FloatArray | None = None,
        heard: Sequence[int] | None = None,
    ) -> Partition:
        """Build the posterior of one query.

        Args:
            quality: Believed quality of the arms that answered, shape (r,), r ≤ 24.
            groups: Group of each answer, numbered from 0 in order of appearance.
            evidence: Log-likelihood ratio that each answer is good, shape (r,), where there is any.
            heard: Positions of the answers that count, the first of every group among them; all where it is not given.
        """
        right = self.right(quality)
        counted = groups if heard is None else tuple([groups[i] for i in heard])
        votes = right if heard is None else right.take(heard, 0)
        mass = pattern(votes, counted) * weights(counted, self.coincidence)
        agreed = Partition(right, groups, sizes_of(counted), mass)
        return agreed if evidence is None else agreed.weighed(evidence)

    def level(self, quality: float, groups: tuple[int, ...], heard: tuple[int, ...]) -> Partition:
        """Return the posterior of a query whose answers came from arms that are all of this quality."""
        return level_partition(self, quality, groups, heard)


@lru_cache(maxsize=4096)
def level_partition(view: JointView, quality: float, groups: tuple[int, ...], heard: tuple[int, ...]) -> Partition:
    """Return what `JointView.level` does; only how the answers agree tells two such queries apart."""
    return view.partition(np.full(len(groups), quality), groups, heard=heard)


NOTHING_ASKED = Partition(np.zeros((0, len(NODES))), (), (), NODE_WEIGHTS[None, :].copy())


@lru_cache(maxsize=4096)
def sizes_of(groups: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of answers in each group."""
    return tuple(groups.count(g) for g in range(max(groups, default=-1) + 1))


@lru_cache(maxsize=4096)
def own(groups: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the hypothesis under which each answer is right, shape (r,)."""
    return 1 + np.array(groups, dtype=np.intp)


@lru_cache(maxsize=4096)
def members(groups: tuple[int, ...]) -> NDArray[np.intp]:
    """Return where [a; 1 − a] has the chance of each answer under each hypothesis, shape (G + 1, r)."""
    is_right = own(groups) == np.arange(1 + len(sizes_of(groups)))[:, None]
    answers = np.arange(len(groups))
    return np.where(is_right, answers, len(groups) + answers)


@lru_cache(maxsize=4096)
def means_over(groups: tuple[int, ...]) -> FloatArray:
    """Return the matrix that takes the mean over the answers of each hypothesis' group, shape (G + 1, r)."""
    is_right = own(groups) == np.arange(1 + len(sizes_of(groups)))[:, None]
    means: FloatArray = is_right / np.maximum(is_right.sum(axis=1, keepdims=True), 1)
    return means


@lru_cache(maxsize=4096)
def coincidences(groups: tuple[int, ...], c: float) -> FloatArray:
    """Return the probability of the wrong answers' coincidences under each hypothesis, shape (G + 1,)."""
    sizes = sizes_of(groups)
    others = ([size for g, size in enumerate(sizes) if g != h] for h in range(-1, len(sizes)))
    law: FloatArray = np.exp([coincidence_law(wrong, c) for wrong in others])
    return law


@lru_cache(maxsize=4096)
def weights(groups: tuple[int, ...], c: float) -> FloatArray:
    """Return what the chances of a pattern are weighed with, by hypothesis and node, shape (G + 1, 5)."""
    law: FloatArray = coincidences(groups, c)[:, None] * NODE_WEIGHTS
    return law


@lru_cache(maxsize=4096)
def all_coincidences(groups: tuple[int, ...]) -> FloatArray:
    """Return `coincidences` for every c of the grid, shape (G + 1, 9)."""
    return np.array([coincidences(groups, c) for c in COINCIDENCES]).T


ALL_TABLES = np.concatenate([right_table(float(spread)) for spread in SPREADS], axis=-1)


@dataclass(slots=True)
class Joint:
    """The mutable half: log-likelihood of the partitions seen, over the grid of s and c, discounted."""

    loglik: FloatArray = field(default_factory=lambda: np.zeros((len(SPREADS), len(COINCIDENCES))))
    _view: JointView | None = None

    def observe(self, quality: FloatArray, groups: tuple[int, ...], *, known: int = 0) -> None:
        """Weigh every (s, c) by how well it foretold one partition.

        Args:
            quality: Believed quality of the arms that answered, shape (r,), r ≥ 2.
            groups: Group of each answer.
            known: How many of the answers, the first ones, were weighed before.
        """
        told = self._log_likelihood(quality, groups)
        if known > 1:
            told = told - self._log_likelihood(quality[:known], groups[:known])
        self.loglik, self._view = GAMMA * self.loglik + told, None

    @staticmethod
    def _log_likelihood(quality: FloatArray, groups: tuple[int, ...]) -> FloatArray:
        chance = pattern(interpolated(ALL_TABLES, quality), groups)
        by_spread = chance.reshape(len(chance), len(SPREADS), len(NODES)).dot(NODE_WEIGHTS)
        likelihood: FloatArray = np.log(by_spread.T.dot(all_coincidences(groups)))
        return likelihood

    def view(self, twins: Pairs = frozenset()) -> JointView:
        """Return the most probable (s, c) under a wide prior; the same one until something else is learned.

        Args:
            twins: The pairs of arms that are twins.
        """
        if self._view is None or self._view.twins != twins:
            s, c = divmod(int((self.loglik + LOG_PRIOR).argmax()), len(COINCIDENCES))
            self._view = JointView(float(SPREADS[s]), COINCIDENCES[c], twins)
        return self._view
