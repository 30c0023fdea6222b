"""Expected cost: prices act at once, tokens are learned and shrunk."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.cost import GAMMA, PRIOR_OUTPUT_TOKENS, PRIOR_TOKENS_PER_CHAR, Cost
from learner.types import Context
from tests.learner.conftest import arm, called

PAIR = (arm("a"), arm("b", 3.0))


def pure(category: int, chars: int = 400) -> Context:
    return Context("v", np.ones(1), np.eye(3)[category], 1.0, chars)


def fresh() -> Cost:
    cost = Cost()
    for i, one in enumerate(PAIR):
        cost.set_arm(i, one, 3)
    return cost


def test_before_any_call_cost_is_price_times_the_prior_tokens() -> None:
    tokens = 400 * PRIOR_TOKENS_PER_CHAR, PRIOR_OUTPUT_TOKENS
    assert fresh().view().predict(pure(0)).tolist() == [pytest.approx(one.cost_usd(*tokens)) for one in PAIR]


def test_a_price_change_acts_at_once_and_tokens_stay() -> None:
    cost = fresh()
    cost.observe(0, pure(0), called("a", output_tokens=50))
    before, tokens = cost.view().predict(pure(0)), cost.output_tokens.copy()
    cost.set_arm(0, arm("a", 2.0), 3)
    after = cost.view().predict(pure(0))
    assert after[0] == pytest.approx(2.0 * before[0])
    assert after[1] == before[1]
    assert np.array_equal(cost.output_tokens, tokens)


def test_output_tokens_are_learned_per_category() -> None:
    cost = fresh()
    for _ in range(100):
        cost.observe(0, pure(0), called("a", output_tokens=20))
        cost.observe(0, pure(1), called("a", output_tokens=800))
    tokens = cost.foreseen().tokens
    assert tokens[0, 0] == pytest.approx(20, abs=20)
    assert tokens[0, 1] == pytest.approx(800, rel=0.05)
    # Never seen: the arm's own mean, and for the other arm nearly the pool's.
    assert tokens[0, 2] == pytest.approx(410, rel=0.05)
    assert tokens[1] == pytest.approx(np.full(3, tokens[1, 0]))


def test_input_tokens_follow_the_characters() -> None:
    cost = fresh()
    for _ in range(200):
        cost.observe(0, pure(0, chars=1_000), called("a", input_tokens=500))
    assert cost.view().tokens_per_char[0] == pytest.approx(0.5, rel=0.02)
    assert cost.view().tokens_per_char[1] == PRIOR_TOKENS_PER_CHAR


def test_latency_is_the_mean_of_what_was_seen() -> None:
    cost = fresh()
    for seconds in (1.0, 3.0):
        cost.observe(0, pure(0), called("a", latency_s=seconds))
    assert cost.seconds[0] / cost.calls[0].sum() == pytest.approx((GAMMA + 3.0) / (GAMMA + 1.0))
    assert cost.seconds[1] == 0.0


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 4_000)), max_size=40))
def test_expected_tokens_lie_between_the_least_and_the_most_seen(calls: list[tuple[int, int, int]]) -> None:
    cost = fresh()
    for index, category, tokens in calls:
        cost.observe(index, pure(category), called(PAIR[index].id, output_tokens=tokens))
    seen = [tokens for _, _, tokens in calls] + [PRIOR_OUTPUT_TOKENS]
    expected = cost.foreseen().tokens
    assert expected.min() >= min(seen) - 1e-6
    assert expected.max() <= max(seen) + 1e-6
    assert (cost.view().predict(pure(0)) > 0.0).all()


def test_new_arms_and_categories_leave_the_others_alone() -> None:
    cost = fresh()
    cost.observe(1, pure(2), called("b", output_tokens=70))
    cost.set_arm(2, arm("c"), 3)
    cost.set_categories(5)
    assert cost.output_tokens.tolist() == [[0.0] * 5, [0.0, 0.0, 70.0, 0.0, 0.0], [0.0] * 5]
    cost.observe(2, pure(0), called("c"))
    assert cost.calls[1].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert cost.view().predict(replace(pure(0), categories=np.eye(5)[4])).shape == (3,)
