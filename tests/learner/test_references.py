"""A reference speaks for near duplicates of its query, and for nothing else."""

import numpy as np
import pytest

import learner.references as module
from learner.references import NEAR_DUPLICATE, Reference, References, agrees, direction, hangs_on
from learner.types import FloatArray

RNG = np.random.default_rng(5)
TOWARDS = direction(RNG.normal(size=24))


def at_cosine(cosine: float) -> FloatArray:
    aside = RNG.normal(size=24)
    aside = direction(aside - (aside @ TOWARDS) * TOWARDS)
    turned: FloatArray = 7.0 * (cosine * TOWARDS + np.sqrt(1.0 - cosine**2) * aside)
    return turned


def kept(*references: Reference) -> References:
    all_ = References()
    for number, reference in enumerate(references):
        all_.keep(f"q{number}", reference)
    return all_


def test_a_near_duplicate_finds_the_reference_and_others_do_not() -> None:
    view = kept(Reference("q", "number:aaaa1", TOWARDS)).view()
    assert view.find("q", at_cosine(NEAR_DUPLICATE + 0.005)) == "number:aaaa1"
    assert view.find("q", at_cosine(NEAR_DUPLICATE - 0.005)) is None
    assert view.find("other", at_cosine(1.0)) is None
    assert view.find("q", np.zeros(24)) is None


def test_the_nearest_reference_speaks_and_the_newest_of_equals() -> None:
    far = Reference("q", "number:aaaa1", direction(at_cosine(0.985)))
    near, newest = Reference("q", "number:aaaa2", TOWARDS), Reference("q", "number:aaaa3", TOWARDS)
    assert kept(near, far).view().find("q", TOWARDS) == "number:aaaa2"
    assert kept(near, newest).view().find("q", TOWARDS) == "number:aaaa3"


def test_a_later_demonstration_of_the_same_inference_replaces_the_earlier_one() -> None:
    references = kept(Reference("q", "number:aaaa1", TOWARDS))
    before = references.view()
    references.keep("q0", Reference("q", "number:aaaa2", TOWARDS))
    assert references.view().find("q", TOWARDS) == "number:aaaa2"
    assert before.find("q", TOWARDS) == "number:aaaa1"
    assert len(references.kept) == 1


def test_only_the_newest_references_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_REFERENCES", 2)
    assert list(kept(*[Reference(f"q{n}", "number:aaaa1", TOWARDS) for n in range(3)]).kept) == ["q1", "q2"]


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("number:aaaa1", "number:aaaa1", True),
        ("number:aaaa1", "number:aaaa2", False),
        ("number:aaaa1", "choice:aaaa2", None),
        ("number:aaaa1", "number:bbbb1", None),
        ("number:aaaa1", None, None),
        ("free:aaaa1", "free:aaaa1", True),
        ("free:aaaa1", "free:aaaa2", None),
        ("short:aaaa1?", "short:aaaa1", True),
        ("short:aaaa1?", "short:aaaa2", None),
    ],
)
def test_seals_agree_differ_or_cannot_be_compared(reference: str, answer: str | None, verdict: bool | None) -> None:
    assert agrees(reference, answer) is verdict


@pytest.mark.parametrize(
    "duplicate",
    ["Please answer: how many legs have 3 cats and a 'bird'?", "How many LEGS do 3 cats and a 'bird' have, in all?"],
)
def test_another_wording_hangs_on_the_same(duplicate: str) -> None:
    assert hangs_on(duplicate) == hangs_on("How many legs do 3 cats and a 'bird' have?")


@pytest.mark.parametrize(
    "other",
    [
        "How many legs do 4 cats and a 'bird' have?",
        "How many legs do 3 cats and a 'fish' have?",
        "How many legs do 3 cats and not a 'bird' have?",
        "How many legs do at most 3 cats and a 'bird' have?",
    ],
)
def test_another_number_quote_or_negation_is_another_query(other: str) -> None:
    assert hangs_on(other) != hangs_on("How many legs do 3 cats and a 'bird' have?")


def test_the_order_of_options_matters() -> None:
    assert hangs_on("Which?\nA. red\nB. blue") != hangs_on("Which?\nA. blue\nB. red")
    assert hangs_on("Which?\n(A) red\n(B) blue") == hangs_on("Which is it?\na) red\nb) blue")


def test_a_query_with_code_hangs_on_all_of_it() -> None:
    code = "What does f(2) return?\n```python\ndef f(x):\n    return x + 1\n```"
    assert hangs_on(code) == " ".join(code.split())
    assert hangs_on(code) != hangs_on(code.replace("x + 1", "x - 1"))
