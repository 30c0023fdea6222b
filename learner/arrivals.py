"""Arms that came while the service ran: what finding out about each has cost, how its quiz went, when it was taken up.

A quiz is `QUIZ_SIZE` recent queries that the new arm answers in the background, beside answers that are known. It ends
early where the verdict is clear: the arm is parked, it has its fair share of the traffic, or `QUIZ_LEAST` answers have
made it active. An arm that stays parked is asked a few questions more, now and then, in case it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from learner.pool import SERVING, Arm, ArmState
from learner.types import Call, FloatArray, Served

QUIZ_SIZE = 30
QUIZ_LEAST = 20
NEWS_EVERY = 5
LOOK_AGAIN_EVERY = 1_000
LOOK_AGAIN_SIZE = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arm that came, and what has become of it since.

    Args:
        at_s: When it came, in unix seconds.
        request: Requests that had been served before.
        explored_usd: What exploration had cost in all before.
        size: Questions of its quiz.
        asked: Questions that it was asked, those it failed to answer included.
        answered: Questions that it answered.
        quiz_usd: What its quiz has cost.
        shadow_usd: What its comparisons have cost.
        live_usd: The extra cost of requests that it answered in order to be known.
        fair_after: Requests until its share of the recent ones was first fair; None while it never was.
        looked_at: Requests at which it was last found parked, or looked at again; None while it is not parked.
    """

    at_s: float
    request: int
    explored_usd: float
    size: int = QUIZ_SIZE
    asked: int = 0
    answered: int = 0
    quiz_usd: float = 0.0
    shadow_usd: float = 0.0
    live_usd: float = 0.0
    fair_after: int | None = None
    looked_at: int | None = None

    def is_over(self, state: ArmState) -> bool:
        """Tell whether the quiz asks nothing more while the arm's life stands there."""
        if self.asked >= self.size or state not in SERVING:
            return True
        if state == "parked":
            return self.size == QUIZ_SIZE
        return self.fair_after is not None or (state == "active" and self.answered >= QUIZ_LEAST)

    def after(self, call: Call) -> Arrival:
        """Return the arrival after one more call of its arm."""
        if call.purpose == "quiz":
            answered = self.answered + (call.outcome == "ok")
            return replace(self, asked=self.asked + 1, answered=answered, quiz_usd=self.quiz_usd + call.cost_usd)
        if call.purpose == "shadow":
            return replace(self, shadow_usd=self.shadow_usd + call.cost_usd)
        return replace(self, live_usd=self.live_usd + call.explored_usd) if call.explored_usd > 0.0 else self


@dataclass(slots=True)
class Arrivals:
    """All arrivals by arm. `known` is never changed in place: views hold it."""

    known: Mapping[str, Arrival] = field(default_factory=dict)

    def arrive(self, arm: str, at_s: float, *, request: int, explored_usd: float) -> None:
        """Note that an arm has come, or come back."""
        self.known = {**self.known, arm: Arrival(at_s, request, explored_usd)}

    def follow(self, event: Served, requests: int, shares: FloatArray, arms: Sequence[Arm]) -> bool:
        """Take in what happened; returns whether quizzes have brought so much news that the pool should be looked at.

        Args:
            event: A request, or what came of it in the background.
            requests: Requests served so far.
            shares: Share of the recent requests of each arm, shape (m,).
            arms: The pool.
        """
        if not self.known:
            return False
        fresh = [event.calls[i] for i in event.fresh]
        has_news = False
        for call in fresh:
            before = self.known.get(call.arm)
            if before is None or call.purpose == "judge" or (after := before.after(call)) is before:
                continue
            self.known = {**self.known, call.arm: after}
            has_news |= call.purpose == "quiz" and after.answered % NEWS_EVERY == 0
        if event.is_request:
            self._count(requests, shares, arms)
        return has_news

    def _count(self, requests: int, shares: FloatArray, arms: Sequence[Arm]) -> None:
        fair = fair_share(arms)
        for i, arm in enumerate(arms):
            before = self.known.get(arm.id)
            if before is None:
                continue
            after = before
            if before.fair_after is None and shares[i] >= fair:
                after = replace(before, fair_after=requests - before.request)
            after = looked(after, arm.state, requests)
            if after is not before:
                self.known = {**self.known, arm.id: after}


def looked(arrival: Arrival, state: ArmState, requests: int) -> Arrival:
    """Return the arrival with further questions where its arm has been parked for long enough."""
    if state != "parked":
        return arrival if arrival.looked_at is None else replace(arrival, looked_at=None)
    if arrival.looked_at is None:
        return replace(arrival, looked_at=requests)
    if requests - arrival.looked_at < LOOK_AGAIN_EVERY:
        return arrival
    return replace(arrival, size=arrival.asked + LOOK_AGAIN_SIZE, looked_at=requests)


def fair_share(arms: Sequence[Arm]) -> float:
    """Return the share of the traffic that each arm in service would have if all had the same."""
    return 1.0 / max(sum(arm.is_routable and arm.state in SERVING for arm in arms), 1)
