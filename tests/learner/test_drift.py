"""Alarms: rarely without a reason, soon with one."""

import numpy as np
import pytest

from learner.drift import DriftMonitor, detector, dump, restore


def watched(seed: int, before: float, after: float, *, change_at: int, n: int, expected: float) -> DriftMonitor:
    """A monitor after n labels of one arm whose rate of good answers changes once."""
    rng, monitor = np.random.default_rng(seed), DriftMonitor()
    for i in range(n):
        rate = before if i < change_at else after
        monitor.update("a", y=float(rng.random() < rate), expected=expected, at_observation=i)
    return monitor


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_steady_quality_raises_no_alarm(seed: int, rate: float) -> None:
    assert watched(seed, rate, rate, change_at=0, n=2_000, expected=rate).alarms == []


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_raises_an_alarm_within_80_labels(seed: int) -> None:
    monitor = watched(seed, 0.85, 0.35, change_at=300, n=600, expected=0.85)
    first = monitor.alarms[0]
    assert first["model"] == "a"
    assert 300 <= float(first["observation"]) <= 380
    assert float(first["residual"]) < 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_raises_an_alarm_too(seed: int) -> None:
    monitor = watched(seed, 0.3, 0.9, change_at=300, n=500, expected=0.3)
    assert 300 <= float(monitor.alarms[0]["observation"]) <= 400


def test_arms_are_watched_apart() -> None:
    monitor = DriftMonitor()
    for i in range(400):
        monitor.update("steady", y=float(i % 2), expected=0.5, at_observation=i)
        monitor.update("falling", y=float(i < 200), expected=0.9, at_observation=i)
    assert {alarm["model"] for alarm in monitor.alarms} == {"falling"}


def test_the_test_starts_anew_after_an_alarm() -> None:
    monitor, raised = DriftMonitor(), []
    for i in range(300):
        y = float(i < 100)
        if monitor.update("a", y=y, expected=0.9, at_observation=i):
            raised.append(i)
            assert dump(monitor.detectors["a"]) == dump(detector())
    assert len(raised) == len(monitor.alarms) == 1


def test_only_the_last_twenty_alarms_are_kept() -> None:
    monitor = DriftMonitor(alarms=[{"model": "old", "observation": i, "residual": 0.0} for i in range(20)])
    for i in range(400):
        monitor.update("a", y=float(i < 200), expected=0.9, at_observation=i)
    assert len(monitor.alarms) == 20
    assert monitor.alarms[-1]["model"] == "a"


@pytest.mark.parametrize("n", [0, 1, 29, 30, 250])
def test_a_restored_test_goes_on_bit_for_bit(n: int) -> None:
    rng, test = np.random.default_rng(8), detector()
    for _ in range(n):
        test.update(float(rng.normal()))
    again = restore(dump(test))
    assert dump(again) == dump(test)
    for _ in range(400):
        residual = float(rng.normal(0.6 if n else 0.0))
        test.update(residual)
        again.update(residual)
        assert again.drift_detected == test.drift_detected
        assert dump(again) == dump(test)
