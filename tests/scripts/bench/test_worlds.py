from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.bench.worlds import World, common_start, read_folder, read_worlds, spread

USD = {"dear": 3e-3, "cheap": 1e-5, "middle": 1e-4, "o1-mini": 1e-9}


def write(folder: Path, rows: list[dict[str, Any]], queries: list[dict[str, Any]], name: str = "answers") -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(queries), folder / "queries.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def query(at: int, source: str = "exam") -> dict[str, Any]:
    return {"query_id": f"q{at}", "source": source, "prompt": f"Question {at}?", "input_tokens_est": 10 + at}


def outcome(at: int, model: str, answer: str | None, **more: Any) -> dict[str, Any]:
    told = {"query_id": f"q{at}", "model": model, "answer": answer, "correct": answer == "A", "cost_usd": USD[model]}
    return told | {"output_tokens_est": 5 + at} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    said = {"cheap": "B", "middle": None, "dear": "A", "o1-mini": "A"}
    rows = [outcome(at, model, answer) for at in range(20) for model, answer in said.items()]
    write(tmp_path / "recorded", rows, [query(at) for at in range(20)])
    return tmp_path / "recorded"


def test_a_pool_ascends_in_price_and_leaves_out_models_with_hidden_tokens(folder: Path) -> None:
    (world,) = read_folder(folder)
    assert world.models == ("cheap", "middle", "dear")
    assert world.name == "recorded"
    assert world.quality.tolist() == [[0.0, 0.0, 1.0]] * 20


def test_equal_recorded_answers_share_a_group_and_a_missing_one_stands_alone(tmp_path: Path) -> None:
    said = {"cheap": "A", "middle": None, "dear": "A", "o1-mini": "A"}
    rows = [outcome(at, model, answer) for at in range(4) for model, answer in said.items()]
    write(tmp_path / "recorded", rows, [query(at) for at in range(4)])
    (world,) = read_folder(tmp_path / "recorded")
    assert world.groups.tolist() == [[0, 1, 0]] * 4


def test_outcomes_without_any_text_cannot_be_compared(tmp_path: Path) -> None:
    rows = [outcome(at, model, "A") for at in range(4) for model in ("cheap", "dear")]
    kept = [{key: value for key, value in row.items() if key != "answer"} for row in rows]
    write(tmp_path / "recorded", kept, [query(at) for at in range(4)], "outcomes")
    (world,) = read_folder(tmp_path / "recorded")
    assert (world.groups == -1).all()
    assert not world.is_comparable


def test_sources_answered_by_other_models_are_another_world(tmp_path: Path) -> None:
    rows = [outcome(at, model, "A") for at in range(6) for model in ("cheap", "dear")]
    rows += [outcome(at, "middle", "A") for at in range(6, 9)]
    queries = [query(at, "exam_a" if at < 3 else "exam_b") for at in range(6)]
    write(tmp_path / "recorded", rows, queries + [query(at, "other") for at in range(6, 9)])
    assert [world.name for world in read_folder(tmp_path / "recorded")] == ["recorded/exam", "recorded/other"]


def test_queries_that_a_model_did_not_answer_are_left_out(tmp_path: Path) -> None:
    rows = [outcome(at, "cheap", "A") for at in range(40)] + [outcome(at, "dear", "A") for at in range(39)]
    write(tmp_path / "recorded", rows, [query(at) for at in range(40)])
    (world,) = read_folder(tmp_path / "recorded")
    assert len(world.prompts) == 39


def test_a_large_pool_is_thinned_evenly_in_price_rank() -> None:
    kept = spread([str(i) for i in range(22)])
    assert len(kept) == 8
    assert (kept[0], kept[-1]) == ("0", "21")


def test_a_tree_without_the_known_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"queries\.parquet"):
        read_worlds(tmp_path)


def test_the_package_s_stream_has_three_models_and_is_rated_always() -> None:
    (world,) = read_worlds(None)
    assert len(world.models) == 3
    assert world.rated_share == 1.0
    assert not world.is_graded
    assert world.quality.shape == world.usd.shape == (len(world.prompts), 3)


def test_a_stream_is_a_permutation_that_the_seed_decides(world: World) -> None:
    stream = world.stream(3, 50)
    assert len(set(stream.prompts)) == 50
    assert stream.prompts == world.stream(3, 50).prompts != world.stream(4, 50).prompts
    at = world.prompts.index(stream.prompts[17])
    assert np.array_equal(stream.quality[17], world.quality[at])


def test_budgets_go_from_the_cheapest_to_the_best_model(world: World) -> None:
    costs = world.usd.mean(axis=0)
    assert world.budget_usd(0.0) == pytest.approx(costs[0])
    assert world.budget_usd(1.0) == pytest.approx(costs[2])
    assert world.budget_usd(0.5) == pytest.approx(np.sqrt(costs[0] * costs[2]))


def test_the_common_start_of_names_is_found() -> None:
    assert common_start(["zeroeval_gsm", "zeroeval_crux"]) == "zeroeval_"
    assert common_start(["mmlu", "gsm8k"]) == ""
