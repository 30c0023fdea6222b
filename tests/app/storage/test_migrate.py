import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL
from sqlmodel import SQLModel

from app.storage.engine import database_file, database_url, open_writer
from app.storage.errors import NewerDatabase, StorageUnavailable
from app.storage.migrate import check, migrate, pending

ROOT = Path(__file__).parents[3]


def contents(url: URL) -> list[str]:
    with closing(sqlite3.connect(str(database_file(url)))) as database:
        return list(database.iterdump())


@pytest.fixture
def newer(url: URL) -> URL:
    with closing(sqlite3.connect(str(database_file(url)))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    return url


def test_an_empty_place_gets_a_database_and_the_folder_for_it(tmp_path: Path) -> None:
    url = database_url("sqlite:///headrace.db", tmp_path / "new" / "folder")
    assert pending(url) == ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"]
    migrate(url)
    assert pending(url) == []
    assert any("CREATE TABLE decisions" in line for line in contents(url))


def test_asking_what_is_pending_creates_nothing(tmp_path: Path) -> None:
    url = database_url("sqlite:///headrace.db", tmp_path)
    check(url)
    pending(url)
    assert list(tmp_path.iterdir()) == []


def test_migrating_again_changes_nothing(url: URL) -> None:
    before = contents(url)
    migrate(url)
    assert contents(url) == before


def test_the_migrations_make_exactly_the_tables_of_the_code(url: URL) -> None:
    assert "decisions" in SQLModel.metadata.tables
    engine = open_writer(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


async def test_migrating_works_inside_a_running_event_loop(tmp_path: Path) -> None:
    url = database_url("sqlite:///headrace.db", tmp_path)
    migrate(url)
    assert pending(url) == []


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    url = database_url("sqlite:///headrace.db", tmp_path)
    with closing(sqlite3.connect(tmp_path / "headrace.db")) as database, database:
        database.execute("CREATE TABLE spend (mine INTEGER)")
    before = contents(url)
    with pytest.raises(StorageUnavailable, match="spend"):
        migrate(url)
    assert contents(url) == before


@pytest.mark.parametrize("visit", [migrate, check, pending])
def test_a_newer_database_is_refused_unchanged(visit: object, newer: URL) -> None:
    assert callable(visit)
    before = contents(newer)
    with pytest.raises(NewerDatabase, match=r"9999.*0010"):
        visit(newer)
    assert contents(newer) == before


def test_a_file_that_is_no_database_is_refused_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "headrace.db").write_text("this is a letter, not a database " * 100)
    with pytest.raises(StorageUnavailable, match=r"headrace\.db"):
        migrate(database_url("sqlite:///headrace.db", tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match=f"{tmp_path}/file/headrace.db.*HEADRACE_DATA_DIR"):
        migrate(database_url("sqlite:///headrace.db", tmp_path / "file"))


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Give up the right of root to write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("visit", [migrate, check])
def test_a_folder_without_permission_is_named(visit: object, tmp_path: Path) -> None:
    assert callable(visit)
    url = database_url("sqlite:///headrace.db", tmp_path / "locked")
    (tmp_path / "locked").mkdir(mode=0o000)
    with an_ordinary_user(), pytest.raises(StorageUnavailable, match=f"{tmp_path}/locked.*HEADRACE_DATA_DIR"):
        visit(url)


def test_the_folder_of_the_migrations_does_not_hide_the_library() -> None:
    assert (ROOT / "alembic" / "env.py").is_file()
    assert not list((ROOT / "alembic").rglob("__init__.py"))


def undo_0003(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE calls DROP COLUMN explored_share")
    database.execute("ALTER TABLE calls ADD COLUMN explored BOOLEAN NOT NULL DEFAULT 0")


def undo_0007(database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE policies")


def undo_0005(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE decisions DROP COLUMN parent_id")


def undo_0006(database: sqlite3.Connection) -> None:
    for column in ("key_id", "explored_quality"):
        database.execute(f"ALTER TABLE calls DROP COLUMN {column}")
    database.execute("DROP TABLE spend")
    database.execute(
        "CREATE TABLE spend (day VARCHAR NOT NULL, model VARCHAR NOT NULL, account VARCHAR NOT NULL, "
        "purpose VARCHAR NOT NULL, usd FLOAT NOT NULL, explored_usd FLOAT NOT NULL, calls INTEGER NOT NULL, "
        "PRIMARY KEY (day, model, account, purpose))"
    )


def undo_0008(database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE alarms")


def undo_0009(database: sqlite3.Connection) -> None:
    for column in ("control", "best_chance", "cheapest_chance"):
        database.execute(f"ALTER TABLE decisions DROP COLUMN {column}")


def undo_0010(database: sqlite3.Connection) -> None:
    for table, column in (("decisions", "created_at"), ("calls", "inference_id")):
        database.execute(f"DROP INDEX ix_{table}_{column}")
        database.execute(f"CREATE INDEX ix_{table}_{column} ON {table} ({column})")


def undo_all_but_keys(database: sqlite3.Connection) -> None:
    for undo in (undo_0010, undo_0009, undo_0008, undo_0007, undo_0006, undo_0005, undo_0004, undo_0003):
        undo(database)


def undo_0004(database: sqlite3.Connection) -> None:
    database.execute("DROP INDEX ix_decisions_episode")
    for column in ("decisions.episode", "decisions.query_seal", "calls.seal",
                   "feedback.seal", "feedback.episode", "feedback.share"):  # fmt: skip
        table, _, name = column.partition(".")
        database.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def test_a_database_of_the_second_version_keeps_its_rows(url: URL) -> None:
    with closing(sqlite3.connect(str(database_file(url)))) as database, database:
        undo_all_but_keys(database)
        database.execute("UPDATE alembic_version SET version_num = '0002'")
        database.execute("INSERT INTO events VALUES (1, 0.0, 'model', 'small', '{}')")
        database.execute(
            "INSERT INTO feedback (id, inference_id, metric, tags, received_at) VALUES ('f', 'i', 'thumbs', '{}', 1)"
        )
        database.execute(
            "INSERT INTO calls (inference_id, step, model, purpose, outcome, input_tokens, output_tokens, cost_usd, "
            "latency_s, account, explored, evidence, created_at) VALUES "
            "('i', 0, 'small', 'shadow', 'ok', 1, 1, 0.5, 0, 'background', 1, '{}', 1), "
            "('i', 1, 'small', 'answer', 'ok', 1, 1, 0.5, 0, 'request', 0, '{}', 1)"
        )
    migrate(url)
    found = "\n".join(contents(url))
    with closing(sqlite3.connect(str(database_file(url)))) as database:
        shares = database.execute("SELECT explored_share FROM calls ORDER BY step").fetchall()
    assert shares == [(1.0,), (None,)]
    assert "CREATE INDEX ix_decisions_episode" in found
    assert "'small'" in found
    assert "'thumbs'" in found


def test_a_database_of_the_first_version_gets_keys_and_keeps_its_rows(url: URL) -> None:
    with closing(sqlite3.connect(str(database_file(url)))) as database, database:
        database.execute("DROP TABLE api_keys")
        database.execute("DROP INDEX ix_decisions_key_id")
        undo_all_but_keys(database)
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.execute("INSERT INTO events VALUES (1, 0.0, 'model', 'small', '{}')")
    assert pending(url) == ["0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"]
    migrate(url)
    found = "\n".join(contents(url))
    assert "CREATE TABLE api_keys" in found
    assert "CREATE INDEX ix_decisions_key_id" in found
    assert "'small'" in found


def test_spend_from_before_keys_were_noted_is_kept_as_nobodys(url: URL) -> None:
    with closing(sqlite3.connect(str(database_file(url)))) as database, database:
        for undo in (undo_0010, undo_0009, undo_0008, undo_0007, undo_0006):
            undo(database)
        database.execute("UPDATE alembic_version SET version_num = '0005'")
        database.execute("INSERT INTO spend VALUES ('2026-01-02', 'small', 'background', 'shadow', 0.5, 0.25, 3)")
    migrate(url)
    with closing(sqlite3.connect(str(database_file(url)))) as database:
        columns = "day, model, account, purpose, key_id, usd, explored_usd, explored_quality, calls, requests"
        kept = database.execute(f"SELECT {columns} FROM spend").fetchall()
    assert kept == [("2026-01-02", "small", "background", "shadow", "", 0.5, 0.25, 0.0, 3, 0)]
