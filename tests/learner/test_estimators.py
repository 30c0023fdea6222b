"""Both estimators against what they are by definition, and against River's own rules for estimators."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, checks

from learner.estimators import BayesianLogistic, Columns, DiscountedRidge, logit, sigmoid
from learner.types import FloatArray

ESTIMATORS = (DiscountedRidge(), BayesianLogistic())
RIVER_CHECKS = [
    pytest.param(model, check, id=f"{type(model).__name__}-{i}-{check.__name__}")
    for model in ESTIMATORS
    for i, check in enumerate(checks.yield_checks(model))
    if check.__name__ not in model._unit_test_skips()
]
seeds = st.integers(0, 10_000)
priors = st.sampled_from([0.3, 1.0, 7.0])


@pytest.mark.parametrize(("model", "check"), RIVER_CHECKS)
def test_river_accepts_the_estimator(model: base.Estimator, check: Callable[[base.Estimator], None]) -> None:
    check(model.clone())


def data(seed: int, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n rows of 1 to 5 features, targets, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.0, 3.0, n) * (rng.random(n) < 0.9)
    return rng.normal(size=(n, int(rng.integers(1, 6)))), rng.normal(size=n), weights


def learned(seed: int, n: int, **settings_of: float) -> DiscountedRidge:
    ridge = DiscountedRidge(**settings_of)  # type: ignore[arg-type]  # `every` is a whole number in all tests
    for phi, y, weight in zip(*data(seed, n), strict=True):
        ridge.update(phi, y, weight)
    return ridge


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(1, 60), prior=priors)
def test_ridge_equals_a_direct_solve(seed: int, n: int, prior: float) -> None:
    x, y, weights = data(seed, n)
    ridge = learned(seed, n, prior_precision=prior)
    precision = prior * np.eye(x.shape[1]) + (x * weights[:, None]).T @ x
    assert np.allclose(ridge.covariance, np.linalg.inv(precision), rtol=1e-8, atol=1e-10)
    assert np.allclose(ridge.mean, np.linalg.solve(precision, x.T @ (weights * y)), rtol=1e-7, atol=1e-9)


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(1, 60), prior=priors, every=st.integers(1, 9))
def test_forgetting_in_blocks_gives_the_prior_back(seed: int, n: int, prior: float, every: int) -> None:
    x, y, weights = data(seed, n)
    ridge = learned(seed, n, prior_precision=prior, gamma=0.95, every=every)
    prior_precision = prior * np.eye(x.shape[1])
    precision, target = prior_precision.copy(), np.zeros(x.shape[1])
    for i in range(n):
        precision += weights[i] * np.outer(x[i], x[i])
        target += weights[i] * y[i] * x[i]
        if (i + 1) % every == 0:
            kept = 0.95**every
            precision, target = kept * precision + (1.0 - kept) * prior_precision, kept * target
    assert np.allclose(ridge.covariance, np.linalg.inv(precision), rtol=1e-7, atol=1e-9)
    assert np.allclose(ridge.mean, np.linalg.solve(precision, target), rtol=1e-6, atol=1e-8)


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(0, 60), prior=priors)
def test_revising_removes_what_an_update_added(seed: int, n: int, prior: float) -> None:
    x, y, weights = data(seed, n + 1)
    ridge = DiscountedRidge(prior_precision=prior)
    for i in range(n):
        ridge.update(x[i], y[i], weights[i])
    ridge.resize(x.shape[1])
    mean, covariance = ridge.mean.copy(), ridge.covariance.copy()
    ridge.update(x[n], y[n], weights[n])
    ridge.revise(x[n], -weights[n], -weights[n] * y[n])
    assert np.allclose(ridge.mean, mean, atol=1e-8)
    assert np.allclose(ridge.covariance, covariance, atol=1e-8)


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(1, 120), prior=priors, gamma=st.sampled_from([0.7, 0.97, 1.0]))
def test_width_never_exceeds_the_priors(seed: int, n: int, prior: float, gamma: float) -> None:
    x, y, weights = data(seed, n)
    ridge = DiscountedRidge(prior_precision=prior, gamma=gamma, every=4)
    for i in range(n):
        ridge.update(x[i], y[i], weights[i])
        eigenvalues = np.linalg.eigvalsh(ridge.covariance)
        assert eigenvalues.min() > 0.0
        assert eigenvalues.max() <= 1.0 / prior + 1e-9


def test_width_returns_to_the_priors_where_nothing_is_seen() -> None:
    ridge = DiscountedRidge(prior_precision=2.0, gamma=0.9, every=1)
    for _ in range(20):
        ridge.update(np.array([1.0, 0.0]), 1.0)
    narrow = ridge.predict(np.array([1.0, 0.0]))[1]
    for _ in range(200):
        ridge.update(np.array([0.0, 1.0]), 1.0)
    assert narrow < 0.2
    assert ridge.predict(np.array([1.0, 0.0])) == pytest.approx((0.0, 0.5), abs=1e-6)


def test_discounting_everything_leaves_the_prior() -> None:
    ridge = learned(seed=3, n=30, prior_precision=5.0)
    ridge.discount(0.0)
    assert np.allclose(ridge.mean, 0.0)
    assert np.allclose(ridge.covariance, np.eye(len(ridge.mean)) / 5.0)


def test_dictionaries_and_vectors_teach_the_same() -> None:
    by_name, by_vector = DiscountedRidge(prior_precision=2.0), DiscountedRidge(prior_precision=2.0)
    x, y, _ = data(seed=5, n=20)
    for phi, target in zip(x, y, strict=True):
        by_name.learn_one({f"x{i}": value for i, value in enumerate(phi)}, target)
        by_vector.update(phi, target)
    assert np.allclose(by_name.mean, by_vector.mean)
    assert by_name.predict_one({"x0": 2.0, "never seen": 9.0}) == pytest.approx(2.0 * by_vector.mean[0])


def test_columns_keep_the_order_of_first_appearance() -> None:
    columns = Columns(["a"])
    assert columns.vector({"b": 2.0, "a": 1.0}).tolist() == [1.0, 2.0]
    assert columns.vector({"b": 3.0}).tolist() == [0.0, 3.0]


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(1, 150), gamma=st.sampled_from([0.9, 0.99, 1.0]), prior=st.sampled_from([0.25, 1.0]))
def test_logistic_covariance_stays_positive_definite_and_within_the_prior(
    seed: int, n: int, gamma: float, prior: float
) -> None:
    x, y, _ = data(seed, n)
    logistic = BayesianLogistic(prior_variance=prior, gamma=gamma)
    logistic.resize(np.zeros(x.shape[1]))
    for phi, target in zip(3.0 * x, y, strict=True):
        logistic.update(phi, float(target > 0.0))
        assert np.linalg.eigvalsh(logistic.covariance).min() > 0.0
        assert np.diag(logistic.covariance).max() <= prior * (1.0 + 1e-9)


def test_logistic_converges_to_the_weights_behind_the_labels() -> None:
    rng = np.random.default_rng(7)
    truth = np.array([0.5, -1.5, 1.0])
    logistic = BayesianLogistic()
    logistic.resize(np.zeros(3))
    for _ in range(4_000):
        x = np.append(1.0, rng.normal(size=2))
        logistic.update(x, float(rng.random() < sigmoid(float(truth @ x))))
    # Each weight has a standard error near 0.045 at n = 4,000; the tolerance is four of these.
    assert np.abs(logistic.mean - truth).max() < 0.18
    assert np.sqrt(np.diag(logistic.covariance)).max() < 0.07


def test_new_logistic_weights_start_at_their_prior_and_leave_the_others_alone() -> None:
    logistic = BayesianLogistic(prior_variance=0.25)
    logistic.resize(np.array([0.5]))
    logistic.update(np.array([1.0]), 1.0)
    mean, variance = logistic.mean[0], logistic.covariance[0, 0]
    logistic.resize(np.array([9.0, -1.5]))
    assert logistic.mean.tolist() == [mean, -1.5]
    assert logistic.covariance.tolist() == [[variance, 0.0], [0.0, 0.25]]


@settings(max_examples=30)
@given(seed=seeds, n=st.integers(1, 60), prior=st.sampled_from([0.25, 4.0]))
def test_labels_within_the_lag_are_fitted_together(seed: int, n: int, prior: float) -> None:
    x, y, weights = data(seed, n)
    x, good = 2.0 * x, (y > 0.0).astype(float)
    logistic = BayesianLogistic(prior_variance=prior, lag=60)
    logistic.resize(np.full(x.shape[1], 0.5))
    for phi, label, weight in zip(x, good, weights, strict=True):
        logistic.update(phi, label, weight=weight)
    p = 1.0 / (1.0 + np.exp(-x @ logistic.mean))
    # At the mode of the posterior its gradient is zero.
    gradient = x.T @ (weights * (good - p)) - (logistic.mean - 0.5) / prior
    assert np.abs(gradient).max() < 1e-2


def test_what_leaves_the_lag_is_remembered() -> None:
    rng = np.random.default_rng(2)
    short, long = (BayesianLogistic(lag=lag) for lag in (20, 400))
    for _ in range(400):
        x = np.append(1.0, rng.normal(size=2))
        label = float(rng.random() < sigmoid(float(np.array([0.5, -1.5, 1.0]) @ x)))
        for logistic in (short, long):
            logistic.resize(np.zeros(3))
            logistic.update(x, label)
    assert np.abs(short.mean - long.mean).max() < 0.15
    assert len(short.recent) == 20


def test_labels_that_leave_the_lag_together_teach_what_they_teach_one_by_one() -> None:
    rng = np.random.default_rng(4)
    single, together = BayesianLogistic(gamma=0.999, lag=50), BayesianLogistic(gamma=0.999, lag=50, batch=10)
    moves = set()
    for i in range(400):
        x = np.append(1.0, rng.normal(size=2))
        label = float(rng.random() < sigmoid(float(np.array([0.5, -1.5, 1.0]) @ x)))
        before = together.mean
        for logistic in (single, together):
            logistic.resize(np.zeros(3))
            logistic.update(x, label)
        if i >= 50 and not np.array_equal(before, together.mean):
            moves.add(i % 10)
            assert np.abs(single.mean - together.mean).max() < 0.02
    assert moves == {9}
    assert len(together.recent) == 50


@pytest.mark.parametrize("lag", [0, 10])
def test_another_prior_is_as_if_it_had_been_there_from_the_start(lag: int) -> None:
    late, early = (BayesianLogistic(gamma=0.99, lag=lag) for _ in range(2))
    mean, precision = np.array([1.0, -1.0]), np.array([[3.0, 1.0], [1.0, 2.0]])
    late.resize(np.zeros(1))
    early.believe(mean, precision)
    late.believe(mean, precision)
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, label = rng.normal(size=2), float(rng.random() < 0.5)
        late.update(x, label)
        early.update(x, label)
    assert np.allclose(late.mean, early.mean)
    late.believe(np.zeros(2), 1e6 * np.eye(2))
    assert np.abs(late.mean).max() < 1e-3


def test_logistic_probabilities_sum_to_one() -> None:
    logistic = BayesianLogistic()
    logistic.learn_one({"a": 1.0}, True)
    chances = logistic.predict_proba_one({"a": 1.0})
    assert chances[True] > 0.5
    assert sum(chances.values()) == pytest.approx(1.0)


@given(st.floats(-800.0, 800.0))
def test_sigmoid_stays_within_its_range_and_logit_undoes_it(x: float) -> None:
    assert 0.0 <= sigmoid(x) <= 1.0
    assert sigmoid(x) + sigmoid(-x) == pytest.approx(1.0)
    assert logit(sigmoid(x)) == pytest.approx(min(max(x, logit(0.001)), logit(0.999)), abs=1e-6)


def test_forgetting_keeps_the_covariance_symmetric() -> None:
    ridge, rng = DiscountedRidge(prior_precision=20.0, gamma=0.997), np.random.default_rng(5)
    for _ in range(2_000):
        ridge.update(rng.normal(size=8), rng.random())
    assert np.array_equal(ridge.covariance, ridge.covariance.T)


def test_no_more_is_taken_back_than_is_known() -> None:
    ridge, phi = DiscountedRidge(prior_precision=1.0, gamma=0.9, every=1), np.array([1.0, 10.0])
    ridge.update(phi, 1.0, weight=2.0)
    for seed in range(60):
        ridge.update(np.array([1.0, np.random.default_rng(seed).normal()]), 0.0)
    ridge.revise(phi, -2.0, -2.0)
    assert np.linalg.eigvalsh(ridge.covariance).min() > 0.0
