"""Evidence on an answer: weights that start from common sense and end where the labels say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.estimators import logit, sigmoid
from learner.judges import (
    JUDGE_PRIOR_WEIGHT,
    PRIOR_MEANS,
    Calibration,
    Stacker,
    features_of,
    judge_feature,
    worth_usd,
)
from learner.types import JudgeScore


def judged(seed: int, n: int, *, agrees: float) -> Stacker:
    """A stacker that saw n labels beside a judge that agrees with so many of them, and of an honest prior."""
    rng, stacker = np.random.default_rng(seed), Stacker()
    for _ in range(n):
        good = rng.random() < 0.6
        says = good if rng.random() < agrees else not good
        stacker.update({"judge:j": judge_feature(0.9 if says else 0.1)}, logit(0.6), float(good))
    return stacker


def test_an_honest_judge_gains_weight() -> None:
    assert judged(1, 400, agrees=0.9).view().weights["judge:j"] > JUDGE_PRIOR_WEIGHT + 0.2


def test_a_judge_that_is_mostly_wrong_ends_below_zero() -> None:
    assert judged(1, 400, agrees=0.2).view().weights["judge:j"] < -0.2


def test_a_judge_that_guesses_ends_near_zero() -> None:
    assert abs(judged(1, 400, agrees=0.5).view().weights["judge:j"]) < 0.15


def test_before_any_label_every_signal_weighs_what_common_sense_says() -> None:
    view = Stacker().view()
    assert view.evidence({"empty": 1.0}) == PRIOR_MEANS["empty"]
    assert view.evidence({"never heard of": 1.0}) == 0.0
    assert view.calibrated(logit(0.7), 0.0) == pytest.approx(0.7)


def test_before_any_label_a_judge_is_believed_a_little() -> None:
    assert Stacker().view().evidence({"judge:new": 2.0}) == pytest.approx(2.0 * JUDGE_PRIOR_WEIGHT)


def test_a_view_predicts_what_the_logistic_does() -> None:
    stacker = judged(2, 50, agrees=0.8)
    x = np.array([1.0, 0.3, 1.5])
    view = stacker.view()
    expected = sigmoid(float(stacker.logistic.mean @ x))
    assert view.calibrated(0.3, view.evidence({"judge:j": 1.5})) == pytest.approx(expected)


def test_probabilities_become_calibrated() -> None:
    rng, stacker = np.random.default_rng(4), Stacker()
    for _ in range(1_500):
        # The stated belief is over-confident: twice the true log-odds.
        truth = float(rng.normal())
        stacker.update({}, 2.0 * truth, float(rng.random() < sigmoid(truth)))
    assert stacker.view().weights["prior"] == pytest.approx(0.5, abs=0.15)


@given(st.floats(0.0, 1.0))
def test_a_judges_say_is_bounded_and_grows_with_its_score(score: float) -> None:
    assert -3.0 <= judge_feature(score) <= 3.0
    assert judge_feature(score) <= judge_feature(min(1.0, score + 0.1))


def test_features_hold_signals_length_and_scores() -> None:
    features = features_of(
        {"empty": 1.0, "refusal": 0.0}, [JudgeScore("strict", 0, 0.9)], output_tokens=95, expected_tokens=45.0
    )
    assert features == {
        "empty": 1.0,
        "length": pytest.approx(math.log(2.0)),
        "judge:strict": pytest.approx(logit(0.9)),
    }


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


def test_every_judge_has_its_own_reliability() -> None:
    stacker = judged(5, 30, agrees=1.0)
    assert stacker.judges["j"].count.sum() == stacker.calibration.count.sum() == 30
    assert stacker.judges["j"].ece == pytest.approx(0.1, abs=1e-6)


@given(st.floats(0.01, 0.99), st.floats(-2.0, 2.0), st.floats(0.1, 1e5))
def test_an_opinion_is_worth_most_in_doubt_and_less_where_money_is_dear(p: float, weight: float, price: float) -> None:
    worth = worth_usd(p=p, weight=weight, lambda_=price)
    assert 0.0 <= worth <= worth_usd(p=0.5, weight=weight, lambda_=price)
    assert worth_usd(p=p, weight=weight, lambda_=2.0 * price) == pytest.approx(worth / 2.0)
    assert worth_usd(p=p, weight=-weight, lambda_=price) == worth


def test_a_reply_without_an_answer_is_at_fault_only_as_far_as_others_state_one() -> None:
    def unstated(usually: float) -> float:
        return features_of({"unstated": 1.0}, [], output_tokens=10, expected_tokens=10.0, usually_stated=usually)[
            "unstated"
        ]

    assert unstated(0.9) == 0.9
    assert unstated(0.0) == 0.0
