import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.storage.engine import database_url
from app.storage.migrate import migrate
from tests.app.harness import House, Upstream, running


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this version: making one anew for every test takes most of its time."""
    folder = tmp_path_factory.mktemp("migrated")
    migrate(database_url("sqlite:///headrace.db", folder))
    return folder / "headrace.db"


@pytest.fixture
def data_dir(migrated: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(migrated, folder)
    return folder


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def house(data_dir: Path, upstream: Upstream) -> AsyncIterator[House]:
    """A service with the models `small`, `middle` and `large`, without a key."""
    async with running(data_dir, upstream=upstream) as house:
        yield house


@pytest.fixture
async def open_house(data_dir: Path, upstream: Upstream) -> AsyncIterator[Callable[..., Any]]:
    """Start a service with other settings; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(settings: Any = None, **options: Any) -> House:
            given: dict[str, Any] = {"upstream": upstream, "data_dir": data_dir} | options
            return await stack.enter_async_context(running(given.pop("data_dir"), settings, **given))

        yield start
