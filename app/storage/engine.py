"""The way to the database: its URL, its engine, and the lock that one service holds on it.

A configuration names `sqlite:///headrace.db`, relative to the data directory, or `postgresql://…`. SQLite runs in WAL
mode with full synchronisation: a commit that returned survives the loss of power.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.storage.errors import DatabaseHeld, StorageUnavailable

BUSY_TIMEOUT_S = 30
# Any number that no other program is likely to lock in the same database.
ADVISORY_LOCK = int.from_bytes(b"headrace", "big")
USAGE = "Use sqlite:///FILE (relative to the data directory), sqlite:////ABSOLUTE/FILE or postgresql://USER@HOST/NAME."


def database_url(configured: str, data_dir: Path) -> URL:
    """Turn the configured URL into one that names its place and driver in full.

    Args:
        configured: `sqlite:///FILE` (relative to `data_dir`), `sqlite:////FILE` (absolute) or `postgresql://…`.
        data_dir: The data directory.

    Raises:
        StorageUnavailable: The URL cannot be read, names another kind of database, or names no file.
    """
    try:
        url = make_url(configured)
    except ArgumentError as err:
        raise StorageUnavailable(f"storage.url is not the URL of a database. {USAGE}") from err
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise StorageUnavailable(f"storage.url begins with {url.drivername!r}, which is not supported. {USAGE}")
    if url.database in (None, "", ":memory:"):
        raise StorageUnavailable(f"storage.url {configured!r} names no file. {USAGE}")
    return url.set(database=str(data_dir.absolute() / str(url.database)))


def database_file(url: URL) -> Path | None:
    """Return the file of a SQLite database, None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def open_engine(url: URL) -> AsyncEngine:
    """Build the engine for queries on the event loop; it connects at first use.

    Raises:
        StorageUnavailable: The driver of this kind of database is not installed.
    """
    with _driver_needed():
        if database_file(url) is None:
            return create_async_engine(url, **_options(url))
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"), **_options(url))
        event.listen(engine.sync_engine, "connect", _make_durable)
        return engine


def open_writer(url: URL) -> Engine:
    """Build the engine for work in a thread of its own: the journal's transactions, and migrations.

    A transaction of the asynchronous SQLite driver changes threads at every step, some fifteen times; this one does
    not, and costs a third of the processor time.

    Args:
        url: As `database_url` gives it, or the URL of an engine that `open_engine` built.

    Raises:
        StorageUnavailable: The driver of this kind of database is not installed.
    """
    with _driver_needed():
        if database_file(url) is None:
            return create_engine(url, **_options(url))
        engine = create_engine(url.set(drivername="sqlite"), **_options(url))
        event.listen(engine, "connect", _make_durable)
        return engine


@contextmanager
def _driver_needed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as err:
        raise StorageUnavailable(f"{err.name} is not installed: pip install 'headrace[postgres]'.") from err


def _options(url: URL) -> dict[str, Any]:
    lite = database_file(url) is not None
    return {
        "hide_parameters": True,  # errors are logged, and parameters may hold prompts
        "json_serializer": partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":")),
        "connect_args": {"timeout": BUSY_TIMEOUT_S} if lite else {},
        "pool_pre_ping": not lite,
    }


def _make_durable(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn a failure to reach, read or write the database into `StorageUnavailable`, which names it."""
    try:
        yield
    except (DBAPIError, OSError) as err:
        reason = err.orig if isinstance(err, DBAPIError) else err
        path = database_file(url)
        if path is None:
            place, mend = url.render_as_string(), "Check that the server runs and that storage.url is right."
        else:
            place, mend = str(path), "Check that it is a Headrace database and that this user may write to it and to "
            mend += f"{path.parent}, or set HEADRACE_DATA_DIR to a directory that this user owns."
        raise StorageUnavailable(f"The database {place} cannot be used: {reason}. {mend}") from err


@contextmanager
def hold(url: URL) -> Iterator[None]:
    """Hold the database for this process, so that no second one writes to it.

    The operating system releases the lock on a file when the process ends, however it ends; PostgreSQL releases its own
    when the connection ends.

    Raises:
        DatabaseHeld: Another process holds it.
        StorageUnavailable: The lock file cannot be written, or the server does not answer.
    """
    path = database_file(url)
    if path is None:
        with _hold_server(url):
            yield
        return
    lock = path.with_name(path.name + ".lock")
    with explained(url):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _hold_server(url: URL) -> Iterator[None]:
    engine = open_writer(url)
    try:
        with explained(url):
            # A transaction would stay open for as long as the service runs.
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            is_ours = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})").scalar_one()
        if not is_ours:
            raise DatabaseHeld(f"The database {url.render_as_string()} is in use by another process. Stop that first.")
        yield
        with suppress(DBAPIError):
            connection.close()
    finally:
        engine.dispose()


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        holder = os.read(descriptor, 32).decode() or "unknown"
        raise DatabaseHeld(f"The database {path} is in use by process {holder}. Stop that service first.") from err
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
