"""The answers of one request so far, and what is believed of each: whose it is, who agrees, and what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from learner.cascade import Answers
from learner.estimators import logit, sigmoid
from learner.joint import JointView
from learner.judges import features_of
from learner.quality import POOL_PRIOR_QUALITY
from learner.stacker import StackerView, opinions_in
from learner.types import Call, FloatArray, JudgeScore


@dataclass(frozen=True)
class Answered:
    """The answers of one request so far, as the policy sees them.

    Args:
        steps: The calls that were answered.
        arms: Whose answers they are.
        answers: Who agrees with whom.
        features: Evidence on each answer.
        stacker: What the evidence says.
    """

    steps: tuple[int, ...]
    arms: tuple[int, ...]
    answers: Answers
    features: tuple[Mapping[str, float], ...]
    stacker: StackerView

    @cached_property
    def prior_logits(self) -> list[float]:
        """Log-odds of each answer to be good before the evidence."""
        return [logit(p) for p in self.answers.prior.tolist()]

    def apart(self, at: int) -> float | None:
        """Probability that an answer is good by agreement and evidence, apart from what is believed of any model.

        All models are taken to be of quality `POOL_PRIOR_QUALITY`: so no thumb has a say in it, but through the
        evidence's weights. None where neither other answers nor a judge's score tell anything.
        """
        answers = self.answers
        if len(answers.heard) > 1 and answers.is_comparable:
            level = answers.joint.level(POOL_PRIOR_QUALITY, answers.groups, answers.heard)
            return float(level.weighed(answers.shared).of_answers[at])
        if opinions_in(self.features[at]):
            return sigmoid(logit(POOL_PRIOR_QUALITY) + float(answers.evidence[at]))
        return None

    @cached_property
    def right(self) -> FloatArray:
        """Calibrated probability that each answer is good, shape (r,)."""
        return np.array(list(map(self.stacker.calibrated, self.prior_logits, self.answers.evidence.tolist())))

    def told(self, odds: float) -> Answered:
        """Return what would be believed if so much more evidence, as log-odds, spoke for the newest answer."""
        evidence = self.answers.evidence.copy()
        evidence[-1] += odds
        return replace(self, answers=replace(self.answers, evidence=evidence))


def judged(
    arms: tuple[int, ...],
    calls: Sequence[Call],
    scores: Sequence[JudgeScore],
    *,
    quality: FloatArray,
    tokens: Sequence[float],
    usually_stated: float,
    category: int,
    stacker: StackerView,
    joint: JointView,
) -> Answered:
    """Judge answers: who agrees with whom, and what every signal says.

    Args:
        arms: Whose answers they are.
        calls: The calls that brought them.
        scores: The judges' scores, of other calls too.
        quality: What was believed of the arms before, shape (r,).
        tokens: Expected output tokens of each.
        usually_stated: How often replies to such queries state their answer, in [0, 1].
        category: Position of the query's likeliest category.
        stacker: What the evidence says.
        joint: Who is right together with whom.
    """
    steps = tuple([call.step for call in calls])
    features = [
        features_of(
            call.evidence,
            [score for score in scores if score.step == call.step],
            output_tokens=call.output_tokens,
            expected_tokens=expected,
            usually_stated=usually_stated,
        )
        for call, expected in zip(calls, tokens, strict=True)
    ]
    answers = Answers.of(
        arms,
        [call.group for call in calls],
        quality=quality,
        evidence=np.array([stacker.evidence(each, category) for each in features]),
        faults=np.array([stacker.own_faults(each) for each in features]),
        joint=joint,
    )
    return Answered(steps, arms, answers, tuple(features), stacker)
