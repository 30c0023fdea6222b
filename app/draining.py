"""Taking a model out of service without cutting anything off: draining first, retired once nothing is under way.

A draining model gets no new requests. What had begun before goes on: such a request may still call the model, and so
may work in the background. When the last of it has ended, the model is retired. After a restart nothing is under way,
so that a model which was draining then is retired at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.background import Background
from app.learning import Learning
from app.pool import Pool
from app.storage.tables import ModelRow


@dataclass(frozen=True, slots=True)
class Draining:
    """Takes models out of service.

    Args:
        pool: The models.
        learning: Publishes who is in service.
        background: Knows what is under way.
        clock: Seconds since 1970.
    """

    pool: Pool
    learning: Learning
    background: Background
    clock: Callable[[], float]

    async def drain(self, model: str) -> ModelRow:
        """Give a model no new requests; it is retired when the last one that began before has ended, perhaps at once.

        Raises:
            ModelNotFound: there is no such model, or it is draining already.
        """
        row = await self.pool.drain(model, self.clock())
        # From here on nobody decides for it any more: only what began before may still call it.
        await self.learning.settled()
        before, tasks = self.background.requests.turn(), self.background.tasks
        if self.background.requests.is_over(before) and not tasks:
            row = await self.pool.retire(model, self.clock())
            await self.learning.settled()
            return row
        self.background.keep(self._retire_after(model, before, tasks))
        return row

    async def _retire_after(self, model: str, before: int, tasks: frozenset[asyncio.Task[Any]]) -> None:
        if tasks:
            await asyncio.wait(tasks)
        await self.background.requests.over(before)
        await self.pool.retire(model, self.clock())
