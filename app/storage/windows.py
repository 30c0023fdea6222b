"""Where to begin when a part of the log is folded again: the window's first event, and the snapshots before it."""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.storage import repository
from app.storage.repository import Logged
from app.storage.tables import EventRow, SnapshotRow

CHUNK = 200


async def snapshots(engine: AsyncEngine) -> list[SnapshotRow]:
    """Return all snapshots that are kept, oldest first."""
    async with AsyncSession(engine) as session:
        return list(await session.exec(select(SnapshotRow).order_by(col(SnapshotRow.seq))))


async def snapshot_before(engine: AsyncEngine, seq: int) -> SnapshotRow | None:
    """Return the latest snapshot of events before one, None where there is none."""
    async with AsyncSession(engine) as session:
        earlier = select(SnapshotRow).where(col(SnapshotRow.seq) < seq)
        return (await session.exec(earlier.order_by(col(SnapshotRow.seq).desc()).limit(1))).first()


async def first_request(engine: AsyncEngine, since: float | None, limit: int) -> int | None:
    """Return the number of the first of the newest requests, at most so many, from a time on; None without any."""
    is_one = col(EventRow.kind) == "request"
    if since is not None:
        is_one &= col(EventRow.at) >= since
    newest = select(EventRow.seq).where(is_one).order_by(col(EventRow.seq).desc()).limit(limit).subquery()
    async with AsyncSession(engine) as session:
        first: int | None = (await session.exec(select(func.min(newest.c.seq)))).one()
        return first


async def frozen_out(engine: AsyncEngine, until: int) -> AsyncIterator[Logged]:
    """Yield what happened in the freeze that event `until` has ended, in order."""
    began = await repository.freeze_before(engine, until)
    at = until if began is None else began
    while at < until - 1:
        for event in await repository.events_after(engine, at, CHUNK):
            at = event.seq
            if at < until:
                yield event
