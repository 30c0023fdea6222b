"""Two spellings of one answer have one normal form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner import canonical


@pytest.mark.parametrize(
    ("spelling", "decimal"),
    [
        ("1,234.50", "1234.5"),
        ("$1,000,000", "1000000"),
        ("approximately $1,000,000.", "1000000"),
        ("-$3.20", "-3.2"),
        ("\u22125", "-5"),
        ("007", "7"),
        (".5", "0.5"),
        ("1/2", "0.5"),
        ("0.50", "0.5"),
        ("\\frac12", "0.5"),
        ("\\dfrac{1}{2}", "0.5"),
        ("-\\frac{3}{4}", "-0.75"),
        ("3\\frac{1}{2}", "3.5"),
        ("50%", "50"),
        ("50\\%", "50"),
        ("14 boxes", "14"),
        ("9.81 m/s^2", "9.81"),
        ("25 \\text{ cm}^2", "25"),
        ("45^\\circ", "45"),
        ("x = 5", "5"),
        ("15 * (2/3) = 10", "10"),
        ("2\\sqrt{16}", "8"),
        ("\\sqrt{2}", "1.41421356237"),
        ("2 * sqrt(26)", "10.1980390272"),
        ("2√26", "10.1980390272"),
        ("1.2 \\times 10^{-3}", "0.0012"),
        ("1.2e-3", "0.0012"),
        ("4π", "12.5663706144"),
        ("The total is 84 apples", "84"),
        ("10,000{,}000", ""),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_a_number_has_one_spelling(spelling: str, decimal: str) -> None:
    assert canonical.number(spelling) == decimal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "about",
        "86 glasses and 42 plates",
        "Apollo 11",
        "4 July",
        "2:00 pm",
        "3x",
        "3 \\sqrt{x}",
        "x^2",
        "[1, 2]",
        "9^9^9^9",
        "1/0",
        "H2O",
        "1112_3",
        "a=1, b=2",
        "1" * 200,
    ],
)
def test_what_is_not_one_number_is_none(text: str) -> None:
    assert canonical.number(text) == ""


@given(st.integers(min_value=-(10**100), max_value=10**100))
def test_whole_numbers_are_exact_with_and_without_commas(value: int) -> None:
    assert canonical.number(f"{value:,}") == canonical.number(str(value)) == str(value)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_decimals_keep_twelve_digits(value: float) -> None:
    text = canonical.number(f"{value:.6f}")
    assert math.isclose(float(text), round(value, 6), rel_tol=1e-11, abs_tol=1e-12)


def test_data_are_sorted_and_numbers_canonical() -> None:
    assert canonical.document({"b": [1.0, None, True], "a": "x"}) == '{"a":"x","b":[1,null,true]}'
    assert canonical.document((1, {2})) == "(1,{2})"


def test_long_data_become_a_digest() -> None:
    assert len(canonical.document(list(range(1_000)))) == 32
    assert canonical.document(list(range(1_000))) != canonical.document(list(range(1_001)))


def test_a_phrase_loses_case_articles_and_punctuation() -> None:
    assert canonical.phrase("The Treaty of Ghent.") == canonical.phrase("treaty of ghent") == "treaty of ghent"
    assert canonical.phrase("A") == "a"


def test_a_formula_keeps_its_signs() -> None:
    assert canonical.phrase("x + 1 = 2y") != canonical.phrase("x - 1 = 2y")
    assert canonical.phrase("$x+1 = 2y$") == canonical.phrase("x + 1=2y")


@pytest.mark.parametrize("source", ['re.match("\\d+", s)', "x = 1or 2", "print 'old'", "\x00", "é = '\ud800'"])
def test_code_raises_neither_error_nor_warning(source: str) -> None:
    assert len(canonical.code(source)) == 32


@pytest.mark.parametrize("text", ["15or 2", "f(1)", "import os", "[" * 300, "'" + "x" * 5_000 + "'", "{[]: 1}"])
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(canonical.UNREADABLE):
        canonical.literal(text)
