"""Work that no client waits for: comparisons that teach who is right, paid from the exploration allowance.

After some requests, further models answer the same query in the background. What that is expected to cost is held
(`app.exploring`) before it is spent, so that requests running at the same time cannot overdraw the allowance together.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import structlog

from app.errors import AppError
from app.exchange import Exchange
from app.learning import Learning
from app.pool import Pool
from app.providers.base import CallFailed, Provider
from app.requests import upstream_body
from app.storage.batch import Entry
from app.storage.journal import Journal
from app.storage.tables import CallRow, Purpose
from app.under_way import UnderWay

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Background:
    """Runs comparisons and whatever else outlives its request.

    Args:
        learning: Says which comparison is worth its money.
        journal: Stores what came of it.
        pool: The models.
        providers: By the `provider` of a model's entry.
        rng: Draws the size of comparisons.
        clock: Seconds since 1970.
        timeout_s: Seconds for one call.
        requests: The requests under way, which what runs here outlives.
        asking: Which inference's query is answered by which model just now.
    """

    learning: Learning
    journal: Journal
    pool: Pool
    providers: dict[str, Provider]
    rng: np.random.Generator
    clock: Callable[[], float]
    timeout_s: float
    requests: UnderWay = field(default_factory=UnderWay)
    asking: set[tuple[str, str]] = field(default_factory=set)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something to its end even though nobody waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # An error that a client is told is the client's.
        if error is not None and not isinstance(error, AppError):
            log.error("background work failed", error=type(error).__name__, reason=str(error))

    def compare(self, exchange: Exchange) -> None:
        """Have further models answer the same query, where the allowance pays for it and the request allows it."""
        if exchange.limits.depth == 1 or not exchange.limits.explore or exchange.decision.stage == "pinned":
            return
        view = self.learning.view
        asked = [row.model for row in exchange.rows if row.purpose == "answer"]
        limits = replace(exchange.limits, unavailable=self.pool.unavailable())
        reserved_usd = self.learning.reserved_usd(exchange.at)
        arms = view.shadows(exchange.context, limits, asked, self.rng, reserved_usd=reserved_usd)
        if arms:
            costs = view.cost.predict(exchange.context)
            expected = sum(float(costs[view.index(arm)]) for arm in arms)
            self.learning.exploring.hold("comparison", exchange.id, expected)
            self.keep(self._compare(exchange, arms))

    async def _compare(self, exchange: Exchange, arms: list[str]) -> None:
        rows: list[CallRow] = []
        try:
            rows = await asyncio.gather(*(self.call(exchange, arm, "shadow") for arm in arms))
        finally:
            self.learning.exploring.settle("comparison", exchange.id, sum(row.cost_usd for row in rows))
        await self.journal.append(Entry("comparison", exchange.id, self.clock(), {}, tuple(rows)))

    async def call(self, exchange: Exchange, arm: str, purpose: Purpose) -> CallRow:
        """Have an arm answer the query of an exchange; a failure is a record like any other."""
        endpoint = self.pool.endpoint(arm)
        provider = self.providers["fake" if self.pool.is_fake(arm) else "openai"]
        self.asking.add((exchange.id, arm))
        try:
            done = await provider.complete(endpoint, upstream_body(exchange.body), timeout_s=self.timeout_s)
        except CallFailed as err:
            return exchange.failed(arm, err, purpose=purpose)
        finally:
            self.asking.discard((exchange.id, arm))
        return exchange.succeeded(arm, done, endpoint.cost_usd(done.input_tokens, done.output_tokens), purpose=purpose)

    @property
    def tasks(self) -> frozenset[asyncio.Task[Any]]:
        """What runs in the background just now."""
        return frozenset(self._tasks)

    async def drain(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)
