import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
import yaml
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from typer.testing import CliRunner, Result

from app.cli import app
from app.storage.engine import database_url, hold
from tests.app.harness import House, entry, on_a_port, select

ROWS = [
    {"prompt": f"What is {n} times 7?", "model": model, "response": str(7 * n), "quality": 1.0, "cost_usd": 0.0,
     "input_tokens": 10, "output_tokens": 5}
    for n in range(4) for model in ("small", "unheard-of")
]  # fmt: skip


@pytest.fixture(scope="session")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static embedding of forty words, so that no command distils a real one."""
    folder = tmp_path_factory.mktemp("embedding")
    words = {"[UNK]": 0} | {word: n for n, word in enumerate((f"word{n}" for n in range(39)), start=1)}
    Tokenizer(WordLevel(words, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    vectors = np.random.default_rng(7).normal(size=(len(words), 32)).astype(np.float16)
    save_file({"embedding.weight": vectors}, folder / "model.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data directory that the environment names; no other variable of the service is set."""
    for name in os.environ:
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "200")
    yield tmp_path / "store"
    structlog.reset_defaults()  # `serve` has told it to write to the runner's standard error


@pytest.fixture
def config(tmp_path: Path, folder: Path, embedding: Path) -> Path:
    path = tmp_path / "headrace.yaml"
    path.write_text(yaml.safe_dump({"models": [entry("small"), entry("large")], "embedding": {"path": str(embedding)}}))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def run(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)


def told(result: Result) -> str:
    """Return what a command said on its way to failing; it must not be a traceback."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code != 0
    return result.stderr.replace("\n", " ")


# -- the configuration file -------------------------------------------------------------------------------------------


def test_a_right_configuration_is_said_to_be_right(config: Path) -> None:
    result = run("config", "check", config)
    assert result.exit_code == 0
    assert "2 models, objective tradeoff" in result.stdout


def test_every_problem_of_a_configuration_is_told_with_file_line_and_key(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(
        "objective: {kind: budget}\n"
        "models:\n"
        "  - id: small\n"
        "    provider: openai\n"
        "    base_url: http://127.0.0.1:9/v1\n"
        "    pirce: {}\n"
        "timeouts: {upstream_s: soon}\n"
    )
    result = run("config", "check", path)
    assert result.exit_code == 1
    for line in (
        f"{path}:1: objective.usd_per_request",
        f"{path}:6: models[0].pirce",
        f"{path}:7: timeouts.upstream_s",
    ):
        assert line in result.stderr
    assert "did you mean price?" in result.stderr
    assert "models[0].price: is missing" in result.stderr
    assert not folder.exists()


@pytest.mark.parametrize("command", [("migrate",), ("serve",), ("learn", "--data", "x.parquet")])
def test_no_command_starts_with_a_broken_configuration_and_nothing_is_stored(
    tmp_path: Path, folder: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("modles: []\n")
    said = told(run(*command, "--config", path))
    assert f"{path}:1: modles" in said
    assert "did you mean models?" in said
    assert not folder.exists()


def test_a_configuration_that_is_not_there_is_told_with_its_name(tmp_path: Path, folder: Path) -> None:
    assert "none.yaml: there is no such file" in told(run("config", "check", tmp_path / "none.yaml"))


def test_the_schema_of_the_configuration_is_json() -> None:
    result = run("config", "schema")
    assert "objective" in json.loads(result.stdout)["properties"]


# -- the database -----------------------------------------------------------------------------------------------------


def test_migrate_makes_the_database_and_may_be_run_again(config: Path, folder: Path) -> None:
    for _ in range(2):
        result = run("migrate", "--config", config)
        assert result.exit_code == 0, result.stderr
        assert "up to date" in result.stdout
    assert select(folder, "SELECT count(*) AS n FROM events") == [{"n": 0}]


@pytest.mark.parametrize("command", [("migrate",), ("serve",), ("learn",)])
def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(
    config: Path, folder: Path, data: Path, command: tuple[str, ...]
) -> None:
    run("migrate", "--config", config)
    with closing(sqlite3.connect(folder / "headrace.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (folder / "headrace.db").read_bytes()
    arguments = ("--data", data) if command == ("learn",) else ()
    said = told(run(*command, "--config", config, *arguments))
    assert "9999" in said
    assert "newer version" in said
    assert (folder / "headrace.db").read_bytes() == before


@pytest.mark.parametrize("command", [("migrate",), ("serve",), ("learn",)])
def test_a_database_that_a_service_holds_is_refused_with_the_reason(
    config: Path, folder: Path, data: Path, command: tuple[str, ...]
) -> None:
    run("migrate", "--config", config)
    before = (folder / "headrace.db").read_bytes()
    arguments = ("--data", data) if command == ("learn",) else ()
    with hold(database_url("sqlite:///headrace.db", folder)):
        said = told(run(*command, "--config", config, *arguments))
    assert f"in use by process {os.getpid()}" in said
    assert "Stop that service" in said
    assert (folder / "headrace.db").read_bytes() == before


@pytest.mark.parametrize("command", [("serve",), ("learn",)])
def test_an_older_database_that_a_service_holds_is_not_migrated_beneath_it(
    config: Path, folder: Path, data: Path, command: tuple[str, ...]
) -> None:
    url = database_url("sqlite:///headrace.db", folder)
    arguments = ("--data", data) if command == ("learn",) else ()
    with hold(url):
        with closing(sqlite3.connect(folder / "headrace.db")):
            pass
        said = told(run(*command, "--config", config, *arguments))
        assert "in use" in said
        assert select(folder, "SELECT name FROM sqlite_master") == []


@pytest.mark.parametrize("command", [("migrate",), ("serve",), ("learn",)])
def test_a_file_in_place_of_the_data_directory_is_told_with_its_name(
    config: Path, folder: Path, data: Path, command: tuple[str, ...]
) -> None:
    folder.write_text("a file")
    arguments = ("--data", data) if command == ("learn",) else ()
    said = told(run(*command, "--config", config, *arguments))
    assert str(folder) in said
    assert "HEADRACE_DATA_DIR" in said
    assert folder.read_text() == "a file"


# -- serve ------------------------------------------------------------------------------------------------------------


def test_without_a_key_serve_refuses_to_listen_beyond_loopback(config: Path, folder: Path) -> None:
    said = told(run("serve", "--config", config, "--host", "0.0.0.0"))
    assert "0.0.0.0" in said
    assert "HEADRACE_ADMIN_KEY" in said


@pytest.mark.parametrize(("revoked_at", "is_refused"), [(None, False), (2.0, True)])
def test_a_stored_key_that_is_valid_lets_serve_listen_beyond_loopback(
    config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, revoked_at: float | None, is_refused: bool
) -> None:
    run("migrate", "--config", config)
    with closing(sqlite3.connect(folder / "headrace.db")) as connection, connection:
        connection.execute(
            "INSERT INTO api_keys (id, name, secret_sha256, scopes, created_at, revoked_at) "
            "VALUES ('a', 'me', '', '[\"admin\"]', 1.0, ?)",
            [revoked_at],
        )
    listened: list[Any] = []
    monkeypatch.setattr("uvicorn.run", lambda _, **options: listened.append(options["host"]))
    result = run("serve", "--config", config, "--host", "0.0.0.0")
    assert (result.exit_code == 2) == is_refused, result.stderr
    assert listened == ([] if is_refused else ["0.0.0.0"])


def test_a_variable_of_an_upstreams_key_that_is_not_set_is_named(
    config: Path, folder: Path, embedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = [
        entry("small", api_key_env="SMALL_TEST_KEY"),
        entry("large", api_key_env="LARGE_TEST_KEY"),
        entry("middle"),
    ]
    config.write_text(yaml.safe_dump({"models": keyed, "embedding": {"path": str(embedding)}}))
    monkeypatch.setenv("LARGE_TEST_KEY", "sk-here")
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    for command in (("serve", "--config", config), ("config", "check", config)):
        result = run(*command)
        assert result.exit_code == 0, result.stderr
        assert "SMALL_TEST_KEY is not set: the model small is called without a key." in result.stderr
        assert result.stderr.count("is not set") == 1
        assert "sk-here" not in result.stdout + result.stderr


@pytest.mark.parametrize("port", ["0", "70000", "http"])
def test_a_port_that_is_none_is_refused(folder: Path, port: str) -> None:
    assert "port" in told(run("serve", "--port", port))


# -- learn ------------------------------------------------------------------------------------------------------------


def test_learn_teaches_what_a_file_holds_and_says_what_it_left_out(config: Path, folder: Path, data: Path) -> None:
    result = run("learn", "--config", config, "--data", data)
    assert result.exit_code == 0, result.stderr
    assert "Learned 4 queries" in result.stdout
    assert "unheard-of" in result.stdout
    assert select(folder, "SELECT count(*) AS n FROM recorded") == [{"n": 4}]


def test_learn_prints_json(config: Path, data: Path) -> None:
    result = run("learn", "--config", config, "--data", data, "--json")
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "queries": 4, "observations": 4, "unknown_models": ["unheard-of"],
    }  # fmt: skip


def test_with_json_nothing_but_json_is_printed(config: Path, data: Path) -> None:
    assert json.loads(run("learn", "--config", config, "--data", data, "--json").stdout)


def test_learn_counts_the_queries_that_it_learned(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "others.parquet"
    pq.write_table(pa.Table.from_pylist([row for row in ROWS if row["model"] == "unheard-of"]), path)
    result = run("learn", "--config", config, "--data", path, "--json")
    assert json.loads(result.stdout.splitlines()[-1])["queries"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [({"quality": 7.0}, ("row 8", "quality 7.0", "0 to 1")), ({"cost_usd": -1.0}, ("row 8", "negative"))],
)
def test_a_file_with_one_bad_row_teaches_nothing(
    config: Path, folder: Path, tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.Table.from_pylist([*ROWS, ROWS[0] | change]), path)
    said = told(run("learn", "--config", config, "--data", path))
    for word in ("bad.parquet", *words):
        assert word in said
    assert not (folder / "headrace.db").exists()


def test_a_file_that_is_not_there_is_told(config: Path, tmp_path: Path) -> None:
    assert "none.parquet" in told(run("learn", "--config", config, "--data", tmp_path / "none.parquet"))


# -- clients of a running service -------------------------------------------------------------------------------------

Client = Callable[..., Awaitable[Result]]


@pytest.fixture
async def remote(house: House, folder: Path) -> AsyncIterator[Client]:
    """Run a command against a running service."""
    async with on_a_port(house.app) as url:
        yield lambda *arguments, given=None: asyncio.to_thread(run, *arguments, "--url", url, given=given)


async def test_models_are_listed_as_a_table_and_as_json(remote: Client) -> None:
    assert "middle" in (await remote("models", "list")).stdout
    listed = json.loads((await remote("models", "list", "--json")).stdout)
    assert [model["id"] for model in listed] == ["small", "middle", "large"]


async def test_tables_are_plain_columns_and_cut_nothing_off(
    remote: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = {"input_usd_per_mtok": 1.1, "output_usd_per_mtok": 4.40}
    await house.client.post("/v1/admin/models", json=entry("org/[bold]new", price=price))
    (row,) = (line for line in (await remote("models", "list")).stdout.splitlines() if "org/" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "org/[bold]new", "registered", "openai", "1.1", "4.4", "api",
    ]  # fmt: skip
    admin = await house.key("me", scopes=["admin"])
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", admin["key"])
    house.client.headers["Authorization"] = f"Bearer {admin['key']}"
    limits = {"budget": {"usd": 2.5, "per": "day"}, "objective": {"kind": "quality_floor", "quality": 0.7}}
    app_key = await house.key("app", **limits)
    await house.client.delete(f"/v1/admin/keys/{app_key['id']}")
    keys = (await remote("keys", "list")).stdout
    (row,) = (line for line in keys.splitlines() if "app" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:-1] == [app_key["id"], "app", "inference, feedback", "2.5 USD a day", "0", "quality_floor 0.7"]
    assert cells[-1].startswith("20")
    assert "None" not in keys
    monkeypatch.setenv("COLUMNS", "60")
    narrow = (await remote("keys", "list")).stdout
    assert app_key["id"] in narrow
    assert "…" not in narrow


async def test_learning_is_frozen_and_unfrozen(remote: Client, house: House) -> None:
    assert json.loads((await remote("policy", "freeze", "--json")).stdout)["state"] == "frozen"
    assert (await house.ask()).headers["x-headrace-learning"] == "frozen"
    assert json.loads((await remote("policy", "unfreeze", "--json")).stdout)["since"] is None
    assert (await house.ask()).headers["x-headrace-learning"] == "on"


async def test_a_model_is_shown_with_what_was_learned_of_it(remote: Client) -> None:
    shown = json.loads((await remote("models", "show", "small", "--json")).stdout)
    assert (shown["id"], shown["learned"]["quality"]) == ("small", pytest.approx(0.6, abs=0.05))


async def test_a_model_is_shown_with_how_far_it_has_come(remote: Client, house: House) -> None:
    await house.client.post("/v1/admin/models", json=entry("org/new"))
    shown = json.loads((await remote("models", "show", "org/new", "--json")).stdout)
    assert (shown["onboarding"]["id"], shown["onboarding"]["progress"]["quiz"]["of"]) == ("org/new", 30)


async def test_a_model_is_added_from_a_file_and_retired(remote: Client, house: House, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(entry("new")))
    assert json.loads((await remote("models", "add", path, "--json")).stdout)["id"] == "new"
    assert "new" in house.service.pool.ids()
    assert json.loads((await remote("models", "retire", "new", "--json")).stdout)["state"] == "retired"
    assert "new" not in house.service.pool.ids()


async def test_a_model_is_added_from_standard_input(remote: Client, house: House) -> None:
    assert (await remote("models", "add", "-", given=json.dumps(entry("new")))).exit_code == 0
    assert "new" in house.service.pool.ids()


@pytest.mark.parametrize("content", ["id: [", "just words", "", "id: new\n"])
async def test_a_file_that_is_no_model_is_told_and_changes_nothing(
    remote: Client, house: House, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    async with house.unchanged():
        assert told(await remote("models", "add", path))


async def test_a_file_of_a_model_that_is_not_there_is_told(remote: Client, tmp_path: Path) -> None:
    assert "none.yaml" in told(await remote("models", "add", tmp_path / "none.yaml"))


async def test_what_the_service_refuses_is_told_with_its_status(remote: Client) -> None:
    said = told(await remote("models", "show", "none"))
    assert "404" in said
    assert "none" in said


async def test_a_key_is_made_used_listed_and_revoked(
    remote: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = json.loads((await remote("keys", "create", "me", "--scope", "admin", "--json")).stdout)
    assert "401" in told(await remote("keys", "list"))
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", admin["key"])
    objective = '{"kind": "quality_floor", "quality": 0.7}'
    options = ("--scope", "inference", "--budget-usd", "2.5", "--per", "day", "--objective", objective)
    made = json.loads((await remote("keys", "create", "app", *options, "--json")).stdout)
    assert made["budget"] == {"usd": 2.5, "per": "day"}
    assert (made["scopes"], made["objective"]) == (["inference"], json.loads(objective))
    listed = json.loads((await remote("keys", "list", "--json")).stdout)
    assert [key["name"] for key in listed] == ["me", "app"]
    table = (await remote("keys", "list")).stdout
    assert made["id"] in table
    assert made["key"].rpartition("-")[2] not in table
    assert json.loads((await remote("keys", "revoke", made["id"], "--json")).stdout)["revoked_at"]
    assert "404" in told(await remote("keys", "revoke", "none"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--scope", "root"), "scopes[0]"),
        (("--scope", "admin", "--budget-usd", "0"), "budget.usd"),
        (("--scope", "admin", "--budget-usd", "1", "--per", "week"), "budget.per"),
        (("--scope", "admin", "--objective", "cheap"), "not JSON"),
        ((), "first key needs the scope admin"),
    ],
)
async def test_a_key_that_cannot_be_made_is_told(
    remote: Client, house: House, options: tuple[str, ...], word: str
) -> None:
    async with house.unchanged():
        assert word in told(await remote("keys", "create", "app", *options))


async def test_feedback_is_sent(remote: Client, house: House) -> None:
    answer = await house.answered()
    assert json.loads((await remote("feedback", answer["id"], "false", "--json")).stdout)["feedback_id"]
    assert (await remote("feedback", answer["id"], "0.5", "--metric", "rating")).exit_code == 0
    assert house.select("SELECT metric, value FROM feedback ORDER BY event_seq") == [
        {"metric": "thumbs", "value": "false"}, {"metric": "rating", "value": 0.5},
    ]  # fmt: skip


def test_where_no_service_answers_the_command_says_how_to_start_one(folder: Path) -> None:
    said = told(run("models", "list", "--url", "http://127.0.0.1:9"))
    assert "http://127.0.0.1:9" in said
    assert "headrace serve" in said


def test_an_address_that_is_none_is_told(folder: Path) -> None:
    assert "not-an-address" in told(run("models", "list", "--url", "not-an-address"))
