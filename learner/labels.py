"""From what happened to what is learned: labels for the answers of one request.

Without any thumb, agreement labels the answers (`labels_of`); a thumb or rating then overrules it (`rated_labels`): it
sets the belief in the answer that was served, and by Jeffrey's rule the beliefs in all others, so that one thumb labels
every arm that gave the same answer, and the other way round every arm that did not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learner.answered import Answered
from learner.channel import Rates
from learner.estimators import logit, sigmoid
from learner.joint import Partition
from learner.quality import Label
from learner.types import FloatArray, Rated

UNLABELLED_WEIGHT = 0.5
LEAST_WEIGHT = 0.05
LEAST_BELIEF = 0.005
# So many ratings say nothing yet of how far to believe agreement: who rates against it must be found out by then.
FEW_RATINGS = 50.0
DEVIATION_GAMMA = 0.98


@dataclass(frozen=True, slots=True)
class RatedLabels:
    """What one rating teaches: the stacker's example, and a label for every arm that answered.

    Args:
        arm: The arm whose answer was served.
        expected: Quality that was believed of it before its answer.
        features: Evidence on the answer.
        prior_logit: Log-odds of the belief in the answer before that evidence.
        value: The rating; a thumb is corrected for those pressed by mistake, and so leaves [0, 1].
        weight: What it counts for, in (0, 1].
        is_binary: Whether it is a thumb.
        moved: How far the evidence alone moved the belief in the arm.
        labels: By arm.
    """

    arm: int
    expected: float
    features: Mapping[str, float]
    prior_logit: float
    value: float
    weight: float
    is_binary: bool
    moved: float
    labels: Mapping[int, Label]

    @property
    def seen(self) -> float:
        """The rating as far as it counts, in [0, 1]: what is left of it is as good as expected."""
        return self.expected + self.weight * (min(max(self.value, 0.0), 1.0) - self.expected)

    def deviation(self, before: float) -> float:
        """Return how far evidence moves the belief in the arm's answers, given how far it did `before`."""
        return math.sqrt(DEVIATION_GAMMA * before**2 + (1.0 - DEVIATION_GAMMA) * self.moved**2)


def agreement_labels(answered: Answered) -> dict[int, Label]:
    """Label answers by who agrees with whom, corrected by what ratings have taught of stated confidence.

    The more ratings there are, the further that moves the belief in the best answer, and by Jeffrey's rule the others':
    so arms that are wrong together are not believed for long where many rate, and few ratings move little. Nothing is
    labelled where answers cannot be compared or there is only one witness.
    """
    answers = answered.answers
    if answers.after is None or len(answers.heard) < 2:
        return {}
    best = answers.best
    agreed, known = float(answers.belief[best]), answered.stacker.labels
    share = max(known - FEW_RATINGS, 0.0) / (known + FEW_RATINGS)
    stated = agreed + share * (float(answered.right[best]) - agreed)
    told = answers.after.told(answers.groups[best], within(stated))
    return to_labels(answered.arms, answers.quality, told, trust=UNLABELLED_WEIGHT)


def within(belief: float) -> float:
    """Keep a belief where Jeffrey's rule leaves the other answers a chance."""
    return min(max(belief, LEAST_BELIEF), 1.0 - LEAST_BELIEF)


def to_labels(arms: tuple[int, ...], quality: FloatArray, partition: Partition, *, trust: float) -> dict[int, Label]:
    """Turn a posterior into labels; `trust` in (0, 1] is the share of an observation that one of them counts for."""
    labels, (residuals, weights) = {}, partition.credits()
    for arm, q, residual, share in zip(arms, quality.tolist(), residuals.tolist(), weights.tolist(), strict=True):
        weight = max(trust * share, LEAST_WEIGHT)
        labels[arm] = Label(weight, min(max(q + residual / weight, -0.5), 1.5), is_level=True)
    return labels


def rated_labels(rated: Rated, answered: Answered, rates: Rates, *, weight: float = 1.0) -> RatedLabels | None:
    """Label the answers of a request by a rating of the one that was served; None where no arm answered it.

    A rating that counts for nothing labels nothing.

    Args:
        rated: The rating.
        answered: The answers.
        rates: How thumbs come about on such queries.
        weight: What this rating counts for, in [0, 1]: 1 is a full one.
    """
    if weight == 0.0 or rated.served.answered_step not in answered.steps:
        return None
    at = answered.steps.index(rated.served.answered_step)
    arm, answers, before = answered.arms[at], answered.answers, float(answered.right[at])
    belief = believed(rated, before, rates)
    counted = weight * rates.balance(belief) if rated.is_binary else weight
    own = float(answers.quality[at])
    labels = {arm: Label(counted, belief)}
    if answers.after is not None:
        taken = before + weight * (belief - before)
        told = answers.after.told(answers.groups[at], within(taken))
        labels = to_labels(answered.arms, answers.quality, told, trust=trust_of(weight, of=counted / weight))
    return RatedLabels(
        arm=arm,
        expected=own,
        features=answered.features[at],
        prior_logit=answered.prior_logits[at],
        value=rates.unflipped(rated.reward) if rated.is_binary else rated.reward,
        weight=counted,
        is_binary=rated.is_binary,
        moved=sigmoid(logit(own) + float(answers.evidence[at])) - own,
        labels=labels,
    )


def trust_of(weight: float, of: float = 1.0) -> float:
    """Return how far labels count of which a share is a rating's, worth `of` by itself, and the rest is agreement's."""
    return UNLABELLED_WEIGHT + weight * (of - UNLABELLED_WEIGHT)


def believed(rated: Rated, before: float, rates: Rates) -> float:
    """Probability that the answer is good after the rating: a thumb may be a mistake, a rating is taken as it is."""
    if not rated.is_binary:
        return rated.reward
    return sigmoid(logit(before) + rates.evidence(is_up=rated.reward >= 0.5))
