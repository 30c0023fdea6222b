"""Off-policy estimates against what they estimate, and the frontier of fixed mixes against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learner.evaluation import doubly_robust, effective_sample_size, interpolation, ips, replay, snips
from learner.types import FloatArray

LOGGED = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.1, 0.2, 0.7])
REWARD = np.array([0.2, 0.5, 0.9])
TRUTH = float(TARGET @ REWARD)


def log(n: int, seed: int = 1) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Rewards, target and logged probabilities, and the arms drawn."""
    rng = np.random.default_rng(seed)
    arms = rng.choice(3, size=n, p=LOGGED)
    return (rng.random(n) < REWARD[arms]).astype(float), TARGET[arms], LOGGED[arms], arms.astype(float)


def test_every_estimate_holds_the_truth_in_its_interval() -> None:
    rewards, target, logged, arms = log(4_000)
    model = np.array([0.3, 0.4, 0.6])
    robust = doubly_robust(
        rewards, target, logged, model=model[arms.astype(int)], policy_value=np.full(4_000, float(TARGET @ model))
    )
    for estimate in (ips(rewards, target, logged), snips(rewards, target, logged), robust):
        assert estimate.low < TRUTH < estimate.high
        assert estimate.high - estimate.low < 0.15


def test_intervals_hold_the_truth_about_19_times_in_20() -> None:
    held = 0
    for seed in range(300):
        rewards, target, logged, _ = log(300, seed)
        estimate = snips(rewards, target, logged)
        held += estimate.low <= TRUTH <= estimate.high
    # Binomial(300, 0.95) has a standard deviation of 3.8.
    assert held >= 285 - 12


def test_ips_is_unbiased_over_all_logs() -> None:
    expected = sum(LOGGED[a] * ips(REWARD[[a]], TARGET[[a]], LOGGED[[a]]).mean for a in range(3))
    assert expected == pytest.approx(TRUTH)


def test_an_exact_model_leaves_no_variance() -> None:
    arms = np.array([0, 1, 2, 2, 0])
    estimate = doubly_robust(
        REWARD[arms], TARGET[arms], LOGGED[arms], model=REWARD[arms], policy_value=np.full(5, TRUTH)
    )
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((TRUTH,) * 3)


def test_without_a_model_doubly_robust_is_ips() -> None:
    rewards, target, logged, _ = log(50)
    nothing = np.zeros(50)
    assert doubly_robust(rewards, target, logged, model=nothing, policy_value=nothing) == ips(rewards, target, logged)


def test_the_logging_policy_itself_is_its_mean_reward() -> None:
    rewards, _, logged, _ = log(200)
    for estimate in (ips(rewards, logged, logged), snips(rewards, logged, logged)):
        assert estimate.mean == pytest.approx(rewards.mean())
        assert estimate.effective_n == pytest.approx(200)


@given(arrays(np.float64, 8, elements=st.floats(0.01, 1.0)), st.floats(0.0, 1.0))
def test_snips_of_a_constant_is_the_constant(target: FloatArray, reward: float) -> None:
    estimate = snips(np.full(8, reward), target, np.full(8, 0.5))
    assert estimate.mean == pytest.approx(reward)
    assert 1.0 - 1e-9 <= estimate.effective_n <= 8.0 + 1e-9


def test_an_unsupported_policy_has_no_effective_observation() -> None:
    assert effective_sample_size(np.zeros(4)) == 0.0


def test_replay_keeps_the_decisions_that_agree() -> None:
    estimate = replay(np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert (estimate.mean, estimate.effective_n) == (1.0, 2.0)
    nothing = replay(np.ones(3), np.zeros(3))
    assert np.isnan(nothing.mean)
    assert (nothing.low, nothing.high, nothing.effective_n) == (0.0, 1.0, 0.0)


def test_one_observation_has_no_finite_interval() -> None:
    one = np.ones(1)
    assert ips(one, one, one).high == np.inf
    assert snips(one, one, one).low == -np.inf


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
