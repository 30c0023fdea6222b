from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.app.harness import House, Upstream, running


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def house(tmp_path: Path, upstream: Upstream) -> AsyncIterator[House]:
    """A service with the models `small`, `middle` and `large`, without a key."""
    async with running(tmp_path / "data", upstream=upstream) as house:
        yield house


@pytest.fixture
async def open_house(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Callable[..., Any]]:
    """Start a service with other settings; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(settings: Any = None, **options: Any) -> House:
            given = {"upstream": upstream, "data_dir": tmp_path / "data"} | options
            return await stack.enter_async_context(running(given.pop("data_dir"), settings, **given))

        yield start
