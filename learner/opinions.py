"""Which judge to ask about an answer, while it is still open what to do with it.

An opinion is worth what it is expected to improve the choice between giving this answer, giving another one, and asking
on: nothing where it cannot change it, most where the belief straddles two of them. Judges are asked one after another,
the most valuable first, until none is worth its price and the delay. A judge of weight 0 is worth nothing. Out of
the exploration allowance a new judge is heard first, and any other now and then, so that its weight can recover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learner.estimators import logit, sigmoid

EXPLORED, FIRST_HEARD = 0.02, 100.0
# How much more an opinion is worth than the plan says, which knows of no opinions on answers to come and of nothing
# that this one teaches (docs/decisions/0010-judges-weights.md).
FORESIGHT = 8.0
_nodes, _masses = np.polynomial.hermite_e.hermegauss(9)
NORMAL = list(zip(_nodes.tolist(), (_masses / _masses.sum()).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Prospect:
    """What could be done with an answer at one belief in it.

    Args:
        right: Probability that it is good.
        other: That of the best other answer; 0 without one.
        going_on: Utility of asking one more model and going on from there; minus infinity where none may be asked.
    """

    right: float
    other: float
    going_on: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """What could be done with an answer if it were known to be bad, as things are, and if it were known to be good.

    What lies between is taken as linear.
    """

    bad: Prospect
    now: Prospect
    good: Prospect

    def value(self, right: float) -> float:
        """Return the utility of the best choice at another belief in the answer."""
        low, high = (self.bad, self.now) if right < self.now.right else (self.now, self.good)
        share = min(max((right - low.right) / max(high.right - low.right, 1e-9), 0.0), 1.0)
        other = low.other + share * (high.other - low.other)
        going_on = low.going_on + share * (high.going_on - low.going_on) if math.isfinite(low.going_on) else 0.0
        return max(right, other, going_on)

    def worth(self, separation: float) -> float:
        """Return the expected gain in utility by an opinion.

        Args:
            separation: How far the opinion's log-likelihood ratio lies apart between good and bad answers, in its own
                standard deviations D: it is N(D²/2, D²) for good ones and N(−D²/2, D²) for bad ones.
        """
        odds, shift = logit(self.now.right), 0.5 * separation**2
        p = sigmoid(odds)
        gain = 0.0
        for z, mass in NORMAL:
            gain += mass * p * self.value(sigmoid(odds + shift + separation * z))
            gain += mass * (1.0 - p) * self.value(sigmoid(odds - shift + separation * z))
        return max(gain - self.value(p), 0.0)


def most_wanted(
    doubt: Doubt, separations: Mapping[str, float], prices: Mapping[str, float], margin: float
) -> str | None:
    """Return the judge to ask next; None where no opinions are worth their price and the delay.

    One opinion alone may change nothing where two would. So judges are ranked by what they tell for their price, every
    beginning of that ranking is valued as one opinion (log-likelihood ratios add, and so do the squares of their
    separations), and the first judge of the best one is asked; what it says is known before the next is chosen.

    Args:
        doubt: What can be done with the answer.
        separations: By judge that may be asked.
        prices: Of one opinion, in quality, by judge.
        margin: Gain in quality below which asking is not worth the delay.
    """
    ranked = sorted(separations, key=lambda judge: (-(separations[judge] ** 2) / max(prices[judge], 1e-12), judge))
    told, paid, best = 0.0, 0.0, margin
    chosen = None
    for judge in ranked:
        told += separations[judge] ** 2
        paid += prices[judge]
        gain = FORESIGHT * doubt.worth(math.sqrt(told)) - paid
        if gain > best:
            best, chosen = gain, ranked[0]
    return chosen


def judges_to_explore(
    costs_usd: Mapping[str, float], heard: Mapping[str, float], allowance_usd: float, rng: np.random.Generator
) -> list[str]:
    """Draw judges to hear whatever they are worth, as far as the exploration allowance pays for them.

    Args:
        costs_usd: Price of one opinion of each judge that was not asked.
        heard: Answers that each judge was heard on so far; one that is new is heard on most of its first answers.
        allowance_usd: What exploration may spend.
        rng: Draws them.
    """
    chosen = []
    for judge, usd in sorted(costs_usd.items()):
        chance = max(EXPLORED, 1.0 - heard.get(judge, 0.0) / FIRST_HEARD)
        if usd <= allowance_usd and rng.random() < chance:
            chosen.append(judge)
            allowance_usd -= usd
    return chosen
