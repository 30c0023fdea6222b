"""Queries to contexts: the same query means the same numbers, for ever and on every machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.embedding import HashEmbedding
from learner.features import CHEAP_FEATURES, REDUCED, Features, cheap_features, components_of
from learner.types import Query
from tests.learner.conftest import SEEDS, TEXTS, features


def named(query: Query) -> dict[str, float]:
    return dict(zip(CHEAP_FEATURES, features().context(query, features().seeds).vector, strict=False))


def test_every_feature_has_its_name() -> None:
    assert len(cheap_features(Query("What?"))) == len(CHEAP_FEATURES) - 1
    assert features().size == len(CHEAP_FEATURES) + REDUCED


@pytest.mark.parametrize(
    ("name", "query", "without"),
    [
        ("code", Query("```python\nx = 1\n```"), Query("a story")),
        ("code", Query("def f(x): return x"), Query("I shall come back")),
        ("question", Query("Why?"), Query("Because.")),
        ("options", Query("Which?\nA. one\nB. two"), Query("Which?\nA. one")),
        ("tools", Query("x", has_tools=True), Query("x")),
        ("json", Query("x", wants_json=True), Query("x")),
        ("images", Query("x", has_images=True), Query("x")),
    ],
)
def test_a_property_switches_its_feature(name: str, query: Query, without: Query) -> None:
    assert named(query)[name] == 1.0
    assert named(without)[name] == 0.0


def test_measures_grow_with_what_they_measure() -> None:
    assert named(Query("a" * 900))["log_chars"] > named(Query("a" * 90))["log_chars"]
    assert named(Query("x", turns=5))["turns"] > named(Query("x"))["turns"] == 0.0
    assert named(Query("1 2 3"))["digits"] > named(Query("one two three"))["digits"] == 0.0
    assert named(Query("Что это?"))["non_latin"] == pytest.approx(1.0)
    assert named(Query("What is it?"))["non_latin"] == pytest.approx(0.0)


@settings(max_examples=60)
@given(st.text(max_size=300), st.integers(0, 50))
def test_any_text_gives_finite_features_of_one_length(text: str, turns: int) -> None:
    context = features().context(Query(text, turns=turns), features().seeds)
    assert context.vector.shape == (features().size,)
    assert np.isfinite(context.vector).all()
    assert context.categories.sum() == pytest.approx(1.0)
    assert context.input_chars == len(text)


def test_the_same_seeds_and_embedder_give_the_same_version_and_context() -> None:
    again = Features(HashEmbedding(), SEEDS)
    assert again.version == features().version
    query = Query("What is 2 plus 2?")
    assert np.array_equal(again.context(query, again.seeds).vector, features().context(query, features().seeds).vector)


def test_other_seeds_or_another_embedder_give_another_version() -> None:
    assert Features(HashEmbedding(), SEEDS[:2]).version != features().version
    assert Features(HashEmbedding(size=128), SEEDS).version != features().version


def test_reduction_is_centred_and_white_over_the_seeds() -> None:
    reduced = np.array([features().reduce(text)[0] for text in TEXTS])
    assert np.allclose(reduced.mean(axis=0), 0.0, atol=1e-6)
    assert np.allclose(reduced.T @ reduced / len(TEXTS), np.eye(REDUCED), atol=1e-6)


def test_what_lies_outside_of_the_components_is_unexplained() -> None:
    assert features().reduce(TEXTS[0])[1] < 0.3
    assert features().reduce("zebras juggle quantum marmalade")[1] > 0.6
    assert all(-1e-9 <= features().reduce(text)[1] <= 1.0 for text in ("", *TEXTS))


def test_components_come_back_from_a_context() -> None:
    context = features().context(Query(TEXTS[3]), features().seeds)
    assert np.allclose(components_of(context), features().reduce(TEXTS[3])[0])


def test_few_seed_examples_still_give_bounded_features() -> None:
    few = Features(HashEmbedding(), tuple((name, texts[:2]) for name, texts in SEEDS))
    contexts = [few.context(Query(text), few.seeds) for text in TEXTS]
    # White components of the seeds have variance 1; a text elsewhere may be some times that, not millions.
    assert max(float(np.abs(context.vector).max()) for context in contexts) < 50.0
