"""What one label says, by how near its kind keeps to what is foretold."""

import numpy as np
import pytest

from learner.scatter import MOST_PRECISION, Scatter


def told(seed: int, n: int, *, spread: float | None) -> Scatter:
    """n labels: chance alone where there is no spread, or ratings so near to what was foretold."""
    rng, scatter = np.random.default_rng(seed), Scatter()
    for p in rng.uniform(0.3, 0.9, n).tolist():
        scatter.observe(p, float(rng.random() < p) if spread is None else p + spread * float(rng.normal()), 1.0)
    return scatter


def test_labels_that_are_zero_or_one_say_what_they_do() -> None:
    assert told(0, 2_000, spread=None).precision == pytest.approx(1.0, abs=0.1)


def test_ratings_near_to_what_is_foretold_say_more() -> None:
    scatter = told(0, 2_000, spread=0.15)
    assert scatter.precision == pytest.approx(0.2 / 0.15**2, rel=0.3)
    assert told(0, 5_000, spread=0.001).precision == MOST_PRECISION


def test_no_label_says_less_than_one() -> None:
    scatter = Scatter()
    for _ in range(50):
        scatter.observe(0.95, 0.0, 1.0)
    assert scatter.precision == 1.0


def test_before_any_label_a_rating_says_what_a_thumb_does() -> None:
    assert Scatter().precision == 1.0
