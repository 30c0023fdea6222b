"""Replay, IPS, SNIPS and DR on whole logs: what they must equal, and that their intervals hold."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.robust import KINDS, NAMES, Kind, Log, Name, Target, counted, support, value
from learner.types import FloatArray

QUALITY = np.array([0.3, 0.6, 0.9])
USD = np.array([0.001, 0.01, 0.1])
LOGGED = np.array([0.6, 0.3, 0.1])
WANTED = np.array([0.1, 0.3, 0.6])
LAMBDA = 2.0


def log_of(arms: FloatArray, logged: FloatArray = LOGGED) -> Log:
    n = len(arms)
    return Log(np.tile(logged, (n, 1)), arms.astype(np.intp), np.full(n, LAMBDA))


def target_of(
    log: Log, wanted: FloatArray = WANTED, *, quality: FloatArray | None = None, model: FloatArray | None = None
) -> Target:
    """A policy whose answers have the quality and cost of their arms, and a reward model; without one it says 0."""
    n, nothing = len(log.arm), np.zeros(len(log.arm), dtype=bool)
    expected = np.zeros(3) if model is None else model
    return Target(
        probabilities=np.tile(wanted, (n, 1)),
        model_quality=np.tile(expected, (n, 1)),
        model_usd=np.zeros((n, 3)) if model is None else np.tile(USD, (n, 1)),
        quality=QUALITY[log.arm] if quality is None else quality,
        doubts=np.zeros((3, n)),
        usd=USD[log.arm],
        follows=~nothing,
        believed=nothing,
        beyond=nothing,
    )


def drawn(n: int, seed: int, logged: FloatArray = LOGGED) -> tuple[Log, FloatArray]:
    """A log of graded answers, right as often as their arms are good."""
    rng = np.random.default_rng(seed)
    log = log_of(rng.choice(3, size=n, p=logged).astype(np.float64), logged)
    return log, (rng.random(n) < QUALITY[log.arm]).astype(float)


TRUTH = {"quality": float(WANTED @ QUALITY), "cost_usd": float(WANTED @ USD)}
TRUTH["utility"] = TRUTH["quality"] - LAMBDA * TRUTH["cost_usd"]


@pytest.mark.parametrize("name", ["ips", "dr"])
@pytest.mark.parametrize("kind", KINDS)
def test_over_all_draws_the_mean_is_the_truth_whatever_the_model(name: Name, kind: Kind) -> None:
    expected = 0.0
    for arm, chance in zip((0.0, 1.0, 2.0), LOGGED, strict=True):
        # So many equal decisions clip no weight.
        log = log_of(np.full(50, arm))
        expected += chance * value(log, target_of(log, model=np.array([0.5, 0.1, 0.2])), kind, name).mean
    assert expected == pytest.approx(TRUTH[kind])


@pytest.mark.parametrize("name", NAMES)
def test_under_uniform_logging_every_estimator_is_right(name: Name) -> None:
    """200 logs of 300 decisions; the mean of the estimates lies within four standard errors of the truth."""
    uniform, wanted = np.full(3, 1 / 3), np.array([0.0, 0.0, 1.0])
    found = []
    for seed in range(200):
        log, quality = drawn(300, seed, uniform)
        found.append(value(log, target_of(log, wanted, quality=quality), "quality", name).mean)
    assert np.mean(found) == pytest.approx(0.9, abs=4 * np.std(found) / np.sqrt(200))


def test_with_an_exact_model_doubly_robust_is_exact_whatever_was_drawn() -> None:
    for seed in range(5):
        log = drawn(50, seed)[0]
        found = value(log, target_of(log, model=QUALITY), "utility", "dr")
        assert found.mean == pytest.approx(TRUTH["utility"])


def test_a_model_leaves_only_its_errors_to_chance() -> None:
    log, quality = drawn(500, 1)
    without = value(log, target_of(log, quality=quality), "quality", "dr")
    with_it = value(log, target_of(log, quality=quality, model=QUALITY), "quality", "dr")
    assert with_it.high - with_it.low < 0.8 * (without.high - without.low)


def test_the_difference_to_itself_is_nothing_for_certain() -> None:
    log, quality = drawn(100, 2)
    target = target_of(log, quality=quality, model=QUALITY)
    for name, kind in product(NAMES, KINDS):
        found = value(log, target, kind, name, target)
        assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_paired_differences_are_narrower_than_differences_of_estimates() -> None:
    log, quality = drawn(500, 3)
    near = LOGGED + np.array([-0.05, 0.05, 0.0])
    base, target = (target_of(log, wanted, quality=quality, model=QUALITY - 0.1) for wanted in (LOGGED, near))
    alone = value(log, target, "quality", "dr")
    paired = value(log, target, "quality", "dr", base)
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [LOGGED, WANTED, np.array([0.0, 0.0, 1.0])])
def test_doubly_robust_intervals_hold_about_19_times_in_20(wanted: FloatArray) -> None:
    """A wrong model, 150 logs of 300 decisions; Binomial(150, 0.95) has a standard deviation of 2.7."""
    held = {"value": 0, "gain": 0}
    for seed in range(150):
        log, quality = drawn(300, seed)
        base, target = (target_of(log, p, quality=quality, model=np.full(3, 0.5)) for p in (LOGGED, wanted))
        found = value(log, target, "quality", "dr")
        held["value"] += found.low <= float(wanted @ QUALITY) <= found.high
        gain = value(log, target, "quality", "dr", base)
        held["gain"] += gain.low <= float((wanted - LOGGED) @ QUALITY) <= gain.high
    assert min(held.values()) >= 142.5 - 2 * 2.7


def test_an_arm_that_never_came_widens_the_interval_though_nothing_was_seen_of_it() -> None:
    log = log_of(np.zeros(100), np.array([0.69, 0.3, 0.01]))
    found = value(log, target_of(log, np.array([0.8, 0.0, 0.2]), model=np.full(3, 0.5)), "quality", "dr")
    same = value(log, target_of(log, np.array([1.0, 0.0, 0.0]), model=np.full(3, 0.5)), "quality", "dr")
    assert found.high - found.low > 1.3 * (same.high - same.low) > 0.0


def test_ways_that_were_not_followed_count_nothing_for_ips_and_are_called_unsupported() -> None:
    log = log_of(np.zeros(4))
    target = replace(target_of(log, LOGGED), follows=np.array([True, True, True, False]))
    assert counted(log, target, "ips").tolist() == [1.0, 1.0, 1.0, 0.0]
    assert support(log, target).unsupported == pytest.approx(0.25)
    assert value(log, target, "quality", "ips").mean == pytest.approx(0.75 * 0.3)
    assert value(log, target, "quality", "snips").mean == pytest.approx(0.3)


def test_answers_that_nobody_saw_widen_the_interval() -> None:
    log, quality = drawn(200, 4)
    target = target_of(log, LOGGED, quality=quality, model=QUALITY)
    unseen = replace(target, believed=np.arange(200) % 5 == 0)
    seen, believed = (value(log, each, "quality", "dr") for each in (target, unseen))
    assert support(log, unseen).model == pytest.approx(0.2)
    assert believed.high - believed.low > seen.high - seen.low + 0.1


def test_doubts_about_thumbs_widen_the_level_and_cancel_in_a_difference() -> None:
    log, quality = drawn(200, 5)
    target = target_of(log, LOGGED, quality=quality, model=QUALITY)
    doubtful = replace(target, doubts=np.full((3, 200), 0.1))
    certain, doubted = (value(log, each, "quality", "dr") for each in (target, doubtful))
    assert doubted.high - doubted.low > certain.high - certain.low
    assert value(log, doubtful, "cost_usd", "dr") == value(log, target, "cost_usd", "dr")
    assert value(log, doubtful, "quality", "dr", doubtful).high == 0.0


def test_a_target_without_any_weight_has_no_snips() -> None:
    log = log_of(np.zeros(10))
    found = value(log, target_of(log, np.array([0.0, 0.0, 1.0])), "quality", "snips")
    assert np.isnan(found.mean)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_only_a_log_that_draws_all_alike_is_uniform() -> None:
    assert log_of(np.zeros(3), np.full(3, 1 / 3)).is_uniform
    assert log_of(np.zeros(3), np.array([0.5, 0.5, 0.0])).is_uniform
    assert not log_of(np.zeros(3)).is_uniform


probabilities = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(lambda x: np.array(x) / sum(x))


@settings(max_examples=25)
@given(probabilities, probabilities, st.lists(st.integers(0, 2), min_size=2, max_size=20))
def test_shares_are_shares_and_weights_are_clipped(logged: FloatArray, wanted: FloatArray, arms: list[int]) -> None:
    log = log_of(np.array(arms, dtype=np.float64), logged)
    target = target_of(log, wanted, model=QUALITY)
    told = support(log, target)
    assert -1e-9 <= told.model <= told.unsupported + 1e-9 <= 1.0 + 1e-9
    assert counted(log, target, "dr").max() <= told.clip + 1e-9
    assert 0.0 < told.effective_n <= len(arms) + 1e-9
    for name in NAMES:
        found = value(log, target, "quality", name)
        assert np.isnan(found.mean) or found.low <= found.mean <= found.high
