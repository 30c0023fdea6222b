"""Alarms: rarely without a reason, soon with one."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from river.drift import PageHinkley

from learner.drift import (
    DELTA,
    MIN_INSTANCES,
    THRESHOLD,
    Alarm,
    DriftMonitor,
    Kind,
    Scale,
    Stream,
    described,
    dump,
    restore,
)
from tests.learner.conftest import called


def watched(seed: int, before: float, after: float, *, change_at: int, n: int, expected: float) -> DriftMonitor:
    """A monitor after n labels of one arm whose rate of good answers changes once."""
    rng, monitor = np.random.default_rng(seed), DriftMonitor()
    for i in range(n):
        rate = before if i < change_at else after
        monitor.rated("a", int(rng.integers(4)), y=float(rng.random() < rate), expected=expected, observation=i)
    return monitor


def measured(
    seed: int, *, n: int, tokens: float = 1.0, latency: float = 1.0, where: Sequence[int] = (0, 1, 2)
) -> DriftMonitor:
    """A monitor after n calls of one arm; from call 600 on tokens and latency are multiplied, in some categories."""
    rng, monitor = np.random.default_rng(seed), DriftMonitor()
    for i in range(n):
        category = int(rng.integers(3))
        usual = 100.0 * 4.0**category
        changes = i >= 600 and category in where
        call = called(
            "a",
            output_tokens=int(usual * math.exp(0.5 * rng.normal()) * (tokens if changes else 1.0)),
            latency_s=usual / 50.0 * math.exp(0.5 * rng.standard_t(3)) * (latency if changes else 1.0),
        )
        monitor.called(call, category, expected=usual * 1.1, observation=i)
    return monitor


def told(monitor: DriftMonitor) -> list[tuple[str, int | None, str]]:
    return [(alarm.kind, alarm.category, alarm.direction) for alarm in monitor.alarms]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_steady_quality_raises_no_alarm(seed: int, rate: float) -> None:
    assert watched(seed, rate, rate, change_at=0, n=2_000, expected=rate).alarms == []


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_raises_an_alarm_within_80_labels(seed: int) -> None:
    monitor = watched(seed, 0.85, 0.35, change_at=300, n=600, expected=0.85)
    first = monitor.alarms[0]
    assert (first.kind, first.model, first.category, first.direction) == ("quality", "a", None, "down")
    assert 300 <= first.observation <= 380
    assert first.size < -0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_raises_an_alarm_too(seed: int) -> None:
    first = watched(seed, 0.3, 0.9, change_at=300, n=500, expected=0.3).alarms[0]
    assert 300 <= first.observation <= 400
    assert first.direction == "up"
    assert first.size > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_steady_tokens_and_latencies_raise_no_alarm(seed: int) -> None:
    assert measured(seed, n=2_000).alarms == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("changed", "kind", "direction"),
    [
        ({"tokens": 2.0}, "cost", "up"),
        ({"tokens": 0.4}, "cost", "down"),
        ({"latency": 2.5}, "latency", "up"),
        ({"latency": 0.4}, "latency", "down"),
    ],
)
def test_a_change_of_tokens_or_latency_raises_one_alarm_of_its_kind(
    seed: int, changed: dict[str, float], kind: Kind, direction: str
) -> None:
    monitor = measured(seed, n=900, **changed)  # type: ignore[arg-type]  # tokens or latency
    assert told(monitor) == [(kind, None, direction)]
    assert 600 <= monitor.alarms[0].observation <= 750


@pytest.mark.parametrize("seed", range(3))
def test_a_change_in_one_category_alone_is_told_as_such(seed: int) -> None:
    found = told(measured(seed, n=1_600, tokens=3.0, where=(1,)))
    assert ("cost", 1, "up") in found
    assert all(category in (None, 1) for _, category, _ in found)


def test_one_category_that_falls_is_told_as_such() -> None:
    rng, monitor = np.random.default_rng(3), DriftMonitor()
    for i in range(1_500):
        category = int(rng.integers(6))
        rate = 0.2 if category == 2 and i > 600 else 0.8
        monitor.rated("a", category, y=float(rng.random() < rate), expected=0.8, observation=i)
    assert told(monitor) == [("quality", 2, "down")]


def test_one_hanging_call_is_no_alarm() -> None:
    monitor = measured(1, n=300)
    for _ in range(8):
        assert monitor.called(called("a", latency_s=3_600.0), 0, expected=100.0, observation=0) == []


def test_a_latency_that_never_changes_is_measured() -> None:
    monitor = DriftMonitor()
    for i in range(400):
        monitor.called(called("a", latency_s=0.0 if i < 300 else 0.5), 0, expected=100.0, observation=i)
    assert told(monitor) == [("latency", None, "up")]


def test_slow_calls_that_come_together_count_for_less() -> None:
    rng, load, scale, plain = np.random.default_rng(5), 0.0, Scale(), Scale()
    together, apart = [], []
    for _ in range(3_000):
        load = 0.6 * load + 0.8 * rng.normal()
        together.append(scale.residual(load, 0) or 0.0)
        apart.append(plain.residual(float(rng.normal()), 0) or 0.0)
    assert np.std(apart[500:]) == pytest.approx(1.0, abs=0.1)
    assert np.std(together[500:]) == pytest.approx(0.5, abs=0.1)


def test_arms_are_watched_apart() -> None:
    monitor = DriftMonitor()
    for i in range(400):
        monitor.rated("steady", 0, y=float(i % 2), expected=0.5, observation=i)
        monitor.rated("falling", 0, y=float(i < 200), expected=0.9, observation=i)
    assert {alarm.model for alarm in monitor.alarms} == {"falling"}


def test_the_tests_start_anew_after_an_alarm() -> None:
    monitor, raised = DriftMonitor(), []
    for i in range(300):
        if monitor.rated("a", 0, y=float(i < 100), expected=0.9, observation=i):
            raised.append(i)
            assert [stream.seen for stream in monitor.streams.values()] == [0, 0]
    assert len(raised) == len(monitor.alarms) == monitor.raised == 1


def test_only_the_last_twenty_alarms_are_kept_and_all_are_counted() -> None:
    old = [Alarm("quality", "old", None, "up", 1.0, 0.0, i) for i in range(20)]
    monitor = DriftMonitor(alarms=old, raised=20)
    for i in range(400):
        monitor.rated("a", 0, y=float(i < 200), expected=0.9, observation=i)
    assert len(monitor.alarms) == 20
    assert monitor.alarms[-1].model == "a"
    assert monitor.raised == 21


def test_an_alarm_is_described_by_the_name_of_its_category() -> None:
    alarm = Alarm("cost", "a", 1, "up", 2.5, 7.0, 30)
    assert described(alarm, ("sums", "code")) == {
        "kind": "cost", "model": "a", "category": "code", "direction": "up", "size": 2.5, "at": 7.0, "observation": 30,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["quality", "latency"])
@pytest.mark.parametrize("n", [0, 1, 29, 30, 250])
def test_a_restored_test_goes_on_bit_for_bit(n: int, kind: Kind) -> None:
    rng, stream = np.random.default_rng(8), restore(kind, dump(Stream()))
    for _ in range(n):
        stream.rises(float(rng.normal()))
    again = restore(kind, dump(stream))
    assert dump(again) == dump(stream)
    for _ in range(400):
        residual = float(rng.normal(0.6 if n else 0.0))
        assert again.rises(residual) == stream.rises(residual)
        assert dump(again) == dump(stream)


@pytest.mark.parametrize("moved", [0.0, 0.8, -0.8])
def test_a_test_says_what_rivers_says(moved: float) -> None:
    rng, stream = np.random.default_rng(3), Stream()
    river = PageHinkley(min_instances=MIN_INSTANCES, delta=DELTA, threshold=THRESHOLD, mode="both")
    for n in range(300):
        residual = float(rng.normal(moved if n > 100 else 0.0))
        river.update(residual)
        found = stream.rises(residual)
        assert (found is not None) == river.drift_detected
        if found is not None:
            assert found * moved > 0.0
            return
        sums = river._sum_increase, river._sum_decrease, river._min_increase, river._max_decrease
        assert dump(stream)[4:] == list(sums)
    assert moved == 0.0
