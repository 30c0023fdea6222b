"""Which judge is worth asking: the value of an opinion, its price, and a little exploration."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.opinions import EXPLORED, FORESIGHT, Doubt, Prospect, judges_to_explore, most_wanted

CLOSED = Doubt(Prospect(0.02, 0.0, -math.inf), Prospect(0.6, 0.0, -math.inf), Prospect(0.98, 0.0, -math.inf))


def doubt(right: float, other: float = 0.5, going_on: float = 0.6) -> Doubt:
    """An answer beside another one of fixed worth, and going on for about as much."""
    return Doubt(Prospect(0.02, other, 0.55), Prospect(right, other, going_on), Prospect(0.98, other, 0.9))


def test_an_opinion_that_can_change_nothing_is_worth_nothing() -> None:
    assert CLOSED.worth(3.0) == pytest.approx(0.0, abs=1e-3)
    assert doubt(0.6).worth(0.0) == pytest.approx(0.0, abs=1e-3)


@given(st.floats(0.05, 0.95), st.floats(0.0, 1.0), st.floats(0.1, 2.0))
def test_a_better_judge_is_worth_more_and_none_more_than_certainty(right: float, other: float, apart: float) -> None:
    doubtful = Doubt(Prospect(0.02, other, 0.0), Prospect(right, other, 0.0), Prospect(0.98, other, 0.0))
    certainty = right + (1.0 - right) * other - max(right, other)
    assert 0.0 <= doubtful.worth(apart) <= doubtful.worth(1.5 * apart) + 0.02
    assert doubtful.worth(apart) <= certainty + 0.02


def test_an_opinion_is_worth_most_where_the_belief_straddles_two_choices() -> None:
    assert doubt(0.6).worth(1.0) > doubt(0.95, going_on=0.9).worth(1.0)


def test_the_judge_that_tells_most_for_its_price_is_asked_first() -> None:
    prices = {"strong": 1e-4, "fair": 1e-4, "dear": 0.5}
    assert most_wanted(doubt(0.6), {"strong": 2.0, "fair": 1.0, "dear": 2.5}, prices, 0.0) == "strong"


def test_a_judge_of_no_weight_is_not_asked() -> None:
    assert most_wanted(doubt(0.6), {"noise": 0.0}, {"noise": 1e-6}, 0.0) is None


def test_two_opinions_may_be_worth_what_one_is_not() -> None:
    separations, prices = {"a": 0.8, "b": 0.8, "c": 0.8}, {"a": 1e-4, "b": 1e-4, "c": 1e-4}
    far = Doubt(Prospect(0.02, 0.5, -math.inf), Prospect(0.85, 0.5, -math.inf), Prospect(0.98, 0.5, -math.inf))
    margin = FORESIGHT * far.worth(0.8)
    assert most_wanted(far, {"a": 0.8}, prices, margin) is None
    assert most_wanted(far, separations, prices, margin) == "a"


def test_the_order_of_the_judges_does_not_matter() -> None:
    prices = {"a": 1e-4, "b": 1e-4, "c": 2e-4}
    for separations in ({"a": 1.0, "b": 1.0, "c": 1.2}, {"c": 1.2, "b": 1.0, "a": 1.0}):
        assert most_wanted(doubt(0.6), separations, prices, 0.0) == "a"


def test_every_judge_is_explored_a_little_within_the_allowance() -> None:
    rng, heard = np.random.default_rng(0), {"a": 1e3, "b": 1e3, "dear": 1e3}
    costs = {"a": 1e-5, "b": 1e-5, "dear": 1.0}
    drawn = [judges_to_explore(costs, heard, 1e-3, rng) for _ in range(4_000)]
    assert {judge for judges in drawn for judge in judges} == {"a", "b"}
    assert sum(map(len, drawn)) / len(drawn) == pytest.approx(2.0 * EXPLORED, abs=0.01)
    assert not any(judges_to_explore(costs, heard, 0.0, rng) for _ in range(500))


def test_a_new_judge_is_heard_first_as_far_as_the_allowance_goes() -> None:
    rng = np.random.default_rng(0)
    assert judges_to_explore({"a": 1e-5, "b": 1e-5}, {}, 1.0, rng) == ["a", "b"]
    assert judges_to_explore({"a": 1e-5, "b": 1e-5}, {}, 1.5e-5, rng) == ["a"]
