"""Re-tuning: which parameters of the policy would have done best on the comparisons that were logged?

A comparison is a query that many arms answered. Any policy can be replayed on it as far as those arms go, without a
single upstream call. What it would have answered is known, and what that answer was worth is estimated doubly robustly:
by what all answers together say, corrected, where a user rated the answer that was given, by how far that was off.
Beliefs are those held before the query had taught anything. A candidate is chosen on one half of the comparisons and
its gain is estimated on the other, so that the choice does not flatter it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learner.evaluation import Estimate, corrected, estimate
from learner.lessons import Lesson
from learner.policy import Ask, View
from learner.pool import SERVING
from learner.quality import Belief
from learner.state import LearnerState
from learner.types import Call, Context, FloatArray, Limits, Parameters, Served

LEAST_COMPARISONS = 60
MOST_COMPARISONS = 400
LEAST_ARMS = 3
LEAST_SUPPORT = 0.05


@dataclass(frozen=True, slots=True)
class Believed:
    """What was believed of one query: stands in for a `QualityView` where a policy is replayed on that query.

    Args:
        means: Quality of each arm over all queries, shape (m,).
        quality: Quality of each arm on this query, shape (m,).
    """

    means: FloatArray
    quality: FloatArray

    @property
    def doubts(self) -> FloatArray:
        """None: nothing is explored."""
        return np.zeros(len(self.means))

    def predict(self, context: Context) -> Belief:  # noqa: ARG002 - a Predictor's signature
        """Return what was believed; its variance does not matter where nothing is explored."""
        return Belief(self.quality, np.zeros(len(self.quality)), is_contextual=False)

    def mean(self, context: Context) -> FloatArray:  # noqa: ARG002 - a Predictor's signature
        """Return what was believed, shape (m,)."""
        return self.quality


@dataclass(frozen=True, slots=True)
class Comparison:
    """A query that several arms answered.

    Args:
        served: The inference with all its calls.
        believed: Quality of every arm as it was believed before any of these answers.
        reward: What a user said of the answer that was given; a thumb is corrected for mistakes, and so leaves [0, 1].
            None where nobody said anything.
    """

    served: Served
    believed: Believed
    reward: float | None = None


def compared(state: LearnerState, served: Served) -> Comparison:
    """Return a logged inference with what was believed before it and what a user said of it."""
    lesson = state.lessons.known(served.inference_id) or Lesson()
    means, _ = state.quality.means()
    quality = state.view().quality.mean(served.context)
    for arm, believed in lesson.quality.items():
        quality[arm] = believed
    return Comparison(served, Believed(means, quality), _reward(state, served, lesson))


def _reward(state: LearnerState, served: Served, lesson: Lesson) -> float | None:
    said = lesson.own
    if said is None or not said.is_binary:
        return said.reward if said is not None else None
    return state.trust.channel.rates(served.context).unflipped(said.reward)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Parameters with their gain in mean utility (quality minus λ times cost) over those in force, on held-out data."""

    parameters: Parameters
    gain: Estimate
    comparisons: int


@dataclass(frozen=True, slots=True)
class Played:
    """What a policy would have done on one comparison.

    Args:
        chances: Probability of ending with each answer, shape (r,).
        cost_usd: Expected cost of its calls.
    """

    chances: FloatArray
    cost_usd: float


def candidates(now: Parameters) -> list[Parameters]:
    """Return the neighbours of the parameters in force: one of them changed at a time."""
    changes: list[dict[str, Any]] = [
        *({"depth": depth} for depth in (now.depth - 1, now.depth + 1) if 1 <= depth <= 4),
        *({"margin": margin} for margin in (0.0, 0.002, 0.005, 0.01, 0.02) if margin != now.margin),
        *({"sharpness": sharpness} for sharpness in (0.5, 0.75, 1.0, 1.25) if sharpness != now.sharpness),
    ]
    return [replace(now, version=now.version + 1, **change) for change in changes]


def retune(view: View, comparisons: Sequence[Comparison]) -> Candidate | None:
    """Find the best neighbour of the parameters in force; None where there are too few comparisons.

    Args:
        view: What is believed now.
        comparisons: Logged ones, oldest first; those with fewer than three arms in service are passed over, and of the
            rest the last four hundred count.
    """
    usable = usable_of(view, comparisons)
    if len(usable) < LEAST_COMPARISONS:
        return None
    now = [played(view, one) for one in usable]
    base = utilities(view, usable, now, now)
    gains = {p: _gain(view, p, usable, now) - base for p in candidates(view.parameters)}
    chosen, held_out = slice(0, None, 2), slice(1, None, 2)
    best = max(gains, key=lambda p: float(gains[p][chosen].mean()))
    held = gains[best][held_out]
    return Candidate(best, estimate(held, float(len(held))), len(usable))


def gain_of(view: View, comparisons: Sequence[Comparison], parameters: Parameters) -> Candidate | None:
    """Return what given parameters gain over those in force; None where there are too few comparisons.

    They were not chosen on the comparisons, so that all of them count.
    """
    usable = usable_of(view, comparisons)
    if len(usable) < LEAST_COMPARISONS:
        return None
    now = [played(view, one) for one in usable]
    gains = _gain(view, parameters, usable, now) - utilities(view, usable, now, now)
    return Candidate(parameters, estimate(gains, float(len(usable))), len(usable))


def usable_of(view: View, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the newest comparisons of enough arms that are in service."""
    serving = {arm.id for arm in view.arms if arm.is_routable and arm.state in SERVING}
    return [c for c in comparisons if len(answered_arms(c.served) & serving) >= LEAST_ARMS][-MOST_COMPARISONS:]


def answered_arms(served: Served) -> set[str]:
    """Return the arms that answered."""
    return {call.arm for call in served.calls if call.is_answer}


def _gain(view: View, parameters: Parameters, comparisons: Sequence[Comparison], now: Sequence[Played]) -> FloatArray:
    candidate = replace(view, parameters=parameters)
    return utilities(view, comparisons, [played(candidate, one) for one in comparisons], now)


def utilities(
    view: View, comparisons: Sequence[Comparison], target: Sequence[Played], logged: Sequence[Played]
) -> FloatArray:
    """Return the doubly robust utility of a policy on each comparison, shape (n,).

    Args:
        view: What is believed now; gives λ and the labels of all answers.
        comparisons: The comparisons.
        target: What the policy to value would have done on each.
        logged: What the policy in force would do on each: whose answers the users have rated.
    """
    rated = sum(one.reward is not None for one in comparisons) / len(comparisons)
    paired = zip(comparisons, target, logged, strict=True)
    return np.array([_utility(view, c, mine, theirs, rated) for c, mine, theirs in paired])


def _utility(view: View, comparison: Comparison, target: Played, logged: Played, rated: float) -> float:
    served = comparison.served
    told = replace(view, quality=comparison.believed).answered(served.context, served.calls, served.scores)
    value = float(target.chances @ told.right) - view.lambda_ * target.cost_usd
    if comparison.reward is None or served.answered_step not in told.steps:
        return value
    given = told.steps.index(served.answered_step)
    same = np.array([group == told.answers.groups[given] for group in told.answers.groups])
    support = float(logged.chances @ same)
    if support < LEAST_SUPPORT:
        return value
    return corrected(
        value,
        reward=comparison.reward,
        model=float(told.right[given]),
        weight=float(target.chances @ same) / (support * rated),
    )


def played(view: View, comparison: Comparison) -> Played:
    """Play a view's policy on recorded answers, from every first arm that it may draw."""
    served = comparison.served
    believing = replace(view, quality=comparison.believed)
    recorded = [c for c in served.calls if c.is_answer]
    place = {call.arm: i for i, call in enumerate(recorded)}
    limits = Limits(allow=tuple(place), explore=False)
    decision = believing.decide(served.context, limits, np.random.default_rng(0))
    chances, cost = np.zeros(len(recorded)), 0.0
    for first, chance in decision.probabilities.items():
        if chance > 1.0 / MOST_COMPARISONS:
            answer, usd = _path(believing, served, [recorded[i] for i in place.values()], first, limits)
            chances[place[answer]] += chance
            cost += chance * usd
    return Played(chances / max(chances.sum(), math.ulp(1.0)), cost)


def _path(view: View, served: Served, recorded: Sequence[Call], first: str, limits: Limits) -> tuple[str, float]:
    """Follow a policy from its first arm: the arm whose answer it ends with, and what its calls cost."""
    by_arm = {call.arm: call for call in recorded}
    asked: list[Call] = []
    step: Ask | object = Ask(first, 0.0)
    while isinstance(step, Ask):
        asked.append(replace(by_arm[step.arm], step=len(asked)))
        step = view.next_step(served.context, limits, asked, ())
    return asked[getattr(step, "step", 0)].arm, sum(call.cost_usd for call in asked)
