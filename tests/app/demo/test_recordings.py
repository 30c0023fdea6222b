import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.demo.recordings import WORDLESS, from_folder, from_paretobandit
from app.demo.worlds import DemoError, World
from learner.answers import extract


async def mean_usd(world: World, model: str) -> float:
    answers = [await world.source(model, prompt) for prompt in world.prompts]
    return sum(world.cost_usd(model, answer) for answer in answers if answer) / len(answers)


def test_a_folder_gives_the_largest_source_and_the_models_that_answered_all_of_it(recorded_folder: Path) -> None:
    world = from_folder(recorded_folder)
    assert world.models == ("cheap", "dear", "middling")
    assert len(world.prompts) == 24
    assert all(prompt.startswith("big") for prompt in world.prompts)
    assert (world.metric, world.feedback_share) == ("thumbs", 0.3)


def test_the_stream_of_a_folder_has_its_recorded_order(recorded_folder: Path) -> None:
    assert from_folder(recorded_folder).prompts[0] == "big question 23?"


async def test_prices_fitted_to_a_folder_reproduce_its_bills(recorded_folder: Path) -> None:
    world = from_folder(recorded_folder)
    rows = pq.read_table(recorded_folder / "answers.parquet").to_pylist()
    for model in world.models:
        bills = [row["cost_usd"] for row in rows if row["model"] == model and row["query_id"].startswith("big")]
        assert await mean_usd(world, model) == pytest.approx(sum(bills) / len(bills), rel=1e-3)


async def test_the_budget_of_a_folder_is_a_quarter_of_its_best_models_cost(recorded_folder: Path) -> None:
    world = from_folder(recorded_folder)
    assert world.usd_per_request == pytest.approx(0.25 * await mean_usd(world, "dear"))
    assert world.late == "middling"


async def test_a_folder_answers_with_its_recorded_texts(recorded_folder: Path) -> None:
    answer = await from_folder(recorded_folder).source("dear", "big  question\n4?")
    assert answer is not None
    assert (answer.text, answer.reward) == ("dear on big-4", 1.0)


def test_a_missing_file_or_column_is_named(recorded_folder: Path) -> None:
    table = pq.read_table(recorded_folder / "answers.parquet")
    pq.write_table(table.drop_columns(["correct"]), recorded_folder / "answers.parquet")
    with pytest.raises(DemoError, match="no column correct"):
        from_folder(recorded_folder)
    with pytest.raises(DemoError, match=r"queries\.parquet does not exist"):
        from_folder(recorded_folder / "nowhere")


def test_a_folder_with_one_complete_model_is_refused(recorded_folder: Path) -> None:
    table = pq.read_table(recorded_folder / "answers.parquet")
    only = [row for row in table.to_pylist() if row["model"] in {"dear", "partial"}]
    pq.write_table(table.from_pylist(only), recorded_folder / "answers.parquet")
    with pytest.raises(DemoError, match="1 models answered all queries of 'big'"):
        from_folder(recorded_folder)


def example_rows() -> list[dict[str, Any]]:
    folder = Path(str(distribution("paretobandit").locate_file("pareto_bandit/data/examples")))
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.strip().split("\n")]


def write_package(site: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Lay files out as an installed paretobandit does; its prices are 0.1/0.1, 0.5/1.5 and 1.25/10 USD per Mtok."""
    data, info = site / "pareto_bandit", site / "paretobandit-0.1.1.dist-info"
    for folder in (data / "config", data / "data" / "examples", info):
        folder.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paretobandit\nVersion: 0.1.1\n")
    prices = {"l": (0.1, 0.1), "m": (0.5, 1.5), "g": (1.25, 10.0), "unused": (1.0, 1.0)}
    models = [{"model_id": m, "input_cost_per_m": a, "output_cost_per_m": b} for m, (a, b) in prices.items()]
    (data / "config" / "models.json").write_text(json.dumps({"models": models}))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (data / "data" / "examples" / "val.jsonl").write_text("".join(lines[::2]), encoding="utf-8")
    (data / "data" / "examples" / "test_holdout.jsonl").write_text("".join(lines[1::2]), encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {"l": (0.7, 3.73e-05), "m": (0.9, 0.0006155), "g": (0.95, 0.03494625)}
    outcome = {model: {"reward": reward, "cost": cost} for model, (reward, cost) in arms.items()}
    write_package(tmp_path, [{"prompt": f"Prompt {at} with a\u2028separator", "arms": outcome} for at in range(10)])
    monkeypatch.syspath_prepend(str(tmp_path))


async def test_the_package_gives_rewards_and_bills_but_no_words(package: None) -> None:
    world = from_paretobandit()
    answer = await world.source("g", world.prompts[0])
    assert answer is not None
    assert answer.reward == 0.95
    assert world.cost_usd("g", answer) == pytest.approx(0.03494625, rel=1e-9)
    assert answer.text == WORDLESS


@pytest.mark.parametrize("prompt", ["How many?", "Which one?\nA. this\nB. that", "Write a function.", "Is it so?"])
def test_the_text_in_place_of_words_holds_nothing_that_counts_as_an_answer(prompt: str) -> None:
    assert extract(WORDLESS, prompt).key == ""


def test_the_package_gives_both_of_its_streams_in_an_order_that_the_seed_fixes(package: None) -> None:
    assert len(from_paretobandit().prompts) == 10
    assert from_paretobandit().prompts == from_paretobandit().prompts
    assert from_paretobandit(seed=1).prompts != from_paretobandit(seed=2).prompts


def test_the_package_is_rated_and_its_middle_model_comes_late(package: None) -> None:
    world = from_paretobandit()
    assert (world.metric, world.feedback_share, world.late, world.models) == ("rating", 1.0, "m", ("l", "m", "g"))


async def test_the_installed_package_reproduces_every_recorded_bill() -> None:
    try:
        distribution("paretobandit")
    except PackageNotFoundError:
        pytest.skip("the extra `demo` is not installed")
    world = from_paretobandit()
    assert len(world.prompts) == 3609
    assert world.late == "mistralai/mistral-large-2512"
    for row in example_rows():
        for model, outcome in row["arms"].items():
            answer = await world.source(model, row["prompt"])
            assert answer is not None
            assert world.cost_usd(model, answer) == pytest.approx(outcome["cost"], rel=1e-6)
