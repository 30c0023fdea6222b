"""Another model answers by itself."""

import pytest

from app.judges.cross_check import AGREES, DIFFERS, CrossCheck
from tests.app.judges.court import case_of, reply

JUDGE = CrossCheck("second", "judge-a")
TALE = "Once upon a time a miller had three sons, his mill, a donkey and a cat, and nobody wanted the cat."
WEATHER = "Tomorrow it will rain in the north, with strong winds at the coast and some sun late in the afternoon."


def test_the_other_model_sees_the_conversation_and_no_answer() -> None:
    conversation = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 6 times 7?"}],
        "response_format": {"type": "json_object"}, "max_tokens": 99, "router": {}, "stream": True,
    }  # fmt: skip
    (prompt,) = JUDGE.prompts(case_of("It is 42.", conversation=conversation))
    assert prompt.messages == conversation["messages"]
    assert (prompt.most_tokens, prompt.options) == (99, {"response_format": {"type": "json_object"}})
    assert "42" not in str(prompt)


def test_one_reply_serves_every_answer_to_the_same_query() -> None:
    abouts = {JUDGE.prompts(case_of(answer))[0].about for answer in ("41", "42")}
    assert len(abouts) == 1
    assert JUDGE.prompts(case_of("42", "What is 6 times 8?"))[0].about not in abouts


def test_a_model_that_has_answered_already_is_not_asked_again() -> None:
    assert JUDGE.prompts(case_of(models=frozenset({"small", "judge-a"}))) == []


@pytest.mark.parametrize(("said", "score"), [("The answer is 42.", AGREES), ("It is **41**", DIFFERS)])
def test_final_answers_are_compared(said: str, score: float) -> None:
    assert JUDGE.opinion(case_of("42"), [reply(said)]) == {1: score}


def test_free_texts_are_compared_by_their_meaning() -> None:
    alike = JUDGE.opinion(case_of(TALE, "Tell me something."), [reply(TALE)])
    other = JUDGE.opinion(case_of(TALE, "Tell me something."), [reply(WEATHER)])
    assert alike is not None
    assert other is not None
    assert alike[1] > 0.5 > other[1]


@pytest.mark.parametrize("said", [WEATHER, ""])
def test_what_cannot_be_compared_is_missing(said: str) -> None:
    assert JUDGE.opinion(case_of("42", "Tell me something."), [reply(said)]) is None


def test_an_empty_reply_agrees_with_nothing() -> None:
    assert JUDGE.opinion(case_of(TALE, "Tell me something."), [reply(" ")]) is None
