"""The service on PostgreSQL; run where `HEADRACE_TEST_POSTGRES` names a server on which databases may be made."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, create_engine, make_url, text
from sqlmodel import SQLModel

from app import refold
from app.settings import Environment
from app.storage.engine import database_url, hold, open_writer
from app.storage.errors import DatabaseHeld
from app.storage.migrate import migrate, pending
from tests.app.harness import Embedding, House, entry, running, settings_of

SERVER = os.environ.get("HEADRACE_TEST_POSTGRES", "")
QUESTIONS = 50

pytestmark = pytest.mark.skipif(not SERVER, reason="HEADRACE_TEST_POSTGRES names no PostgreSQL server")


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards."""
    name = f"headrace_test_{uuid.uuid4().hex}"
    server = create_engine(make_url(SERVER).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def resolved(database: str, tmp_path: Path) -> URL:
    return database_url(database, tmp_path)


def test_the_migrations_make_what_the_models_say(resolved: URL) -> None:
    migrate(resolved)
    assert pending(resolved) == []
    engine = open_writer(resolved)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    engine.dispose()


async def test_a_second_service_is_refused_until_the_first_has_ended(
    database: str, data_dir: Path, resolved: URL
) -> None:
    async with running(data_dir, settings_of(storage={"url": database})) as house:
        await house.answered()
        with pytest.raises(DatabaseHeld, match="in use by another process"), hold(resolved):
            pass
    with hold(resolved):
        pass


async def lived(house: House) -> None:
    """Let the service answer, learn, be rated in every way, and change."""
    for at in range(QUESTIONS):
        answer = await house.answered(f"What is {at} times 7?", user=f"user-{at % 4}", router={"tags": {"a": "b"}})
        if at % 2:
            await house.thumb(answer["id"], value=at % 3 > 0)
        if at % 7 == 0:
            await rated(house, answer["id"], metric_name="rating", value=0.3)
            await rated(house, answer["id"], metric_name="comment", value="great")
    made = await house.client.post("/v1/admin/models", json=entry("new"))
    assert made.status_code == 201, made.text
    for path, body in (("promote", {"parameters": {"depth": 2}, "force": True}), ("rollback", {}), ("freeze", None)):
        assert (await house.client.post(f"/v1/admin/policies/{path}", json=body)).status_code == 200, path
    await house.thumb((await house.answered())["id"])
    assert (await house.client.post("/v1/admin/policies/unfreeze")).status_code == 200
    await house.quiet()


async def rated(house: House, inference_id: str, **item: Any) -> None:
    reply = await house.client.post("/v1/feedback", json={"inference_id": inference_id, **item})
    assert reply.status_code == 202, reply.text


async def test_the_service_lives_on_postgresql_as_it_does_on_sqlite(
    database: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"control": {"share": 0.1}, "objective": {"kind": "budget", "usd_per_request": 0.2}}
    settings = settings_of(storage={"url": database, "content": True}, **given)
    told = []
    for home, own in ((data_dir, settings), (tmp_path / "lite", settings_of(storage={"content": True}, **given))):
        async with running(home, own) as house:
            await lived(house)
            found = [
                await house.get(f"/v1/admin/{path}") for path in ("savings", "spend", "spend?by=model&since=2020-01-01")
            ]
            for path in ("models", "models/new/onboarding", "alarms", "policies", "jobs", "keys", "objective"):
                assert await house.get(f"/v1/admin/{path}")
            assert "headrace_observations" in (await house.client.get("/metrics")).text
            for job in ("snapshot", "retune", "expire"):
                assert "error" not in (await house.client.post(f"/v1/admin/jobs/{job}/run")).json(), job
            evaluated = await house.client.post("/v1/admin/policies/evaluate", json={"parameters": {"margin": 0.01}})
            assert evaluated.json()["decisions"] > QUESTIONS / 2, evaluated.text
            learner = await house.get("/v1/admin/learner")
            before = house.dump()
        told.append((found, learner["feedback_events"], learner["state"]))
        async with running(home, own) as again:
            assert again.dump() == before
    (posted, *counted), (kept, *expected) = told
    assert counted == expected
    savings, lite = posted[0], kept[0]
    assert savings["requests"] == lite["requests"] > QUESTIONS
    assert savings["auto"]["rated"] == lite["auto"]["rated"] > 0
    assert [spend["total_usd"] for spend in posted[1:]] == pytest.approx([posted[1]["total_usd"]] * 2)
    monkeypatch.setattr("app.refold.open_embedding", lambda *_: Embedding(size=32))
    environment = Environment(config_path=None, data_dir=data_dir, admin_key=None, url="")
    replay = await refold.replayed(settings, environment)
    assert set(replay["snapshots"].values()) == {"equal"}


async def test_requests_and_feedback_at_once_are_all_stored(database: str, data_dir: Path) -> None:
    async with running(data_dir, settings_of(storage={"url": database})) as house:
        answers = await asyncio.gather(*(house.answered(f"What is {at} times 7?") for at in range(QUESTIONS)))
        replies = await asyncio.gather(*(house.thumb(answer["id"]) for answer in answers))
        assert {reply.status_code for reply in replies} == {202}
        await house.quiet()
        assert (await house.get("/v1/admin/learner"))["feedback_events"] == QUESTIONS
        assert (await house.get("/v1/admin/spend"))["requests"] == QUESTIONS
