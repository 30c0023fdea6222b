"""`headrace policy evaluate` against a running service, and `headrace replay` on its database."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from typer.testing import CliRunner, Result

from app.cli import app
from app.storage.engine import database_url, hold
from tests.app.harness import Embedding, House, on_a_port, running, settings_of

Client = Callable[..., Awaitable[Result]]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    structlog.reset_defaults()  # a command has told it to write to the runner's standard error


async def live(house: House, n: int = 4) -> None:
    for at in range(n):
        answer = await house.answered(f"What is {at} times 7?")
        await house.thumb(answer["id"], value=at % 2 == 0)
        await house.quiet()


async def test_an_evaluation_is_a_table_its_needs_and_its_warnings(house: House) -> None:
    await live(house)
    async with on_a_port(house.app) as url:
        result = await asyncio.to_thread(run, "policy", "evaluate", "--margin", "0.01", "--url", url)
        told = await asyncio.to_thread(run, "policy", "evaluate", "headrace@1", "--days", "1", "--json", "--url", url)
        refused = await asyncio.to_thread(run, "policy", "evaluate", "headrace@9", "--url", url)
    assert result.exit_code == 0, result.stderr
    for part in ("margin 0.01", "replay", "snips", "gain in utility", "dr needs true propensities", "4 decisions"):
        assert part in result.stdout
    assert "Warning: only 4 routed decisions" in result.stdout
    assert "Not to be trusted." in result.stdout
    found: dict[str, Any] = json.loads(told.stdout)
    assert found["estimators"]["dr"]["difference"]["utility"]["mean"] == 0.0
    assert refused.exit_code == 1
    assert "404: There is no version" in refused.stderr


def test_a_candidate_must_be_named_in_one_way() -> None:
    for arguments in ((), ("headrace@1", "--depth", "2")):
        result = run("policy", "evaluate", *arguments)
        assert result.exit_code == 2
        assert "Name a version, or what to change" in result.stderr


# -- replay -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let commands find the data directory, with the settings and the embedding of the tests' service."""
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(data_dir))
    for module in ("app.refold", "app.cli"):
        monkeypatch.setattr(f"{module}.open_embedding", lambda *_: Embedding(size=32))
    path = data_dir.parent / "headrace.yaml"
    path.write_text(yaml.safe_dump({"objective": {"kind": "tradeoff", "usd_per_point": 0.001}}))
    return path


def damage(data_dir: Path) -> None:
    """Change what was said of one answer, past the service."""
    with closing(sqlite3.connect(data_dir / "headrace.db")) as connection:
        connection.execute("UPDATE feedback SET reward = 1.0 - reward")
        connection.commit()


async def test_the_log_folds_to_what_the_snapshot_says_until_somebody_changes_it(data_dir: Path, config: Path) -> None:
    async with running(data_dir, settings_of()) as house:
        await house.client.post("/v1/admin/policies/freeze")
        await live(house)
        await house.client.post("/v1/admin/policies/unfreeze")
        await house.quiet()
        seq = house.service.learning.seq
    told = await asyncio.to_thread(run, "replay", "--config", config, "--json")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["events"], found["requests"], found["kinds"]["feedback"]) == (seq, 4, 4)
    assert found["snapshots"] == {str(seq): "equal"}
    result = await asyncio.to_thread(run, "replay", "--config", config)
    assert f"Snapshot after event {seq}: equal." in result.stdout
    damage(data_dir)
    changed = await asyncio.to_thread(run, "replay", "--config", config)
    assert changed.exit_code == 1
    assert f"Snapshot after event {seq}: differs." in changed.stdout


async def test_events_are_folded_under_the_limits_of_exploration_that_held_then(data_dir: Path, config: Path) -> None:
    seqs: list[int] = []
    for max_share, n in ((0.5, 4), (0.05, 4), (0.2, 0), (0.1, 4)):
        async with running(
            data_dir, settings_of(exploration={"max_share": max_share, "max_usd_per_day": 1.0})
        ) as house:
            await live(house, n)
            seqs.append(house.service.learning.seq)
    told = await asyncio.to_thread(run, "replay", "--config", config, "--json")
    assert told.exit_code == 0, told.stdout
    found = json.loads(told.stdout)
    assert found["snapshots"] == {str(seq): "equal" for seq in seqs}
    assert found["limits"] == [
        {"until": seqs[0], "max_share": 0.5, "max_usd_per_day": 1.0},
        {"until": seqs[1], "max_share": 0.05, "max_usd_per_day": 1.0},
        {"until": seqs[3], "max_share": 0.1, "max_usd_per_day": 1.0},
        {"until": None, "max_share": 0.1, "max_usd_per_day": 5.0},
    ]
    damage(data_dir)
    changed = await asyncio.to_thread(run, "replay", "--config", config)
    assert changed.exit_code == 1
    assert "The limits of exploration have changed." in changed.stdout


def test_a_replay_is_refused_while_a_service_holds_the_database(data_dir: Path, config: Path) -> None:
    with hold(database_url("sqlite:///headrace.db", data_dir)):
        result = run("replay", "--config", config)
    assert result.exit_code == 1
    assert "is in use by process" in result.stderr


def test_an_empty_log_is_said_to_be_empty(config: Path) -> None:
    result = run("replay", "--config", config)
    assert result.exit_code == 0, result.stderr
    assert "Folded 0 events" in result.stdout
    assert "no snapshot to compare with" in result.stdout
