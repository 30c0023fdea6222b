"""What would another policy have done with a request that was logged, believing what was believed then?

The state that folds the log stands, before each request, where it stood when that was decided. So any set of parameters
can be asked what it would have drawn, and after every logged answer, what it would have done next. What a row does not
say (cascades forbidden, no exploration) is supposed to be as fits the stored probabilities best. The rest of it (a
limit of money, a view some events old) binds all policies alike: one that does what the log's own policy would have
done on the same information counts as following the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from itertools import product

import numpy as np

from learner.exploration import TEMPERATURE
from learner.policy import Ask, View
from learner.types import Call, Decision, JudgeScore, Limits, Parameters, Served

# Of total variation, from which on the log's own policy is not taken to be reproduced.
REPRODUCED = 0.05
# From which on it is: no other limits need be supposed.
FITS = 0.01
# Whether a request allowed exploration, and how deep a cascade, is not stored: the likeliest first.
SUPPOSED = tuple(product((True, False), (None, 1, 2)))


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
    def of(cls, view: View, routed: Routed, parameters: Parameters, limits: Limits) -> Player:
        """Decide about the first arm.

        Raises:
            NoEligibleArm: none of those that were eligible is in the pool any more.
        """
        believing = replace(view, parameters=parameters, lambda_=routed.lambda_, lambdas={})
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
    own = _own(view, routed)
    players = [Player.of(view, routed, policy, own.limits) for policy in policies]
    actions, reproduced = _own_way(own)
    return [_way(player, actions) for player in players], reproduced and own.differs() <= REPRODUCED


def _own(view: View, routed: Routed) -> Player:
    """Return the log's own policy under such limits as fit the stored probabilities best."""
    allow = tuple(map(escape, routed.probabilities))
    best: Player | None = None
    for explore, depth in SUPPOSED:
        found = Player.of(view, routed, view.parameters, Limits(allow=allow, explore=explore, depth=depth))
        if best is None or found.differs() < best.differs():
            best = found
        if best.differs() <= FITS:
            break
    assert best is not None  # something is supposed
    return best


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
