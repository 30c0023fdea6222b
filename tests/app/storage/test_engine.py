import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engine import database_file, database_url, hold
from app.storage.errors import DatabaseHeld, StorageUnavailable


def test_a_relative_file_lies_in_the_data_directory(tmp_path: Path) -> None:
    assert database_file(database_url("sqlite:///headrace.db", tmp_path)) == tmp_path / "headrace.db"


def test_an_absolute_file_stays_where_it_is(tmp_path: Path) -> None:
    assert database_file(database_url("sqlite:////srv/x.db", tmp_path)) == Path("/srv/x.db")


def test_a_server_has_no_file_and_keeps_its_password_out_of_sight(tmp_path: Path) -> None:
    url = database_url("postgresql://headrace:geheim@db/headrace", tmp_path)
    assert database_file(url) is None
    assert url.password == "geheim"
    assert "geheim" not in str(url)


@pytest.mark.parametrize("configured", ["", "headrace.db", "mysql://db/headrace", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_names_no_usable_database_is_refused_with_what_to_write(configured: str, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"sqlite:///FILE"):
        database_url(configured, tmp_path)


async def test_every_connection_writes_ahead_and_waits_for_the_disk(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2


def test_a_held_database_is_refused_and_the_holder_named(url: URL) -> None:
    with hold(url), pytest.raises(DatabaseHeld, match=str(os.getpid())), hold(url):
        raise AssertionError("held twice")


def test_a_database_is_free_after_its_holder_let_go(url: URL) -> None:
    with hold(url):
        pass
    with hold(url):
        pass


def test_a_holder_that_dies_frees_the_database(url: URL, tmp_path: Path) -> None:
    lock = tmp_path / "headrace.db.lock"
    code = (
        f"import fcntl, os; f = open({str(lock)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(DatabaseHeld), hold(url):
            pass
        holder.kill()
    with hold(url):
        pass


def test_a_lock_that_cannot_be_written_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = database_url("sqlite:///file/headrace.db", tmp_path)
    with pytest.raises(StorageUnavailable, match=str(tmp_path / "file")), hold(url):
        pass


def test_a_server_that_cannot_be_held_is_told(tmp_path: Path) -> None:
    url = database_url("postgresql://headrace:geheim@127.0.0.1:9/headrace", tmp_path)
    with pytest.raises(StorageUnavailable) as told, hold(url):
        pass
    assert "geheim" not in str(told.value)
