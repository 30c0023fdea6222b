"""Work that a client waits for ends with its client, and nobody else's cancellation is taken for the client's."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Request

from app.api import connection
from app.api.connection import ClientGone, while_connected


@pytest.fixture(autouse=True)
def watched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "AT_ONCE_S", 0.0)


class Client:
    """A connection that `leave` closes."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.on_leaving: Callable[[], object] = lambda: None
        self.request = Request({"type": "http", "headers": []}, self._receive)

    async def _receive(self) -> Any:
        await self.leave.wait()
        self.on_leaving()
        return {"type": "http.disconnect"}


class Work:
    """Runs until it is cancelled, and says so."""

    def __init__(self) -> None:
        self.begun, self.is_cancelled = asyncio.Event(), False

    async def run(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def ended(act: Callable[[Client, "asyncio.Task[None]"], object]) -> tuple[type[BaseException] | None, bool, int]:
    """Have work under way, act, and return how the waiting ended, whether the work did, and pending cancellations."""
    client, work = Client(), Work()
    told: list[tuple[type[BaseException] | None, int]] = []

    async def wait() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await while_connected(client.request, work.run())
        except BaseException as err:
            told.append((type(err), task.cancelling()))
            if isinstance(err, asyncio.CancelledError):
                raise

    task = asyncio.create_task(wait())
    await work.begun.wait()
    for _ in range(5):
        await asyncio.sleep(0.001)
    act(client, task)
    await asyncio.wait({task}, timeout=5)
    (end,) = told
    return end[0], work.is_cancelled, end[1]


async def test_the_result_of_work_that_ends_is_returned() -> None:
    assert await while_connected(Client().request, asyncio.sleep(0.01, "done")) == "done"


async def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await while_connected(Client().request, fail())


async def test_a_client_that_leaves_ends_the_work_and_leaves_no_cancellation_behind() -> None:
    assert await ended(lambda client, _: client.leave.set()) == (ClientGone, True, 0)


async def test_a_cancellation_from_elsewhere_is_no_client_that_left() -> None:
    assert await ended(lambda _, task: task.cancel()) == (asyncio.CancelledError, True, 1)


async def test_a_shutdown_counts_though_the_client_leaves_in_the_same_moment() -> None:
    def both(client: Client, task: "asyncio.Task[None]") -> None:
        client.on_leaving = task.cancel
        client.leave.set()

    kind, is_cancelled, _ = await ended(both)
    assert (kind, is_cancelled) == (asyncio.CancelledError, True)
