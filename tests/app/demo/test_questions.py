import re

import pytest

from app.demo.questions import is_exactly, lists_in_order, questions, says, says_number
from app.demo.worlds import fold


def test_there_are_about_120_questions_of_every_kind_and_no_prompt_twice() -> None:
    bank = questions()
    assert 110 <= len(bank) <= 140
    assert len({fold(question.prompt) for question in bank}) == len(bank)
    kinds = {"arithmetic", "capital", "opposite", "spelling", "fact", "sorting", "format"}
    assert {question.kind for question in bank} == kinds


def test_no_question_takes_its_own_prompt_for_an_answer() -> None:
    prompts = [q for q in questions() if q.kind not in {"sorting"}]
    assert [q.prompt for q in prompts if q.check(q.prompt)] == []


def test_no_question_takes_silence_for_an_answer() -> None:
    assert not any(question.check("") for question in questions())


@pytest.mark.parametrize(
    ("prompt", "right", "wrong"),
    [
        ("What is 7 + 5?", " 12", "13"),
        ("What is 15 - 5?", "It is 10.", "The answer is -10"),
        ("What is 7 times 8?", "56", "7 times 8 is 56"),
        ("What is the capital of Argentina?", "buenos aires", "Buenosaires"),
        ("What is the opposite of up?", "down", "downtown"),
        ("Is fire hot? Answer yes or no.", "Yes, it is.", "yes and no"),
        ("Do cats have wings? Answer yes or no.", "no", "not"),
        ("Sort these alphabetically: pear, apple.", "apple, pear", "apple, pear, apple"),
        ("Sort these from small to large: 6, 10.", "6, 10", "10, 6"),
        ("Which number is smaller, 12 or 8?", "8", "12 is smaller than 8."),
        ("Write the word blue in capital letters.", '"BLUE".', "Blue"),
        ("What is the first letter of the word dog?", "D", "dog"),
    ],
)
def test_a_right_answer_passes_and_a_wrong_one_does_not(prompt: str, right: str, wrong: str) -> None:
    question = next(q for q in questions() if q.prompt == prompt)
    assert question.check(right)
    assert not question.check(wrong)


def test_the_right_spelling_stands_first_in_half_of_the_questions() -> None:
    spelling = [q for q in questions() if q.kind == "spelling"]
    first = [re.findall(r"[a-z]+", q.prompt.lower())[4] for q in spelling]
    assert sum(q.check(word) for q, word in zip(spelling, first, strict=True)) == len(spelling) // 2


def test_checks_read_whole_words_and_first_numbers_only() -> None:
    assert says("no")("NO!")
    assert not says("no")("know")
    assert not says("receive", but_not="recieve")("receive, not recieve")
    assert says_number(1000)("1,000")
    assert not says_number(5)("none")
    assert lists_in_order(["2", "9"])("2 and 9") is False
    assert is_exactly("a", "A")(" 'A' ")
