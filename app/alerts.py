"""Alarms on their way out: into the database, the metrics, and to the operator's webhook.

The learner raises an alarm whenever its event is folded, in recovery too: what the database knows already is not told
again. Nothing here is waited for by a request or by learning, and a webhook that fails is only logged and counted. What
a stop or a crash kept from being told is told at the next start, as long as it is news.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage import repository
from app.storage.tables import AlarmRow
from app.telemetry import Metrics

TIMEOUT_S = 5.0
PAUSES_S = (1.0, 5.0)
"""Before the second and the third attempt."""
NEWS_S = 3_600.0
STOP_S = 5.0
MOST = 100

log = structlog.get_logger(__name__)


class Alerts:
    """Stores alarms and tells them.

    Args:
        engine: The database.
        webhook_url: Where to post them; None for nowhere.
        metrics: Counts them.
        clock: Seconds since 1970.
    """

    def __init__(
        self, engine: AsyncEngine, webhook_url: str | None, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._url = webhook_url
        self._metrics = metrics
        self._clock = clock
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def take(self, alarm_id: str, alarm: dict[str, Any]) -> None:
        """Take an alarm that the learner raised, as it describes it."""
        self._waiting.put_nowait({"id": alarm_id, **alarm})

    def start(self) -> None:
        """Begin to store and tell."""
        self._task = asyncio.create_task(self._consume(), name="alerts")

    async def stop(self) -> None:
        """Store and tell what waits, for some seconds at most; the rest is told at the next start."""
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.told()
            self._task.cancel()
            await asyncio.wait([self._task])

    async def told(self) -> None:
        """Wait until everything taken so far is stored and told, or given up."""
        await self._waiting.join()

    async def _consume(self) -> None:
        await self._guarded("earlier alarms", self._tell_earlier())
        while True:
            alarm = await self._waiting.get()
            await self._guarded(alarm["id"], self._store_and_tell(alarm))
            self._waiting.task_done()

    async def _guarded(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as err:
            # A job's boundary: whatever cannot be stored or told still stands in the learner's report.
            log.error("alerting failed", alarm=name, error=type(err).__name__, reason=str(err))

    async def _tell_earlier(self) -> None:
        """Tell what was stored before the last stop, and not told."""
        rows = await repository.alarms_since(self._engine, self._clock() - NEWS_S, MOST)
        for row in reversed(rows):
            if row.delivered_at is None:
                await self._tell(described(row))

    async def _store_and_tell(self, alarm: dict[str, Any]) -> None:
        row = AlarmRow(**alarm)
        if not await repository.add_alarm(self._engine, row):
            return
        self._metrics.alarms.labels(alarm["model"], alarm["kind"]).inc()
        log.warning("drift", **alarm)
        if self._clock() - alarm["at"] < NEWS_S:
            await self._tell(described(row))

    async def _tell(self, alarm: dict[str, Any]) -> None:
        """Post an alarm, three times at most."""
        if self._url is None:
            return
        for pause_s in (*PAUSES_S, None):
            failure = await _failure(self._url, alarm)
            if failure is None:
                await repository.delivered_alarm(self._engine, alarm["id"], self._clock())
                return
            self._metrics.webhook_failures.inc()
            # The address may hold a secret: its host says enough.
            log.warning("webhook failed", host=urlsplit(self._url).hostname, alarm=alarm["id"], reason=failure)
            if pause_s is not None:
                await asyncio.sleep(pause_s)


async def _failure(url: str, alarm: dict[str, Any]) -> str | None:
    """Post an alarm once; returns what went wrong."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            reply = await client.post(url, json=alarm)
    except (httpx.HTTPError, httpx.InvalidURL) as err:
        return type(err).__name__
    return None if reply.is_success else f"status {reply.status_code}"


def described(row: AlarmRow) -> dict[str, Any]:
    """Return an alarm as an operator or a webhook gets it."""
    known = ("id", "kind", "model", "category", "direction", "size", "at", "observation")
    where = f" in {row.category}" if row.category else ""
    text = f"Headrace: {row.kind} of {row.model}{where} went {row.direction} by {abs(row.size):.1f} standard deviations"
    return {"event": "drift", "text": text} | {name: getattr(row, name) for name in known}
