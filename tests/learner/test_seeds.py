"""The seed taxonomy is complete enough to start from, and its examples are distinct."""

import re
from collections import Counter

import numpy as np

from learner.embedding import HashEmbedding
from learner.seeds import SEEDS
from learner.types import FloatArray


def test_names_are_unique_and_kebab_case() -> None:
    names = [seed.name for seed in SEEDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_there_are_about_two_dozen_categories_with_ten_to_fourteen_examples() -> None:
    assert 20 <= len(SEEDS) <= 26
    assert all(10 <= len(seed.examples) <= 14 for seed in SEEDS)


def test_no_example_occurs_twice_or_is_blank() -> None:
    counts = Counter(example.strip().lower() for seed in SEEDS for example in seed.examples)
    assert counts.most_common(1)[0][1] == 1
    assert all(len(example) > 8 and seed.about for seed in SEEDS for example in seed.examples)


def test_both_kinds_of_reasoning_occur() -> None:
    assert {seed.reasoning for seed in SEEDS} == {"light", "deep"}


def test_categories_of_knowledge_include_multiple_choice_questions() -> None:
    with_options = {seed.name for seed in SEEDS if any(_lists_options(example) for example in seed.examples)}
    assert {"physics", "law", "history", "medicine-and-health", "computer-science"} <= with_options
    assert "chat-and-advice" not in with_options


def test_an_example_finds_its_category_three_times_as_often_as_by_chance() -> None:
    embedder = HashEmbedding()
    vectors = [np.array([embedder.embed(example) for example in seed.examples]) for seed in SEEDS]
    hits = sum(_nearest_without(vectors, own, example) == own for own in range(len(SEEDS)) for example in range(10))
    assert hits / (10 * len(SEEDS)) > 3 / len(SEEDS)


def _lists_options(example: str) -> bool:
    return re.search(r"\nB\. |\(B\) ", example) is not None


def _nearest_without(vectors: list[FloatArray], own: int, example: int) -> int:
    """Nearest centroid by cosine, the centroid of the own category being taken without the example."""
    sums = np.array([rows.sum(axis=0) for rows in vectors])
    sums[own] -= vectors[own][example]
    return int(((sums / np.linalg.norm(sums, axis=1, keepdims=True)) @ vectors[own][example]).argmax())
