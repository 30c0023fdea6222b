"""Categories: where a query lies, and how new places come to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.features import components_of
from learner.taxonomy import MAX_CATEGORIES, MAX_PROVISIONAL, RECURRENCES, Taxonomy, directions
from learner.types import FloatArray
from tests.learner.conftest import SEEDS, context, features


def axes(n: int, size: int = 12) -> Taxonomy:
    """A taxonomy whose n centroids are the first axes."""
    return Taxonomy.from_centroids([f"c{i}" for i in range(n)], np.eye(size)[:n], np.ones(size))


def near(axis: int, rng: np.random.Generator, size: int = 12) -> FloatArray:
    point: FloatArray = np.eye(size)[axis] + 0.05 * rng.normal(size=size)
    return point


def grown(taxonomy: Taxonomy, point: FloatArray) -> Taxonomy:
    return taxonomy.grow(point, taxonomy.place(point)[1])


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SEEDS for text in texts])
def test_an_example_lies_in_its_own_category(name: str, text: str) -> None:
    seen = context(text)
    assert features().seeds.names[int(seen.categories.argmax())] == name


@given(st.lists(st.floats(-50.0, 50.0), min_size=12, max_size=12))
def test_probabilities_sum_to_one_and_familiarity_is_a_share(components: list[float]) -> None:
    categories, familiarity = axes(3).place(np.array(components))
    assert categories.sum() == pytest.approx(1.0)
    assert (categories > 0.0).all()
    assert 0.0 <= familiarity <= 1.0


def test_whitening_is_undone_before_placing() -> None:
    scaled = Taxonomy.from_centroids(["a", "b"], np.eye(2), np.array([1.0, 0.1]))
    categories, _ = scaled.place(np.array([1.0, 2.0]))
    assert categories[0] > categories[1]


def test_a_familiar_query_changes_nothing() -> None:
    taxonomy = axes(3)
    assert grown(taxonomy, np.eye(12)[0]) is taxonomy


def test_an_unfamiliar_place_that_recurs_becomes_a_category_once() -> None:
    rng, taxonomy, sizes = np.random.default_rng(1), axes(3), []
    for _ in range(400):
        taxonomy = grown(taxonomy, near(5, rng))
        sizes.append(len(taxonomy.names))
    # Discounted by 0.998, 60 recurrences take 64 queries; after that the place is familiar.
    assert sizes.index(4) == pytest.approx(64, abs=2)
    assert sizes[-1] == 4
    assert len(taxonomy.provisional) == 0
    assert taxonomy.place(np.eye(12)[5])[0].argmax() == 3


def test_a_new_category_is_named_by_its_neighbour_and_leaves_the_others_alone() -> None:
    rng, taxonomy = np.random.default_rng(1), axes(3)
    for _ in range(100):
        taxonomy = grown(taxonomy, near(5, rng) + 0.3 * np.eye(12)[1])
    assert taxonomy.names == ("c0", "c1", "c2", "c1~3")
    assert np.array_equal(taxonomy.centroids[:3], np.eye(12)[:3])
    assert np.linalg.norm(taxonomy.centroids[3]) == pytest.approx(1.0)


def test_scattered_queries_never_become_a_category() -> None:
    rng, taxonomy = np.random.default_rng(2), axes(2, size=40)
    for _ in range(500):
        taxonomy = grown(taxonomy, np.append(np.zeros(2), rng.normal(size=38)))
        assert len(taxonomy.provisional) <= MAX_PROVISIONAL
        assert taxonomy.recurrences.max() < RECURRENCES
    assert len(taxonomy.names) == 2


def test_two_recurring_places_become_two_categories() -> None:
    rng, taxonomy = np.random.default_rng(3), axes(2)
    for i in range(300):
        taxonomy = grown(taxonomy, near(5 + i % 2, rng))
    assert len(taxonomy.names) == 4


def test_the_number_of_categories_is_capped() -> None:
    size = MAX_CATEGORIES + 5
    rng, taxonomy = np.random.default_rng(4), axes(MAX_CATEGORIES - 1, size)
    for axis in (MAX_CATEGORIES, MAX_CATEGORIES + 1, MAX_CATEGORIES + 2):
        for _ in range(80):
            taxonomy = grown(taxonomy, near(axis, rng, size))
    assert len(taxonomy.names) == len(taxonomy.centroids) == MAX_CATEGORIES


def test_a_seed_category_keeps_its_share_of_an_unseen_question() -> None:
    seen = context("What is 30 divided by 6?")
    assert features().seeds.names[int(seen.categories.argmax())] == "sums"
    assert features().seeds.place(components_of(seen))[1] == pytest.approx(seen.familiarity)


def test_the_zero_vector_has_no_direction() -> None:
    assert directions(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
