from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learner.features import Features
from scripts.bench import fusion
from scripts.bench.fusion import MODES, Fused, Outcome, Task, difference, outcomes, table, worlds_with_texts
from scripts.bench.metrics import Sample
from scripts.bench.play import Case, play
from tests.scripts.conftest import MakeWorld


@pytest.mark.parametrize("mode", MODES)
def test_a_panel_pays_for_all_its_calls_and_gives_one_of_its_answers(
    make: MakeWorld, features: Features, mode: str
) -> None:
    world = make(60)
    case = Case(world, features, world.budget_usd(1.0), 0)
    played = play(case, Fused(case, {}, mode))
    assert played.calls.min() >= 2
    given = world.usd[np.arange(len(played.model)), played.model]
    assert (played.usd > given).all()


def test_auto_routing_gets_the_money_that_fusion_spent(
    make: MakeWorld, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "features_from", lambda _: features)
    world = make(60)
    found = outcomes(Task(world, {1.0: world.budget_usd(1.0)}, {}, 0, None))
    assert [outcome.mode for outcome in found] == list(MODES)
    assert all(len(o.fused.quality) == len(o.routed.quality) == 30 for o in found)
    assert table(found).count("\n") == 1 + len(MODES)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(500)
    apart = difference([(hard + 0.01, hard), (hard[::-1] + 0.03, hard[::-1])])
    assert apart.mean == pytest.approx(2.0)
    assert 0.5 < apart.low <= apart.high < 3.5


def test_only_worlds_with_texts_that_can_be_compared_are_played_and_their_faults_are_read(tmp_path: Path) -> None:
    prompts = [f"What is {i} + 1?" for i in range(8)]
    queries = {"query_id": [f"q{i}" for i in range(8)], "prompt": prompts, "source": ["sums"] * 8}
    cells = [(f"q{i}", m, f"The answer is {i + 1}" if m == "a" else "") for i in range(8) for m in ("a", "b")]
    answers = {
        "query_id": [q for q, _, _ in cells], "model": [m for _, m, _ in cells],
        "response": [text for _, _, text in cells], "correct": [m == "a" for _, m, _ in cells],
        "cost_usd": [0.001] * len(cells), "answer": [text[-1:] for _, _, text in cells],
    }  # fmt: skip
    for name, columns in (("queries", queries), ("answers", answers)):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    ((world, evidence),) = worlds_with_texts(tmp_path)
    assert world.models == ("a", "b")
    assert evidence[prompts[0], "a"] == {}
    assert evidence[prompts[0], "b"]["empty"] == 1.0


def test_the_best_model_is_compared_at_its_own_cost() -> None:
    sample = Sample(np.ones(4), np.full(4, 0.01), np.array([[0.0, 1.0]] * 4), np.array([[0.001, 0.02]] * 4))
    told = table([Outcome("tiny", "vote", 1.0, sample, sample, (3.0, 2.0))])
    assert "+0.0 [+0.0, +0.0] at 50" in told
