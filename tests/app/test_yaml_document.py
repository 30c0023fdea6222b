from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.yaml_document import Unreadable, read_document

# YAML refuses control characters, and private ones mark variables while the text is read.
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def read(text: str, **environ: str) -> Any:
    document = read_document(text, environ)
    assert document.problems == []
    return document.data


def problems(text: str, **environ: str) -> list[tuple[int, str]]:
    document = read_document(text, environ)
    return [(document.line_of(problem.loc), str(problem)) for problem in document.problems]


@settings(max_examples=25)
@given(st.dictionaries(texts, documents, min_size=1), st.booleans())
def test_what_yaml_writes_is_read_back(data: dict[str, Any], is_flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=is_flow, allow_unicode=True)
    assert read_document(text.replace("${", "$ {"), {}).data == yaml.safe_load(text.replace("${", "$ {"))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("6e-4", 0.0006),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("'6'", "6"),
        ('"true"', "true"),
        ("~", None),
        ("", None),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_a_scalar_has_the_type_of_yaml_1_2(written: str, value: object) -> None:
    data = read(f"a: {written}")
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_a_number_of_very_many_digits_is_no_crash() -> None:
    assert read(f"a: {'9' * 9000}") == {"a": float("inf")}


def test_keys_are_always_text() -> None:
    assert read("{true: 1, 2: 3, ~: 4}") == {"true": 1, "2": 3, "~": 4}


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert read("# nothing\n") == {}


def test_every_value_knows_its_line() -> None:
    document = read_document("a: 1\nb:\n  - c: 2\n\n    d: {e: 3}\n  - 4\n", {})
    assert document.lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 0, "c"): 3,
        ("b", 0, "d"): 5,
        ("b", 0, "d", "e"): 5,
        ("b", 1): 6,
    }


def test_an_absent_value_is_on_the_line_of_what_should_hold_it() -> None:
    document = read_document("a: 1\nb:\n  - c: 2\n", {})
    assert document.line_of(("b", 0, "price", "input")) == 3
    assert document.line_of(("z",)) == 1


def test_a_variable_is_replaced_inside_text() -> None:
    assert read("url: http://${HOST}:${PORT}/v1", HOST="h", PORT="1") == {"url": "http://h:1/v1"}


@pytest.mark.parametrize("text", ["a: ${N}", "{a: ${N}}", "{a: ${N}, }"])
def test_an_unquoted_variable_may_become_a_number(text: str) -> None:
    assert read(text, N="6e-4") == {"a": 0.0006}


def test_a_quoted_variable_stays_text() -> None:
    assert read('a: "${N}"', N="7") == {"a": "7"}


@given(texts.filter(bool))
def test_a_variable_never_changes_the_structure(value: str) -> None:
    data = read_document("a: x${V}\nb: [1, 'x${V}']\n", {"V": value}).data
    assert data == {"a": f"x{value}", "b": [1, f"x{value}"]}


def test_the_value_of_a_variable_is_not_read_again() -> None:
    assert read("a: ${A}", A="${B}", B="no") == {"a": "${B}"}


def test_a_variable_as_a_key_is_left_alone() -> None:
    assert read("{${A}: 1}", A="b") == {"${A}": 1}


@pytest.mark.parametrize("environ", [{}, {"GONE": ""}])
def test_a_variable_that_is_not_set_is_a_problem(environ: dict[str, str]) -> None:
    assert problems("a: 1\nb: x-${GONE}", **environ) == [
        (2, 'b: "x-${GONE}" names the environment variable GONE, which is not set; set it')
    ]


def test_a_brace_that_begins_no_variable_is_a_problem() -> None:
    assert problems("a: '${not a name}'") == [(1, 'a: "${not a name}" has a ${ that begins no variable; write ${NAME}')]


def test_a_key_written_twice_is_a_problem_with_both_lines() -> None:
    assert problems("a: 1\nb: {c: 2}\na: 3\n") == [(3, "a: is written twice, first on line 1; keep one")]
    assert problems("{a: 1, a: 1}") == [(1, "a: is written twice, first on line 1; keep one")]


def test_the_same_key_in_two_places_is_no_problem() -> None:
    assert read("[{a: 1}, {a: 2}]") == [{"a": 1}, {"a": 2}]


def test_a_repeated_section_does_not_repeat_its_keys() -> None:
    assert problems("a: {b: 1}\na: {b: 2}\n") == [(2, "a: is written twice, first on line 1; keep one")]


def test_an_alias_is_the_same_value_again() -> None:
    assert read("a: &p {x: 1}\nb: *p\n") == {"a": {"x": 1}, "b": {"x": 1}}


def test_a_value_that_contains_itself_is_a_problem() -> None:
    assert problems("a: &p [1, *p]") == [(1, "a[1]: contains itself; write the value out in place of the alias")]


def test_a_tag_of_its_own_is_a_problem() -> None:
    assert problems("a: !env HOME") == [(1, "a: has the tag !env; write a plain value")]


def test_a_list_as_a_key_is_a_problem() -> None:
    assert problems("a:\n  ? [1]\n  : 2\n") == [(1, "a: has a key on line 2 that is no plain text; write a name")]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: [1\n", 3), ("a: 1\n\tb: 2", 2), ("a: 1\nb: *none", 2), ("a: 1\n---\nb: 2", 2), ("a: \x00", 1)],
)
def test_text_that_is_no_yaml_says_where(text: str, line: int) -> None:
    with pytest.raises(Unreadable, match="is not valid YAML: ") as raised:
        read_document(text, {})
    assert raised.value.line == line
