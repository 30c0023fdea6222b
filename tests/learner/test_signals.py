"""What a completion shows of itself."""

import pytest

from learner.seeds import SEEDS
from learner.signals import is_json, is_parsable, is_repetitive, signals

PROSE = " ".join(example for seed in SEEDS for example in seed.examples)[:4_000]


def found(text: str, **changes: object) -> dict[str, float]:
    told = {"finish_reason": "stop", "wants_json": False, "mean_logprob": None} | changes
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
        ("json_invalid", "Here it is: {}", {"wants_json": True}),
        ("code_invalid", "```python\ndef f(:\n```", {}),
        ("unstated", "Canberra or Sydney", {"states_answer": False}),
    ],
)
def test_a_fault_raises_its_signal_alone(name: str, text: str, changes: dict[str, object]) -> None:
    assert found(text, **changes) == {name: 1.0}


def test_a_tool_call_without_text_is_no_fault() -> None:
    assert found("", has_tool_calls=True, states_answer=False) == {}


def test_a_refusal_is_one_only_at_the_beginning() -> None:
    assert found("The clerk said: I'm sorry, I can't help you.") == {}


def test_log_probability_is_bounded_and_marked_as_seen() -> None:
    assert found("x", mean_logprob=-0.3) == {"logprob": 0.0, "logprob_seen": 1.0}
    assert found("x", mean_logprob=-50.0) == {"logprob": -2.7, "logprob_seen": 1.0}


@pytest.mark.parametrize("text", ["{}", '{"a": [1, 2]}', " 3 "])
def test_json_is_recognised(text: str) -> None:
    assert is_json(text)
    assert not is_json(f"{text} and more")


def test_every_python_block_must_parse() -> None:
    assert is_parsable("no code at all")
    assert is_parsable("```python\nx = 1\n```\nand\n```js\nlet x =;\n```")
    assert not is_parsable("```python\nx = 1\n```\nand\n```py\nx =\n```")
    assert not is_parsable("```python\nx = '\0'\n```")


def test_short_or_varied_texts_are_not_repetitive() -> None:
    assert not is_repetitive("no " * 100)
    assert not is_repetitive(PROSE)
    assert is_repetitive(PROSE + " and again" * 250)
