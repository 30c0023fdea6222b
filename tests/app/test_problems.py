from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from app.problems import SHOWN_CHARACTERS, Problem, located, problems_in, shown

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class Inner(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    share: float
    api_key: str = ""
    evens: list[int] = []

    @field_validator("evens")
    @classmethod
    def _are_even(cls, values: list[int]) -> list[int]:
        if odd := [((place,), value, "should be even") for place, value in enumerate(values) if value % 2]:
            raise located(odd)
        return values


class Outer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    inner: Inner
    either: Inner | int = 0


def problems(data: Any) -> list[str]:
    try:
        Outer.model_validate(data)
    except ValidationError as err:
        return [str(each) for each in problems_in(err.errors(), data, lambda _: ["share", "api_key"])]
    return []


@given(json_values, st.text())
def test_a_shown_value_is_short_and_can_be_sent(value: Any, name: str) -> None:
    text = shown(value, name=name)
    assert 0 < len(text) <= SHOWN_CHARACTERS
    assert text.encode("utf-8")


@pytest.mark.parametrize(
    "name", ["api_key", "api_key_env", "Authorization", "password", "client_secret", "access-token"]
)
def test_the_value_of_a_field_named_like_a_secret_is_hidden(name: str) -> None:
    assert shown("hunter2", name=name) == "(hidden)"


@pytest.mark.parametrize("name", ["context_tokens", "monkey", "tokenizer", "keys"])
def test_a_name_that_only_resembles_a_secret_hides_nothing(name: str) -> None:
    assert shown(7, name=name) == "7"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("use sk-live-abc123 please", "live"),
        ("Bearer abc.def", "abc.def"),
        ("AIzaSyAbc", "SyAbc"),
        ("postgresql://me:pa@ss@host/db", "ss"),
        ("http://host/v1?key=abcdef&x=1", "abcdef"),
        ("x" * 75 + " sk-live-abc123", "sk-"),
    ],
)
def test_text_that_looks_like_a_secret_is_hidden_wherever_it_stands(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in shown(text)


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert shown("a\ud800b") == '"a?b"'


def test_a_path_is_written_as_people_write_it() -> None:
    assert str(Problem(("models", 0, "price"), "3", "should be an object")) == "models[0].price: 3 should be an object"


def test_a_problem_of_the_whole_input_has_no_path() -> None:
    assert str(Problem((), "3", "should be an object")) == "3 should be an object"


def test_a_line_break_in_a_key_does_not_break_the_line() -> None:
    assert "\n" not in str(Problem(("a\nb",), "", "is unknown"))


def test_a_type_error_says_value_and_wish() -> None:
    assert problems({"inner": {"share": "2"}}) == ['inner.share: "2" should be a number']


def test_an_object_is_never_printed() -> None:
    assert problems({"inner": [{"secret": 1}]}) == ["inner: a list should be an object"]


def test_a_missing_field_is_named() -> None:
    assert problems({"inner": {}}) == ["inner.share: is missing; add it"]


def test_an_unknown_field_gets_the_closest_known_one() -> None:
    assert problems({"inner": {"share": 2, "shore": 1}}) == ["inner.shore: is unknown; did you mean share?"]


def test_an_unknown_field_like_none_gets_the_known_ones() -> None:
    assert problems({"inner": {"share": 2, "zzz": 1}}) == ["inner.zzz: is unknown; the known ones are share, api_key"]


def test_the_branch_of_a_union_is_no_part_of_the_path() -> None:
    assert "either.share: is missing; add it" in problems({"inner": {"share": 2}, "either": {}})


def test_a_validator_can_name_several_places_below_its_value() -> None:
    assert problems({"inner": {"share": 2, "evens": [1, 2, 3]}}) == [
        "inner.evens[0]: 1 should be even",
        "inner.evens[2]: 3 should be even",
    ]
