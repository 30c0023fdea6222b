import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from typer.testing import CliRunner, Result

from app import feedback_commands
from app.cli import app
from app.feedback_file import UnusableFile, read_items
from tests.app.harness import House, on_a_port

Client = Callable[..., Awaitable[Result]]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # a command has told it to write to the runner's standard error


@pytest.fixture
async def remote(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Run a command against a running service, in batches of four rows."""
    monkeypatch.delenv("HEADRACE_ADMIN_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(feedback_commands, "BATCH", 4)
    async with on_a_port(house.app) as url:
        yield lambda *arguments: asyncio.to_thread(run, *arguments, "--url", url)


@pytest.fixture
async def ids(house: House) -> list[str]:
    return [(await house.answered(f"What is {n} times 7?"))["id"] for n in range(10)]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def thumb(inference_id: str, value: Any = True, **more: Any) -> dict[str, Any]:
    return {"inference_id": inference_id, "metric_name": "thumbs", "value": value, **more}


def stored(house: House) -> list[dict[str, Any]]:
    return house.select(
        "SELECT inference_id, metric, value, tags, source, occurred_at FROM feedback ORDER BY event_seq"
    )


async def events_of(house: House) -> int:
    told: int = (await house.get("/v1/admin/learner"))["feedback_events"]
    return told


async def test_a_file_is_imported_in_batches_and_told(
    remote: Client, house: House, ids: list[str], tmp_path: Path
) -> None:
    result = await remote("feedback", "import", jsonl(tmp_path / "f.jsonl", [thumb(i) for i in ids]))
    assert result.exit_code == 0, result.stderr
    assert "Stored 10 of 10 rows" in result.stdout
    assert [row["inference_id"] for row in stored(house)] == ids


async def test_csv_jsonl_and_parquet_say_the_same(remote: Client, house: House, ids: list[str], tmp_path: Path) -> None:
    moment = "2026-11-20T12:00:00+00:00"
    rows = [
        thumb(ids[0], False, occurred_at=moment, source="web", tags={"page": "home"}),
        {"inference_id": ids[1], "metric_name": "rating", "value": 0.25},
        {"inference_id": ids[2], "metric_name": "demonstration", "value": "42"},
    ]
    cells = [{**row, "value": str(row["value"]), "tags": json.dumps(row["tags"]) if "tags" in row else None}
             for row in rows]  # fmt: skip
    jsonl(tmp_path / "f.jsonl", rows)
    names = ("inference_id", "metric_name", "value", "occurred_at", "source", "tags")
    quoted = [[str(cell.get(name) or "").replace('"', '""') for name in names] for cell in cells]
    lines = [",".join(names), *(",".join(f'"{cell}"' for cell in row) for row in quoted)]
    (tmp_path / "f.csv").write_text("\n".join(lines))
    columns = {name: [cell.get(name) for cell in cells] for name in names}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    told = []
    for form in ("jsonl", "csv", "parquet"):
        result = await remote("feedback", "import", tmp_path / f"f.{form}", "--json")
        assert json.loads(result.stdout) == {"rows": 3, "stored": 3, "refused": []}
        told.append(stored(house)[-3:])
    assert told[0] == told[1] == told[2]
    assert told[0][0] == {
        "inference_id": ids[0], "metric": "thumbs", "value": "false", "tags": '{"page":"home"}', "source": "web",
        "occurred_at": 1795176000.0,
    }  # fmt: skip
    assert await events_of(house) == 3


async def test_an_import_that_is_repeated_counts_nothing_twice(
    remote: Client, house: House, ids: list[str], tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "f.jsonl", [thumb(i) for i in ids])
    await remote("feedback", "import", path)
    async with house.unchanged():
        result = await remote("feedback", "import", path)
    assert "Stored 10 of 10 rows" in result.stdout


async def test_the_first_bad_row_is_told_with_its_number_and_the_rest_waits(
    remote: Client, house: House, ids: list[str], tmp_path: Path
) -> None:
    rows = [thumb(i) for i in ids]
    rows[6]["value"] = 5
    result = await remote("feedback", "import", jsonl(tmp_path / "f.jsonl", rows), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["rows"], told["stored"]) == (10, 6)
    assert told["refused"] == [{"row": 7, "error": "thumbs: 5 should be true or false"}]
    assert [row["inference_id"] for row in stored(house)] == ids[:6]
    rows[6]["value"] = False
    result = await remote("feedback", "import", jsonl(tmp_path / "f.jsonl", rows))
    assert result.exit_code == 0, result.stdout
    assert await events_of(house) == 10


async def test_with_keep_going_only_the_bad_rows_are_left_out(
    remote: Client, house: House, ids: list[str], tmp_path: Path
) -> None:
    rows = [thumb(i) for i in ids]
    rows[1]["inference_id"] = "chatcmpl-none"
    rows[2]["vlaue"] = True
    del rows[8]["inference_id"]
    path = jsonl(tmp_path / "f.jsonl", rows)
    result = await remote("feedback", "import", path, "--keep-going")
    assert result.exit_code == 1
    assert "Stored 7 of 10 rows" in result.stdout
    for words in (
        "Row 2: no inference has the id 'chatcmpl-none'",
        "Row 3: vlaue",
        "Row 9: inference_id: null should",
    ):
        assert words in result.stdout
    assert [row["inference_id"] for row in stored(house)] == [i for n, i in enumerate(ids) if n not in (1, 2, 8)]
    async with house.unchanged():
        await remote("feedback", "import", path, "--keep-going")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("f.csv", "inference_id,value\n", ("lacks the columns metric_name",)),
        ("f.csv", "inference_id,metric_name,value,colour\na,thumbs,true,red\n", ("unknown columns colour",)),
        ("f.csv", "inference_id,metric_name,value,tags\na,thumbs,true,red\n", ("row 1", "tags", "red")),
        ("f.jsonl", '{"inference_id": "a"}\nnonsense\n', ("row 2", "not JSON")),
        ("f.jsonl", "[1]\n", ("row 1", "JSON object")),
        ("f.jsonl", '{"value": Infinity}\n', ("row 1", "Infinity")),
        ("f.parquet", "no parquet", ("parquet",)),
        ("f.txt", "", (".csv, .jsonl, .parquet",)),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_and_nothing_is_sent(
    remote: Client, house: House, tmp_path: Path, name: str, content: str, words: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(content)
    async with house.unchanged():
        result = await remote("feedback", "import", tmp_path / name)
    assert result.exit_code == 1
    for word in (name, *words):
        assert word in result.stderr.replace("\n", " ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "none.csv" in run("feedback", "import", tmp_path / "none.csv").stderr


def test_where_no_service_answers_an_import_ends_with_a_message(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "f.jsonl", [thumb("a")])
    result = run("feedback", "import", path, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "headrace serve" in result.stderr


async def test_a_refusal_that_is_no_rows_fault_ends_the_import(
    remote: Client, house: House, ids: list[str], tmp_path: Path
) -> None:
    await house.key("me", scopes=["admin"])
    async with house.unchanged():
        result = await remote("feedback", "import", jsonl(tmp_path / "f.jsonl", [thumb(i) for i in ids]))
    assert result.exit_code == 1
    assert "401" in result.stderr
    assert "0 rows are stored" in result.stderr


async def test_one_value_is_sent_with_and_without_the_name_of_the_command(
    remote: Client, house: House, ids: list[str]
) -> None:
    assert (await remote("feedback", ids[0], "true")).exit_code == 0
    assert (await remote("feedback", "send", ids[1], "0.5", "--metric", "rating")).exit_code == 0
    assert (await remote("feedback", "--metric", "rating", ids[2], "0.5")).exit_code == 0
    assert [row["metric"] for row in stored(house)] == ["thumbs", "rating", "rating"]


async def test_a_value_of_a_text_metric_is_sent_as_text(remote: Client, house: House, ids: list[str]) -> None:
    for metric, value in (("demonstration", "42"), ("comment", "true"), ("comment", "NaN")):
        result = await remote("feedback", "send", ids[0], value, "--metric", metric)
        assert result.exit_code == 0, result.stderr
    assert [row["metric"] for row in stored(house)] == ["demonstration", "comment", "comment"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "[NaN]", "[" * 100_000])
async def test_a_value_that_json_cannot_say_is_told(remote: Client, house: House, ids: list[str], value: str) -> None:
    async with house.unchanged():
        result = await remote("feedback", "send", ids[0], value, "--metric", "rating")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert any(words in result.stderr for words in ("finite number", "cannot be sent", "should be"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("f.jsonl", '{"value": "\\ud800"}\n', ("row 1", "surrogates")),
        ("f.jsonl", "[" * 100_000 + "\n", ("row 1", "recursion")),
        ("f.csv", "metric_name,value,tags\na,b," + "[" * 100_000 + "\n", ("row 1", "tags")),
        ("f.csv", 'metric_name,value,tags\na,b,"{""a"": ""\\udc00""}"\n', ("row 1", "surrogates")),
        ("f.csv", 'metric_name,value,tags\na,b,"{""a"": NaN}"\n', ("row 1", "float")),
    ],
)
def test_a_row_that_json_cannot_say_is_told(tmp_path: Path, name: str, content: str, words: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnusableFile) as raised:
        read_items(tmp_path / name)
    for word in words:
        assert word in str(raised.value)


def test_a_csv_cell_of_deep_brackets_is_text(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("metric_name,value\nmood," + "[" * 100_000 + "\n")
    assert read_items(tmp_path / "f.csv")[0]["value"] == "[" * 100_000


def parquet(path: Path, **columns: Any) -> Path:
    named = {"metric_name": pa.array(["rating"]), **{name: pa.array(cells) for name, cells in columns.items()}}
    pq.write_table(pa.table(named), path)
    return path


def test_decimals_and_dates_of_parquet_are_read(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for moment, said in ((noon, noon.isoformat()), (noon.date(), "2026-11-20")):
        path = parquet(tmp_path / "f.parquet", value=[Decimal("0.25")], occurred_at=[moment])
        assert read_items(path) == [{"metric_name": "rating", "value": 0.25, "occurred_at": said}]


@pytest.mark.parametrize("cell", [b"\xff", timedelta(seconds=1)])
def test_another_cell_of_parquet_is_told_with_its_row(tmp_path: Path, cell: object) -> None:
    with pytest.raises(UnusableFile, match=r"row 1 .*a cell of the type (bytes|timedelta)"):
        read_items(parquet(tmp_path / "f.parquet", value=[cell]))


def test_tags_of_parquet_that_are_no_map_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"row 1: tags should be a JSON object"):
        read_items(parquet(tmp_path / "f.parquet", value=[1.0], tags=[[1, 2]]))


PAGE = "<html><body>nginx</body></html>"


def proxied(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Any], int]) -> list[Any]:
    """Stand before the service as a proxy that answers with pages; returns what it was sent."""
    sent: list[Any] = []

    def request(_: str, __: str, *, json: Any, **___: Any) -> httpx.Response:
        sent.append(json)
        return httpx.Response(answer(json), html=PAGE)

    monkeypatch.setattr(httpx, "request", request)
    return sent


def test_a_batch_that_is_too_large_is_halved_until_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = proxied(monkeypatch, lambda body: 413 if isinstance(body, list) or body["value"] == "x" * 9 else 202)
    rows = [thumb(f"i-{n}", "x" * 9 if n == 2 else True) for n in range(4)]
    result = run("feedback", "import", jsonl(tmp_path / "f.jsonl", rows), "--keep-going", "--json")
    assert json.loads(result.stdout)["stored"] == 3
    assert json.loads(result.stdout)["refused"] == [{"row": 3, "error": "413: too large to be sent"}]
    assert [len(body) for body in sent if isinstance(body, list)] == [4, 2, 2]


@pytest.mark.parametrize("status", [200, 302, 404, 422, 502])
def test_a_page_of_a_proxy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    proxied(monkeypatch, lambda _: status)
    path = jsonl(tmp_path / "f.jsonl", [thumb("a")])
    for arguments in (("import", path), ("send", "a", "true")):
        result = run("feedback", *arguments)
        assert result.exit_code == 1
        assert f"{status}: the reply (text/html; charset=utf-8) is not one of the service" in result.stderr


@pytest.mark.parametrize("status", [200, 502])
def test_other_commands_too_say_that_a_page_is_not_the_services(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    def page(*_: object, **__: object) -> httpx.Response:
        return httpx.Response(status, html=PAGE)

    monkeypatch.setattr(httpx, "request", page)
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 1
    assert f"{status}: the reply (text/html; charset=utf-8) is not one of the service" in result.stderr
