"""What a completion shows of itself."""

import pytest

from learner.seeds import SEEDS
from learner.signals import is_json, is_parsable, is_repetitive, signals

PROSE = " ".join(example for seed in SEEDS for example in seed.examples)[:4_000]


def found(text: str, **changes: object) -> dict[str, float]:
    told = {"finish_reason": "stop", "wants_json": False, "logprobs": ()} | changes
    return signals(text, **told)  # type: ignore[arg-type]  # any argument of `signals`


def test_an_ordinary_answer_shows_nothing() -> None:
    assert found("The answer is 42.") == {}
    assert found(PROSE) == {}


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("empty", " \n", {}),
        ("truncated", "The answer", {"finish_reason": "length"}),
        ("refusal", "I'm sorry, but I can't help with that.", {}),
        ("refusal", "As an AI, I have no opinion.", {}),
        ("repetition", "again and " * 200, {}),
        ("unstated", "Canberra or Sydney", {"states_answer": False}),
        ("contradictory", "The answer is 4. The answer is 5.", {"contradicts_answer": True}),
    ],
)
def test_a_fault_raises_its_signal_alone(name: str, text: str, changes: dict[str, object]) -> None:
    assert found(text, **changes) == {name: 1.0}


@pytest.mark.parametrize(
    ("name", "seen", "wrong", "right", "changes"),
    [
        ("json_invalid", "json_seen", "Here it is: {}", "{}", {"wants_json": True}),
        ("json_invalid", "json_seen", "[" * 100_000 + "1", "[]", {"wants_json": True}),
        ("code_invalid", "code_seen", "```python\ndef f(:\n```", "```py\nx = 1\n```", {}),
        ("code_invalid", "code_seen", '```json\n{"a": }\n```', '```json\n{"a": 1}\n```', {}),
    ],
)
def test_a_check_that_does_not_always_apply_says_that_it_did(
    name: str, seen: str, wrong: str, right: str, changes: dict[str, object]
) -> None:
    assert found(wrong, **changes) == {name: 1.0, seen: 1.0}
    assert found(right, **changes) == {seen: 1.0}
    assert found("```js\nlet x =;\n```") == {}


def test_a_tool_call_without_text_is_no_fault() -> None:
    assert found("", has_tool_calls=True, states_answer=False) == {}
    assert found("", has_tool_calls=True, wants_json=True) == {}


def test_a_refusal_is_one_only_at_the_beginning() -> None:
    assert found("The clerk said: I'm sorry, I can't help you.") == {}


def test_the_certainty_of_an_answer_has_a_mean_a_least_and_a_share_of_unsure_tokens() -> None:
    told = found("x", logprobs=(-0.1, -0.2, -0.1, -2.8))
    assert told == pytest.approx({"logprob": -0.5, "logprob_least": 0.2, "logprob_unsure": 0.25, "logprob_seen": 1.0})


def test_log_probabilities_are_bounded() -> None:
    told = found("x", logprobs=(-50.0,))
    assert told == {"logprob": -2.7, "logprob_least": -5.0, "logprob_unsure": 1.0, "logprob_seen": 1.0}


@pytest.mark.parametrize("text", ["{}", '{"a": [1, 2]}', " 3 "])
def test_json_is_recognised(text: str) -> None:
    assert is_json(text)
    assert not is_json(f"{text} and more")


def test_every_block_must_parse() -> None:
    assert found("```python\nx = 1\n```\nand\n```py\nx =\n```") == {"code_invalid": 1.0, "code_seen": 1.0}
    assert not is_parsable("python", "x = '\0'")


def test_short_or_varied_texts_are_not_repetitive() -> None:
    assert not is_repetitive("no " * 100)
    assert not is_repetitive(PROSE)
    assert is_repetitive(PROSE + " and again" * 250)
