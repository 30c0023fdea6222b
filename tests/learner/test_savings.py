"""The intervals of savings cover what they should, on requests that were given to controls by lot."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.savings import LEAST_RATED, LEAST_REQUESTS, Group, Sums, savings, t_quantile, with_overhead
from learner.types import FloatArray

CONTROL_USD, AUTO_USD = 6e-3, 6e-4
CONTROL_QUALITY, AUTO_QUALITY = 0.80, 0.76
WORLDS = 400

numbers = st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.01, 1.0)), min_size=2, max_size=30)


def group(rng: np.random.Generator, chances: FloatArray, usd: float, quality: FloatArray, rated: float) -> Group:
    """Answers with these chances to be in the group, right as often as told, believed badly and sometimes rated."""
    n = len(chances)
    right = rng.random(n) < quality
    belief = np.clip(0.55 + 0.2 * right + rng.normal(0.0, 0.1, n), 0.02, 0.98)
    is_rated = rng.random(n) < rated
    corrected = belief + np.where(is_rated, (right - belief) / rated, 0.0)
    cost = usd * quality / quality.mean() * rng.lognormal(-0.18, 0.6, n)
    return Group(Sums.of(cost, chances), Sums.of(corrected, chances), int(is_rated.sum()))


def world(
    seed: int, n: int = 12_000, rated: float = 0.4, *, weighted: bool = True
) -> tuple[Group, Group, tuple[float, float, float]]:
    """Requests of a service whose control chance moved while hard and easy requests came in turns."""
    rng = np.random.default_rng(seed)
    easy = np.where(np.arange(n) < n // 2, 1.1, 0.9)
    chances = np.where(np.arange(n) < n // 2, 0.008, 0.05)
    is_control = rng.random(n) < chances
    ours, theirs = AUTO_QUALITY * easy, CONTROL_QUALITY * easy
    known = chances if weighted else np.full(n, 0.5)
    auto = group(rng, 1.0 - known[~is_control], AUTO_USD, ours[~is_control], rated)
    control = group(rng, known[is_control], CONTROL_USD, theirs[is_control], rated)
    scale = [
        usd / quality.mean() for usd, quality in ((AUTO_USD, ours[~is_control]), (CONTROL_USD, theirs[is_control]))
    ]
    usd = scale[0] * ours.mean(), scale[1] * theirs.mean()
    return auto, control, (usd[1] - usd[0], 1.0 - usd[0] / usd[1], 100.0 * (ours - theirs).mean())


@pytest.mark.slow
def test_the_intervals_cover_the_truth_in_nineteen_of_twenty_worlds() -> None:
    covered = np.zeros(3)
    for seed in range(WORLDS):
        auto, control, truth = world(seed)
        found = savings(auto, control)
        assert found.reason == ""
        intervals = found.saved_usd, found.saved_share, found.quality_points
        covered += [i.low <= true <= i.high for i, true in zip(intervals, truth, strict=True)]
    # Three standard errors of 400 worlds are 3.3 points.
    assert (covered / WORLDS >= 0.95 - 0.033).all(), covered / WORLDS
    assert (covered / WORLDS <= 0.999).all(), covered / WORLDS


def test_weights_undo_that_controls_were_drawn_more_often_on_hard_requests() -> None:
    worlds = [world(seed) for seed in range(60)]
    found = [savings(auto, control).quality_points.estimate for auto, control, _ in worlds]
    truth = worlds[0][2][2]
    error = float(np.std(found)) / math.sqrt(len(found))
    assert float(np.mean(found)) == pytest.approx(truth, abs=3.5 * error)
    # Without the weights the groups' requests differ: the control's are the hard ones.
    plain = [savings(*world(seed, weighted=False)[:2]).quality_points.estimate for seed in range(60)]
    assert float(np.mean(plain)) > truth + 5.0 * error


def test_beliefs_that_nobody_rated_look_neither_certain_nor_enough() -> None:
    rng = np.random.default_rng(0)
    auto = group(rng, np.full(5_000, 0.98), AUTO_USD, np.full(5_000, 0.8), 0.4)
    believed = Group(Sums.of(np.full(40, 6e-3), np.full(40, 0.01)), Sums.of(np.full(40, 0.8), np.full(40, 0.01)), 0)
    found = savings(auto, believed)
    assert "0 rated answers" in found.reason
    assert found.quality_points.high - found.quality_points.low > 100.0
    assert math.isfinite(found.saved_usd.low)


@pytest.mark.parametrize("n", [0, 1, 2, LEAST_REQUESTS - 1])
def test_few_requests_are_said_to_be_few(n: int) -> None:
    rng = np.random.default_rng(0)
    auto = group(rng, np.full(500, 0.98), AUTO_USD, np.full(500, 0.8), 1.0)
    control = group(rng, np.full(n, 0.01), CONTROL_USD, np.full(n, 0.8), 1.0) if n else Group()
    found = savings(auto, control)
    assert found.reason.startswith(f"the control answered {n} requests")
    assert math.isfinite(found.saved_usd.low) == (n >= 2)


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    found = savings(Group(), Group())
    assert found.reason
    assert math.isnan(found.saved_usd.estimate)
    assert math.isnan(found.saved_share.low)
    assert math.isnan(found.quality_points.high)


@settings(max_examples=60)
@given(numbers)
def test_sums_of_parts_add_up_to_the_sums_of_the_whole(values: list[tuple[float, float]]) -> None:
    v, p = np.array(values).T
    whole, parts = Sums.of(v, p), Sums.of(v[:1], p[:1]) + Sums.of(v[1:], p[1:])
    assert parts.n == whole.n
    assert (parts.w, parts.mean) == pytest.approx((whole.w, whole.mean))
    assert parts.variance() == pytest.approx(whole.variance(), rel=1e-6, abs=1e-9)


@settings(max_examples=60)
@given(numbers)
def test_equal_chances_give_the_plain_mean_and_its_variance(values: list[tuple[float, float]]) -> None:
    v = np.array(values)[:, 0]
    found = Sums.of(v, np.full(len(v), 0.25))
    assert found.mean == pytest.approx(v.mean(), abs=1e-12)
    assert found.variance() == pytest.approx(v.var(ddof=1) / len(v), rel=1e-6, abs=1e-9)
    assert found.effective_n == pytest.approx(len(v))


@settings(max_examples=60)
@given(numbers, st.floats(0.0, 5.0))
def test_overhead_moves_the_mean_and_nothing_else(values: list[tuple[float, float]], usd: float) -> None:
    v, p = np.array(values).T
    moved = with_overhead(Group(cost_usd=Sums.of(v, p)), usd).cost_usd
    again = Sums.of(v + usd, p)
    assert moved.mean == pytest.approx(again.mean)
    assert moved.variance() == pytest.approx(again.variance(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("degrees", "known"), [(4, 2.776), (9, 2.262), (LEAST_REQUESTS - 1, 2.045), (1e6, 1.960)])
def test_the_quantiles_of_student_are_right(degrees: float, known: float) -> None:
    assert t_quantile(degrees) == pytest.approx(known, rel=0.01)
    assert all(a > b for a, b in pairwise(t_quantile(d) for d in (LEAST_RATED, 20, 40, 1e9)))
