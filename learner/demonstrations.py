"""What a demonstration teaches: every answer that equals it is good, every other one is not.

A demonstration is held against all answers of its inference, those of comparisons in the background too. It is strong
evidence, not certainty: people make mistakes, and so does the reading of answers.
"""

from __future__ import annotations

import math

import numpy as np

from learner.answered import Answered
from learner.estimators import logit, sigmoid
from learner.labels import to_labels, trust_of
from learner.quality import Label
from learner.references import agrees
from learner.types import Served

RELIABILITY = 0.98


def verdicts(reference: str, served: Served) -> dict[int, bool]:
    """Say of the calls of an inference, by step, whether their answer is the reference, where that can be told."""
    told = {call.step: agrees(reference, call.seal) for call in served.calls if call.purpose != "judge"}
    return {step: verdict for step, verdict in told.items() if verdict is not None}


def demonstrated_labels(answered: Answered, told: dict[int, bool], *, weight: float = 1.0) -> dict[int, Label]:
    """Label the answers of a request by a demonstration.

    Args:
        answered: The answers.
        told: Whether the answer of a step is the demonstrated one.
        weight: What the demonstration counts for, in (0, 1].

    Returns:
        A label of every arm that answered, where answers can be compared; else of those that were told.
    """
    said = np.array([_log_odds(told.get(step)) for step in answered.steps])
    if answered.answers.after is not None:
        after = answered.answers.after.weighed(weight * said)
        return to_labels(answered.arms, answered.answers.quality, after, trust=trust_of(weight))
    return {
        arm: Label(weight, sigmoid(logit(right) + odds))
        for arm, right, odds in zip(answered.arms, answered.right.tolist(), said.tolist(), strict=True)
        if odds != 0.0
    }


def _log_odds(verdict: bool | None) -> float:
    if verdict is None:
        return 0.0
    return math.copysign(logit(RELIABILITY), 1.0 if verdict else -1.0)
