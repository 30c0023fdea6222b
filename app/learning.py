"""The one writer of what is learned: committed events in, immutable views out.

Events come from the journal, in the order of their commit and only once they are durable, so that what the learner
knows is never more than what a crash leaves. They are told to the state in small slices between requests; after each
slice a new view is published by one assignment. Recovery is the same fold: the latest snapshot, then the log after it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.exploring import Exploring
from app.replay import fold, served_of
from app.storage import repository
from app.storage.batch import Entry
from app.storage.repository import Logged
from app.storage.tables import CallRow, DecisionRow, FeedbackRow, JudgeScoreRow, RecordedRow, SnapshotRow
from learner import snapshot
from learner.channel import Rates
from learner.drift import described
from learner.errors import LearnerError, SnapshotIncompatible
from learner.features import Features
from learner.gate import Contest
from learner.policy import View
from learner.report import report
from learner.state import LearnerState
from learner.tuning import Comparison, answered_arms, compared

SLICE = 4
REMEMBERED = 5_000
CHUNK = 1_000
READ_AGAIN_S = 1.0
LEARNED_AGAIN_S = 0.002
STOP_S = 10.0

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Learning:
    """Owns the state; gives out views.

    Args:
        state: The state before any event of the log.
        engine: The database that holds the log.
        exploring: What exploration under way may cost.
        on_alarm: Told every alarm with its id, which is the same whenever its event is folded.

    Attributes:
        on_published: Called after each slice, once its view is out; it must not wait, nor raise.
        snapshot_seq: The last event that the latest stored snapshot covers; -1 where none is known.
        unread: Why the next event cannot be read; None while events can.
        failed: Events that could not be learned since the start.
        of_other_features: Requests since the start that teach nothing, since their features have another version.
        is_catching_up: Whether what was missed in a freeze is being learned.
        last_feedback_at: When the latest feedback came, in seconds since 1970; None where there never was any.
    """

    def __init__(
        self,
        state: LearnerState,
        engine: AsyncEngine,
        exploring: Exploring | None = None,
        on_alarm: Callable[[str, dict[str, Any]], None] = lambda *_: None,
    ) -> None:
        self._state = state
        self._engine = engine
        self.exploring = exploring or Exploring(state.ledger.max_usd_per_day, lambda _: 0.0)
        self._waiting: asyncio.Queue[tuple[int, Entry]] = asyncio.Queue()
        self._recent: OrderedDict[str, Logged] = OrderedDict()
        self._rated_early: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._on_alarm = on_alarm
        self.seq = 0
        self.snapshot_seq = -1
        self.published = 0
        self.view: View = state.view()
        self.on_published: Callable[[], None] = lambda: None
        self.unread: str | None = None
        self.failed = 0
        self.of_other_features = 0
        self.is_catching_up = False
        self.last_feedback_at: float | None = None

    async def recover(self) -> int:
        """Fold the latest usable snapshot and the log after it; returns the number of events folded."""
        stored = await repository.latest_snapshot(self._engine)
        if stored is not None:
            self._load(stored)
        first = self.seq
        while events := await repository.events_after(self._engine, self.seq, CHUNK):
            for logged in events:
                await self._learn(logged)
            await asyncio.sleep(0)
        self.view = self._state.view()
        self.last_feedback_at = await repository.last_feedback_at(self._engine)
        return self.seq - first

    def _load(self, stored: SnapshotRow) -> None:
        try:
            self._state = restored(stored, self._state)
            self.seq = self.snapshot_seq = stored.seq
        except SnapshotIncompatible as err:
            log.warning("snapshot refused; the whole log is read again", seq=stored.seq, reason=str(err))

    def start(self) -> None:
        """Begin to learn from what the journal commits."""
        self._task = asyncio.create_task(self._consume(), name="learning")
        self._task.add_done_callback(_tell_end)

    async def stop(self) -> None:
        """Learn what is committed, then stop; what cannot be read now is learned at the next start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.settled()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def take(self, committed: list[tuple[int, Entry]]) -> None:
        """Queue what the journal has just committed."""
        for numbered in committed:
            self._waiting.put_nowait(numbered)

    async def _consume(self) -> None:
        while True:
            slice_ = [await self._waiting.get()]
            while not self._waiting.empty() and len(slice_) < SLICE:
                slice_.append(self._waiting.get_nowait())
            for seq, entry in slice_:
                await self._learn(await self._surely(seq, partial(self._logged, seq, entry)))
            self.view, self.published = self._state.view(), self.seq
            self.exploring.learned(entry for _, entry in slice_)
            self.on_published()
            for _ in slice_:
                self._waiting.task_done()
            await asyncio.sleep(0)

    async def _surely(self, seq: int, read: Callable[[], Awaitable[T]]) -> T:
        """Return what the database holds of an event, once it can be read: no event may be left out."""
        while True:
            try:
                found = await read()
            except Exception as err:
                # The writer's boundary: whatever the driver raises, learning goes on when the database is back.
                self.unread = f"{type(err).__name__}: {err}"
                log.error("an event cannot be read; trying again", seq=seq, reason=self.unread)
                await asyncio.sleep(READ_AGAIN_S)
            else:
                self.unread = None
                return found

    async def _learn(self, logged: Logged) -> None:
        """Fold one event; at the end of a freeze, what was missed in it as well."""
        self.seq = logged.seq
        self._fold(logged)
        if logged.kind == "freeze":
            self.view = self._state.view()
            if self.view.freeze is None:
                await self._catch_up(logged.seq)

    async def _catch_up(self, until: int) -> None:
        """Learn what the log holds of a freeze that has ended with an event.

        Read from the log again, so that a freeze may last as long as it likes. A snapshot of half of it would lose the
        rest: until all is learned, none is taken.
        """
        self.is_catching_up = True
        began = await self._surely(until, partial(repository.freeze_before, self._engine, until))
        at = until if began is None else began
        while at < until - 1:
            events = await self._surely(at, partial(repository.events_after, self._engine, at, CHUNK))
            for missed in events:
                if missed.seq < until:
                    self._fold(missed, is_missed=True)
                if missed.seq % SLICE == 0:
                    await asyncio.sleep(0)
            at = events[-1].seq
            self.view = self._state.view()
        self.is_catching_up = False

    def reserved_usd(self, at: float) -> float:
        """Return how much of the view's allowance is taken, for what will be booked at this time."""
        return self.exploring.reserved_usd(self.view, at)

    async def learned(self, seq: int) -> None:
        """Wait until an event is learned and published, whatever else waits to be, or nothing ever will be."""
        while self.published < seq and self.is_running:
            await asyncio.sleep(LEARNED_AGAIN_S)

    async def settled(self) -> None:
        """Wait until everything committed so far is learned and published, or nothing ever will be."""
        joined = asyncio.ensure_future(self._waiting.join())
        try:
            await asyncio.wait({joined} if self._task is None else {joined, self._task}, return_when="FIRST_COMPLETED")
        finally:
            joined.cancel()

    @property
    def is_running(self) -> bool:
        """Whether events that come are learned, as soon as they can be read."""
        return self._task is not None and not self._task.done()

    @property
    def state(self) -> Literal["on", "frozen", "off"]:
        """Whether what happens now is learned."""
        if self.unread is not None or not self.is_running:
            return "off"
        return "on" if self.view.freeze is None else "frozen"

    @property
    def behind(self) -> int:
        """Committed events that wait to be learned."""
        return self._waiting.qsize()

    @property
    def seen(self) -> tuple[int, int]:
        """Observations and requests so far."""
        return self._state.observations, self._state.requests

    @property
    def features(self) -> Features:
        """What turns queries into contexts."""
        return self._state.features

    def _fold(self, logged: Logged, *, is_missed: bool = False) -> None:
        raised = self._state.drift.raised
        try:
            fold(self._state, logged, is_missed=is_missed)
        except LearnerError as err:
            log.warning("event passed over", seq=logged.seq, kind=logged.kind, reason=str(err))
        except Exception:
            # The writer's boundary: one event must not end all learning. The log keeps it.
            self.failed += 1
            log.exception("event could not be learned", seq=logged.seq, kind=logged.kind)
        self._note(logged, raised)

    def _note(self, logged: Logged, raised: int) -> None:
        """Tell of alarms, and remember what says whether anything is being learned at all."""
        drift = self._state.drift
        for i, alarm in enumerate(drift.alarms[len(drift.alarms) - (drift.raised - raised) :]):
            self._on_alarm(f"{logged.seq}.{i}", described(alarm, self._state.taxonomy.names))
        if logged.kind == "feedback":
            self.last_feedback_at = logged.at
        elif logged.kind == "request" and logged.decision is not None:
            self.of_other_features += logged.decision.feature_version != self._state.features.version

    async def _logged(self, seq: int, entry: Entry) -> Logged:
        """Give an entry the rows it speaks of, from memory where the inference is recent, else from the database."""
        assert entry.kind is not None  # the journal numbers events only
        logged = Logged(seq=seq, kind=entry.kind, ref=entry.ref, at=entry.at, body=entry.body)
        match entry.kind:
            case "feedback":
                (row,) = (r for r in entry.rows if isinstance(r, FeedbackRow))
                known = until(seq, await self.inference(row.inference_id))
                if not known.calls:
                    self._rated_early.add(row.inference_id)
                return replace(
                    logged, feedback=row, decision=known.decision, calls=known.calls, judge_scores=known.judge_scores
                )
            case "request" if entry.ref in self._rated_early:
                early = await repository.feedback_until(self._engine, entry.ref, seq)
                self._rated_early.discard(entry.ref)
                return self._remember(replace(with_rows(logged, entry), early=early))
            case "request":
                return self._remember(with_rows(logged, entry))
            case "comparison" | "probe" if entry.ref in self._recent:
                return self._remember(with_rows(logged, entry, self._recent[entry.ref]))
            case "comparison" | "probe":
                # The database has this event's rows already: it was committed before it came here.
                known = until(seq, await self.inference(entry.ref))
                return self._remember(replace(known, seq=seq, kind=entry.kind, at=entry.at))
        return with_rows(logged, entry)

    def _remember(self, logged: Logged) -> Logged:
        self._recent[logged.ref] = logged
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return logged

    async def inference(self, inference_id: str) -> Logged:
        """Return what is known of an inference; its decision is None where there is none of that id."""
        if inference_id in self._recent:
            return self._recent[inference_id]
        decision = await repository.get_decision(self._engine, inference_id)
        calls = await repository.calls_of(self._engine, inference_id)
        scores = await repository.judge_scores_of(self._engine, inference_id)
        return Logged(
            seq=0, kind="request", ref=inference_id, at=0.0, body={},
            decision=decision, calls=tuple(calls), judge_scores=tuple(scores),
        )  # fmt: skip

    async def episode(self, name: str, since: float, limit: int) -> list[DecisionRow]:
        """Return the decisions of an episode from a time on, at most so many."""
        return await repository.decisions_of_episode(self._engine, name, since, limit)

    def snapshot(self, at: float) -> SnapshotRow:
        """Return the present state as a row, to be stored."""
        body = snapshot.dump(self._state)
        return SnapshotRow(
            seq=self.seq,
            created_at=at,
            feature_version=self._state.features.version,
            schema_version=snapshot.SCHEMA,
            checksum=snapshot.checksum(body),
            body=body,
        )

    def report(self) -> dict[str, Any]:
        """Describe what has been learned, for the administrator."""
        return report(self._state)

    def thumbs(self) -> tuple[dict[str, Rates], float]:
        """Return how thumbs come about in every category, and the share of all answers that get one."""
        channel, names = self._state.trust.channel, self._state.taxonomy.names
        return dict(zip(names, (Rates(*column) for column in channel.table().T.tolist()), strict=True)), channel.pressed

    @property
    def contest(self) -> Contest | None:
        """The contest of two versions of the policy that is under way; not to be changed."""
        return self._state.contest

    def log_in_memory(self) -> dict[str, Any]:
        """Describe what `comparisons` are taken from: how many inferences, of when, and by which features."""
        times = [logged.at for logged in self._recent.values()]
        told = {"decisions": len(times), "since": min(times, default=None), "until": max(times, default=None)}
        return told | {"feature_version": self.features.version}

    def comparisons(self) -> tuple[View, list[Comparison]]:
        """Return the inferences still in memory that several models answered, oldest first, and the view of now."""
        told = (served_of(logged, self.features.version) for logged in self._recent.values())
        known = [compared(self._state, served) for served in told if served and len(answered_arms(served)) > 1]
        return self._state.view(), known


def restored(stored: SnapshotRow, configured: LearnerState) -> LearnerState:
    """Return the state of a snapshot, with the features and the limits of exploration that are configured.

    Raises:
        SnapshotIncompatible: its bytes are damaged, or of another schema or feature version.
    """
    if snapshot.checksum(stored.body) != stored.checksum:
        raise SnapshotIncompatible("its checksum is another one")
    state = snapshot.load(stored.body, configured.features)
    # Limits are the configuration's, whatever they were when the snapshot was made.
    state.ledger.max_share = configured.ledger.max_share
    state.ledger.max_usd_per_day = configured.ledger.max_usd_per_day
    return state


def _tell_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("learning has stopped", error=type(error).__name__, reason=str(error))


def with_rows(logged: Logged, entry: Entry, before: Logged | None = None) -> Logged:
    """Return a logged event with the rows of its entry, after those known of the same inference before."""
    known = before or logged
    decisions = [row for row in entry.rows if isinstance(row, DecisionRow)]
    return replace(
        logged,
        decision=decisions[-1] if decisions else known.decision,
        calls=known.calls + tuple(row for row in entry.rows if isinstance(row, CallRow)),
        judge_scores=known.judge_scores + tuple(row for row in entry.rows if isinstance(row, JudgeScoreRow)),
        recorded=tuple(row for row in entry.rows if isinstance(row, RecordedRow)),
    )


def until(seq: int, known: Logged) -> Logged:
    """Return an inference as it was at an event: the database may hold rows of later ones already."""
    return replace(
        known,
        calls=tuple(row for row in known.calls if row.event_seq is not None and row.event_seq <= seq),
        judge_scores=tuple(row for row in known.judge_scores if row.event_seq is not None and row.event_seq <= seq),
    )
