"""Work that is worth doing only while its client waits for it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")

AT_ONCE_S = 0.05


class ClientGone(Exception):
    """The client closed its connection before the answer."""


async def while_connected(http: Request, work: Awaitable[T], *, otherwise: asyncio.Future[Any] | None = None) -> T:
    """Do some work, and cancel it when the client goes away.

    Args:
        http: The request, its body read.
        work: What the client waits for.
        otherwise: What to cancel in its place, where `work` only waits for it.

    Raises:
        ClientGone: the client went away; the work is cancelled and has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        # Work that is done at once needs nobody to watch the connection.
        if not (await asyncio.wait({task}, timeout=AT_ONCE_S))[0] and await _left(http, task):
            (otherwise or task).cancel()
            await asyncio.wait({otherwise or task})
            raise ClientGone
        return task.result()
    finally:
        task.cancel()


async def _left(http: Request, task: asyncio.Future[Any]) -> bool:
    """Wait for the end of the task or of the connection; returns whether it was the connection's."""
    gone = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return not task.done()
    finally:
        gone.cancel()


async def _gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
