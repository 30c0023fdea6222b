"""What one hand can move is bounded, whoever else rates; an honest one is heard."""

import numpy as np
import pytest

from learner.quality import GAMMA
from learner.raters import BURST, FREE_LABELS, REMEMBERED, Raters, rater_id

AGES = np.zeros(1)


def pressed(
    raters: Raters, name: str, likelihood: float | None, n: int, *, known: float = 100.0, gap_s: float = 60.0
) -> float:
    """What n thumbs of a rater count for together, on an arm of which this much is known."""
    total = 0.0
    for i in range(n):
        own = raters.labels(name, [0], AGES)
        weight = raters.weigh(name, own, np.array([known]), likelihood=likelihood, at_s=gap_s * i)
        raters.count(name, [0], weight, np.ones(1), AGES)
        total += weight
    return total


def crowd(n: int) -> Raters:
    raters = Raters()
    for i in range(n):
        pressed(raters, f"user-{i}", 0.6, 2)
    return raters


def test_who_presses_against_all_that_is_known_soon_counts_for_one_label_in_all() -> None:
    assert pressed(crowd(5), "mallory", 0.25, 500, known=300.0) < 12.0
    assert pressed(crowd(50), "mallory", 0.25, 500, known=300.0) < 5.0


def test_an_honest_heavy_user_keeps_to_a_fair_share() -> None:
    assert 1.0 < pressed(crowd(50), "ada", 0.7, 500) <= FREE_LABELS + 1.5 * 100.0 / 51


def test_a_first_thumb_counts_whole() -> None:
    assert pressed(crowd(500), "ada", 0.3, 1, known=4.0) == 1.0


def test_the_only_one_who_rates_is_heard() -> None:
    raters = Raters()
    weights = []
    for i in range(200):
        own = raters.labels("ada", [0], np.array([float(i)]))
        known = 4.0 + float(own[0])
        weights.append(raters.weigh("ada", own, np.array([known]), likelihood=None, at_s=0.0))
        raters.count("ada", [0], weights[-1], np.ones(1), np.array([float(i)]))
    assert min(weights) > 0.1
    assert raters.bursts == 0


def test_a_burst_counts_for_less_and_is_counted() -> None:
    calm, hasty = crowd(1), crowd(1)
    assert pressed(hasty, "ada", 0.7, 60, known=1e6, gap_s=0.1) < pressed(calm, "ada", 0.7, 60, known=1e6, gap_s=60.0)
    assert hasty.bursts >= 60 - BURST - 1
    assert calm.bursts == 0


def test_an_arms_quality_without_a_rater_is_what_all_else_says() -> None:
    raters, ages = crowd(1), np.array([7.0])
    raters.labels("ada", [0], ages)
    raters.count("ada", [0], 10.0, np.array([0.0]), ages)
    known = {"mean": 0.6, "age": 7.0}
    assert raters.quality_apart("ada", 0, count=40.0, **known) == pytest.approx(0.6 * 40.0 / 30.0)
    assert raters.quality_apart("ada", 0, count=29.0, **known) is None


def test_labels_are_forgotten_as_the_arm_forgets_them() -> None:
    raters = crowd(1)
    raters.labels("ada", [0], AGES)
    raters.count("ada", [0], 1.0, np.ones(1), AGES)
    assert raters.labels("ada", [0], np.array([100.0]))[0] == pytest.approx(GAMMA**100)


def test_only_so_many_are_remembered() -> None:
    raters = crowd(REMEMBERED + 5)
    assert len(raters.known) == REMEMBERED
    assert "user-0" not in raters.known


def test_two_keys_users_of_one_name_are_two_and_names_are_not_kept() -> None:
    assert rater_id("ada", "key-1") != rater_id("ada", "key-2")
    assert "ada" not in rater_id("ada", None)


def test_a_thumb_counts_alike_whichever_way_it_points() -> None:
    weights = []
    for likelihood in (0.8, 0.2):
        raters = crowd(5)
        pressed(raters, "ada", 0.3, 3)
        weights.append(pressed(raters, "ada", likelihood, 1))
    assert weights[0] == weights[1] < 1.0


def test_credit_counts_as_trust() -> None:
    raters = crowd(5)
    pressed(raters, "ada", 0.25, 3)
    own = raters.labels("ada", [0], AGES)
    weights = [
        raters.weigh("ada", own, np.array([100.0]), likelihood=None, at_s=1e6, credit=credit) for credit in (0.0, 3.0)
    ]
    assert weights[0] < weights[1]
