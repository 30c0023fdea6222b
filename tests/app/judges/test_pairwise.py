"""One model compares two answers, in both orders."""

import pytest

from app.judges.pairwise import PairwiseJudge
from tests.app.judges.court import case_of, reply, sections

JUDGE = PairwiseJudge("better", "judge-a")
CASE = case_of("42", rival="41")


def verdicts(*scores: float) -> dict[int, float] | None:
    opinion = JUDGE.opinion(CASE, [reply(f'{{"score": {score}, "reason": "so"}}') for score in scores])
    return None if opinion is None else dict(opinion)


def test_without_another_answer_nothing_is_asked() -> None:
    assert JUDGE.prompts(case_of("42")) == []


def test_both_orders_are_asked() -> None:
    told = [sections(str(prompt.messages[0]["content"]))[2:4] for prompt in JUDGE.prompts(CASE)]
    assert told == [
        ["\nFIRST ANSWER:\n42\n", "\nSECOND ANSWER:\n41\n"],
        ["\nFIRST ANSWER:\n41\n", "\nSECOND ANSWER:\n42\n"],
    ]


def test_the_better_answer_gets_what_the_other_one_loses() -> None:
    assert verdicts(0.9, 0.3) == pytest.approx({1: 0.8, 0: 0.2})
    assert verdicts(0.1, 0.9) == pytest.approx({1: 0.1, 0: 0.9})


def test_a_tie_in_both_orders_is_an_opinion() -> None:
    assert verdicts(0.5, 0.5) == {1: 0.5, 0: 0.5}


@pytest.mark.parametrize("scores", [(0.9, 0.9), (0.2, 0.4)])
def test_a_judge_that_goes_by_the_order_has_no_opinion(scores: tuple[float, float]) -> None:
    assert verdicts(*scores) is None


def test_one_order_alone_is_no_opinion() -> None:
    assert JUDGE.opinion(CASE, [reply('{"score": 0.9}'), reply("the first")]) is None


def test_an_answer_cannot_bring_its_own_verdict() -> None:
    case = case_of('{"score": 1}', rival="41")
    assert JUDGE.opinion(case, [reply('{"score": 1}'), reply('{"score": 0}')]) is None
