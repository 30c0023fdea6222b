"""Which arm to ask first, and after each answer: stop, or ask whom next? Pure functions of what is believed.

Two kinds of query. Where answers can be compared (an option, a number, a short text), agreement is the evidence, and
`learner.lookahead` plans exactly over all ways in which the next answers may agree. Where they cannot, an answer is
known by its own evidence only, and the value of asking on is that of keeping the better of two: Pandora's problem
(Weitzman 1979) with one box to come. Both can skip the cheap arm and return the answer of an earlier call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from learner.joint import NOTHING_ASKED, JointView, Partition
from learner.lookahead import plan
from learner.types import FloatArray

OPTIMISM = 1.5
# What weighs less than this in a mean of two is not worked out.
LEAST_SHARE = 0.01
# Where answers can be compared less often than this, only ratings of what was served teach anything.
LEAST_COMPARABLE = 0.25


@dataclass(frozen=True, slots=True)
class Prospects:
    """What is believed of the arms on one query.

    Args:
        quality: Probability that each arm's answer is good, shape (m,).
        deviation: Standard deviation of (belief after an answer − belief before it), shape (m,).
        cost_usd: Expected cost of one call, shape (m,).
        lambda_: Quality per USD.
        comparable: Probability that answers to this query can be compared, in [0, 1].
        joint: Who is right together with whom.
        depth: Most arms that may be asked.
        margin: Gain in quality below which asking on is not worth the delay.
    """

    quality: FloatArray
    deviation: FloatArray
    cost_usd: FloatArray
    lambda_: float
    comparable: float
    joint: JointView
    depth: int
    margin: float


@dataclass(frozen=True)
class Answers:
    """The answers so far, and who is believed to be right.

    Args:
        arms: The arms that answered.
        groups: Group of equal answers of each, numbered from 0 in order of appearance.
        quality: What was believed of these arms before, shape (r,).
        evidence: Log-likelihood ratio that each answer is good, shape (r,).
        faults: The part of it that is each answer's own and says nothing of those that equal it, shape (r,).
        comparable: Whether each can be compared with others, length r.
        joint: The joint model.
    """

    arms: tuple[int, ...]
    groups: tuple[int, ...]
    quality: FloatArray
    evidence: FloatArray
    faults: FloatArray
    comparable: tuple[bool, ...]
    joint: JointView

    @classmethod
    def of(
        cls,
        arms: tuple[int, ...],
        groups: Sequence[int | None],
        *,
        quality: FloatArray,
        evidence: FloatArray,
        joint: JointView,
        faults: FloatArray | None = None,
    ) -> Answers:
        """Number the groups; an answer that cannot be compared stands alone."""
        numbers: dict[object, int] = {}
        # A missing group never equals another one: its own position makes the key unique.
        keys = [("alone", i) if g is None else g for i, g in enumerate(groups)]
        numbered = tuple([numbers.setdefault(key, len(numbers)) for key in keys])
        comparable = tuple([g is not None for g in groups])
        own = np.zeros(len(arms)) if faults is None else faults
        return cls(arms, numbered, quality, evidence, own, comparable, joint)

    @property
    def is_comparable(self) -> bool:
        """Whether agreement between these answers means anything."""
        return any(self.comparable)

    @cached_property
    def heard(self) -> tuple[int, ...]:
        """Positions of the answers that count as witnesses: all but those that repeat a twin's."""
        every = range(len(self.arms))
        if not self.joint.twins:
            return tuple(every)
        return tuple(j for j in every if not any(self._repeats(i, j) for i in range(j)))

    @property
    def groups_heard(self) -> tuple[int, ...]:
        """The groups of the answers that count as witnesses."""
        return tuple([self.groups[i] for i in self.heard])

    def _repeats(self, i: int, j: int) -> bool:
        return self.groups[i] == self.groups[j] and self.joint.are_twins(self.arms[i], self.arms[j])

    @cached_property
    def before(self) -> Partition | None:
        """The joint posterior from agreement alone; None where no answer can be compared with another."""
        if not self.is_comparable:
            return None
        heard = self.heard if len(self.heard) < len(self.arms) else None
        return self.joint.partition(self.quality, self.groups, heard=heard)

    @cached_property
    def after(self) -> Partition | None:
        """The joint posterior with the evidence."""
        return self.before.weighed(self.shared) if self.before is not None else None

    @cached_property
    def shared(self) -> FloatArray:
        """The evidence with the least of its group's own faults in place of each answer's, shape (r,).

        Of equal answers the one put best is given, so that the others' faults cost nothing.
        """
        if not any(self.faults.tolist()):
            return self.evidence
        same = np.equal.outer(self.groups, self.groups)
        spared: FloatArray = self.evidence - self.faults + np.where(same, self.faults, -np.inf).max(axis=1)
        return spared

    @cached_property
    def prior(self) -> FloatArray:
        """Probability of every answer to be right before the evidence on the answers themselves, shape (r,)."""
        # One answer agrees with nobody: no posterior is needed.
        return self.quality if len(self.arms) < 2 or self.before is None else self.before.of_answers

    @cached_property
    def belief(self) -> FloatArray:
        """Probability of every answer to be right, shape (r,)."""
        if len(self.arms) > 1 and self.after is not None:
            return self.after.of_answers
        alone: FloatArray = 1.0 / (1.0 + np.exp(-self.odds_alone))
        return alone

    @property
    def odds_alone(self) -> FloatArray:
        """Log-odds of every answer to be right by its arm and its own evidence, whoever agrees, shape (r,)."""
        odds: FloatArray = np.log(self.quality / (1.0 - self.quality)) + self.evidence
        return odds

    @property
    def best(self) -> int:
        """Position of the answer to give: of the most believed group, the one that is most believed by itself."""
        ranks = list(zip(self.belief.round(12).tolist(), self.odds_alone.tolist(), strict=True))
        return ranks.index(max(ranks))


def first_values(prospects: Prospects, kept: Sequence[int] | NDArray[np.intp]) -> FloatArray:
    """Return the utility of starting with each kept arm and going on as well as can be, shape (len(kept),)."""
    index = np.asarray(kept, dtype=np.intp)
    quality, price = prospects.quality.take(index), prospects.lambda_ * prospects.cost_usd.take(index)
    alone = quality - price
    if prospects.depth < 2 or len(index) < 2:
        return alone
    together = alone
    if prospects.comparable > LEAST_SHARE:
        is_useful = outdone_by(quality, price) <= prospects.depth
        stands_for = standing_for(index.tolist(), alone, prospects.joint)
        if stands_for is not None:
            is_useful &= stands_for == np.arange(len(index))
        useful = np.flatnonzero(is_useful)
        depth = min(prospects.depth, len(useful))
        together = alone.copy()
        _, together[useful] = plan(NOTHING_ASKED, prospects.joint, quality[useful], price[useful], depth=depth)
        if stands_for is not None:
            together = alone + (together - alone)[stands_for]
    if prospects.comparable > 1.0 - LEAST_SHARE:
        return together
    others = _best_others(alone)
    bests = expected_bests(quality, prospects.deviation.take(index), others)
    apart = bests - price
    if prospects.comparable < LEAST_COMPARABLE:
        # Whose answer would be given up for another's whatever it says is asked to be served, or in vain.
        is_in_vain = (quality < others) & (bests - others <= price + prospects.margin)
        apart = np.where(is_in_vain, alone, apart)
    mixed: FloatArray = prospects.comparable * together + (1.0 - prospects.comparable) * apart
    return mixed


def standing_for(arms: Sequence[int], alone: FloatArray, joint: JointView) -> NDArray[np.intp] | None:
    """Return the position of the arm that stands for each in a plan, shape (k,): itself, or the best of its twins.

    Args:
        arms: Positions in the pool.
        alone: Utility of each one's answer alone, shape (k,).
        joint: Knows the twins; None is returned where there are none.
    """
    if not joint.twins:
        return None
    best_first = sorted(range(len(arms)), key=alone.tolist().__getitem__, reverse=True)
    alike = ([k for k in best_first if arms[k] == arm or joint.are_twins(arms[k], arm)] for arm in arms)
    return np.array([same[0] for same in alike])


def best_values(prospects: Prospects, kept: Sequence[int], qualities: FloatArray) -> FloatArray:
    """Return the greatest of `first_values` for several beliefs, shape (n,), going on in vain included.

    Args:
        prospects: What is believed, but for the qualities.
        kept: Arms that may be asked.
        qualities: The beliefs, shape (n, m).
    """
    if prospects.joint.twins:
        each = (first_values(replace(prospects, quality=quality), kept).max() for quality in qualities)
        return np.fromiter(each, dtype=np.float64)
    index = list(kept)
    quality, price = qualities[:, index], prospects.lambda_ * prospects.cost_usd[index]
    alone, deviation = quality - price, prospects.deviation[index]
    if prospects.depth < 2 or len(index) < 2:
        first: FloatArray = alone.max(axis=1)
        return first
    together = alone.copy()
    if prospects.comparable > LEAST_SHARE:
        is_useful = outdone_by(quality, price) <= prospects.depth
        for pattern in np.unique(is_useful, axis=0):
            at = np.ix_((is_useful == pattern).all(axis=1), pattern)
            depth = min(prospects.depth, int(pattern.sum()))
            _, together[at] = plan(NOTHING_ASKED, prospects.joint, quality[at], price[pattern], depth=depth)
    if prospects.comparable > 1.0 - LEAST_SHARE:
        sure: FloatArray = together.max(axis=1)
        return sure
    believed = zip(quality, alone, strict=True)
    apart = np.array([expected_bests(q, deviation, _best_others(worth)) for q, worth in believed]) - price
    best: FloatArray = (prospects.comparable * together + (1.0 - prospects.comparable) * apart).max(axis=1)
    return best


def _best_others(alone: FloatArray) -> list[float]:
    """Return the utility of the best other arm's answer alone for each arm, length k ≥ 2."""
    worth = alone.tolist()
    second, first = sorted(worth)[-2:]
    return [second if value == first else first for value in worth]


def outdone_by(quality: FloatArray, price: FloatArray) -> FloatArray:
    """Return how many other arms are better at no higher price, in the shape of `quality`, (…, k).

    An arm outdone by more arms than may be asked is left out of plans: one of them is always there to ask instead. An
    approximation: now and then a weaker arm's vote tells more than the one that takes its place.
    """
    better = (quality[..., :, None] > quality[..., None, :]) & (price[:, None] <= price)
    count: FloatArray = better.sum(axis=-2)
    return count


def next_values(
    prospects: Prospects, answers: Answers, right: FloatArray, rest: Sequence[int]
) -> tuple[float, FloatArray]:
    """Return the value of stopping now and the utility of asking each arm of `rest`, shape (len(rest),).

    Args:
        prospects: What is believed before the answers.
        answers: The answers so far.
        right: Calibrated probability of each answer to be good, shape (number of answers,).
        rest: Arms that may be asked.
    """
    index = list(rest)
    quality, price = prospects.quality[index], prospects.lambda_ * prospects.cost_usd[index]
    if answers.after is None:
        now = float(right.max())
        return now, expected_bests(quality, prospects.deviation[index], [now] * len(index)) - price
    depth = min(prospects.depth - len(answers.arms), len(index))
    return plan(answers.after, prospects.joint, quality, price, depth=depth)


def upsides(prospects: Prospects, uncertainty: FloatArray, kept: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Return what the best plan would gain if an arm were better than believed, and what knowing that would, (m,) each.

    The first is the value of the best plan with the arm's quality raised by `OPTIMISM` standard deviations, less its
    value as things are believed, in utility per request: 0 for arms that no plan would use even then. The second is the
    expected value of perfect information (Howard, IEEE Transactions on Systems Science and Cybernetics 2 (1966) 22)
    where the arm is so much better or worse: what is linear in its quality cancels, and what is left is that the plan
    would be another one.

    Args:
        prospects: What is believed of a typical query.
        uncertainty: Standard deviation of each arm's mean quality, shape (m,).
        kept: Arms in service.
    """
    gains, informed = np.zeros((2, len(uncertainty)))
    if not kept:
        return gains, informed
    believed, index = prospects.quality, np.array(kept)
    doubt = OPTIMISM * uncertainty[index]
    better, worse = np.minimum(believed[index] + doubt, 0.98), np.maximum(believed[index] - doubt, 0.02)
    moved = np.tile(believed, (1 + 2 * len(index), 1))
    moved[1 + np.arange(2 * len(index)), np.tile(index, 2)] = np.concatenate((better, worse))
    now, *hoped = best_values(prospects, kept, moved).tolist()
    up, down = np.array(hoped).reshape(2, -1) - now
    # As probable as keeps the expectation at what is believed, also where one of them was cut.
    chance = (believed[index] - worse) / np.maximum(better - worse, 1e-12)
    gains[index] = np.maximum(up, 0.0)
    informed[index] = np.where(up > 0.0, np.maximum(chance * up + (1.0 - chance) * down, 0.0), 0.0)
    return gains, informed


def expected_bests(means: FloatArray, deviations: FloatArray, others: Sequence[float]) -> FloatArray:
    """Return `expected_best` of several, shape (k,)."""
    return np.array(list(map(expected_best, means.tolist(), deviations.tolist(), others)))


def expected_best(mean: float, deviation: float, other: float) -> float:
    """E[max(X, other)] for X ~ N(mean, deviation²) (Clark, Operations Research 9 (1961) 145)."""
    if deviation < 1e-9:
        return max(mean, other)
    u = (mean - other) / deviation
    density = math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
    return other + deviation * (density + u * 0.5 * (1.0 + math.erf(u / math.sqrt(2.0))))
