from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.cascade import Prospects
from learner.joint import JointView
from learner.panel import (
    MOST_ARMS,
    best_panel,
    best_quality,
    considered,
    fused_quality,
    most_useful,
    panel_for,
    panels,
    partitions,
    vote_quality,
)
from learner.types import FloatArray, Limits
from tests.learner.conftest import arm, context, state

RNG = np.random.default_rng(0)
qualities = st.lists(st.floats(0.05, 0.95), min_size=4, max_size=5).map(np.array)
spreads = st.sampled_from([0.5, 2.0, 3.0])
coincidences = st.sampled_from([0.04, 0.16, 0.36])


def prospects(quality: FloatArray, cost_usd: FloatArray, *, lambda_: float = 0.0, comparable: float = 1.0) -> Prospects:
    return Prospects(
        quality=quality, deviation=np.full(len(quality), 0.1), cost_usd=cost_usd, lambda_=lambda_,
        comparable=comparable, joint=JointView(), depth=3, margin=0.0,
    )  # fmt: skip


def as_set(*arms: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    return np.array([arms], dtype=np.intp)


# -- what a vote is worth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52)])
def test_answers_agree_in_as_many_ways_as_bell_counted(size: int, count: int) -> None:
    found = partitions(size)
    assert len(found) == len(set(found)) == count
    assert all(g <= max(groups[:i], default=-1) + 1 for groups in found for i, g in enumerate(groups))


@given(qualities, spreads, coincidences)
@settings(max_examples=40, deadline=None)
def test_a_vote_is_the_sum_over_all_partitions_of_what_the_joint_model_says_of_each(
    quality: FloatArray, spread: float, coincidence: float
) -> None:
    joint, arms = JointView(spread, coincidence), (0, 2, 3)
    masses = [joint.partition(quality[list(arms)], groups).mass.sum(axis=1) for groups in partitions(3)]
    assert sum(mass.sum() for mass in masses) == pytest.approx(1.0)
    expected = sum(mass[1:].max() for mass in masses)
    assert vote_quality(joint, quality, as_set(*arms))[0] == pytest.approx(expected)


@given(qualities, spreads, coincidences)
@settings(max_examples=40, deadline=None)
def test_a_vote_is_no_worse_than_its_best_arm_and_a_further_arm_never_harms(
    quality: FloatArray, spread: float, coincidence: float
) -> None:
    joint = JointView(spread, coincidence)
    two, three, four = (vote_quality(joint, quality, as_set(*range(n)))[0] for n in (2, 3, 4))
    # Rights are read from a table, so that sums hold to its precision.
    assert quality[:2].max() <= two + 1e-4
    assert two <= three + 1e-9
    assert three <= four + 1e-9 <= 1.0 + 2e-9


@given(qualities)
@settings(max_examples=20, deadline=None)
def test_the_order_of_a_panel_does_not_matter(quality: FloatArray) -> None:
    there, back = (vote_quality(JointView(), quality, as_set(*arms))[0] for arms in ((0, 1, 2), (2, 0, 1)))
    assert there == pytest.approx(back)


def test_a_pair_votes_no_better_than_its_better_arm() -> None:
    assert vote_quality(JointView(), np.array([0.7, 0.6]), as_set(0, 1))[0] == pytest.approx(0.7, abs=1e-4)


def test_three_equal_arms_vote_better_than_one() -> None:
    assert vote_quality(JointView(), np.full(3, 0.7), as_set(0, 1, 2))[0] > 0.72


# -- what the best of several is worth --------------------------------------------------------------------------------


@given(qualities, st.floats(0.02, 0.3))
@settings(max_examples=20, deadline=None)
def test_the_best_of_several_beliefs_is_what_draws_say(quality: FloatArray, deviation: float) -> None:
    drawn = RNG.normal(quality[:3], deviation, size=(20_000, 3)).max(axis=1).mean()
    found = best_quality(quality, np.full(len(quality), deviation), as_set(0, 1, 2))[0]
    assert found == pytest.approx(drawn, abs=0.02)


def test_without_evidence_the_best_of_several_is_the_best_arm() -> None:
    assert best_quality(np.array([0.3, 0.8]), np.zeros(2), as_set(0, 1))[0] == pytest.approx(0.8, abs=0.01)


def test_between_the_two_kinds_of_query_the_worth_is_mixed() -> None:
    quality, cost = np.array([0.6, 0.6, 0.6]), np.ones(3)
    ends = [fused_quality(prospects(quality, cost, comparable=c), as_set(0, 1, 2))[0] for c in (0.0, 1.0)]
    half = fused_quality(prospects(quality, cost, comparable=0.5), as_set(0, 1, 2))[0]
    assert half == pytest.approx(sum(ends) / 2)


# -- which panel ------------------------------------------------------------------------------------------------------


@given(qualities, st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5), st.floats(0.0, 2.0))
@settings(max_examples=40, deadline=None)
def test_no_panel_of_the_same_arms_is_worth_more(quality: FloatArray, costs: list[float], lambda_: float) -> None:
    known = prospects(quality, np.array(costs[: len(quality)]), lambda_=lambda_)
    kept = considered(known, range(len(quality)), MOST_ARMS)

    def utility(arms: tuple[int, ...]) -> float:
        return float(fused_quality(known, as_set(*arms))[0] - lambda_ * known.cost_usd[list(arms)].sum())

    chosen = best_panel(known, range(len(quality)))
    every = [arms for size in (2, 3) for arms in combinations(kept, size)]
    assert utility(chosen) == pytest.approx(max(map(utility, every)))
    assert list(chosen) == sorted(chosen, key=lambda i: -quality[i])


@given(qualities, st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5), st.floats(0.01, 2.0))
@settings(max_examples=40, deadline=None)
def test_a_panel_keeps_within_its_limit_or_there_is_none(
    quality: FloatArray, costs: list[float], limit_usd: float
) -> None:
    known = prospects(quality, np.array(costs[: len(quality)]))
    chosen = best_panel(known, range(len(quality)), limit_usd=limit_usd)
    if chosen:
        assert known.cost_usd[list(chosen)].sum() <= limit_usd
    else:
        assert known.cost_usd[considered(known, range(len(quality)), MOST_ARMS)][:2].sum() > limit_usd


def test_money_that_is_dear_buys_the_cheapest_pair() -> None:
    known = prospects(np.array([0.5, 0.6, 0.9, 0.8]), np.array([0.1, 0.2, 5.0, 4.0]), lambda_=10.0)
    assert set(best_panel(known, range(4))) == {0, 1}


def test_money_that_is_no_object_buys_the_three_best_of_equals() -> None:
    known = prospects(np.array([0.5, 0.82, 0.84, 0.83]), np.array([0.1, 3.0, 5.0, 4.0]))
    assert best_panel(known, range(4)) == (2, 3, 1)


def test_where_a_vote_can_gain_nothing_the_cheapest_company_is_asked() -> None:
    known = prospects(np.array([0.5, 0.6, 0.99, 0.6]), np.array([0.3, 0.2, 5.0, 4.0]))
    assert best_panel(known, range(4)) == (2, 1)


def test_one_arm_is_no_panel() -> None:
    assert best_panel(prospects(np.array([0.5]), np.ones(1)), [0]) == ()
    assert best_panel(prospects(np.array([0.5, 0.9]), np.ones(2)), []) == ()


def test_of_many_arms_only_some_are_weighed() -> None:
    rng = np.random.default_rng(1)
    quality = np.sort(rng.uniform(0.3, 0.9, 60))
    known = prospects(quality, quality**4)
    assert len(considered(known, range(60), MOST_ARMS)) <= 12
    assert sum(len(sets) for sets in panels(considered(known, range(60), MOST_ARMS), MOST_ARMS)) <= 66 + 220


# -- with a view ------------------------------------------------------------------------------------------------------


def test_a_panel_takes_the_place_of_the_decision_with_a_propensity_of_one() -> None:
    view = state().view()
    decision = view.decide(context(), Limits(), np.random.default_rng(0))
    panel = panel_for(view, context(), Limits(), decision)
    assert panel is not None
    assert 2 <= len(panel.panel) <= MOST_ARMS
    assert panel.arm == panel.panel[0]
    assert (panel.propensity, dict(panel.probabilities)) == (1.0, {panel.arm: 1.0})
    assert (panel.stage, panel.explored) == ("fusion", False)
    assert panel.costs_usd == decision.costs_usd


def test_a_panel_asks_only_whom_the_limits_allow() -> None:
    view, limits = state().view(), Limits(deny=("large",))
    decision = view.decide(context(), limits, np.random.default_rng(0))
    panel = panel_for(view, context(), limits, decision)
    assert panel is not None
    assert set(panel.panel) == {"small", "middle"}


@pytest.mark.parametrize("limits", [Limits(allow=("small",)), Limits(depth=1)])
def test_there_is_no_panel_where_one_arm_only_may_be_asked(limits: Limits) -> None:
    view = state().view()
    decision = view.decide(context(), limits, np.random.default_rng(0))
    assert panel_for(view, context(), limits, decision) is None


def test_there_is_no_panel_without_the_money_for_two() -> None:
    view = state().view()
    decision = view.decide(context(), Limits(), np.random.default_rng(0))
    assert panel_for(view, context(), Limits(), decision, limit_usd=min(decision.costs_usd.values())) is None


def test_the_most_useful_arm_is_the_best_one_where_money_is_no_object_and_the_cheapest_where_it_is_dear() -> None:
    told = state((arm("small", 0.1, prior_quality=0.4), arm("large", 4.0, prior_quality=0.9)))
    view = told.view()
    assert most_useful(view, context(), Limits(price_factor=0.0)) == "large"
    assert most_useful(view, context(), Limits(price_factor=1e6)) == "small"
    assert most_useful(view, context(), Limits(price_factor=0.0), limit_usd=1e-4) == "small"
    assert most_useful(view, context(), Limits(), limit_usd=0.0) is None


def test_a_wanted_arm_is_taken_where_it_may_be_asked() -> None:
    planner = arm("planner", 1.0, is_routable=False)
    view = replace(state((arm("small", 0.1), planner)).view())
    assert most_useful(view, context(), Limits(), wanted="planner") == "planner"
    assert most_useful(view, context(), Limits(deny=("plan*",)), wanted="planner") == "small"
    assert most_useful(view, context(), Limits(), wanted="nobody") == "small"
    assert most_useful(view, context(), Limits(), wanted="planner", limit_usd=1e-4) == "small"


def test_no_panel_is_taken_where_there_is_no_money_for_any() -> None:
    known = prospects(np.array([0.5, 0.6, 0.7]), np.zeros(3))
    assert best_panel(known, range(3), limit_usd=-np.inf) == ()
