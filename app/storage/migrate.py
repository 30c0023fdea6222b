"""Bring a database to the shape that this version expects, and refuse one of a later version.

The scripts are the folder `alembic/` of the source tree; a wheel carries it as `app/storage/migrations`. The functions
are synchronous and work whether or not an event loop runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection

from app.storage.engine import database_file, explained, open_writer
from app.storage.errors import NewerDatabase


def migrate(url: URL) -> None:
    """Create the database, or bring an older one up to date; all of it or nothing.

    Raises:
        NewerDatabase: A later version has migrated it; nothing is changed.
        StorageUnavailable: It cannot be reached or written.
    """
    path = database_file(url)
    if path is not None:
        with explained(url):
            path.parent.mkdir(parents=True, exist_ok=True)
    with _connected(url) as connection:
        _upgrade(connection)


def check(url: URL) -> None:
    """Refuse a database that a later version has migrated, and change nothing.

    Raises:
        NewerDatabase: The stored revision is not known here.
        StorageUnavailable: The database cannot be reached.
    """
    pending(url)


def pending(url: URL) -> list[str]:
    """List the revisions that `migrate` would apply, in their order, and change nothing.

    Raises:
        NewerDatabase: The stored revision is not known here.
        StorageUnavailable: The database cannot be reached.
    """
    path = database_file(url)
    with explained(url):
        is_new = path is not None and not path.exists()
    if is_new:
        return _following(None)
    with _connected(url) as connection:
        return _following(_revision(connection))


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # The driver would begin a transaction only at the first row, after the tables are made.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    _following(_revision(connection))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _following(revision: str | None) -> list[str]:
    scripts = ScriptDirectory.from_config(_config())
    known = [script.revision for script in scripts.walk_revisions()][::-1]
    if revision is not None and revision not in known:
        raise NewerDatabase(
            f"The database has revision {revision}, and this version of Headrace knows none after {known[-1]}: a newer "
            "version has migrated it. Install that version, or restore a backup from before. Nothing was changed."
        )
    return known[known.index(revision) + 1 :] if revision else known


def _config() -> Config:
    packaged = Path(__file__).with_name("migrations")
    scripts = packaged if packaged.is_dir() else Path(__file__).parents[2] / "alembic"
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    engine = open_writer(url)
    try:
        with explained(url), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
