"""Means with their intervals, and the frontier of fixed mixes against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.evaluation import effective_sample_size, estimate, interpolation


def test_intervals_hold_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(1)
    means = [estimate((rng.random(300) < 0.7).astype(float), 300.0) for _ in range(300)]
    # Binomial(300, 0.95) has a standard deviation of 3.8.
    assert sum(one.low <= 0.7 <= one.high for one in means) >= 285 - 12


def test_one_value_has_no_finite_interval() -> None:
    assert (estimate(np.ones(1), 1.0).low, estimate(np.ones(1), 1.0).high) == (-np.inf, np.inf)


def test_an_unsupported_policy_has_no_effective_observation() -> None:
    assert effective_sample_size(np.zeros(4)) == 0.0
    assert effective_sample_size(np.full(4, 0.3)) == pytest.approx(4.0)


points = st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 1.0)), min_size=1, max_size=6)


@given(points, st.floats(0.0, 12.0))
def test_interpolation_equals_the_best_mix_of_any_two(pool: list[tuple[float, float]], at: float) -> None:
    everything = [(0.0, 0.0), *pool]
    affordable = [quality for cost, quality in everything if cost <= at]
    mixes = [
        a[1] + (b[1] - a[1]) * (at - a[0]) / (b[0] - a[0])
        for a, b in combinations(sorted(everything), 2)
        if a[0] < at < b[0]
    ]
    costs, qualities = (np.array(column) for column in zip(*pool, strict=True))
    assert interpolation(costs, qualities, at) == pytest.approx(max([*affordable, *mixes]), abs=1e-6)


@given(points, st.floats(0.0, 12.0), st.floats(0.0, 12.0))
def test_more_money_never_buys_less(pool: list[tuple[float, float]], a: float, b: float) -> None:
    costs, qualities = (np.array(column) for column in zip(*pool, strict=True))
    low, high = sorted((a, b))
    assert interpolation(costs, qualities, low) <= interpolation(costs, qualities, high) + 1e-9
