"""Twins: arms that repeat each other, as one model behind two providers. Equal answers of twins are one witness.

Without this, two copies of a weak model would confirm each other, be believed, and end every cascade. That two arms
agree is no sign of it: good models agree too. What tells is that one repeats the other's *wrong* answers. So the
question to every comparison is how probable it was that j gives the answer of i, if that one is right with the
probability π that all answers but j's leave it: at most π + (1 − π)·c for arms that err apart; for twins `REPEATS`,
and as for others in the rest. The ratio of the two is multiplied up (Wald's sequential test), and bounded, so that
arms can become twins, and cease to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from learner.cascade import Answers
from learner.joint import Joint, Pair, Pairs
from learner.quality import POOL_PRIOR_QUALITY
from learner.types import FloatArray

REPEATS = 0.95
# Chance that two arms that err apart give the same wrong answer: above what is found anywhere.
COINCIDENCE = 0.36
# In nats: what outweighs how few pairs are twins, and the most that evidence grows to on either side.
ENOUGH, BOUND = 6.0, 15.0
# An answer that one other differs from is right less often than this, one that nobody differs from more often.
MAY_BE_RIGHT = 0.4
DIFFERS = math.log(1.0 - REPEATS)


@dataclass(slots=True)
class Twins:
    """What speaks for each pair of arms to be twins, and the pairs that are.

    Args:
        evidence: Log-likelihood ratio of each pair, the lower position first, shape (m, m).
        agreed: How often each pair has given equal answers, shape (m, m); on the diagonal, how often each was compared.
        pairs: Those that are believed to be twins.
    """

    evidence: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    agreed: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    pairs: Pairs = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = self._found()

    def _found(self) -> Pairs:
        return frozenset((first, second) for first, second in np.argwhere(self.evidence > ENOUGH).tolist())

    def observe(self, answers: Answers, *, known: int = 0) -> Pairs:
        """Take in one comparison; returns the pairs that are now believed to be twins and were not before.

        Args:
            answers: Of at least two arms.
            known: How many of them, the first ones, were taken in before.
        """
        before, arms, groups = self.pairs, answers.arms, answers.groups
        self._make_room(max(arms) + 1)
        told = [at for at, is_so in enumerate(answers.comparable) if is_so]
        for j in (at for at in told if at >= known):
            self.agreed[arms[j], arms[j]] += 1.0
            repeated = repetition(answers, j) if groups[j] in groups[:j] else 0.0
            for i in (at for at in told if at < j):
                pair, is_equal = (min(arms[i], arms[j]), max(arms[i], arms[j])), groups[i] == groups[j]
                self.agreed[pair] += is_equal
                self._add(pair, repeated if is_equal else DIFFERS)
        return self.pairs - before

    def _add(self, pair: Pair, told: float) -> None:
        before = float(self.evidence[pair])
        after = min(max(before + told, -BOUND), BOUND)
        is_overturned = (after > ENOUGH) != (before > ENOUGH)
        # It takes more to overturn a verdict than it took to reach it.
        self.evidence[pair] = math.copysign(BOUND, after - before) if is_overturned else after
        if is_overturned:
            self.pairs = self._found()

    def between(self, pair: Pair) -> dict[int, float]:
        """Return the share of the comparisons of each of two arms in which the other gave the same answer, by arm."""
        return {arm: float(self.agreed[pair] / max(self.agreed[arm, arm], 1.0)) for arm in pair}

    def _make_room(self, arms: int) -> None:
        missing = arms - len(self.evidence)
        if missing > 0:
            self.evidence, self.agreed = np.pad(self.evidence, (0, missing)), np.pad(self.agreed, (0, missing))


def repetition(answers: Answers, at: int) -> float:
    """Return what an answer that equals an earlier one says for twins, in nats ≥ 0: nothing where nobody differs.

    All arms are taken to be of one quality here: what twins are believed before they are known may be their own praise.
    """
    numbers: dict[int, int] = {}
    others = [answers.groups[k] for k in answers.heard if k != at and answers.comparable[k]]
    groups = tuple([numbers.setdefault(group, len(numbers)) for group in others])
    level = answers.joint.level(POOL_PRIOR_QUALITY, groups, tuple(range(len(groups))))
    right = float(level.posterior[1 + numbers[answers.groups[at]]])
    if right >= MAY_BE_RIGHT:
        return 0.0
    return math.log(1.0 - REPEATS + REPEATS / (right + (1.0 - right) * COINCIDENCE))


def compare(answers: Answers, joint: Joint, twins: Twins, *, known: int = 0) -> Pairs:
    """Learn from a comparison who is right together with whom, and who repeats whom; returns the twins that were found.

    Args:
        answers: Of at least two arms.
        joint: Hears every witness once.
        twins: Learns who repeats whom.
        known: How many of the answers, the first ones, were taken in before.
    """
    heard = answers.heard
    joint.observe(answers.quality.take(heard), answers.groups_heard, known=sum([at < known for at in heard]))
    return twins.observe(answers, known=known)
