"""Work that is worth doing only while its client waits for it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

T = TypeVar("T")

AT_ONCE_S = 0.05


class ClientGone(Exception):
    """The client closed its connection before the answer."""


async def while_connected(http: Request, work: Awaitable[T]) -> T:
    """Do some work, and cancel it when the client goes away.

    Args:
        http: The request, its body read.
        work: What the client waits for.

    Raises:
        ClientGone: the client went away; the work is cancelled and has ended.
    """
    watch = _Watch(http)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else may have cancelled as well, as a shutdown does: that stands.
        if not watch.is_gone or watch.is_cancelled_otherwise:
            raise
        raise ClientGone from None
    finally:
        watch.end()


class _Watch:
    """Cancels the present task when its client goes away; like a timeout, it costs a timer where nothing happens.

    Attributes:
        is_gone: Whether the client went away, and the task was cancelled for it.
    """

    def __init__(self, http: Request) -> None:
        self.is_gone = False
        self._http = http
        self._waiting = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        # Work that is done at once needs nobody to watch the connection.
        self._timer = asyncio.get_running_loop().call_later(AT_ONCE_S, self._begin)

    @property
    def is_cancelled_otherwise(self) -> bool:
        """Whether the task was cancelled for another reason too."""
        return self._waiting is not None and self._waiting.cancelling() > 1

    def end(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self.is_gone and self._waiting is not None:
            self._waiting.uncancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._http.receive())["type"] != "http.disconnect":
            pass
        assert self._waiting is not None  # made by the task that waits
        self.is_gone = True
        self._waiting.cancel()
