"""Evidence on an answer: signals, length and judges' scores, all features of one kind."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.estimators import logit
from learner.judges import MOST_CERTAIN, features_of, judge_feature
from learner.types import JudgeScore


@given(st.floats(0.0, 1.0))
def test_a_judges_say_is_bounded_and_grows_with_its_score(score: float) -> None:
    assert abs(judge_feature(score)) <= MOST_CERTAIN
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


def test_a_reply_without_an_answer_is_at_fault_only_as_far_as_others_state_one() -> None:
    def unstated(usually: float) -> float:
        return features_of({"unstated": 1.0}, [], output_tokens=10, expected_tokens=10.0, usually_stated=usually)[
            "unstated"
        ]

    assert unstated(0.9) == 0.9
    assert unstated(0.0) == 0.0
