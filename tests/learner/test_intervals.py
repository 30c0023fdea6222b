"""Intervals for means of few, weighted or skewed values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.intervals import Z, interval, unskewed


def test_of_many_even_values_it_is_the_normal_one() -> None:
    values = np.tile([0.0, 1.0], 5_000)
    found = interval(values, 0.25, 10_000)
    half = Z * 0.5 / 100
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-3)


def test_few_effective_values_make_it_wider() -> None:
    values = np.tile([0.0, 1.0], 50)
    widths = [interval(values, 0.25, n).high for n in (100, 10, 2)]
    assert widths == sorted(widths)


def test_it_reaches_further_to_the_side_of_the_rare_large_values() -> None:
    rare = np.concatenate([np.zeros(95), np.full(5, 10.0)])
    below, above = unskewed(rare, Z)
    assert above > 1.2 * below
    assert unskewed(-rare, Z) == pytest.approx((above, below))


def test_of_skewed_values_it_holds_where_the_normal_one_does_not() -> None:
    """Costs as of a log-normal, 1,000 samples of 100; Binomial(1000, 0.92) has a standard deviation of 8.6."""
    rng, truth = np.random.default_rng(0), float(np.exp(0.5 * 1.2**2))
    held = normal = 0
    for _ in range(1_000):
        values = rng.lognormal(0.0, 1.2, size=100)
        found = interval(values, float(values.var(ddof=1)), 100.0)
        held += found.low <= truth <= found.high
        half = Z * values.std(ddof=1) / 10
        normal += values.mean() - half <= truth <= values.mean() + half
    assert held >= 920 - 2 * 8.6
    assert held > normal + 20


@settings(max_examples=50)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.floats(0.0, 1.0))
def test_it_holds_its_mean_and_widens_by_what_is_asked(values: list[float], widened: float) -> None:
    array = np.array(values)
    plain, wide = (interval(array, float(array.var(ddof=1)), 5.0, by) for by in (0.0, widened))
    assert plain.low <= plain.mean <= plain.high
    assert wide.high - wide.low == pytest.approx(plain.high - plain.low + 2 * widened, abs=1e-6)
