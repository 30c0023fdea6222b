"""A log in arrays: what every request brought, and what other policies would have done with it.

What a served answer was worth is the belief in it, corrected by what users said of some answers. How thumbs come about
is itself only believed: what would change if it were otherwise goes into the intervals as a doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from learner.channel import DOWN, FLIP, FLIP_PRIOR_COUNT, PRESS_PRIOR_COUNT, UP, Channel
from learner.errors import LearnerError
from learner.offpolicy import Foreseen, Routed, foresee
from learner.policy import View
from learner.ratings import Rating
from learner.robust import Log, Target
from learner.state import LearnerState
from learner.types import FloatArray, Parameters


@dataclass(frozen=True, slots=True)
class Rewards:
    """What served answers were worth.

    Args:
        quality: Of each, shape (n,); single values leave [0, 1], their mean does not.
        doubts: How it would change if thumbs came about otherwise, see `Doubt`, shape (3, n).
        labels: How many answers were rated.
    """

    quality: FloatArray
    doubts: FloatArray
    labels: int


def rewards(state: LearnerState, requests: Sequence[Routed]) -> Rewards:
    """Return what each served answer was worth: the belief in it, corrected by what users said of some.

    Prediction-powered (see `learner.honest`): a rating's rectifier, weighed by the inverse share of answers that are
    rated, is added to the belief. Thumbs are read through the channel, which knows who presses and how often wrongly.
    Their mean over any choice of requests is right where the channel is. A request that nobody answered is worth 0.

    Args:
        state: What is known now.
        requests: The logged requests.
    """
    answered = np.array([request.served.answered_step is not None for request in requests], dtype=bool)
    believed = np.array([_believed(state, request) for request in requests]) * answered
    said = [_said(state, request) if is_one else None for request, is_one in zip(requests, answered, strict=True)]
    weight = np.array([one[1] if one is not None else 0.0 for one in said])
    rated = max(float(weight.sum()) / max(float(answered.sum()), 1.0), 1e-9)
    channel = Doubt.of(state)
    told = np.array([
        channel.rectifiers(request, one[0], float(p)) if one is not None else np.zeros(4)
        for request, one, p in zip(requests, said, believed, strict=True)
    ]).reshape(-1, 4).T  # fmt: skip
    correction = weight * told / rated
    labels = sum(one is not None for one in said)
    return Rewards(believed + correction[0], correction[1:] - correction[0], labels)


@dataclass(frozen=True, slots=True)
class Doubt:
    """The channel of thumbs, and one standard deviation of what is known of it.

    Args:
        channel: As it is believed to be.
        flip_down: Of the share of good answers whose thumb points down.
        flip_up: Of the share of bad ones whose thumb points up.
        selection: Of the logarithm of how much oftener bad answers are pressed than good ones.
    """

    channel: Channel
    flip_down: float
    flip_up: float
    selection: float

    @classmethod
    def of(cls, state: LearnerState) -> Doubt:
        """Read it off the observations behind the channel, priors included."""
        channel = state.trust.channel
        good, bad = (channel.counts[UP] + channel.counts[DOWN]).sum(axis=1).tolist()
        flips = channel.table()[:2].mean(axis=1) if channel.counts.shape[2] else np.full(2, FLIP)
        down, up = np.sqrt(flips * (1.0 - flips) / (np.array([good, bad]) + FLIP_PRIOR_COUNT)).tolist()
        return cls(channel, down, up, math.sqrt(1.0 / (good + PRESS_PRIOR_COUNT) + 1.0 / (bad + PRESS_PRIOR_COUNT)))

    def rectifiers(self, request: Routed, rating: Rating, believed: float) -> FloatArray:
        """Return what a rating adds to the belief in its answer, as is believed and in each doubt, shape (4,)."""
        if not rating.is_binary:
            return np.full(4, rating.reward - believed)
        rates, half = self.channel.rates(request.served.context), math.exp(0.5 * self.selection)
        supposed = (
            rates,
            replace(rates, flip_down=rates.flip_down + self.flip_down),
            replace(rates, flip_up=rates.flip_up + self.flip_up),
            replace(rates, pressed_good=rates.pressed_good / half, pressed_bad=rates.pressed_bad * half),
        )
        # Relative to how often answers are pressed at all: the log says how often these were.
        is_up = rating.reward >= 0.5
        return np.array([each.rectifiers(believed)[is_up] * self.channel.pressed for each in supposed])


def _believed(state: LearnerState, request: Routed) -> float:
    if request.confidence is not None:
        return min(max(request.confidence, 0.0), 1.0)
    lesson = state.lessons.known(request.served.inference_id)
    return lesson.seen if lesson is not None and lesson.seen is not None else 0.5


def _said(state: LearnerState, request: Routed) -> tuple[Rating, float] | None:
    """Return what stands of what was said of an answer itself, and what it counts for."""
    lesson = state.lessons.known(request.served.inference_id)
    rating = lesson.own if lesson is not None else None
    return None if lesson is None or rating is None else (rating, lesson.weights.get(False, 1.0))


@dataclass(slots=True)
class Hindsight:
    """Collects what policies would have done with logged requests, for the estimators.

    Args:
        policies: The policies to value.
        passed_over: Requests whose arms had left the pool.
        reproduced: Requests in which the log's own policy, asked again, did what was logged.
    """

    policies: tuple[Parameters, ...]
    requests: list[Routed] = field(default_factory=list)
    foreseen: list[list[Foreseen]] = field(default_factory=list)
    passed_over: int = 0
    reproduced: int = 0

    def see(self, view: View, routed: Routed) -> None:
        """Take in a request, with what was believed right before it."""
        try:
            found, reproduced = foresee(view, routed, self.policies)
        except LearnerError:
            self.passed_over += 1
            return
        self.requests.append(routed)
        self.foreseen.append(found)
        self.reproduced += reproduced

    def arms(self) -> dict[str, int]:
        """Return the columns of the arms that were ever eligible."""
        names = dict.fromkeys(arm for request in self.requests for arm in request.probabilities)
        return {arm: i for i, arm in enumerate(names)}

    def log(self) -> Log:
        """Return what was logged."""
        columns = self.arms()
        return Log(
            _table((request.probabilities for request in self.requests), columns, len(self.requests)),
            np.array([columns[request.arm] for request in self.requests], dtype=np.intp),
            np.array([request.lambda_ for request in self.requests], dtype=np.float64),
        )

    def target(self, at: int, rewarded: Rewards) -> Target:
        """Return the policy of a position; its way may end with the served answers, which were rewarded so."""
        found = [each[at] for each in self.foreseen]
        columns, n = self.arms(), len(found)
        scores = _table((one.decision.scores for one in found), columns, n)
        usd = _table((one.decision.costs_usd for one in found), columns, n)
        lambda_ = np.array([one.decision.lambda_ for one in found])
        believed = np.array([one.quality is not None for one in found], dtype=bool)
        expected = np.array([one.quality or 0.0 for one in found])
        return Target(
            probabilities=_table((one.decision.probabilities for one in found), columns, n),
            model_quality=scores + lambda_[:, None] * usd,
            model_usd=usd,
            quality=np.where(believed, expected, rewarded.quality),
            doubts=np.where(believed, 0.0, rewarded.doubts),
            usd=np.array([one.usd for one in found]),
            follows=np.array([one.follows for one in found], dtype=bool),
            believed=believed,
            beyond=np.array([one.beyond for one in found], dtype=bool),
        )


def _table(rows: Iterable[Mapping[str, float]], columns: Mapping[str, int], n: int) -> FloatArray:
    found = np.zeros((n, len(columns)))
    for i, row in enumerate(rows):
        for arm, number in row.items():
            if arm in columns:
                found[i, columns[arm]] = number
    return found
