from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.warm_start import UnusableData, answer_groups, entries, read_outcomes, unknown_models
from tests.app.harness import House

ROW = {
    "prompt": "What is 6 times 7?", "model": "small", "response": "It is 42.", "quality": 1.0, "cost_usd": 0.001,
    "input_tokens": 10, "output_tokens": 5,
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


async def teach(house: House, path: Path) -> None:
    outcomes = read_outcomes(path)
    for entry in entries(
        outcomes, house.service.learning.features, house.service.pool.ids(), house.service.router.clock
    ):
        await house.service.journal.append(entry)
    await house.service.learning.settled()


def test_outcomes_are_read_by_prompt_in_order_of_appearance(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"prompt": "And 2?"}, ROW | {"model": "large", "response": None}]
    outcomes = read_outcomes(write(tmp_path / "d.parquet", rows))
    assert list(outcomes) == ["What is 6 times 7?", "And 2?"]
    assert [(o.model, o.response) for o in outcomes["What is 6 times 7?"]] == [("small", "It is 42."), ("large", "")]


def test_responses_may_be_left_out_altogether(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "response"}
    ((outcome,),) = read_outcomes(write(tmp_path / "d.parquet", [row])).values()
    assert outcome.response == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quality": 1.5}, ("row 1", "quality", "1.5", "0 to 1")),
        ({"quality": -0.1}, ("row 1", "quality", "-0.1")),
        ({"quality": float("nan")}, ("row 1", "quality", "nan")),
        ({"quality": None}, ("row 1", "quality")),
        ({"prompt": None}, ("row 1", "prompt")),
        ({"model": None}, ("row 1", "model")),
        ({"cost_usd": -1.0}, ("row 1", "cost")),
        ({"cost_usd": float("nan")}, ("row 1", "cost")),
        ({"cost_usd": float("inf")}, ("row 1", "cost")),
        ({"input_tokens": -1}, ("row 1", "token")),
    ],
)
def test_a_bad_row_is_refused_with_its_number(tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]) -> None:
    path = write(tmp_path / "d.parquet", [ROW, ROW | change])
    with pytest.raises(UnusableData) as caught:
        read_outcomes(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"quality": "good"}, {"input_tokens": 1.5}, {"cost_usd": "free"}, {"output_tokens": "many"}]
)
def test_a_column_of_the_wrong_type_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UnusableData, match="wrong type"):
        read_outcomes(write(tmp_path / "d.parquet", [ROW | change]))


def test_a_file_without_a_column_is_refused_with_its_name(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name not in ("quality", "model")}
    with pytest.raises(UnusableData, match=r"lacks the columns model, quality; it needs prompt, model"):
        read_outcomes(write(tmp_path / "d.parquet", [row]))


@pytest.mark.parametrize("content", [b"", b"prompt,model\n", b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.parquet").write_bytes(content)
    with pytest.raises(UnusableData, match="cannot be read as parquet"):
        read_outcomes(tmp_path / "d.parquet")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"none\.parquet"):
        read_outcomes(tmp_path / "none.parquet")


def test_models_outside_of_the_pool_are_told(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"model": "x"}, ROW | {"model": "a"}]
    assert unknown_models(read_outcomes(write(tmp_path / "d.parquet", rows)), ["small"]) == ["a", "x"]


def test_equal_answers_share_a_number_and_empty_ones_have_none() -> None:
    first, empty, other, equal = answer_groups(["The answer is 42.", "", "41", "42"], "What is 6 times 7?")
    assert empty is None
    assert first == equal
    assert other not in (first, None)


async def test_what_is_taught_moves_the_belief_and_costs_nothing(house: House, tmp_path: Path) -> None:
    before = await house.get("/v1/admin/learner")
    rows = [ROW | {"prompt": f"What is {n} times 7?", "model": m, "quality": q}
            for n in range(20) for m, q in (("small", 1.0), ("large", 0.0))]  # fmt: skip
    await teach(house, write(tmp_path / "d.parquet", rows))
    after = await house.get("/v1/admin/learner")
    assert after["models"]["small"]["quality"] > before["models"]["small"]["quality"]
    assert after["models"]["large"]["quality"] < before["models"]["large"]["quality"]
    assert after["observations"] == before["observations"] + 40
    assert after["feedback_events"] == 0
    assert (await house.get("/v1/admin/spend"))["total_usd"] == 0.0


async def test_each_query_is_one_event_and_models_outside_of_the_pool_are_left_out(
    house: House, tmp_path: Path
) -> None:
    rows = [ROW, ROW | {"model": "large"}, ROW | {"model": "x"}, ROW | {"prompt": "Only x?", "model": "x"}]
    await teach(house, write(tmp_path / "d.parquet", rows))
    assert house.select("SELECT count(*) AS n FROM events WHERE kind = 'recorded'") == [{"n": 1}]
    assert [row["model"] for row in house.select("SELECT model FROM recorded")] == ["small", "large"]


async def test_what_was_taught_holds_no_prompt(house: House, tmp_path: Path) -> None:
    await teach(house, write(tmp_path / "d.parquet", [ROW | {"prompt": "about tulips", "response": "tulips"}]))
    assert all(b"tulips" not in file.read_bytes() for file in house.data_dir.glob("headrace.db*"))
