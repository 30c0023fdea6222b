"""Outcomes recorded elsewhere: every one a label, all those of one query together a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learner.cascade import Answers
from learner.cost import Cost
from learner.errors import InvalidObservation
from learner.joint import MAX_ANSWERS, Joint
from learner.quality import Label, Quality
from learner.shares import note
from learner.twins import Twins, compare
from learner.types import FloatArray, Recorded


def read(
    event: Recorded, arms: Sequence[int], *, joint: Joint, twins: Twins, quality: Quality, cost: Cost,
    comparable: FloatArray, stated: FloatArray,
) -> None:  # fmt: skip
    """Learn from outcomes recorded elsewhere.

    Args:
        event: The outcomes.
        arms: Position of the arm of each.
        joint: Learns who agrees with whom.
        twins: Learns who repeats whom.
        quality: Learns the labels.
        cost: Learns the tokens.
        comparable: Counts of queries and of those whose answers can be compared, shape (2, k).
        stated: Counts of answers and of those that state a final one, shape (2, k).

    Raises:
        InvalidObservation: a quality is missing or lies outside [0, 1].
    """
    if len(event.calls) != len(event.qualities) or not all(0.0 <= q <= 1.0 for q in event.qualities):
        raise InvalidObservation(f"every recorded call needs a quality in [0, 1], got {event.qualities}")
    believed = quality.believed(event.context, arms)
    answers = Answers.of(
        tuple(arms),
        [call.group for call in event.calls],
        quality=np.array([believed[arm] for arm in arms]),
        evidence=np.zeros(len(arms)),
        joint=joint.view(twins.pairs),
    )
    note(comparable, event.context, is_so=answers.is_comparable)
    if answers.is_comparable and 1 < len(arms) <= MAX_ANSWERS:
        compare(answers, joint, twins)
    for arm, call, worth in zip(arms, event.calls, event.qualities, strict=True):
        cost.observe(arm, event.context, call)
        note(stated, event.context, is_so=call.states_answer)
        quality.observe(arm, event.context, Label(1.0, worth, is_level=len(arms) > 1))
