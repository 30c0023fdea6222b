"""Deciding is pure, and what is logged of a decision is true."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.budget import LAMBDA_MIN
from learner.errors import FeatureMismatch, NoEligibleArm
from learner.exploration import CAUTION, NEAR, Ledger
from learner.policy import Ask, Stop, View, stage_of
from learner.quality import Belief, QualityView
from learner.state import LearnerState
from learner.types import Call, Freeze, Limits, Parameters
from tests.learner.conftest import ARMS, TEXTS, arm, called, context, state, traffic

texts = st.sampled_from(TEXTS)


def experienced(seed: int = 1, n: int = 80) -> LearnerState:
    learner = state()
    for event, at_s in traffic(seed, n):
        learner.apply(event, at_s)
    return learner


LEARNER = experienced()
VIEW = LEARNER.view()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=50)
@given(texts, st.integers(0, 1_000), st.floats(0.01, 100.0), st.booleans())
def test_probabilities_sum_to_one_and_the_propensity_is_that_of_the_arm(
    text: str, seed: int, price_factor: float, explore: bool
) -> None:
    decision = VIEW.decide(context(text), Limits(price_factor=price_factor, explore=explore), rng(seed))
    assert sum(decision.probabilities.values()) == pytest.approx(1.0, abs=1e-12)
    assert decision.propensity == decision.probabilities[decision.arm] > 0.0
    assert decision.probabilities.keys() == decision.scores.keys() == decision.costs_usd.keys()
    assert decision.lambda_ == pytest.approx(VIEW.lambda_ * price_factor)
    assert decision.category == VIEW.taxonomy.names[int(context(text).categories.argmax())]


def test_the_same_view_context_and_generator_give_the_same_decision() -> None:
    assert VIEW.decide(context(), Limits(), rng(3)) == VIEW.decide(context(), Limits(), rng(3))


def test_arms_are_drawn_as_often_as_their_propensity_says() -> None:
    view = replace(VIEW, lambda_=0.0, allowance_usd=1.0, request_usd=1.0, parameters=Parameters(depth=1))
    draws = [view.decide(context(), Limits(), rng(seed)) for seed in range(2_000)]
    for one in ARMS:
        p = draws[0].probabilities[one.id]
        share = sum(d.arm == one.id for d in draws) / len(draws)
        assert share == pytest.approx(p, abs=4.0 * (p * (1.0 - p) / 2_000) ** 0.5 + 1e-9)


def preferring(view: View, name: str) -> View:
    """The view with qualities such that one arm is clearly preferred at depth 1."""
    assert isinstance(view.quality, QualityView)
    cells = np.full_like(view.quality.cells, 0.3)
    cells[view.index(name)] = 0.95
    quality = replace(view.quality, cells=cells, gates=(0.0, 0.0), ease=np.zeros_like(view.quality.ease))
    return replace(view, quality=quality, lambda_=1.0, parameters=Parameters(depth=1))


@pytest.mark.parametrize("name", ["small", "middle", "large"])
@pytest.mark.parametrize("allowance_usd", [0.0, 1e-6, 1e-3])
def test_exploration_is_expected_to_cost_no_more_than_its_allowance(name: str, allowance_usd: float) -> None:
    view = replace(preferring(VIEW, name), allowance_usd=allowance_usd, request_usd=1e-3)
    explored = view.decide(context(), Limits(), rng())
    straight = view.decide(context(), Limits(explore=False), rng())
    preferred = explored.costs_usd[name]
    extra = sum(p * max(0.0, explored.costs_usd[a] - preferred) for a, p in explored.probabilities.items())
    assert straight.probabilities[name] == pytest.approx(1.0)
    assert extra <= min(allowance_usd, 0.02 * 1e-3) + 1e-15
    assert explored.probabilities[name] >= 0.95 - 1e-12


def test_every_arm_is_explored_where_there_is_an_allowance() -> None:
    view = replace(preferring(VIEW, "large"), allowance_usd=1.0, request_usd=1.0)
    assert min(view.decide(context(), Limits(), rng()).probabilities.values()) > 0.003


def nearly(view: View, name: str, gap: float) -> View:
    """The view in which one arm is preferred by so much quality, and money is no object."""
    assert isinstance(view.quality, QualityView)
    cells = np.full_like(view.quality.cells, 0.9 - gap)
    cells[view.index(name)] = 0.9
    quality = replace(view.quality, cells=cells, gates=(0.0, 0.0), ease=np.zeros_like(view.quality.ease))
    return replace(view, quality=quality, lambda_=0.0, parameters=Parameters(depth=1))


@pytest.mark.parametrize("comparable", [True, False])
def test_who_refuses_exploration_gets_only_arms_that_are_as_good_as_the_best(comparable: bool) -> None:
    view = replace(nearly(VIEW, "small", 1.2 * NEAR), allowance_usd=1.0, room_usd=1.0, request_usd=1.0)
    view = view if comparable else incomparable(view)
    decision = view.decide(context(), Limits(explore=False), rng())
    assert decision.probabilities == {"small": 1.0, "middle": 0.0, "large": 0.0}
    close = nearly(view, "small", 0.5 * NEAR).decide(context(), Limits(explore=False), rng())
    assert min(close.probabilities.values()) > 0.05
    assert not close.explored


@given(st.integers(0, 1_000), st.floats(0.0, 6e-3), st.floats(0.0, 3e-3), st.floats(0.0, 6e-3))
def test_no_single_draw_costs_more_than_there_is_room_for(seed: int, room: float, reserved: float, most: float) -> None:
    view = replace(incomparable(nearly(VIEW, "small", 0.02)), lambda_=5.0, request_usd=1.0)
    view = replace(view, allowance_usd=0.5 * room, room_usd=room)
    left = room - reserved if 0.5 * room > reserved else 0.0
    decision = view.decide(context(), Limits(explore_usd=most), rng(seed), reserved_usd=reserved)
    utilities = decision.scores
    best = max(utilities, key=lambda name: utilities[name])
    for name, probability in decision.probabilities.items():
        extra = min(decision.costs_usd[name] - decision.costs_usd[best], (utilities[best] - utilities[name]) / 5.0)
        is_near = utilities[name] >= utilities[best] - NEAR
        if not is_near and (max(CAUTION * extra, 0.0) > left or decision.costs_usd[name] > most):
            assert probability == 0.0
    assert decision.explored_usd * CAUTION <= left + 1e-15
    assert sum(decision.probabilities.values()) == pytest.approx(1.0)
    assert decision.propensity == decision.probabilities[decision.arm] > 0.0


def preferred(view: View, **limits: object) -> str:
    decision = view.decide(context(), Limits(**limits), rng())  # type: ignore[arg-type]  # any limit
    # What is hoped decides; what is stated is what is believed.
    assert decision.qualities["large"] == pytest.approx(0.85)
    return max(decision.probabilities, key=lambda arm: decision.probabilities[arm])


def test_where_a_budget_is_left_over_the_arm_that_may_be_the_best_is_asked() -> None:
    view = replace(nearly(VIEW, "small", 0.05), lambda_=LAMBDA_MIN, lambdas={"own": LAMBDA_MIN})
    assert isinstance(view.quality, QualityView)
    counts = np.full(len(VIEW.arms), 400.0)
    counts[view.index("large")] = 4.0
    view = replace(view, quality=replace(view.quality, counts=counts))
    left = replace(view, left_over=frozenset({None}))
    assert preferred(view) == preferred(left, account="own") == preferred(left, explore=False) == "small"
    assert preferred(replace(left, freeze=Freeze(0.0, ""))) == "small"
    assert preferred(left) == preferred(left, account="without its own") == "large"
    assert preferred(replace(view, left_over=frozenset({"own"})), account="own") == "large"


def test_what_is_hoped_does_not_move_what_is_foretold_of_spend() -> None:
    left = replace(VIEW, left_over=frozenset({None}))
    quality = VIEW.quality.mean(context())
    assert (left.prospects(context(), Limits(), quality).quality == quality).all()


def test_a_draw_says_what_quality_it_is_believed_to_give_up() -> None:
    view = replace(incomparable(nearly(VIEW, "large", 0.04)), allowance_usd=1.0, room_usd=1.0, request_usd=1.0)
    decisions = [view.decide(context(), Limits(), rng(seed)) for seed in range(60)]
    for decision in decisions:
        lost = decision.qualities["large"] - decision.qualities[decision.arm]
        assert decision.explored_quality == (pytest.approx(lost) if decision.explored else None)
    assert any(decision.explored for decision in decisions)


def test_an_exploring_draw_is_marked() -> None:
    view = replace(preferring(VIEW, "large"), allowance_usd=1.0, request_usd=1.0)
    decisions = [view.decide(context(), Limits(), rng(seed)) for seed in range(200)]
    assert all(d.explored == (d.arm != "large") == (d.stage == "explore") for d in decisions)
    assert any(d.explored for d in decisions)


def incomparable(view: View) -> View:
    """The view of traffic whose answers can never be compared."""
    return replace(view, comparability=np.zeros_like(view.comparability))


def test_where_answers_cannot_be_compared_an_arm_is_tried_as_often_as_it_may_be_the_best() -> None:
    doubtful = state((arm("small", 0.1, prior_quality=0.6), arm("large", 0.2, prior_quality=0.7))).view()
    view = replace(
        incomparable(doubtful), lambda_=0.0, allowance_usd=1.0, request_usd=1.0, parameters=Parameters(depth=1)
    )
    tried = view.decide(context(), Limits(), rng()).probabilities
    assert 0.1 < tried["small"] < 0.5
    assert view.decide(context(), Limits(explore=False), rng()).probabilities["small"] < 1e-6


@pytest.mark.parametrize(
    ("evidence", "is_served"),
    [({}, True), ({"truncated": 0.1}, True), ({"empty": 1.0}, False), ({"refusal": 1.0}, False)],
)
def test_an_answer_asked_for_to_be_rated_is_served_unless_its_own_evidence_speaks_against_it(
    evidence: dict[str, float], is_served: bool
) -> None:
    view = incomparable(preferring(VIEW, "large"))
    view = replace(view, parameters=Parameters(depth=3))
    trial = replace(called("small", 0), explored_share=0.5, evidence=evidence)
    assert isinstance(view.next_step(context(), Limits(), [trial], ()), Stop) == is_served
    opinion = replace(trial, arm="large", purpose="judge", explored_share=None, evidence={})
    assert isinstance(view.next_step(context(), Limits(), [trial, opinion], ()), Stop) == is_served
    plain = replace(trial, explored_share=None)
    assert isinstance(view.next_step(context(), Limits(), [plain], ()), Ask)


def test_an_answer_that_can_be_compared_is_not_served_to_be_rated() -> None:
    view = replace(preferring(VIEW, "large"), parameters=Parameters(depth=3))
    trial = replace(called("small", 0, 0), explored_share=0.5)
    assert isinstance(view.next_step(context(), Limits(), [trial], ()), Ask)


@settings(max_examples=20)
@given(texts, st.permutations(range(3)))
def test_the_order_in_which_arms_came_does_not_matter(text: str, order: list[int]) -> None:
    permuted = state([ARMS[i] for i in order])
    for event, at_s in traffic(seed=2, n=6):
        permuted.apply(event, at_s)
    straight = experienced(seed=2, n=6).view().decide(context(text), Limits(), rng())
    other = permuted.view().decide(context(text), Limits(), rng())
    for one in ARMS:
        assert other.probabilities[one.id] == pytest.approx(straight.probabilities[one.id], abs=1e-6)
        assert other.scores[one.id] == pytest.approx(straight.scores[one.id], abs=1e-9)


def test_limits_are_kept() -> None:
    decision = VIEW.decide(context(), Limits(deny=("large",), unavailable=frozenset({"small"})), rng())
    assert decision.probabilities == {"middle": 1.0}
    with pytest.raises(NoEligibleArm, match="no model of the pool"):
        VIEW.decide(context(), Limits(allow=("nobody",)), rng())


def test_a_cost_limit_leaves_arms_within_it_or_the_cheapest() -> None:
    costs = VIEW.decide(context(), Limits(), rng()).costs_usd
    within = VIEW.decide(context(), Limits(max_cost_usd=costs["middle"]), rng())
    assert set(within.probabilities) == {"small", "middle"}
    assert set(VIEW.decide(context(), Limits(max_cost_usd=0.0), rng()).probabilities) == {"small"}


def test_a_quality_limit_leaves_arms_above_it_or_the_best() -> None:
    qualities = VIEW.decide(context(), Limits(), rng()).qualities
    best = max(qualities, key=qualities.__getitem__)
    assert set(VIEW.decide(context(), Limits(min_quality=qualities[best]), rng()).probabilities) == {best}
    assert set(VIEW.decide(context(), Limits(min_quality=1.0), rng()).probabilities) == {best}


def test_a_context_of_other_features_is_refused() -> None:
    with pytest.raises(FeatureMismatch, match="other-1"):
        VIEW.decide(replace(context(), version="other-1"), Limits(), rng())


def cheap(**changes: object) -> View:
    """A view for which money hardly matters, so that asking on is worth it in doubt."""
    settings_of: dict[str, object] = {"lambda_": 0.1, "parameters": Parameters(depth=3)}
    return replace(VIEW, **(settings_of | changes))  # type: ignore[arg-type]  # any field of a view


NO_LIMITS = Limits()


def step(view: View, *calls: Call, limits: Limits = NO_LIMITS) -> Stop | Ask:
    return view.next_step(context(), limits, calls, ())


def test_two_arms_that_differ_make_it_ask_a_third() -> None:
    asked = step(cheap(), called("small", 0, 0), called("middle", 1, 1))
    assert isinstance(asked, Ask)
    assert asked.arm == "large"
    assert asked.gain > VIEW.parameters.margin


@pytest.mark.parametrize(
    ("view", "limits"),
    [
        (cheap(parameters=Parameters(depth=2)), Limits()),
        (cheap(), Limits(depth=2)),
        (cheap(), Limits(max_cost_usd=2.0e-4)),
        (cheap(), Limits(unavailable=frozenset({"large"}))),
        (cheap(), Limits(price_factor=1e6)),
        (cheap(parameters=Parameters(margin=0.9)), Limits()),
    ],
)
def test_it_stops_where_it_may_not_or_need_not_go_on(view: View, limits: Limits) -> None:
    assert isinstance(step(view, called("small", 0, 0), called("middle", 1, 1), limits=limits), Stop)


def test_it_stops_with_the_step_of_the_best_answer_after_failed_calls() -> None:
    calls = (Call("large", 0, outcome="timeout"), called("small", 1, 0), called("middle", 2, 0))
    stop = step(replace(VIEW, lambda_=1e6), *calls)
    assert isinstance(stop, Stop)
    answered = VIEW.answered(context(), calls, ())
    assert stop.step == answered.steps[answered.answers.best]
    assert stop.confidence == pytest.approx(answered.right[answered.answers.best])


def test_an_arm_is_never_asked_twice() -> None:
    assert isinstance(step(cheap(), *(called(one.id, i, i) for i, one in enumerate(ARMS))), Stop)


def test_calls_of_judges_and_of_arms_that_left_are_no_answers() -> None:
    calls = (called("small", 0, 0), called("gone", 1, 0), called("large", 0, 0, purpose="judge"))
    assert VIEW.answered(context(), calls, ()).arms == (VIEW.index("small"),)


def test_a_judge_is_asked_where_its_opinion_is_worth_its_price() -> None:
    view, calls = replace(VIEW, lambda_=100.0), (called("small", 0, 0),)
    dear = {"judge": 1.0}
    assert view.wanted_judge(context(), Limits(), calls, (), {"judge": 1e-6}) == "judge"
    assert view.wanted_judge(context(), Limits(), calls, (), dear) is None
    assert view.wanted_judge(context(), Limits(price_factor=1e6), calls, (), {"judge": 1e-6}) is None
    assert view.wanted_judge(context(), Limits(), calls, (), {}) is None


def test_no_judge_is_asked_where_nothing_else_could_be_done() -> None:
    limits = Limits(allow=("small",))
    assert VIEW.wanted_judge(context(), limits, (called("small", 0, 0),), (), {"judge": 0.0}) is None


@settings(max_examples=40)
@given(st.integers(0, 1_000), st.floats(0.0, 5e-3), st.floats(0.0, 5e-3))
def test_a_comparison_fits_what_is_left_of_the_allowance(seed: int, allowance: float, reserved: float) -> None:
    view = replace(VIEW, allowance_usd=allowance)
    chosen = view.shadows(context(), Limits(), ["small"], rng(seed), reserved_usd=reserved)
    costs = view.cost.predict(context())
    assert "small" not in chosen
    assert len(chosen) in (0, *range(2, view.parameters.shadow_arms + 1))
    assert sum(costs[view.index(name)] for name in chosen) <= max(0.0, allowance - reserved)


def test_arms_out_of_service_are_not_compared() -> None:
    learner = state([*ARMS, arm("old", state="draining"), arm("judge", is_routable=False)])
    view = replace(learner.view(), allowance_usd=1.0)
    assert set(view.shadows(context(), Limits(), ["small"], rng())) == {"middle", "large"}


def test_the_stage_names_what_decided() -> None:
    contextual = Belief(np.zeros(1), np.zeros(1), is_contextual=True)
    assert stage_of(contextual, explored=False) == "learned"
    assert stage_of(contextual, explored=True) == "explore"
    assert stage_of(replace(contextual, is_contextual=False), explored=False) == "taxonomy"


def test_an_empty_allowance_explores_nothing() -> None:
    view = replace(preferring(VIEW, "small"), allowance_usd=Ledger(0.0, 5.0).allowance_usd)
    assert view.decide(context(), Limits(), rng()).probabilities["small"] == pytest.approx(1.0)


def test_nothing_is_compared_where_answers_can_hardly_ever_be() -> None:
    view = replace(VIEW, allowance_usd=1.0, upsides=np.ones(len(VIEW.arms)))
    assert view.shadows(context(), Limits(), ["small"], rng())
    apart = replace(view, comparability=np.full_like(view.comparability, 0.1))
    assert not apart.shadows(context(), Limits(), ["small"], rng())
