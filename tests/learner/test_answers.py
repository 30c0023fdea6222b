"""What a reply answers, and which replies agree."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.answers import Answer, extract, groups, same

CAPITALS = "Which city is the capital of Australia?\n\nA. Sydney\nB. Canberra\nC. Perth\nD. Hobart"
INLINE = "Which gas do plants take in? (a) oxygen (b) carbon dioxide (c) helium"
APPLES = "A crate holds 12 apples. How many apples are in 7 crates?"
PROGRAM = "What does this print?\n\ndef f(s):\n    return s.title()\nprint(f('ab cd'))"


@pytest.mark.parametrize(
    "reply",
    [
        "Sydney is larger, but the seat of government is Canberra. The answer is (B).",
        "Answer: B",
        "**Answer:** B",
        "The correct answer is:\n\nB. Canberra",
        "### Final Answer\n\nB",
        "Thus $\\boxed{B}$.",
        "$$\\boxed{\\text{B}}$$",
        '{"reasoning": "It was chosen as a compromise.", "answer": "B"}',
        'Let me think.\n```json\n{"answer": "B) Canberra"}\n```',
        "<answer>B</answer>",
        "I would choose **B**",
        "Not Sydney (A), although it is well known; rather option B",
        "The answer is Canberra.",
        "The answer is A.\n\nWait, that is the largest city. The answer is B.",
        "<think>The answer is (C)?</think>B",
        "b)",
        "B",
    ],
)
def test_an_option_is_found_however_it_is_named(reply: str) -> None:
    assert extract(reply, CAPITALS) == Answer("choice", "B")


@pytest.mark.parametrize("reply", ["B", "(b)", "The answer is (B).", "**Answer: B**", '{"answer": "B"}'])
def test_an_answer_is_stated_where_it_is_called_so_or_is_all_there_is(reply: str) -> None:
    assert extract(reply, CAPITALS).is_stated


@pytest.mark.parametrize(
    "reply", ["Not Sydney (A), although well known; rather option B", "None of them was ever one."]
)
def test_an_answer_that_is_merely_mentioned_last_or_missing_is_not_stated(reply: str) -> None:
    assert not extract(reply, CAPITALS).is_stated


@pytest.mark.parametrize(
    ("reply", "prompt"),
    [
        ("The answer is (A).\n\nThe answer is (B).", CAPITALS),
        ("The answer is 80. No, I forgot four: the answer is 84.", APPLES),
    ],
)
def test_an_answer_beside_which_another_one_is_called_so_is_contradicted(reply: str, prompt: str) -> None:
    assert extract(reply, prompt).is_contradicted


@pytest.mark.parametrize(
    ("reply", "prompt"),
    [
        ("The answer is (B).\n\nTo repeat it, **Answer: B**", CAPITALS),
        ("Option A is a trap, and (C) was never one. The answer is (B).", CAPITALS),
        ("The answer is eighty-four, so the answer is 84.", APPLES),
        ("The answer is the red one. The answer is red.", "Which one?"),
    ],
)
def test_the_same_answer_in_other_words_does_not_contradict_it(reply: str, prompt: str) -> None:
    assert not extract(reply, prompt).is_contradicted


def test_a_contradicted_answer_equals_one_that_is_not() -> None:
    assert extract("The answer is (A). The answer is (B).", CAPITALS) == extract("B", CAPITALS)


def test_options_within_one_line_are_read() -> None:
    assert extract("Photosynthesis consumes carbon dioxide, so (b).", INLINE) == extract("carbon dioxide", INLINE)
    assert extract("B", INLINE).kind == "choice"


def test_lists_inside_the_options_do_not_hide_the_options() -> None:
    prompt = "Find both currents.\nA. (a) 2 A, (b) 3 A\nB. (a) 4 A, (b) 5 A\nC. (a) 6 A, (b) 7 A"
    assert extract("The answer is (C).", prompt) == Answer("choice", "C")


def test_several_options_are_one_answer_in_any_order() -> None:
    assert same(extract("Answer: A and C", CAPITALS), extract("The answer is C, A.", CAPITALS))
    assert not same(extract("Answer: A and C", CAPITALS), extract("Answer: A", CAPITALS))


def test_the_word_i_is_not_an_option() -> None:
    letters = "\n".join(f"{letter}. city {number}" for number, letter in enumerate("ABCDEFGHI"))
    assert (
        extract("The text is incomplete. Therefore, I cannot decide between the cities named here.", letters).key == ""
    )


def test_a_letter_in_brackets_is_a_choice_even_if_the_prompt_is_unknown() -> None:
    assert extract("So the answer is (D).") == Answer("choice", "D")


@pytest.mark.parametrize(
    "reply",
    [
        "12 * 7 = 84, so the answer is 84.",
        "The answer is $84.00.",
        "#### 84",
        "Therefore \\(\\boxed{84}\\) apples.",
        "Answer: 84 apples",
        "There are **84** apples in 7 crates, which is what was asked for, because every one of them holds 12.",
        '```json\n{"reasoning": "12 * 7", "answer": "12 * 7 = 84"}\n```',
        '{"reasoning": "unescaped \\( 12 \\cdot 7 \\)", "answer": 84}',
        '{"steps": [1, 2], "total": 84}',
        "That makes 84.",
        "84",
    ],
)
def test_a_quantity_is_found_however_it_is_stated(reply: str) -> None:
    assert extract(reply, APPLES) == Answer("number", "84")


def test_of_two_statements_the_last_counts() -> None:
    assert extract("The answer is 80. No, I forgot four: the answer is 84.", APPLES).key == "84"


def test_a_reply_that_only_promises_an_answer_states_none() -> None:
    reply = "The answer is as follows and deserves a long explanation, which I shall now try to give in all its detail"
    assert extract(f"{reply}: first the crates, then the apples, and so on.").kind == "free"


@pytest.mark.parametrize(
    "reply", ['"Ab Cd"', "'Ab Cd'", "Answer: `'Ab Cd'`", '{"answer": "Ab Cd"}', "f('ab cd') == 'Ab Cd'"]
)
def test_the_output_of_a_program_is_compared_as_a_literal(reply: str) -> None:
    assert extract(reply, PROGRAM) == extract("Ab Cd", PROGRAM)


def test_spelling_matters_where_the_prompt_shows_code_and_only_there() -> None:
    assert not same(extract("Answer: ab cd", PROGRAM), extract("Answer: Ab Cd", PROGRAM))
    assert same(extract("Answer: the Ab cd", "Who?"), extract("Answer: Ab Cd.", "Who?"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("[1, 2]", "[1,2]"), ("{'a': 1.0, 'b': 'x'}", '{"b":"x","a":1}'), ("(1, 'a')", '(1,"a")'), ("'17'", "17")],
)
def test_literals_are_equal_whatever_their_spacing_and_quotes(one: str, other: str) -> None:
    assert same(extract(f"The answer is {one}", PROGRAM), extract(json.dumps({"answer": other}), PROGRAM))


def test_an_empty_string_is_an_answer_of_a_program() -> None:
    assert same(extract('{"answer": ""}', PROGRAM), extract("Answer: ''", PROGRAM))


def test_json_is_compared_by_content() -> None:
    one = extract('```json\n{"name": "Ada", "tags": ["x"], "age": 36}\n```', wants_json=True)
    other = extract('{"age": 36.0, "name": "Ada",\n "tags": ["x"]}', wants_json=True)
    assert one == other
    assert one.kind == "json"
    assert not same(one, extract('{"age": 37, "name": "Ada", "tags": ["x"]}', wants_json=True))


def test_explanations_inside_json_do_not_count() -> None:
    one = extract('{"explanation": "short", "label": "spam", "confidence": 0.9}')
    assert one == extract('{"label": "Spam"}') == Answer("short", "spam")


def test_where_json_is_wanted_nothing_else_counts() -> None:
    assert extract("The answer is 5.", wants_json=True) == Answer("json", "")
    assert extract('{"name": "Ada", "age": ', wants_json=True) == Answer("json", "")


def test_code_is_compared_by_its_syntax_tree() -> None:
    one = extract("Here you are:\n```python\ndef f(x):\n    return x+1  # next\n```\nCall it as `f(1)`.", "Write f.")
    other = extract("```py\ndef f(x):\n\n    return (x + 1)\n```", "Write f.")
    assert one == other
    assert one.kind == "code"
    assert not same(one, extract("```python\ndef f(x):\n    return x + 2\n```", "Write f."))


def test_the_word_answer_inside_code_is_no_statement() -> None:
    reply = "```python\ndef solve(n):\n    answer = 0\n    return answer\n```"
    assert extract(reply, "Write a function that sums the digits of n.").kind == "code"


def test_code_in_other_languages_is_compared_without_white_space() -> None:
    assert same(extract("```js\nlet a = 1;\n  a++;\n```"), extract("```\nlet a = 1;\na++;\n```"))


def test_a_short_reply_is_its_own_answer() -> None:
    assert same(extract("The Eiffel Tower.", "Which tower?"), extract("eiffel tower", "Which tower?"))


def test_free_text_has_no_key_and_agrees_with_nothing() -> None:
    essay = extract("Rivers shape the land that they cross, and " * 20, "Write about rivers.")
    assert essay == Answer("free", "")
    assert not same(essay, essay)


def test_groups_are_numbered_as_they_appear() -> None:
    b, c, free = Answer("choice", "B"), Answer("choice", "C"), Answer("free", "")
    assert groups([b, free, c, b, free, c]) == (0, 1, 2, 0, 3, 2)
    assert groups([]) == ()


@given(st.text(max_size=400), st.text(max_size=200), st.booleans())
def test_any_text_has_an_answer_or_none(text: str, prompt: str, wants_json: bool) -> None:
    answer = extract(text, prompt, wants_json=wants_json)
    assert answer.kind != "free" or answer.key == ""
    assert extract(text, prompt, wants_json=wants_json) == answer


@given(
    st.lists(
        st.sampled_from(
            ["answer", " is ", "\\boxed{", "{", "}", "[", '"', ":", "1", "/", "^", "-", "```", "\n", "A.", "(", "\\"]
        ),
        max_size=60,
    )
)
def test_any_mix_of_markers_has_an_answer_or_none(parts: list[str]) -> None:
    extract("".join(parts), "".join(reversed(parts)))


@pytest.mark.parametrize(
    "part", ["answer is ", "{", "[", '{"a":', "\\boxed{", "```", "(", "-", "9^", "\\", "A. ", "**", "1,"]
)
def test_the_length_of_a_reply_is_bounded_by_its_tail(part: str) -> None:
    padding = part * (200_000 // len(part))
    assert extract(f"{padding}\n\nThe answer is 42.", padding).key in {"42", ""}
    assert extract(f"The answer is 42.{' ' * 30_000}x").key != "42"


def test_a_deeply_nested_reply_is_no_error() -> None:
    for reply in ("[" * 5_000 + "]" * 5_000, "(" * 3_000, "-" * 3_000 + "1", "```python\n" + "f(" * 3_000 + "\n```"):
        assert extract(reply, PROGRAM).kind in {"free", "code", "short"}
