"""Whose thumbs they are: how far one more from the same hand may move what is believed of a model.

Everybody may count for one label per model, and beyond that for a share of its evidence that is fair among all
who rate, as far as they are trusted. Trust is the odds that their thumbs follow the answers' quality against thumbs
pressed at random, judged by what agreement and judges say of each answer, or else by what all others have taught: who
presses against that loses it within two or three thumbs, and then counts for the one label only. Many thumbs within a
minute count for less. The same holds for keys; feedback without a user or key is one crowd, which is not capped.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from learner.channel import Rates
from learner.estimators import sigmoid
from learner.quality import GAMMA
from learner.types import FloatArray

REMEMBERED = 2_000
FREE_LABELS = 1.0
FAIR = 1.5
# Odds of being trusted rise and fall with this power: what is taught before somebody is found out, nobody takes back.
STEEPNESS = 8.0
# Observations of a model beside a rater's own labels, from which on they tell whether to trust the rater.
LEAST_APART = 20.0
TRUST_PRIOR, LEAST_TRUST, MOST_TRUST = 1.0, -6.0, 3.0
TRUST_KEPT = 0.98
BURST_S = 60.0
BURST = 20.0
LEAST_WEIGHT = 0.05


@dataclass(slots=True)
class Rater:
    """One user or key: log-odds of being trusted, thumbs within the last minute, and what its labels still weigh.

    `labels` holds, by arm, the weight, what it adds to the arm's total, and the arm's age when it was last counted.
    """

    trust: float = TRUST_PRIOR
    recent: float = 0.0
    at_s: float = 0.0
    labels: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def press(self, *, likelihood: float | None, at_s: float, share: float) -> None:
        """Take in a share of one thumb that an honest rater would have pressed with this probability.

        None where nothing tells of that.
        """
        if likelihood is not None:
            self.trust = self._moved(likelihood)
        self.recent = share + self.recent * math.exp(-max(at_s - self.at_s, 0.0) / BURST_S)
        self.at_s = max(at_s, self.at_s)

    def held_against(self, likelihood: float | None) -> float:
        """Return the trust that is left should a thumb go the less likely way, whichever way it goes.

        Were it that of the way it does go, thumbs against what is believed would count for less than those for it, and
        beliefs that are too high would never be corrected.
        """
        return self.trust if likelihood is None else self._moved(min(likelihood, 1.0 - likelihood))

    def _moved(self, likelihood: float) -> float:
        """Return the trust after a thumb of this likelihood."""
        moved = TRUST_PRIOR + TRUST_KEPT * (self.trust - TRUST_PRIOR) + math.log(2.0 * likelihood)
        return min(max(moved, LEAST_TRUST), MOST_TRUST)

    def taught(self, arm: int, age: float) -> tuple[float, float]:
        """Return what this rater's labels on an arm still weigh at its present age, and add to its total."""
        weight, total, then = self.labels.get(arm, (0.0, 0.0, age))
        kept = math.pow(GAMMA, age - then)
        return kept * weight, kept * total


@dataclass(slots=True)
class Raters:
    """Everybody of one kind (users, or keys) who rated lately.

    Args:
        known: By id, the one who rated longest ago first.
        has_crowd: Whether there was feedback without a name, too.
        damped: Ratings that counted for less than one because of a user's or key's share or trust.
        bursts: Ratings that counted for less than one because of too many within a minute.
    """

    known: OrderedDict[str, Rater] = field(default_factory=OrderedDict)
    has_crowd: bool = False
    damped: int = 0
    bursts: int = 0

    def labels(self, name: str, arms: Sequence[int], ages: FloatArray) -> FloatArray:
        """Return what a rater's labels on these arms still weigh, given the labels that each arm has seen, (m,)."""
        rater = self.known.setdefault(name, Rater())
        self.known.move_to_end(name)
        while len(self.known) > REMEMBERED:
            self.known.popitem(last=False)
        return np.array([rater.taught(arm, float(ages[arm]))[0] for arm in arms])

    def quality_apart(self, name: str, arm: int, *, mean: float, count: float, age: float) -> float | None:
        """Return an arm's quality as it would be without a rater's labels; None where little else is known of it.

        Args:
            name: A known rater.
            arm: Whose quality.
            mean: What is believed of it.
            count: Observations behind that, the prior included.
            age: Labels that the arm has seen.
        """
        weight, total = self.known[name].taught(arm, age)
        apart = count - weight
        return min(max((mean * count - total) / apart, 0.02), 0.98) if apart >= LEAST_APART else None

    def weigh(
        self,
        name: str,
        own: FloatArray,
        evidence: FloatArray,
        *,
        likelihood: float | None,
        at_s: float,
        share: float = 1.0,
        credit: float = 0.0,
    ) -> float:
        """Return the weight in [0, 1] of one more thumb of a known rater.

        Args:
            name: Who pressed it.
            own: What their labels weigh on each arm that the thumb labels, shape (r,).
            evidence: What all that is known of these arms weighs, the prior included, shape (r,).
            likelihood: Probability that an honest rater would have pressed this thumb; None where nothing tells.
            at_s: When, in unix seconds.
            share: One through the number of answers that the thumb is about.
            credit: Log-odds by which the rater is trusted beyond what its thumbs say.
        """
        rater = self.known[name]
        trust = rater.held_against(likelihood) + credit
        rater.press(likelihood=likelihood, at_s=at_s, share=share)
        allowed = FREE_LABELS + FAIR / (1 + self.others) * sigmoid(STEEPNESS * trust) * evidence
        weight = max(float(np.minimum(allowed - own, 2.0 * (1.0 - own / allowed)).min()), 0.0)
        # Where nobody else rates there is nobody to protect from a batch.
        calm = min(1.0, BURST / rater.recent) if self.others else 1.0
        self.damped += weight < 1.0
        self.bursts += calm < 1.0
        return min(weight, 1.0) * calm

    def count(self, name: str, arms: Sequence[int], weight: float, values: FloatArray, ages: FloatArray) -> None:
        """Remember that labels of this weight and of these values, (r,), were learned from a rater."""
        rater = self.known[name]
        for arm, value in zip(arms, values.tolist(), strict=True):
            known, total = rater.taught(arm, float(ages[arm]))
            rater.labels[arm] = known + weight, total + weight * value, float(ages[arm])

    @property
    def others(self) -> int:
        """How many rate besides the first, the crowd being one."""
        return max(len(self.known) - 1, 0) + self.has_crowd

    @property
    def distrusted(self) -> int:
        """How many press against what all else says."""
        return sum(rater.trust < 0.0 for rater in self.known.values())


def likelihood_of(rates: Rates, p: float, *, is_up: bool) -> float:
    """Probability that an honest rater presses this thumb on an answer that is good with probability p."""
    up = rates.chance_up(p)
    return up if is_up else 1.0 - up


def rater_id(user: str, account: str | None) -> str:
    """Return a short name for a user of a key: two keys' users of one name are two users, and no user is stored."""
    return blake2b(f"{account or ''}\0{user}".encode(), digest_size=8).hexdigest()
