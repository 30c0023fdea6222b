"""The journal: the one writer of everything that the learner learns from.

Any number of tasks append at once. One task takes whatever waits, writes it in one transaction, and as soon as that is
durable takes what has come meanwhile: the slower the disk, the larger the groups. Events get consecutive numbers in the
order of their commit, the learner is told in that order, and only then do the waiters go on.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage import repository
from app.storage.batch import Batch, Entry
from app.storage.engine import open_writer
from app.storage.errors import KeyConflict, NotStored
from app.storage.spend import SpendLedger
from app.storage.tables import FeedbackRow, IdempotencyKeyRow

GROUP_LIMIT = 1_000

OnCommit = Callable[[list[tuple[int, Entry]]], None]


@dataclass(frozen=True, slots=True)
class _Receipt:
    seqs: Sequence[int | None]
    reply: IdempotencyKeyRow | None


@dataclass(frozen=True, slots=True)
class _Submission:
    """What one waiter wants stored: all of it or nothing."""

    entries: Sequence[Entry]
    reply: IdempotencyKeyRow | None
    receipt: asyncio.Future[_Receipt]

    def accept(self, receipt: _Receipt) -> None:
        if not self.receipt.done():  # a waiter may have been cancelled; its record is stored all the same
            self.receipt.set_result(receipt)

    def refuse(self, cause: Exception) -> None:
        if self.receipt.done():
            return
        reason = getattr(cause, "orig", None) or cause
        error = NotStored(f"{self.entries[0].ref!r} was not stored: {type(cause).__name__}: {reason}")
        error.__cause__ = cause
        self.receipt.set_exception(error)


class Journal:
    """Append entries durably, many at a time.

    Args:
        engine: The engine of a migrated database, which no other journal writes to.
        on_commit: Called on the event loop after every commit with its numbered entries, in order, before the waiters
            go on. What it raises goes to the loop's exception handler.

    Attributes:
        spend: The running totals of all calls that are durable.
    """

    def __init__(self, engine: AsyncEngine, on_commit: OnCommit = lambda _: None) -> None:
        self.spend = SpendLedger()
        self._engine = engine
        self._database = open_writer(engine.url)
        # Statements meet the driver's own error, the commit SQLAlchemy's.
        self._failures = (OperationalError, self._database.dialect.loaded_dbapi.OperationalError)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._on_commit = on_commit
        self._queue: asyncio.Queue[_Submission] = asyncio.Queue()
        self._last_seq: int | None = None
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read where the log ends and what has been spent, and start to write."""
        self._last_seq = await repository.last_seq(self._engine)
        self.spend = await repository.spend_ledger(self._engine)
        self._writer = asyncio.create_task(self._write_groups(), name="journal")

    async def close(self) -> None:
        """Store what waits, then stop; what is appended later is refused."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._queue.join()
            writer.cancel()
            await asyncio.wait([writer])
        self._thread.shutdown()
        self._database.dispose()

    async def append(self, entry: Entry) -> int | None:
        """Store an entry with its rows, and return the number of its event once it is durable.

        A caller that is cancelled while it waits does not take the entry back.

        Returns:
            The event's number, None for an entry without a kind.

        Raises:
            NotStored: The database refused it, or the journal is not open; nothing of it is stored.
        """
        receipt = await self._submit((entry,), None)
        return receipt.seqs[0]

    async def append_all(self, entries: Sequence[Entry]) -> None:
        """Store several entries, in their order, all or none; otherwise as `append`.

        Raises:
            NotStored: The database refused one of them, or the journal is not open; nothing of any is stored.
        """
        await self._submit(entries, None)

    async def append_feedback(
        self, rows: Sequence[FeedbackRow], *, key: str | None, body_hash: str, response: dict[str, Any], at: float
    ) -> dict[str, Any]:
        """Store a list of feedback, whole or not at all and once per key, with one event each.

        Args:
            rows: At least one.
            key: The idempotency key, None for none; the caller makes keys of different clients differ.
            body_hash: Tells whether a request that repeats the key is the same request.
            response: What the client shall be told.
            at: The time of the events.

        Returns:
            `response`, or that of the first request with this key.

        Raises:
            KeyConflict: The key came before with another body.
            NotStored: As for `append`.
        """
        reply = IdempotencyKeyRow(key=key, body_hash=body_hash, response=response, created_at=at) if key else None
        stored = (await self._submit([Entry("feedback", row.id, at, rows=(row,)) for row in rows], reply)).reply
        return response if stored is None else _told(stored, body_hash)

    async def reply_to(self, key: str, body_hash: str) -> dict[str, Any] | None:
        """Return what the first request with an idempotency key was told; None where there was none.

        Raises:
            KeyConflict: It had another body.
        """
        stored = (await repository.idempotency_keys(self._engine, [key])).get(key)
        return None if stored is None else _told(stored, body_hash)

    async def _submit(self, entries: Sequence[Entry], reply: IdempotencyKeyRow | None) -> _Receipt:
        if self._writer is None:
            raise NotStored(f"{entries[0].ref!r} was not stored: the journal is not open.")
        submission = _Submission(entries, reply, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(submission)
        return await submission.receipt

    async def _write_groups(self) -> None:
        while True:
            group = [await self._queue.get()]
            while not self._queue.empty() and len(group) < GROUP_LIMIT:
                group.append(self._queue.get_nowait())
            await self._store(group)
            for _ in group:
                self._queue.task_done()

    async def _store(self, group: list[_Submission]) -> None:
        try:
            receipts = await self._commit(group)
        except Exception as err:  # whatever is wrong with a record is its waiter's affair; the writer lives on
            await self._separate(group, err)
        else:
            for submission, receipt in zip(group, receipts, strict=True):
                submission.accept(receipt)

    async def _separate(self, group: list[_Submission], cause: Exception) -> None:
        # An operational error is the database's, not a record's, and after a lost connection nobody knows whether the
        # commit took place: storing again could count twice.
        if len(group) == 1 or isinstance(cause, self._failures):
            for submission in group:
                submission.refuse(cause)
        else:
            for submission in group:
                await self._store([submission])

    async def _commit(self, group: list[_Submission]) -> list[_Receipt]:
        last_seq, self._last_seq = self._last_seq, None  # not known again until the commit has returned
        if last_seq is None:
            last_seq = await repository.last_seq(self._engine)
        replies = await repository.idempotency_keys(self._engine, [s.reply.key for s in group if s.reply])
        batch = Batch(last_seq)
        receipts = [_take(submission, batch, replies) for submission in group]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        self._last_seq = batch.last_seq
        self.spend.add(batch.spend)
        if batch.logged:
            asyncio.get_running_loop().call_soon(self._on_commit, batch.logged)
        return receipts

    def _write(self, batch: Batch) -> None:
        with self._database.begin() as connection:
            batch.write(connection)


def _told(stored: IdempotencyKeyRow, body_hash: str) -> dict[str, Any]:
    if stored.body_hash != body_hash:
        raise KeyConflict(f"Idempotency-Key {stored.key!r} was used before with another body. Use a new key.")
    return stored.response


def _take(submission: _Submission, batch: Batch, replies: dict[str, IdempotencyKeyRow]) -> _Receipt:
    reply = submission.reply
    if reply is not None:
        if reply.key in replies:
            return _Receipt((), replies[reply.key])
        replies[reply.key] = reply
        batch.add_row(reply)
    return _Receipt([batch.add(entry) for entry in submission.entries], reply)
