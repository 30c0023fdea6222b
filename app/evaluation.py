"""Off-policy evaluation on this service's log: what another policy would have been worth.

The log is folded once more, in a thread and with a connection of its own, from the latest snapshot before the window:
so that at each request all is believed that was believed then. After every event the thread makes way for requests. One
evaluation runs at a time; what it keeps is bounded by the number of requests that it may look at.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import Unavailable
from app.learning import restored
from app.replay import fold, served_of, to_events
from app.requests import is_routed
from app.schemas.evaluation import DECISIONS
from app.storage import repository, windows
from app.storage.engine import open_engine
from app.storage.repository import Logged
from app.storage.tables import DecisionRow
from learner.assessment import Assessment, assess
from learner.errors import LearnerError, SnapshotIncompatible
from learner.hindsight import Hindsight
from learner.offpolicy import Routed
from learner.robust import NAMES, Name
from learner.state import LearnerState
from learner.types import Parameters, ParametersChanged

CHUNK = 200
# Between two events the thread sleeps for so long, so that a request waits for one event at most.
PAUSE_S = 2e-4
# Decisions of these stages were drawn by the policy; of all others, the arm was named, or several were asked at once.
STAGES = frozenset({"taxonomy", "learned", "explore", "cascade", "fallback"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the log says of a candidate, and which part of the log that was.

    Args:
        candidate: The policy that was valued.
        in_force: The one it was compared with.
        assessment: Estimates, gains, warnings.
        left_out: Requests of the window that did not count, by the reason.
        first_seq: The window's first event; 0 where it is empty.
        last_seq: The log's last one.
        events: How many were folded.
    """

    candidate: Parameters
    in_force: Parameters
    assessment: Assessment
    left_out: dict[str, int]
    first_seq: int
    last_seq: int
    events: int


class Evaluator:
    """Values policies on the log.

    Args:
        engine: The database; only its address is used.
        fresh: Gives the learner's state before any event.
    """

    def __init__(self, engine: AsyncEngine, fresh: Callable[[], LearnerState]) -> None:
        self._engine = engine
        self._fresh = fresh
        self._turn = asyncio.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End what is under way."""
        self._stopping.set()

    async def versions(self, in_force: Parameters) -> dict[str, Parameters]:
        """Return the versions of the policy that were ever proposed or in force, by name."""
        known = {Parameters().name: Parameters()}
        for policy in await repository.list_policies(self._engine):
            proposed = Parameters(**policy.parameters)
            known[proposed.name] = proposed
        for row in await repository.events_of_kind(self._engine, "policy"):
            logged = Logged(seq=row.seq or 0, kind="policy", ref=row.ref, at=row.at, body=row.body)
            for event in to_events(logged, ""):
                if isinstance(event, ParametersChanged):
                    known[event.parameters.name] = event.parameters
        return known | {in_force.name: in_force}

    async def evaluate(
        self,
        candidate: Parameters,
        in_force: Parameters,
        *,
        since: float | None = None,
        limit: int = DECISIONS,
        estimators: Sequence[Name] = NAMES,
    ) -> Evaluation:
        """Value a candidate beside the policy in force, on the newest requests of the log.

        Args:
            candidate: The policy to value.
            in_force: The one to compare it with.
            since: Requests from then on count, in seconds since 1970; None for all.
            limit: At most so many requests.
            estimators: Which estimators to use.

        Raises:
            Unavailable: the service is about to stop.
        """
        async with self._turn:
            hindsight = Hindsight((in_force, candidate))
            state, left_out, seqs = await asyncio.to_thread(lambda: asyncio.run(self._fold(hindsight, since, limit)))
            assessment = await asyncio.to_thread(assess, state, hindsight, estimators)
            return Evaluation(candidate, in_force, assessment, left_out, *seqs)

    async def _fold(
        self, hindsight: Hindsight, since: float | None, limit: int
    ) -> tuple[LearnerState, dict[str, int], tuple[int, int, int]]:
        engine = open_engine(self._engine.url)
        try:
            last = await repository.last_seq(engine)
            first = await windows.first_request(engine, since, limit)
            state, start = await self._before(engine, first or last)
            seq, left_out = start, Counter[str]()
            while first is not None and seq < last:
                for logged in await repository.events_after(engine, seq, min(CHUNK, last - seq)):
                    seq = logged.seq
                    if logged.kind == "request" and seq >= first:
                        _look(hindsight, state, logged, left_out)
                    _learn(state, logged)
                    if logged.kind == "freeze" and state.freeze is None:
                        async for missed in windows.frozen_out(engine, seq):
                            _learn(state, missed, is_missed=True)
                    if self._stopping.wait(PAUSE_S):
                        raise Unavailable("The service is about to stop; evaluate the policy again when it is back")
            if hindsight.passed_over:
                left_out["its models have left the pool"] += hindsight.passed_over
            return state, dict(left_out), (first or 0, last, seq - start)
        finally:
            await engine.dispose()

    async def _before(self, engine: AsyncEngine, seq: int) -> tuple[LearnerState, int]:
        """Return the state of the latest usable snapshot before an event, and its number; else that of the start."""
        stored = await windows.snapshot_before(engine, seq)
        if stored is not None:
            try:
                return restored(stored, self._fresh()), stored.seq
            except SnapshotIncompatible as err:
                log.warning("snapshot refused; the whole log is read", seq=stored.seq, reason=str(err))
        return self._fresh(), 0


def _learn(state: LearnerState, logged: Logged, *, is_missed: bool = False) -> None:
    """Fold one event as the service did: one that teaches nothing is passed over."""
    try:
        fold(state, logged, is_missed=is_missed)
    except LearnerError as err:
        log.debug("event passed over", seq=logged.seq, kind=logged.kind, reason=str(err))


def _look(hindsight: Hindsight, state: LearnerState, logged: Logged, left_out: Counter[str]) -> None:
    """Ask the policies about a request, unless it tells nothing of them."""
    reason = why_not(logged)
    served = served_of(logged, state.features.version) if reason is None else None
    if served is None or logged.decision is None:
        left_out[reason or "its features are of another version"] += 1
        return
    row = logged.decision
    routed = Routed(served, row.arm, row.probabilities, row.lambda_, row.confidence)
    hindsight.see(state.view().under(row.policy_version), routed)


def why_not(logged: Logged) -> str | None:
    """Say why a request tells nothing of a policy that routes, or None where it does."""
    row = logged.decision
    if row is None or row.parent_id is not None:
        return "a part of another request"
    if not is_routed(row.requested_model):
        return "the model was named"
    answers = [call for call in logged.calls if call.purpose == "answer"]
    is_composed = any(call.purpose in ("plan", "synthesis") for call in logged.calls)
    if is_composed or row.stage not in STAGES:
        return "not drawn by the policy"
    if row.control is not None:
        return "answered by a control"
    if row.status == "cancelled":
        return "its client went away"
    return None if answers and answers[0].model == row.arm and _is_drawn(row) else "its first draw is not known"


def _is_drawn(row: DecisionRow) -> bool:
    return row.probabilities.get(row.arm, 0.0) > 0.0
