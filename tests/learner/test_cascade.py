"""Whom to ask, when to stop, and which answer to give."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.cascade import LEAST_COMPARABLE, Answers, Prospects, expected_best, first_values, next_values, upsides
from learner.joint import NOTHING_ASKED, JointView
from learner.lookahead import plan
from learner.types import FloatArray

POOL = Prospects(
    quality=np.array([0.4, 0.6, 0.8]),
    deviation=np.array([0.1, 0.15, 0.1]),
    cost_usd=np.array([1e-5, 1e-4, 1e-3]),
    lambda_=100.0,
    comparable=0.9,
    joint=JointView(),
    depth=3,
    margin=0.002,
)
qualities = st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3).map(np.array)


def answers(
    groups: list[int | None], quality: FloatArray = POOL.quality, evidence: FloatArray | None = None
) -> Answers:
    arms = tuple(range(len(groups)))
    said = np.zeros(len(groups)) if evidence is None else evidence
    return Answers.of(arms, groups, quality=quality[: len(arms)], evidence=said, joint=POOL.joint)


@given(qualities, st.floats(0.0, 1.0))
def test_depth_one_is_routing(quality: FloatArray, comparable: float) -> None:
    prospects = replace(POOL, quality=quality, depth=1, comparable=comparable)
    assert np.allclose(first_values(prospects, [0, 1, 2]), quality - 100.0 * POOL.cost_usd)


@given(qualities, st.floats(0.0, 1.0))
def test_a_single_arm_is_worth_its_quality_less_its_price(quality: FloatArray, comparable: float) -> None:
    prospects = replace(POOL, quality=quality, comparable=comparable)
    assert np.allclose(first_values(prospects, [2]), quality[2] - 0.1)


@settings(max_examples=40)
@given(qualities, st.floats(0.0, 1.0), st.permutations(range(3)))
def test_permuting_arms_permutes_first_values(quality: FloatArray, comparable: float, order: list[int]) -> None:
    prospects = replace(POOL, quality=quality, comparable=comparable)
    permuted = replace(
        prospects, quality=quality[order], deviation=POOL.deviation[order], cost_usd=POOL.cost_usd[order]
    )
    values = first_values(prospects, [0, 1, 2])
    assert np.allclose(first_values(permuted, [0, 1, 2]), values[order], atol=1e-10)
    assert np.allclose(first_values(prospects, order), values[order], atol=1e-10)


@given(qualities)
def test_being_able_to_go_on_is_never_worth_less_than_routing(quality: FloatArray) -> None:
    prospects = replace(POOL, quality=quality)
    routing = first_values(replace(prospects, depth=1), [0, 1, 2])
    assert (first_values(prospects, [0, 1, 2]) >= routing - 2e-3).all()


@settings(max_examples=60)
@given(st.lists(st.floats(0.05, 0.95), min_size=5, max_size=5), st.floats(0.0, 2_000.0), st.integers(2, 3))
def test_leaving_out_arms_that_others_outdo_loses_no_value(quality: list[float], lambda_: float, depth: int) -> None:
    cost = np.array([1e-5, 3e-5, 1e-4, 3e-4, 1e-3])
    prospects = replace(
        POOL, quality=np.array(quality), deviation=np.zeros(5), cost_usd=cost, lambda_=lambda_, depth=depth,
        comparable=1.0,
    )  # fmt: skip
    _, everyone = plan(NOTHING_ASKED, POOL.joint, prospects.quality, lambda_ * cost, depth=depth)
    assert first_values(prospects, range(5)).max() == pytest.approx(float(everyone.max()), abs=1e-9)


@given(qualities, st.floats(0.0, 0.2))
def test_an_answer_that_would_be_given_up_unseen_is_asked_to_be_served(quality: FloatArray, deviation: float) -> None:
    prospects = replace(POOL, quality=quality, deviation=np.full(3, deviation), comparable=0.0)
    price = 100.0 * POOL.cost_usd
    values, alone = first_values(prospects, [0, 1, 2]), quality - price
    for i, value in enumerate(values.tolist()):
        other = float(np.delete(alone, i).max())
        told = expected_best(float(quality[i]), deviation, other) - max(other, float(quality[i]))
        if quality[i] >= other or told > price[i] + prospects.margin:
            assert value == pytest.approx(expected_best(float(quality[i]), deviation, other) - price[i])
        else:
            assert value == pytest.approx(alone[i])
    # The best start is the same as if every start could go on.
    assert values.max() == pytest.approx(first_values(replace(prospects, margin=-1.0), [0, 1, 2]).max(), abs=2e-3)


@given(qualities)
def test_where_answers_can_be_compared_going_on_is_worth_what_it_brings(quality: FloatArray) -> None:
    prospects = replace(POOL, quality=quality, deviation=np.zeros(3), comparable=LEAST_COMPARABLE)
    price, together = 100.0 * POOL.cost_usd, first_values(replace(prospects, comparable=1.0), [0, 1, 2])
    alone = quality - price
    others = np.array([np.delete(alone, i).max() for i in range(3)])
    apart = np.maximum(quality, others) - price
    mixed = LEAST_COMPARABLE * together + (1.0 - LEAST_COMPARABLE) * apart
    assert first_values(prospects, [0, 1, 2]) == pytest.approx(mixed)


def test_only_arms_that_a_plan_would_use_are_worth_learning_of() -> None:
    prospects = replace(POOL, quality=np.array([0.1, 0.6, 0.8]), deviation=np.zeros(3), depth=1)
    gains, informed = upsides(prospects, np.array([0.01, 0.2, 0.05]), [0, 1, 2])
    assert gains[0] == informed[0] == 0.0
    assert (gains[1:] > 0.0).all()
    assert upsides(prospects, np.full(3, 0.2), [0, 2])[0][1] == 0.0


@given(st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4), st.floats(0.01, 0.3), st.floats(0.0, 300.0))
def test_knowing_an_arm_is_worth_no_more_than_that_it_is_better(
    quality: list[float], doubt: float, lambda_: float
) -> None:
    m = len(quality)
    prospects = replace(
        POOL, quality=np.array(quality), deviation=np.zeros(m), cost_usd=np.geomspace(1e-5, 1e-3, m), lambda_=lambda_
    )
    gains, informed = upsides(prospects, np.full(m, doubt), range(m))
    assert (informed >= 0.0).all()
    assert (informed <= gains + 1e-12).all()


def test_knowing_an_arm_is_worth_nothing_where_the_plan_would_stay_the_same() -> None:
    prospects = replace(POOL, quality=np.array([0.1, 0.3, 0.8]), deviation=np.zeros(3), depth=1, lambda_=0.0)
    gains, informed = upsides(prospects, np.full(3, 0.05), [0, 1, 2])
    assert gains[2] > 0.0
    assert informed == pytest.approx(np.zeros(3), abs=1e-12)


@pytest.mark.parametrize("comparable", [0.0, 0.5, 1.0])
def test_the_cheap_arm_is_skipped_where_it_is_hopeless(comparable: float) -> None:
    prospects = replace(
        POOL, quality=np.array([0.1, 0.5, 0.9]), comparable=comparable, deviation=np.full(3, 0.02), lambda_=50.0
    )
    assert first_values(prospects, [0, 1, 2]).argmax() == 2


@pytest.mark.parametrize("comparable", [0.0, 1.0])
def test_the_cheap_arm_comes_first_where_money_is_scarce(comparable: float) -> None:
    assert first_values(replace(POOL, lambda_=5_000.0, comparable=comparable), [0, 1, 2]).argmax() == 0


@given(qualities, st.permutations([0, 0, 1]))
def test_the_answer_given_is_the_most_believed_arms_of_the_most_believed_group(
    quality: FloatArray, groups: list[int | None]
) -> None:
    found = answers(groups, quality)
    assert found.after is not None
    beliefs = found.after.posterior[1:]
    assert beliefs[found.groups[found.best]] == pytest.approx(beliefs.max())
    mates = [i for i, group in enumerate(found.groups) if group == found.groups[found.best]]
    assert quality[found.best] == quality[mates].max()


def test_of_equal_answers_the_one_with_the_better_evidence_is_given() -> None:
    assert answers([0, 0], np.array([0.6, 0.7])).best == 1
    assert answers([0, 0], np.array([0.6, 0.7]), evidence=np.array([0.0, -2.0])).best == 0


def test_a_fault_of_its_own_says_nothing_of_an_equal_answer() -> None:
    def believed(groups: list[int], faults: list[float]) -> FloatArray:
        said = np.array(faults)
        quality = np.array([0.6, 0.7])
        return Answers.of((0, 1), groups, quality=quality, evidence=said, faults=said, joint=POOL.joint).belief

    assert np.allclose(believed([0, 0], [0.0, -2.0]), believed([0, 0], [0.0, 0.0]))
    assert np.allclose(believed([0, 0], [-2.0, -2.0]), answers([0, 0], np.array([0.6, 0.7]), np.full(2, -2.0)).belief)
    assert np.allclose(
        believed([0, 1], [0.0, -2.0]), answers([0, 1], np.array([0.6, 0.7]), np.array([0.0, -2.0])).belief
    )


def test_two_weak_arms_that_agree_outvote_a_strong_one() -> None:
    quality = np.array([0.55, 0.6, 0.65])
    assert answers([0, 0, 1], quality).best == 1


def test_answers_that_cannot_be_compared_stand_alone() -> None:
    found = answers([None, None, 0])
    assert found.groups == (0, 1, 2)
    assert found.is_comparable
    assert not answers([None, None]).is_comparable


def test_without_comparison_belief_is_quality_moved_by_evidence() -> None:
    found = answers([None, None], evidence=np.array([1.0, -2.0]))
    odds = POOL.quality[:2] / (1.0 - POOL.quality[:2]) * np.exp([1.0, -2.0])
    assert np.allclose(found.belief, odds / (1.0 + odds))
    assert np.allclose(found.prior, POOL.quality[:2])
    assert found.best == 0


def test_prior_ignores_evidence_and_belief_does_not() -> None:
    plain, doubted = answers([0, 1]), answers([0, 1], evidence=np.array([-2.0, 0.0]))
    assert np.allclose(doubted.prior, plain.prior)
    assert doubted.belief[0] < plain.belief[0]
    assert np.allclose(plain.belief, plain.prior)


def test_the_order_of_answers_does_not_matter() -> None:
    for order in permutations(range(3)):
        groups = [(0, 0, 1)[i] for i in order]
        found = Answers.of(order, groups, quality=POOL.quality[list(order)], evidence=np.zeros(3), joint=POOL.joint)
        assert order[found.best] == answers([0, 0, 1]).best


def test_asking_on_is_worth_less_once_two_agree() -> None:
    agreed, split = answers([0, 0]), answers([0, 1])
    gains = []
    for found in (agreed, split):
        assert found.after is not None
        stay, values = next_values(POOL, found, found.after.of_answers, [2])
        gains.append(float(values[0]) - stay)
    assert gains[0] < gains[1]


def test_without_comparison_asking_on_is_the_better_of_two() -> None:
    stay, values = next_values(POOL, answers([None]), np.array([0.3]), [1, 2])
    assert stay == 0.3
    assert values.tolist() == [
        pytest.approx(expected_best(0.6, 0.15, 0.3) - 0.01),
        pytest.approx(expected_best(0.8, 0.1, 0.3) - 0.1),
    ]


@given(st.floats(-1.0, 1.0), st.floats(1e-3, 0.5), st.floats(-1.0, 1.0))
def test_expected_best_equals_its_integral(mean: float, deviation: float, other: float) -> None:
    x = np.linspace(-8.0, 8.0, 4_001)
    density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    integral = float((np.maximum(mean + deviation * x, other) * density).sum() * (x[1] - x[0]))
    assert expected_best(mean, deviation, other) == pytest.approx(integral, abs=1e-5)
    assert expected_best(mean, deviation, other) >= max(mean, other) - 1e-12


def test_expected_best_of_a_certainty_is_the_greater() -> None:
    assert expected_best(0.3, 0.0, 0.5) == 0.5
    assert expected_best(0.7, 0.0, 0.5) == 0.7
