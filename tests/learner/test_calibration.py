"""Reliability of stated probabilities."""

import numpy as np
import pytest

from learner.calibration import Calibration


def test_perfect_statements_have_no_calibration_error() -> None:
    calibration = Calibration()
    assert calibration.ece == 0.0
    for p in (0.0, 1.0, 1.0):
        calibration.update(p, p)
    assert calibration.ece == 0.0


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    calibration = Calibration()
    for y in (1.0, 0.0):
        calibration.update(0.9, y)
    for y in (0.0, 0.0):
        calibration.update(0.1, y)
    assert calibration.ece == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)


def test_reliability_lists_the_bins_that_hold_a_label() -> None:
    calibration = Calibration()
    for p, y in ((0.9, 1.0), (0.9, 0.0), (0.1, 0.0)):
        calibration.update(p, y)
    assert calibration.reliability == [
        {"n": 1.0, "stated": pytest.approx(0.1), "came": 0.0},
        {"n": 2.0, "stated": pytest.approx(0.9), "came": 0.5},
    ]
    assert calibration.n == 3


def test_a_label_counts_by_its_weight() -> None:
    halves, whole = Calibration(), Calibration()
    for _ in range(2):
        halves.update(0.9, 0.0, weight=0.5)
        halves.update(0.1, 0.0, weight=0.5)
    for p in (0.9, 0.1):
        whole.update(p, 0.0)
    assert halves.ece == pytest.approx(whole.ece)
    assert halves.n == whole.n == 2


def held(seed: int, n: int, *, off: float = 0.0, mistakes: float = 0.0) -> Calibration:
    """n stated probabilities that are so much too high, against thumbs corrected for so many mistakes."""
    rng, calibration = np.random.default_rng(seed), Calibration()
    for p in rng.uniform(0.2, 0.8, n).tolist():
        thumb = (rng.random() < p - off) != (rng.random() < mistakes)
        calibration.update(p, (float(thumb) - mistakes) / (1.0 - 2.0 * mistakes))
    return calibration


@pytest.mark.parametrize("mistakes", [0.0, 0.1])
def test_error_by_chance_is_that_of_probabilities_that_keep_their_word(mistakes: float) -> None:
    seen = [held(seed, 400, mistakes=mistakes) for seed in range(60)]
    assert np.mean([c.by_chance for c in seen]) == pytest.approx(np.mean([c.ece for c in seen]), rel=0.08)
    assert np.mean([c.debiased for c in seen]) < 0.5 * np.mean([c.ece for c in seen])


@pytest.mark.parametrize("off", [0.05, 0.15])
def test_the_debiased_error_is_what_probabilities_are_off_by(off: float) -> None:
    seen = [held(seed, 400, off=off) for seed in range(60)]
    assert np.mean([c.debiased for c in seen]) == pytest.approx(off, abs=0.012)


def test_with_many_labels_there_is_nothing_to_debias() -> None:
    calibration = held(0, 40_000, off=0.1)
    assert calibration.debiased == pytest.approx(calibration.ece, abs=0.002)
