"""What would another policy have done with a request that was logged, believing what was believed then?

The state that folds the log stands, before each request, where it stood when that was decided. So any set of parameters
can be asked what it would have drawn, and after every logged answer, what it would have done next. What a row does not
say (cascades forbidden, a limit of money, a view some events old) binds all policies alike: one that does what the
log's own policy would have done on the same information counts as following the log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import escape

import numpy as np

from learner.channel import DOWN, FLIP, FLIP_PRIOR_COUNT, PRESS_PRIOR_COUNT, UP, Channel
from learner.errors import LearnerError
from learner.exploration import TEMPERATURE
from learner.policy import Ask, View
from learner.ratings import Rating
from learner.robust import Log, Target
from learner.state import LearnerState
from learner.types import Call, Decision, FloatArray, JudgeScore, Limits, Parameters, Served

# Of total variation, from which on the log's own policy is not taken to be reproduced.
REPRODUCED = 0.05


@dataclass(frozen=True, slots=True)
class Routed:
    """A routed request as its rows tell of it.

    Args:
        served: The request with its own calls and scores.
        arm: The first arm.
        probabilities: Of every eligible first arm, as stored.
        lambda_: Quality per USD, as stored.
        confidence: Stated probability that the answer is good; None where there is none.
    """

    served: Served
    arm: str
    probabilities: Mapping[str, float]
    lambda_: float
    confidence: float | None

    @property
    def calls(self) -> list[Call]:
        """The calls for answers, in their order."""
        return [call for call in self.served.calls if call.purpose == "answer"]

    def usd_until(self, step: int) -> float:
        """Return what the calls up to a step have cost, opinions on their answers included."""
        return sum(call.cost_usd for call in self.served.calls if call.step <= step and call.purpose != "shadow")

    def scores_until(self, step: int) -> list[JudgeScore]:
        """Return what judges said of the answers up to a step."""
        return [score for score in self.served.scores if score.step <= step]

    def is_served(self, step: int) -> bool:
        """Tell whether the answer of a step is the one that was served, or equal to it."""
        groups = {call.step: call.group for call in self.calls}
        given = self.served.answered_step
        return step == given or (groups[step] is not None and given is not None and groups[step] == groups.get(given))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a policy would have done with one logged request.

    Args:
        decision: What it would have decided about the first arm.
        follows: Whether it would have gone the logged way to its end.
        quality: What its way from the logged arm brought where that is not the logged reward; None where it is.
        usd: What its way cost.
        beyond: Whether it would have gone on where the log has nothing.
    """

    decision: Decision
    follows: bool
    quality: float | None
    usd: float
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Player:
    """One policy with the beliefs that were in force at one logged request."""

    view: View
    routed: Routed
    limits: Limits
    decision: Decision

    @classmethod
    def of(cls, view: View, routed: Routed, parameters: Parameters, *, explore: bool) -> Player:
        """Decide about the first arm among those that were eligible.

        Raises:
            NoEligibleArm: none of them is in the pool any more.
        """
        believing = replace(view, parameters=parameters, lambda_=routed.lambda_, lambdas={})
        limits = Limits(allow=tuple(map(escape, routed.probabilities)), explore=explore)
        # The draw is not used: only the distribution is.
        decision = believing.decide(routed.served.context, limits, np.random.default_rng(0))
        return cls(believing, routed, limits, decision)

    def differs(self) -> float:
        """Total variation between its distribution and the stored one, in [0, 1]."""
        mine, stored = self.decision.probabilities, self.routed.probabilities
        return 0.5 * sum(abs(p - mine.get(arm, 0.0)) for arm, p in stored.items())

    def step(self, asked: Sequence[Call]) -> tuple[str, str | int, float]:
        """Say what it does after these calls: ask an arm, with its gain, or stop with the answer of a step."""
        scores = self.decision.scores
        explored = scores.get(asked[0].arm, 0.0) < max(scores.values()) - 4 * TEMPERATURE
        known = [replace(asked[0], explored_share=0.0 if explored else None), *asked[1:]]
        failed = frozenset(call.arm for call in asked if call.outcome != "ok")
        allowed = (*self.limits.allow, *(escape(call.arm) for call in self.routed.calls))
        limits = replace(self.limits, unavailable=failed, allow=allowed)
        told = self.routed.scores_until(asked[-1].step)
        step = self.view.next_step(self.routed.served.context, limits, known, told)
        return ("ask", step.arm, step.gain) if isinstance(step, Ask) else ("stop", step.step, step.confidence)

    def beyond(self, asked: Sequence[Call], arm: str, gain: float) -> Foreseen:
        """Value what it expects of going on from here with an arm that the log did not ask."""
        context, last = self.routed.served.context, asked[-1].step
        told = self.view.answered(context, asked, self.routed.scores_until(last))
        usd = float(self.view.cost.predict(context)[self.view.index(arm)])
        now = float(told.right[told.answers.best])
        expected = now + gain + self.routed.lambda_ * usd
        return Foreseen(self.decision, False, expected, self.routed.usd_until(last) + usd, beyond=True)

    def earlier(self, asked: Sequence[Call], step: int) -> Foreseen:
        """Value the answer with which it would have stopped, by all that the log knows of it."""
        usd = self.routed.usd_until(asked[-1].step)
        if self.routed.is_served(step):
            return Foreseen(self.decision, False, None, usd)
        served = self.routed.served
        told = self.view.answered(served.context, self.routed.calls, served.scores)
        return Foreseen(self.decision, False, float(told.right[told.steps.index(step)]), usd)


def foresee(view: View, routed: Routed, policies: Sequence[Parameters]) -> tuple[list[Foreseen], bool]:
    """Say what policies would have done with a logged request, and whether the log's own policy is reproduced.

    Args:
        view: What was believed right before it; its parameters are those of the log's own policy.
        routed: The request.
        policies: The policies to ask.

    Raises:
        NoEligibleArm: none of the request's arms is in the pool any more.
    """
    own, explore = _own(view, routed)
    players = [Player.of(view, routed, policy, explore=explore) for policy in policies]
    actions, reproduced = _own_way(own)
    return [_way(player, actions) for player in players], reproduced and own.differs() <= REPRODUCED


def _own(view: View, routed: Routed) -> tuple[Player, bool]:
    """Return the log's own policy, and whether the request allowed exploration: as fits the stored probabilities."""
    exploring = Player.of(view, routed, view.parameters, explore=True)
    if exploring.differs() <= REPRODUCED / 5.0:
        return exploring, True
    plain = Player.of(view, routed, view.parameters, explore=False)
    return (plain, False) if plain.differs() < exploring.differs() else (exploring, True)


Action = tuple[str, str | int, float]


def _own_way(own: Player) -> tuple[dict[int, Action], bool]:
    """Return what the log's own policy would have done after each call, and whether that is what was done."""
    actions = {i: own.step(asked) for i, asked in _moments(own.routed)}
    return actions, all(_is_same(own.routed, action, _logged(own.routed, i)) for i, action in actions.items())


def _moments(routed: Routed) -> list[tuple[int, list[Call]]]:
    """Return the moments at which a policy had the say after the first arm: some answer was there."""
    calls = routed.calls
    moments = [(i, calls[: i + 1]) for i in range(len(calls))]
    return [(i, asked) for i, asked in moments if any(call.outcome == "ok" for call in asked)]


def _logged(routed: Routed, at: int) -> Action:
    """Return what was done after a call."""
    calls, given = routed.calls, routed.served.answered_step
    if at + 1 < len(calls):
        return "ask", calls[at + 1].arm, 0.0
    return "stop", calls[at].step if given is None else given, 0.0


def _is_same(routed: Routed, a: Action, b: Action) -> bool:
    if a[0] != b[0]:
        return False
    if a[0] == "ask" or a[1] == b[1]:
        return a[1] == b[1]
    return routed.is_served(int(a[1])) and routed.is_served(int(b[1]))


def _way(player: Player, own: Mapping[int, Action]) -> Foreseen:
    """Follow a policy along the log until it leaves it."""
    routed = player.routed
    for i, asked in _moments(routed):
        action = player.step(asked)
        if _is_same(routed, action, _logged(routed, i)) or _is_same(routed, action, own[i]):
            continue
        if action[0] == "ask":
            return player.beyond(asked, str(action[1]), action[2])
        return player.earlier(asked, int(action[1]))
    usd = sum(call.cost_usd for call in routed.served.calls if call.purpose != "shadow")
    return Foreseen(player.decision, True, None, usd)


# -- rewards ------------------------------------------------------------------------------------------------------


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


# -- a log in arrays ----------------------------------------------------------------------------------------------


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
