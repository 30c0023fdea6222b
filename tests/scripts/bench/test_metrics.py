from itertools import product

import numpy as np
import pytest

from learner.evaluation import interpolation
from scripts.bench.metrics import Sample, aiq, auc, best_mixes, brier, compared, ece, oracle, quality_at, usd_for

POINTS = [(1.0, 0.5), (3.0, 0.9), (2.0, 0.6)]


def sample(quality: float, usd: float, n: int = 400) -> Sample:
    """A policy of known quality and cost beside two models: 0.4 at 1 USD and 0.8 at 3 USD."""
    rng = np.random.default_rng(5)
    answers = (rng.random((n, 3)) < (0.4, 0.8, quality)).astype(float)
    return Sample(answers[:, 2], np.full(n, usd), answers[:, :2], np.tile([1.0, 3.0], (n, 1)))


def test_aiq_is_the_height_of_the_hull_and_auc_that_of_the_raw_curve() -> None:
    assert aiq([(1.0, 0.5)], 1.0, 3.0) == pytest.approx(0.5)
    assert aiq(POINTS, 1.0, 3.0) == pytest.approx(0.7, abs=1e-3)
    assert auc(POINTS, 1.0, 3.0) == pytest.approx((0.55 + 0.75) / 2, abs=1e-3)


def test_a_worse_and_dearer_point_does_not_lower_aiq() -> None:
    assert aiq([*POINTS, (2.5, 0.1)], 1.0, 3.0) == pytest.approx(aiq(POINTS, 1.0, 3.0), abs=1e-3)


def test_quality_at_a_cost_is_read_between_points_only() -> None:
    assert quality_at(POINTS, 1.5) == pytest.approx(0.55)
    assert np.isnan(quality_at(POINTS, 0.5))
    assert np.isnan(quality_at(POINTS, 3.5))


def test_the_cost_of_a_quality_is_the_first_at_which_it_is_reached() -> None:
    assert usd_for(POINTS, 0.75) == pytest.approx(2.5)
    assert usd_for(POINTS, 0.4) == 1.0
    assert np.isnan(usd_for(POINTS, 0.95))


def test_many_mixes_at_once_are_those_of_the_learner() -> None:
    rng = np.random.default_rng(4)
    costs, qualities, at = rng.random((200, 5)), rng.random((200, 5)), 1.2 * rng.random(200)
    expected = [interpolation(c, q, float(x)) for c, q, x in zip(costs, qualities, at, strict=True)]
    assert best_mixes(costs, qualities, at) == pytest.approx(expected)


def test_the_oracle_is_the_best_choice_per_query_within_the_budget() -> None:
    rng = np.random.default_rng(2)
    usd, quality = np.tile([1.0, 4.0], (8, 1)), (rng.random((8, 2)) < (0.4, 0.8)).astype(float)
    rows = np.arange(8)
    affordable = [c for c in product((0, 1), repeat=8) if usd[rows, c].mean() <= 2.0]
    best = max(quality[rows, c].mean() for c in affordable)
    assert best <= oracle(usd, quality, 2.0) < best + 1 / 8
    assert oracle(usd, quality, 4.0) == quality.max(axis=1).mean()


def test_calibration_errors_are_none_for_true_probabilities_and_known_for_false_ones() -> None:
    rng = np.random.default_rng(3)
    stated = rng.random(60_000)
    came = (rng.random(60_000) < stated).astype(float)
    assert ece(stated, came) < 0.01
    assert ece(np.clip(stated + 0.2, 0.0, 1.2), came) == pytest.approx(0.2, abs=0.01)
    assert brier(np.array([0.5, 1.0]), np.array([1.0, 1.0])) == pytest.approx(0.125)


def test_a_policy_on_the_static_mix_is_level_with_it() -> None:
    level = compared([sample(0.6, 2.0), sample(0.6, 2.0)])
    assert level.low < 0.0 < level.high
    assert compared([sample(0.9, 2.0)]).low > 15.0


def test_a_comparison_is_paired() -> None:
    same = compared([sample(0.7, 2.0)] * 3, [sample(0.7, 2.0)] * 3)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
    cheaper = compared([sample(0.7, 1.5)] * 3, [sample(0.7, 2.0)] * 3)
    assert cheaper.mean == pytest.approx(10.0, abs=2.0)
    assert cheaper.high - cheaper.low < 5.0
