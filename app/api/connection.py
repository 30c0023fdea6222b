"""Work that is worth doing only while its client waits for it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")


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
    gone = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        (otherwise or task).cancel()
        await asyncio.wait({otherwise or task})
        raise ClientGone
    finally:
        for unfinished in (task, gone):
            unfinished.cancel()


async def _gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
