"""The benchmark of judges on a made-up panel."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.bench.judges import Answers, brier, ece, play, read_answers


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Two useful judges, an inverted one, and the one that stands for the truth; two answers to each query."""
    rng, n = np.random.default_rng(0), 2_400
    good = rng.random(n) < 0.7
    sign = np.where(good, 1.0, -1.0)

    def scores(skill: float) -> list[float]:
        return list(1.0 / (1.0 + np.exp(-(skill * sign + rng.normal(size=n)))))

    path = tmp_path_factory.mktemp("panel") / "judge_panel.parquet"
    pq.write_table(
        pa.table({
            "query_id": [f"q{i // 2}" for i in range(n)],
            "source": [("maths", "code/python")[i % 4 // 2] for i in range(n)],
            "model": [("a", "b")[i % 2] for i in range(n)],
            "reward_one": scores(1.0), "reward_two": scores(0.8), "reward_inverted": scores(-0.8),
            "reward_truth": good.astype(float).tolist(),
        }),
        path,
    )  # fmt: skip
    return read_answers(Path(path))


def test_a_panel_is_read_with_its_judges_and_sources(panel: Answers) -> None:
    assert panel.judges == ("one", "two", "inverted", "truth")
    assert panel.scores.shape == (2_400, 4)
    assert set(panel.categories) == {0, 1}


def test_the_stacker_beats_every_judge_and_their_mean_also_recalibrated(panel: Answers) -> None:
    played = play(panel, [0, 1, 2], panel.scores[:, 3], 0)
    losses = {name: brier(p, y) for name, (p, y, _) in played.items()}
    assert losses["stacker"] == min(losses.values())
    assert losses["stacker"] < losses["plain mean, recalibrated"] - 0.02
    assert ece(*played["stacker"][:2]) < 0.06


def test_no_query_is_both_learned_from_and_graded(panel: Answers) -> None:
    (_, y, queries), *_ = play(panel, [0, 1], panel.scores[:, 3], 1).values()
    assert len(queries) == len(y) == 1_400
    assert np.unique(queries).size == 700


def test_the_calibration_error_of_a_constant_is_its_distance_from_the_mean() -> None:
    assert ece(np.full(300, 0.5), np.tile([1.0, 0.0, 1.0], 100)) == pytest.approx(1.0 / 6.0)
