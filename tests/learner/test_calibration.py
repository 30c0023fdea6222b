"""Reliability of stated probabilities."""

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
