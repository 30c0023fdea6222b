"""Which queries a quiz is made of: telling, unlike each other, within its budget, the same for the same inputs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.quiz import Question, information, pick
from learner.types import FloatArray
from tests.learner.conftest import ARMS, TEXTS, arm, called, context, served, state

NEW = 3
POOL = [*ARMS, arm("new", 0.2)]


def question(name: str, place: FloatArray, information: float = 1.0, cost_usd: float = 1.0) -> Question:
    return Question(name, place, information, cost_usd)


def drawn(seed: int, n: int) -> list[Question]:
    """Questions in four clusters, with any information and cost."""
    rng = np.random.default_rng(seed)
    centres = 3.0 * np.eye(6)[:4]
    return [
        question(
            f"q{i}", centres[i % 4] + 0.1 * rng.normal(size=6), float(rng.uniform(0.0, 1.0)), rng.uniform(0.1, 2.0)
        )
        for i in range(n)
    ]


def told(*groups: int | None) -> float:
    """What the new arm's answer would tell beside the answers of the others."""
    calls = [called(one.id, step, group) for step, (one, group) in enumerate(zip(ARMS, groups, strict=False))]
    return information(state(POOL).view(), NEW, context(), calls)


quizzes = given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 12), st.floats(0.0, 15.0))


@quizzes
def test_a_quiz_stays_within_number_and_budget_and_asks_nothing_twice(
    seed: int, n: int, most: int, budget_usd: float
) -> None:
    questions = drawn(seed, n)
    chosen = pick(questions, most=most, budget_usd=budget_usd)
    assert len(chosen) <= most
    assert sum(one.cost_usd for one in chosen) <= budget_usd + 1e-9
    assert len({one.id for one in chosen}) == len(chosen)
    assert all(any(one is each for each in questions) for one in chosen)


@quizzes
def test_the_order_of_the_candidates_does_not_matter(seed: int, n: int, most: int, budget_usd: float) -> None:
    questions = drawn(seed, n)
    shuffled = [questions[i] for i in np.random.default_rng(seed + 1).permutation(n)]
    first = pick(questions, most=most, budget_usd=budget_usd)
    assert [one.id for one in pick(shuffled, most=most, budget_usd=budget_usd)] == [one.id for one in first]


@given(st.integers(0, 10_000), st.integers(1, 11))
def test_a_longer_quiz_begins_like_a_shorter_one_and_may_be_chosen_in_parts(seed: int, most: int) -> None:
    questions = drawn(seed, 40)
    whole = [one.id for one in pick(questions, most=12, budget_usd=100.0)]
    begun = pick(questions, most=most, budget_usd=100.0)
    rest = [one for one in questions if one not in begun]
    went_on = pick(rest, asked=[one.place for one in begun], most=12 - most, budget_usd=100.0)
    assert [one.id for one in begun] == whole[:most]
    assert [one.id for one in went_on] == whole[most:]


@given(st.integers(0, 10_000))
def test_as_many_equally_telling_questions_as_there_are_clusters_come_from_all_of_them(seed: int) -> None:
    questions = [replace(one, information=0.5, cost_usd=0.1) for one in drawn(seed, 40)]
    chosen = pick(questions, most=4, budget_usd=100.0)
    assert {int(one.id[1:]) % 4 for one in chosen} == {0, 1, 2, 3}


def test_the_most_telling_comes_first_and_one_that_tells_nothing_never() -> None:
    places = np.eye(3)
    questions = [question("a", places[0], 0.1), question("b", places[1], 0.9), question("c", places[2], 0.0)]
    assert [one.id for one in pick(questions, most=3, budget_usd=9.0)] == ["b", "a"]


def test_the_same_query_is_not_asked_again() -> None:
    place = np.array([1.0, 2.0, 0.0])
    twins = [question("a", place), question("b", place.copy()), question("c", np.array([0.0, 0.0, 1.0]), 0.01)]
    assert [one.id for one in pick(twins, most=3, budget_usd=9.0)] == ["a", "c"]
    assert pick(twins[:2], asked=[place], most=3, budget_usd=9.0) == []


def test_a_question_beyond_the_budget_gives_way_to_one_within_it() -> None:
    places = np.eye(2)
    questions = [question("dear", places[0], 1.0, 5.0), question("cheap", places[1], 0.1, 1.0)]
    assert [one.id for one in pick(questions, most=2, budget_usd=2.0)] == ["cheap"]


# -- information ------------------------------------------------------------------------------------------------------


def test_a_query_on_which_models_disagree_and_one_is_believed_tells_more_than_one_on_which_all_agree() -> None:
    assert told(0, 1, 1) > 1.3 * told(0, 0, 0) > 0.0


def test_a_query_with_one_known_answer_tells_less_than_one_with_three() -> None:
    assert 0.0 < told(0) < told(0, 1, 0)


def test_answers_that_cannot_be_compared_tell_nothing() -> None:
    assert told(None, None, None) == 0.0


def test_an_arm_that_has_answered_tells_nothing_more() -> None:
    calls = [called("small", 0, 0), called("new", 1, 0)]
    assert information(state(POOL).view(), NEW, context(), calls) == 0.0


def test_calls_that_failed_are_no_answers() -> None:
    failed = [called("small", 0, 0), called("new", 1, outcome="timeout")]
    assert information(state(POOL).view(), NEW, context(), failed) == pytest.approx(told(0))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=3), st.integers(0, len(TEXTS) - 1))
def test_the_residuals_of_all_outcomes_cancel_and_information_is_their_variance(groups: list[int], text: int) -> None:
    numbers: dict[int, int] = {}
    numbered = tuple(numbers.setdefault(g, len(numbers)) for g in groups)
    view, of = state(POOL).view(), context(TEXTS[text])
    quality = view.quality.mean(of)
    joined = [
        view.joint.partition(quality[[*range(len(numbered)), NEW]], (*numbered, group))
        for group in range(len(numbers) + 1)
    ]
    mass = np.array([one.mass.sum() for one in joined])
    residuals = np.array([one.credits()[0][-1] for one in joined])
    assert mass @ residuals == pytest.approx(0.0, abs=1e-9)
    calls = [called(ARMS[i].id, i, group) for i, group in enumerate(numbered)]
    expected = float(mass @ residuals**2 / mass.sum())
    assert information(view, NEW, of, calls) == pytest.approx(expected, rel=0.2)


def test_what_a_quiz_teaches_is_what_a_comparison_teaches() -> None:
    """The purpose of a call changes the account, not the lesson."""
    known = served(called("small", 0, 0), called("large", 1, 0))
    one, other = state(POOL), state(POOL)
    for learner, purpose in ((one, "shadow"), (other, "quiz")):
        learner.apply(known, 1e9)
        calls = (*known.calls, called("new", 2, 0, purpose=purpose, explored_share=1.0))
        learner.apply(replace(known, calls=calls, fresh=(2,), is_request=False), 1e9 + 1.0)
    assert (one.view().quality.means == other.view().quality.means).all()
    assert one.observations == other.observations
