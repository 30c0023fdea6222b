"""The model that answered says whether its answer is true."""

import math
from typing import Any

import pytest

from app.judges.self_check import SelfCheck
from tests.app.judges.court import case_of, reply, sections

JUDGE = SelfCheck("own")


def first_token(*tops: tuple[Any, Any]) -> dict[str, Any]:
    told = [{"token": token, "logprob": logprob} for token, logprob in tops]
    return {"content": [{"token": "True", "logprob": -0.1, "top_logprobs": told}]}


def test_the_model_that_answered_is_asked_about_its_own_answer() -> None:
    (prompt,) = JUDGE.prompts(case_of("42"))
    assert prompt.model == "small"
    assert sections(str(prompt.messages[0]["content"]))[2] == "\nPROPOSED ANSWER:\n42\n"
    assert prompt.options == {}


def test_log_probabilities_are_asked_for_where_there_are_any() -> None:
    (prompt,) = JUDGE.prompts(case_of(gives_logprobs=True))
    assert prompt.options == {"logprobs": True, "top_logprobs": 5}


@pytest.mark.parametrize(("said", "score"), [("True", 1.0), ("**false**.", 0.0), ('"true"\n', 1.0)])
def test_its_word_is_its_score(said: str, score: float) -> None:
    assert JUDGE.opinion(case_of(), [reply(said)]) == {1: score}


@pytest.mark.parametrize("said", ["", "True or False", "The answer is true.", '{"score": 1.0}', "yes"])
def test_any_other_word_is_missing(said: str) -> None:
    assert JUDGE.opinion(case_of(), [reply(said)]) is None


def test_where_there_are_log_probabilities_the_score_is_the_probability_of_its_word() -> None:
    told = first_token((" True", math.log(0.5)), ("true", math.log(0.1)), ("False", math.log(0.2)), ("Maybe", -2.0))
    opinion = JUDGE.opinion(case_of(), [reply("True", told)])
    assert opinion is not None
    assert opinion[1] == pytest.approx(0.75)


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": []}, {"content": [{}]}, {"content": [{"top_logprobs": None}]}, first_token((3, -0.1)),
     first_token(("True", None)), first_token(("True", -1e9), ("False", -1e9))],
)  # fmt: skip
def test_log_probabilities_that_are_none_leave_the_word(logprobs: Any) -> None:
    assert JUDGE.opinion(case_of(), [reply("False", logprobs)]) == {1: 0.0}
