"""Headrace's learner as a policy of the benchmark, driven as the service drives it, and with each part taken away.

The learner is the product's, untouched: a part is removed from outside, by a subclass of the table that holds it, or
by parameters that any operator could set. Ratings, comparisons in the background and re-tuning go the way they go in
the service; answers are compared by the recorded equality, and nothing but an answer's length is known of its text.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from learner.ease import Ease
from learner.policy import Ask, Stop, View
from learner.pool import Arm
from learner.quality import GAMMA, UNLABELLED, Label, Quality
from learner.stacker import Stacker
from learner.state import LearnerState
from learner.tuning import LEAST_ARMS, compared, retune
from learner.types import (
    Call,
    Context,
    FloatArray,
    Limits,
    Objective,
    ObjectiveChanged,
    Parameters,
    ParametersChanged,
    PoolChanged,
    Purpose,
    Query,
    Rated,
    Served,
)
from scripts.bench.play import Build, Case, Given, Question

EXPLORE_SHARE, EXPLORE_USD_PER_DAY = 0.1, 5.0
RETUNINGS, RETUNED_ON = 2, 60
METRICS = {True: "thumbs", False: "rating"}


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the learner is there.

    Args:
        quality: The table of quality estimates.
        stacker: Weighs the evidence after an answer.
        parameters: Of the policy at the start.
        is_retuned: Whether the scheduled job searches better parameters.
        starts_cheapest: Whether the cheapest model is always asked first.
    """

    quality: type[Quality] = Quality
    stacker: type[Stacker] = Stacker
    parameters: Parameters = field(default_factory=Parameters)
    is_retuned: bool = True
    starts_cheapest: bool = False


class WithoutCells(Quality):
    """No taxonomy: an arm's quality in a category is its quality."""

    def _cells(self, means: FloatArray, seen: FloatArray, had: FloatArray) -> FloatArray:  # noqa: ARG002 - as there
        return np.repeat(means[:, None], self.count.shape[1], axis=1)


class UntaughtEase(Ease):
    """No query is easier than another."""

    def observe(self, *told: object, **kind: object) -> None:
        """Learn nothing."""


class WithoutRidge(Quality):
    """No context: the ridges never have a say, neither the arms' own nor the one they share."""

    def __post_init__(self) -> None:
        """Start with an ease that stays as it is."""
        self.ease = UntaughtEase.of(self.size)

    def gates(self) -> tuple[float, float]:
        """Keep the ridge out."""
        return 0.0, 0.0


class RidgeAlone(WithoutCells):
    """The learned router alone: no taxonomy, and the ridge always has the whole say."""

    def gates(self) -> tuple[float, float]:
        """Let the ridge in everywhere."""
        return 1.0, 1.0


class Unforgetting(Quality):
    """No forgetting: what the discount of an observation takes is given back."""

    def set_arm(self, index: int, arm: Arm, categories: int) -> None:
        """Add an arm whose ridge forgets nothing."""
        super().set_arm(index, arm, categories)
        self.ridges[index].gamma = 1.0

    def observe(self, index: int, context: Context, label: Label, before: Label = UNLABELLED) -> Label:
        """Learn a label beside all others."""
        lost = (1.0 - GAMMA) * np.array([self.count[index], self.total[index]])
        counted = super().observe(index, context, label, before)
        if before.weight == 0.0:
            self.count[index] += lost[0]
            self.total[index] += lost[1]
        return counted


class UntaughtStacker(Stacker):
    """No learned weights of evidence: they stay where they start."""

    def update(self, *told: object, **kind: object) -> None:
        """Learn nothing."""


PARTS: dict[str, Parts] = {
    "headrace": Parts(),
    "- taxonomy": Parts(quality=WithoutCells),
    "- context": Parts(quality=WithoutRidge),
    "- shadow stream": Parts(parameters=Parameters(shadow_arms=0)),
    "- stacker": Parts(stacker=UntaughtStacker),
    "- re-tuning": Parts(is_retuned=False),
    "- forgetting": Parts(quality=Unforgetting),
    "- skip": Parts(starts_cheapest=True),
    "- cascade": Parts(parameters=Parameters(depth=1), is_retuned=False),
    "learned alone": Parts(quality=RidgeAlone),
}


class Headrace:
    """The learner behind one pool and one budget."""

    def __init__(self, case: Case, parts: Parts) -> None:
        self._world, self._features, self._parts = case.stream, case.features, parts
        self._rng = case.rng()
        self._served: list[Served] = []
        self._comparisons: deque[Served] = deque(maxlen=RETUNED_ON)
        self._state = LearnerState.start(
            case.features,
            Objective("quality"),
            max_explore_share=EXPLORE_SHARE,
            max_explore_usd_per_day=EXPLORE_USD_PER_DAY,
        )
        self._state.quality = parts.quality(case.features.size)
        self._state.stacker = parts.stacker()
        for model, (input_usd, output_usd) in zip(case.stream.models, case.stream.prices, strict=True):
            self._state.apply(PoolChanged(Arm(model, input_usd, output_usd)), 0.0)
        self._state.apply(ObjectiveChanged(Objective("budget", case.budget_usd)), 0.0)
        self._state.apply(ParametersChanged(parts.parameters), 0.0)

    def serve(self, question: Question) -> Given:
        """Answer as the service does: decide, call, ask on while it pays, then compare in the background."""
        at_s = float(question.position)
        view = self._state.view()
        context = self._features.context(Query(question.prompt), view.taxonomy)
        calls: list[Call] = []
        arm, explored_share = self._first(view, context)
        step: Ask | Stop = Ask(arm, 0.0)
        while isinstance(step, Ask):
            call = self._call(question, step.arm, len(calls), "answer")
            calls.append(replace(call, explored_share=None if calls else explored_share))
            step = view.next_step(context, Limits(), calls, ())
        served = Served(
            str(question.position), context, tuple(calls), (), step.step, tuple(range(len(calls))),
            confidence=step.confidence,
        )  # fmt: skip
        self._state.apply(served, at_s)
        self._served.append(self._compared(question, served, at_s))
        self._retune(question.position)
        return Given(self._world.models.index(calls[step.step].arm), step.confidence)

    def learn(self, position: int, reward: float) -> None:
        """Take in a rating."""
        is_binary = self._world.is_graded
        event = Rated(self._served[position], METRICS[is_binary], reward, is_binary)
        self._state.apply(event, float(position + self._world.delay))

    def _first(self, view: View, context: Context) -> tuple[str, float | None]:
        """Return the first arm, and the share of its cost that exploration causes."""
        decision = view.decide(context, Limits(), self._rng)
        if self._parts.starts_cheapest:
            return min(decision.costs_usd, key=lambda arm: decision.costs_usd[arm]), None
        return decision.arm, decision.explored_share

    def _call(self, question: Question, arm: str, step: int, purpose: Purpose) -> Call:
        is_shadow = purpose == "shadow"
        reply = question.ask(self._world.models.index(arm), in_background=is_shadow)
        return Call(
            arm=arm,
            step=step,
            purpose=purpose,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cost_usd=reply.usd,
            group=reply.group,
            explored_share=1.0 if is_shadow else None,
        )

    def _compared(self, question: Question, served: Served, at_s: float) -> Served:
        """Ask further arms in the background where exploration pays for it; returns what is known after it."""
        asked = [call.arm for call in served.calls]
        arms = self._state.view().shadows(served.context, Limits(), asked, self._rng)
        if arms:
            start = len(asked)
            shadows = [self._call(question, arm, start + i, "shadow") for i, arm in enumerate(arms)]
            fresh = tuple(range(start, start + len(arms)))
            served = replace(served, calls=(*served.calls, *shadows), fresh=fresh, is_request=False)
            self._state.apply(served, at_s)
        if len(served.calls) >= LEAST_ARMS:
            self._comparisons.append(served)
        return served

    def _retune(self, position: int) -> None:
        """Search better parameters now and then; promote them only where their gain is certain, as the job does."""
        every = len(self._world.prompts) // (RETUNINGS + 1)
        if not self._parts.is_retuned or position + 1 not in range(every, (RETUNINGS + 1) * every, every):
            return
        best = retune(self._state.view(), [compared(self._state, served) for served in self._comparisons])
        if best is not None and best.gain.low > 0.0:
            self._state.apply(ParametersChanged(best.parameters), float(position))


def built(parts: Parts) -> Callable[[Case], Headrace]:
    """Return what builds the learner with these parts."""
    return partial(Headrace, parts=parts)


VARIANTS: dict[str, Build] = {name: built(parts) for name, parts in PARTS.items()}
