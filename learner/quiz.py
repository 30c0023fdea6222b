"""Which recent queries tell most of a new arm: its quiz.

A query is informative where the other arms' answers leave open whether the new arm will be right, and yet will tell
afterwards whether it was: they disagree, and the joint model believes one of them. A query near one that was asked
already tells little new. Both are multiplied, and the best query is taken again and again (a greedy spread): what was
picked first stays picked, however long the quiz. Pure functions; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from learner.cascade import Answers
from learner.joint import MAX_ANSWERS
from learner.policy import View
from learner.types import Call, Context, FloatArray, JudgeScore

LEAST_INFORMATION = 1e-6


@dataclass(frozen=True, slots=True)
class Question:
    """A recent query that an arm may be asked.

    Args:
        id: The inference whose query it is.
        place: Where it lies: the components of its embedding, shape (d,).
        information: What the arm's answer is expected to tell of it, see `information`.
        cost_usd: What that answer is expected to cost.
    """

    id: str
    place: FloatArray
    information: float
    cost_usd: float


def information(
    view: View, arm: int, context: Context, calls: Sequence[Call], scores: Sequence[JudgeScore] = ()
) -> float:
    """Return what an arm's answer to a query that others have answered will tell of its quality, ≥ 0.

    The answer will equal one of the groups of equal answers or none; each way has its probability p_o under the joint
    model, and leaves a residual r_o of what is learned of the arm (`Partition.credits`). Their mean is 0; the result is
    their variance Σ p_o r_o². It is 0 where answers cannot be compared, or the arm has answered already.

    Args:
        view: What is believed.
        arm: Position of the arm.
        context: Features of the query.
        calls: The calls that were made for it.
        scores: The judges' scores of their answers.
    """
    quality = view.quality.mean(context)
    known = view.answered(context, calls, scores, quality).answers
    if not known.is_comparable or arm in known.arms or len(known.arms) >= MAX_ANSWERS:
        return 0.0
    outcomes = [_joining(known, quality, arm, group) for group in range(max(known.groups) + 2)]
    chances, residuals = np.array(outcomes).T
    return float(chances @ residuals**2 / chances.sum())


def _joining(known: Answers, quality: FloatArray, arm: int, group: int) -> tuple[float, float]:
    """Return the mass of the partition in which an arm's answer joins a group, and the residual this leaves of it."""
    arms, groups = [*known.arms, arm], (*known.groups, group)
    heard = (*known.heard, len(known.arms))
    partition = known.joint.partition(quality[arms], groups, np.append(known.evidence, 0.0), heard)
    return float(partition.mass.sum()), float(partition.credits()[0][-1])


def pick(
    questions: Iterable[Question], *, asked: Sequence[FloatArray] = (), most: int, budget_usd: float
) -> list[Question]:
    """Choose the next questions of a quiz, the most telling first.

    Each is the one of greatest information times distance, 1 − cosine, to the nearest one asked or chosen before it;
    of equals the one with the smallest id. Whatever does not fit what is left of the budget is passed over.

    Args:
        questions: What may be asked, in any order.
        asked: Where the questions lie that were asked before.
        most: Largest number of questions.
        budget_usd: The most that all of them together may be expected to cost.

    Returns:
        At most so many, none twice; none that would tell nothing.
    """
    rest = sorted(questions, key=lambda question: question.id)
    if not rest:
        return []
    places = np.array([_direction(question.place) for question in rest])
    worth = np.array([question.information for question in rest])
    costs = np.array([question.cost_usd for question in rest])
    nearest = np.ones(len(rest))
    for place in asked:
        nearest = np.minimum(nearest, _distance(places, _direction(place)))
    chosen: list[Question] = []
    while len(chosen) < most:
        told = np.where(costs <= budget_usd, worth * nearest, 0.0)
        best = int(told.argmax())
        if told[best] < LEAST_INFORMATION:
            break
        chosen.append(rest[best])
        budget_usd -= rest[best].cost_usd
        nearest = np.minimum(nearest, _distance(places, places[best]))
        # Its distance to itself is 0 only as far as floats go.
        nearest[best] = 0.0
    return chosen


def _direction(place: FloatArray) -> FloatArray:
    length = float(np.sqrt(place @ place))
    direction: FloatArray = place / length if length > 0.0 else place
    return direction


def _distance(places: FloatArray, place: FloatArray) -> FloatArray:
    """Return how far each of several directions lies from one, in [0, 1]: 0 the same, 1 at right angles and beyond."""
    distance: FloatArray = np.clip(1.0 - places @ place, 0.0, 1.0)
    return distance
