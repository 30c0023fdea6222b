"""A control is drawn with the chance that is stored, where the limits allow it, and for no more than it may cost."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.control import MOST_SPEND
from learner.policy import View
from learner.quality import QualityView
from learner.types import Context, Decision, Limits, Objective, ObjectiveChanged
from tests.learner.conftest import ARMS, NOON_S, TEXTS, arm, context, state, traffic

SHARE = 0.1


def experienced() -> View:
    learner = state()
    for event, at_s in traffic(seed=1, n=80):
        learner.apply(event, at_s)
    return replace(learner.view(), request_usd=1.0)


VIEW = experienced()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decided(view: View = VIEW, seed: int = 0, of: Context | None = None, **limits: Any) -> Decision:
    allowed = replace(Limits(control_share=SHARE), **limits)
    return view.decide(of or context(), allowed, rng(seed))


def best_of(view: View) -> str:
    return view.arms[int(view.quality.means.argmax())].id


@settings(max_examples=60)
@given(st.sampled_from(TEXTS), st.integers(0, 1_000), st.floats(0.0, 0.1), st.floats(1e-6, 1e-2))
def test_the_propensities_are_those_without_controls_mixed_with_their_chances(
    text: str, seed: int, share: float, request_usd: float
) -> None:
    view = replace(VIEW, request_usd=request_usd)
    plain = decided(view, seed, context(text), control_share=0.0)
    mixed = decided(view, seed, context(text), control_share=share)
    chances = mixed.control_chances
    expected = {a: (1.0 - sum(chances.values())) * p for a, p in plain.probabilities.items()}
    if chances:
        expected[best_of(view)] += chances["best"]
        expected["small"] += chances["cheapest"]
    assert mixed.probabilities == pytest.approx(expected)
    assert sum(mixed.probabilities.values()) == pytest.approx(1.0)
    assert mixed.propensity == mixed.probabilities[mixed.arm]
    assert mixed.control is not None or mixed.arm == plain.arm


def test_controls_and_arms_are_drawn_as_often_as_their_chances_say() -> None:
    draws = [decided(seed=seed) for seed in range(4_000)]
    chances, probabilities = draws[0].control_chances, draws[0].probabilities

    def is_share(drawn: int, p: float) -> bool:
        return abs(drawn / len(draws) - p) < 4.0 * math.sqrt(p * (1.0 - p) / len(draws)) + 1e-9

    assert chances == {"best": SHARE / 2.0, "cheapest": SHARE / 2.0}
    assert all(is_share(sum(d.control == c for d in draws), p) for c, p in chances.items())
    assert all(is_share(sum(d.arm == a for d in draws), p) for a, p in probabilities.items())
    assert {d.arm for d in draws if d.control == "best"} == {best_of(VIEW)}
    assert {d.arm for d in draws if d.control == "cheapest"} == {"small"}


def test_a_control_is_an_explored_choice_that_exploration_does_not_pay_for() -> None:
    drawn = [decided(seed=seed) for seed in range(400)]
    controls = [d for d in drawn if d.control is not None]
    assert controls
    assert all(d.explored and d.explored_share == 0.0 and d.stage == "explore" for d in controls)


@settings(max_examples=60)
@given(st.sampled_from(TEXTS), st.floats(1e-7, 1e-1), st.floats(0.0, 0.1))
def test_no_control_is_expected_to_cost_more_than_its_share_of_the_spend(
    text: str, request_usd: float, share: float
) -> None:
    found = decided(replace(VIEW, request_usd=request_usd), of=context(text), control_share=share)
    best = best_of(VIEW)
    for control, name in (("best", best), ("cheapest", "small")):
        chance = found.control_chances.get(control, 0.0)  # type: ignore[call-overload]  # its two literals
        assert chance * found.costs_usd[name] <= MOST_SPEND * request_usd * (1.0 + 1e-9)
        assert chance <= share / 2.0


def test_what_a_request_may_cost_is_said_by_the_objective_of_its_account() -> None:
    learner = state()
    for event, at_s in traffic(seed=1, n=80):
        learner.apply(event, at_s)
    learner.apply(ObjectiveChanged(Objective("budget", 1e-9), account="poor"), NOON_S)
    view = replace(learner.view(), request_usd=1.0)
    assert decided(view).control_chances["best"] == SHARE / 2.0
    assert decided(view, account="other").control_chances["best"] == SHARE / 2.0
    assert decided(view, account="poor").control_chances["best"] < 1e-4


def test_nothing_is_drawn_before_anything_was_spent() -> None:
    assert decided(replace(VIEW, request_usd=0.0)).control_chances == {}


@pytest.mark.parametrize("limits", [{"control_share": 0.0}, {"explore": False}])
def test_a_request_that_allows_none_gets_none_and_draws_as_without(limits: dict[str, Any]) -> None:
    found = [decided(seed=seed, **limits) for seed in range(200)]
    assert all(d.control is None and d.control_chances == {} for d in found)
    assert found == [decided(seed=seed, **(limits | {"control_share": 0.0})) for seed in range(200)]


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"deny": ("small",)}, {"best"}),
        ({"deny": ("large", "middle")}, {"cheapest"}),
        ({"allow": ("nobody", "middle")}, set()),
        ({"unavailable": frozenset({"small"})}, {"best"}),
        ({"max_cost_usd": 1e-9}, {"cheapest"}),
        ({"min_quality": 1.0}, {"best"}),
    ],
)
def test_a_control_that_the_limits_exclude_is_not_drawn(limits: dict[str, Any], left: set[str]) -> None:
    assert isinstance(VIEW.quality, QualityView)
    means, cells = np.array([0.3, 0.5, 0.9]), np.tile([[0.3], [0.5], [0.9]], VIEW.quality.cells.shape[1])
    view = replace(VIEW, quality=replace(VIEW.quality, means=means, cells=cells, gates=(0.0, 0.0)))
    assert decided(view).control_chances.keys() == {"best", "cheapest"}
    assert decided(view, **limits).control_chances.keys() == left


def test_one_model_has_nothing_to_be_compared_with() -> None:
    alone = replace(state(ARMS[:1]).view(), request_usd=1.0)
    judge_beside_it = replace(state((ARMS[0], arm("judge", is_routable=False))).view(), request_usd=1.0)
    assert decided(alone).control_chances == decided(judge_beside_it).control_chances == {}
