"""Every query; each function works in its own short session on the engine it is given.

What the learner learns from is written by the journal alone; the functions named `add_` and `delete_` write the rest
and commit. Rows come detached: reading them later asks the database nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, case
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import SQLModel, col, delete, func, null, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from app.storage.spend import SpendLedger
from app.storage.tables import (
    APART,
    SUMMED,
    AlarmRow,
    CallRow,
    DecisionRow,
    EventKind,
    EventRow,
    FeedbackRow,
    IdempotencyKeyRow,
    JudgeScoreRow,
    KeyRow,
    ModelRow,
    PolicyRow,
    RecordedRow,
    SnapshotRow,
    SpendRow,
)

SNAPSHOTS_KEPT = 3
# Older ones from which a part of the log can be folded again: one of so many events, the newest few of them.
ANCHOR_EVENTS, ANCHORS_KEPT = 10_000, 4
CONTENT_METRICS = ("comment", "demonstration")

Row = TypeVar("Row", bound=SQLModel)
Step = TypeVar("Step", CallRow, JudgeScoreRow, FeedbackRow)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event of the log with the rows it speaks of, as they were when it was logged.

    A request, comparison or probe comes with its decision and with all calls and judge scores of that inference up to
    the event; a feedback likewise, through the inference it is about; a recorded query with its outcomes; other kinds
    come alone. The decision is None where the inference was none that a client asked for. A request also has the
    feedback that came before it, while its answer still streamed, as `early`.
    """

    seq: int
    kind: EventKind
    ref: str
    at: float
    body: dict[str, Any]
    decision: DecisionRow | None = None
    calls: tuple[CallRow, ...] = ()
    judge_scores: tuple[JudgeScoreRow, ...] = ()
    feedback: FeedbackRow | None = None
    early: tuple[FeedbackRow, ...] = ()
    recorded: tuple[RecordedRow, ...] = ()


async def get_decision(engine: AsyncEngine, inference_id: str) -> DecisionRow | None:
    """Return the decision of an inference, None where there is none."""
    async with AsyncSession(engine) as session:
        return await session.get(DecisionRow, inference_id)


async def decisions_of_episode(engine: AsyncEngine, episode: str, since: float, limit: int) -> list[DecisionRow]:
    """Return the decisions of an episode that were answered, or still are, from a time on, in order of their time."""
    is_of = (col(DecisionRow.episode) == episode) & (col(DecisionRow.created_at) >= since)
    is_of &= col(DecisionRow.status).in_(("answered", "open"))
    async with AsyncSession(engine) as session:
        found = select(DecisionRow).where(is_of).order_by(col(DecisionRow.created_at), col(DecisionRow.id))
        return list(await session.exec(found.limit(limit)))


async def calls_of(engine: AsyncEngine, inference_id: str) -> list[CallRow]:
    """Return the calls of an inference in the order they were stored."""
    async with AsyncSession(engine) as session:
        return await _select(session, CallRow, col(CallRow.inference_id) == inference_id, col(CallRow.id))


async def judge_scores_of(engine: AsyncEngine, inference_id: str) -> list[JudgeScoreRow]:
    """Return the judge scores of an inference in the order they were stored."""
    async with AsyncSession(engine) as session:
        of_inference = col(JudgeScoreRow.inference_id) == inference_id
        return await _select(session, JudgeScoreRow, of_inference, col(JudgeScoreRow.id))


async def feedback_until(engine: AsyncEngine, inference_id: str, seq: int) -> tuple[FeedbackRow, ...]:
    """Return the feedback on an inference up to an event of the log, in the order of its events."""
    async with AsyncSession(engine) as session:
        return tuple((await _steps_of(session, FeedbackRow, {inference_id}, seq))[inference_id])


async def count_feedback(engine: AsyncEngine) -> int:
    """Count the distinct feedback values: corrections of one inference, or one episode, and metric are one."""
    own = case((col(FeedbackRow.episode).is_(None), col(FeedbackRow.inference_id)))
    distinct = select_columns(own, col(FeedbackRow.episode), col(FeedbackRow.metric)).distinct().subquery()
    async with AsyncSession(engine) as session:
        return (await session.exec(select(func.count()).select_from(distinct))).one()


async def last_seq(engine: AsyncEngine) -> int:
    """Return the number of the last event, 0 for an empty log."""
    async with AsyncSession(engine) as session:
        return (await session.exec(select(func.max(EventRow.seq)))).one() or 0


async def events_after(engine: AsyncEngine, seq: int, limit: int) -> list[Logged]:
    """Return the events that follow number `seq`, with their rows, in one query per table.

    Args:
        engine: The engine of the database.
        seq: The number of the last event already known, 0 for none.
        limit: At most so many events, up to 10,000.
    """
    async with AsyncSession(engine) as session:
        following = select(EventRow).where(col(EventRow.seq) > seq)
        events = list(await session.exec(following.order_by(col(EventRow.seq)).limit(limit)))
        if not events:
            return []
        feedback = await _feedback_of(session, events)
        inferences = {event.seq: _inference(event, feedback.get(event.ref)) for event in events}
        concerned = {inference for inference in inferences.values() if inference is not None}
        decisions = await _select(session, DecisionRow, col(DecisionRow.id).in_(concerned), col(DecisionRow.id))
        decision_of = {decision.id: decision for decision in decisions}
        calls = await _steps_of(session, CallRow, concerned, events[-1].seq)
        scores = await _steps_of(session, JudgeScoreRow, concerned, events[-1].seq)
        early = await _steps_of(session, FeedbackRow, _requested(events), events[-1].seq)
        recorded = await _recorded_of(session, events)
    return [
        Logged(
            seq=event.seq,
            kind=event.kind,
            ref=event.ref,
            at=event.at,
            body=event.body,
            decision=decision_of.get(inference) if inference else None,
            calls=_until(event.seq, calls.get(inference, ())),
            judge_scores=_until(event.seq, scores.get(inference, ())),
            feedback=feedback.get(event.ref),
            early=_until(event.seq, early.get(event.ref, ())) if event.kind == "request" else (),
            recorded=tuple(recorded.get(event.seq, ())),
        )
        for event, inference in zip(events, inferences.values(), strict=True)
    ]


async def events_of_kind(engine: AsyncEngine, kind: EventKind) -> list[EventRow]:
    """Return all events of one kind, in their order."""
    async with AsyncSession(engine) as session:
        return await _select(session, EventRow, col(EventRow.kind) == kind, col(EventRow.seq))


async def freeze_before(engine: AsyncEngine, seq: int) -> int | None:
    """Return the number of the event with which the freeze began that lasted until event `seq`; None for no freeze."""
    began: int | None = None
    for event in await events_of_kind(engine, "freeze"):
        if event.seq < seq:
            began = (began or event.seq) if event.body["frozen"] else None
    return began


async def last_feedback_at(engine: AsyncEngine) -> float | None:
    """Return when the latest feedback came; None where there never was any."""
    async with AsyncSession(engine) as session:
        return (await session.exec(select(func.max(FeedbackRow.received_at)))).one()


async def add_alarm(engine: AsyncEngine, alarm: AlarmRow) -> bool:
    """Store an alarm; returns whether it is a new one."""
    async with AsyncSession(engine) as session:
        if await session.get(AlarmRow, alarm.id) is not None:
            return False
        await session.merge(alarm)
        await session.commit()
        return True


async def delivered_alarm(engine: AsyncEngine, alarm_id: str, at: float) -> None:
    """Note when the webhook was told of an alarm."""
    async with AsyncSession(engine) as session:
        await session.exec(update(AlarmRow).where(col(AlarmRow.id) == alarm_id).values(delivered_at=at))
        await session.commit()


async def alarms_since(engine: AsyncEngine, at: float, limit: int) -> list[AlarmRow]:
    """Return the latest alarms from a time on, newest first."""
    async with AsyncSession(engine) as session:
        found = select(AlarmRow).where(col(AlarmRow.at) >= at).order_by(col(AlarmRow.at).desc(), col(AlarmRow.id))
        return list(await session.exec(found.limit(limit)))


async def _feedback_of(session: AsyncSession, events: Sequence[EventRow]) -> dict[str, FeedbackRow]:
    refs = [event.ref for event in events if event.kind == "feedback"]
    rows = await _select(session, FeedbackRow, col(FeedbackRow.id).in_(refs), col(FeedbackRow.id))
    return {row.id: row for row in rows}


async def _recorded_of(session: AsyncSession, events: Sequence[EventRow]) -> dict[int | None, list[RecordedRow]]:
    seqs = [event.seq for event in events if event.kind == "recorded"]
    outcomes: dict[int | None, list[RecordedRow]] = defaultdict(list)
    if seqs:
        between = col(RecordedRow.event_seq).between(seqs[0], seqs[-1])
        for row in await _select(session, RecordedRow, between, col(RecordedRow.id)):
            outcomes[row.event_seq].append(row)
    return outcomes


def _inference(event: EventRow, feedback: FeedbackRow | None) -> str | None:
    if event.kind == "feedback":
        return feedback.inference_id if feedback else None
    return event.ref if event.kind in ("request", "comparison", "probe") else None


def _requested(events: Sequence[EventRow]) -> set[str]:
    return {event.ref for event in events if event.kind == "request"}


async def _steps_of(
    session: AsyncSession, table: type[Step], inferences: set[str], last: int
) -> dict[str | None, list[Step]]:
    logged = col(table.inference_id).in_(inferences) & (col(table.event_seq) <= last)
    steps: dict[str | None, list[Step]] = defaultdict(list)
    for row in await _select(session, table, logged, col(table.event_seq), col(table.id)):
        steps[row.inference_id].append(row)
    return steps


def _until(seq: int, steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.event_seq is not None and step.event_seq <= seq)


async def _select(session: AsyncSession, table: type[Row], where: ColumnElement[bool], *by: Any) -> list[Row]:
    return list(await session.exec(select(table).where(where).order_by(*by)))


async def idempotency_keys(engine: AsyncEngine, keys: Sequence[str]) -> dict[str, IdempotencyKeyRow]:
    """Return what is stored under these keys; a key that is new is left out."""
    if not keys:
        return {}
    async with AsyncSession(engine) as session:
        rows = await _select(
            session, IdempotencyKeyRow, col(IdempotencyKeyRow.key).in_(keys), col(IdempotencyKeyRow.key)
        )
    return {row.key: row for row in rows}


async def list_models(engine: AsyncEngine) -> list[ModelRow]:
    """Return all models, retired ones too, in the order of their registration."""
    async with AsyncSession(engine) as session:
        return list(await session.exec(select(ModelRow).order_by(col(ModelRow.registered_at), col(ModelRow.id))))


async def list_keys(engine: AsyncEngine) -> list[KeyRow]:
    """Return all keys, revoked ones too, in the order of their creation."""
    async with AsyncSession(engine) as session:
        return list(await session.exec(select(KeyRow).order_by(col(KeyRow.created_at), col(KeyRow.id))))


async def list_policies(engine: AsyncEngine) -> list[PolicyRow]:
    """Return all versions of the policy, in the order of their numbers."""
    async with AsyncSession(engine) as session:
        return list(await session.exec(select(PolicyRow).order_by(col(PolicyRow.version))))


async def spend_by_key(engine: AsyncEngine, *, day: float, month: float) -> dict[str, float]:
    """Return what the requests of each key have cost in the present period of its budget; without one, in all.

    Args:
        engine: The engine of the database.
        day: When the present day began, in seconds since 1970.
        month: When the present month began.
    """
    since = case((col(KeyRow.budget_per) == "day", day), (col(KeyRow.budget_per) == "month", month), else_=0.0)
    spent = (
        select_columns(col(KeyRow.id), func.sum(DecisionRow.cost_usd).label("usd"))
        .join(DecisionRow, (col(DecisionRow.key_id) == col(KeyRow.id)) & (col(DecisionRow.created_at) >= since))
        .group_by(col(KeyRow.id))
    )
    async with engine.connect() as connection:
        return {row.id: row.usd for row in await connection.execute(spent)}


async def latest_snapshot(engine: AsyncEngine) -> SnapshotRow | None:
    """Return the snapshot that covers the most events, None where there is none."""
    async with AsyncSession(engine) as session:
        return (await session.exec(select(SnapshotRow).order_by(col(SnapshotRow.seq).desc()).limit(1))).first()


async def add_snapshot(engine: AsyncEngine, snapshot: SnapshotRow) -> None:
    """Store a snapshot, replacing one of the same events, and drop all but the newest three and a few older ones."""
    async with AsyncSession(engine) as session:
        await session.merge(snapshot)
        await session.flush()
        seqs = list(await session.exec(select(SnapshotRow.seq).order_by(col(SnapshotRow.seq).desc())))
        await session.exec(delete(SnapshotRow).where(col(SnapshotRow.seq).not_in(_kept(seqs))))
        await session.commit()


def _kept(seqs: Sequence[int]) -> set[int]:
    """Choose the snapshots to keep, of numbers that descend: the newest, and the first of each stretch of the log."""
    anchors = {seq // ANCHOR_EVENTS: seq for seq in seqs if seq >= ANCHOR_EVENTS}
    return {*seqs[:SNAPSHOTS_KEPT], *list(anchors.values())[:ANCHORS_KEPT]}


async def spend_ledger(engine: AsyncEngine, *, since: str | None = None, until: str | None = None) -> SpendLedger:
    """Return the spend of some days, by whose it is and by day.

    Args:
        engine: The engine of the database.
        since: The first day that counts, `YYYY-MM-DD`; all where it is None.
        until: The last day that counts.
    """
    day = col(SpendRow.day)
    days = [*([day >= since] if since else []), *([day <= until] if until else [])]
    async with engine.connect() as connection:
        whose = await _spend_by(connection, ("model", "key_id", "account", "purpose"), days)
        when = await _spend_by(connection, ("day", "account", "purpose"), days)
    return SpendLedger(whose, when)


async def _spend_by(
    connection: AsyncConnection, columns: Sequence[str], days: Sequence[ColumnElement[bool]]
) -> list[SpendRow]:
    """Sum the spend by some of the columns that tell its rows apart; the others are empty."""
    groups = [getattr(SpendRow, name) for name in columns]
    sums = [func.sum(getattr(SpendRow, name)).label(name) for name in SUMMED]
    found = await connection.execute(select_columns(*groups, *sums).where(*days).group_by(*groups))
    blank = dict.fromkeys(APART, "")
    return [SpendRow(**(blank | dict(row._mapping))) for row in found]


async def delete_content_before(engine: AsyncEngine, at: float) -> None:
    """Forget prompts, answers, comments and demonstrations older than a time; what was learned from them stays."""
    has_content = or_(col(DecisionRow.prompt).is_not(None), col(DecisionRow.answer).is_not(None))
    old_decisions = update(DecisionRow).where(col(DecisionRow.created_at) < at, has_content)
    old_feedback = update(FeedbackRow).where(
        col(FeedbackRow.received_at) < at, col(FeedbackRow.metric).in_(CONTENT_METRICS)
    )
    async with AsyncSession(engine) as session:
        await session.exec(old_decisions.values(prompt=None, answer=None))
        await session.exec(old_feedback.values(value=null()))
        await session.commit()


async def delete_idempotency_keys_before(engine: AsyncEngine, at: float) -> None:
    """Forget the keys first used before a time; a request that repeats one of them later is a new request."""
    async with AsyncSession(engine) as session:
        await session.exec(delete(IdempotencyKeyRow).where(col(IdempotencyKeyRow.created_at) < at))
        await session.commit()
