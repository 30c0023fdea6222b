"""The planner against a recursion over all outcomes that is written from the joint model's definition alone."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.joint import COINCIDENCES, NODE_WEIGHTS, NOTHING_ASKED, SPREADS, JointView, Partition
from learner.lookahead import plan
from learner.types import FloatArray

qualities = st.floats(0.05, 0.95)
views = st.builds(JointView, st.sampled_from(SPREADS.tolist()), st.sampled_from(COINCIDENCES))


@dataclass(frozen=True)
class Query:
    """One query as the recursion sees it: who answered, what was said of each hypothesis, whom to ask at what price."""

    view: JointView
    answered: FloatArray
    groups: tuple[int, ...]
    evidence: FloatArray
    quality: FloatArray
    price: FloatArray

    @property
    def root(self) -> Partition:
        return self.view.partition(self.answered, self.groups, self.evidence) if self.groups else NOTHING_ASKED

    def masses(self, asked: tuple[int, ...], groups: tuple[int, ...]) -> FloatArray:
        """P(partition, evidence on the first answers, hypothesis), straight from `JointView.partition`."""
        if not groups:
            return np.ones(1)
        everyone = np.concatenate([self.answered, self.quality[list(asked)]])
        mass: FloatArray = self.view.partition(everyone, groups, np.zeros(len(groups))).mass.sum(axis=1)
        for h in range(max(self.groups, default=-1) + 1):
            own = [i for i, g in enumerate(self.groups) if g == h]
            mass[h + 1] *= np.exp(self.evidence[own].mean())
        return mass


def best(query: Query, asked: tuple[int, ...], groups: tuple[int, ...], depth: int) -> tuple[float, float]:
    """Value and cost (in quality) of going on as well as can be, both times the probability to be here."""
    mass = query.masses(asked, groups)
    choices = [(float(mass[1:].max(initial=0.0)), 0.0)]
    if depth:
        rest = [arm for arm in range(len(query.quality)) if arm not in asked]
        choices += [ask(query, asked, groups, depth, arm) for arm in rest]
    return max(choices)


def ask(query: Query, asked: tuple[int, ...], groups: tuple[int, ...], depth: int, arm: int) -> tuple[float, float]:
    """The same for asking one arm now."""
    outcomes = range(max(groups, default=-1) + 2)
    after = [best(query, (*asked, arm), (*groups, outcome), depth - 1) for outcome in outcomes]
    paid = query.price[arm] * float(query.masses(asked, groups).sum())
    return sum(value for value, _ in after) - paid, sum(cost for _, cost in after) + paid


@st.composite
def queries(draw: st.DrawFn, most: int = 4) -> Query:
    k = draw(st.integers(1, most))
    groups = draw(st.sampled_from([(), (0,), (0, 0), (0, 1), (0, 1, 0)]))
    return Query(
        view=draw(views),
        answered=np.array(draw(st.lists(qualities, min_size=len(groups), max_size=len(groups)))),
        groups=groups,
        evidence=np.array(draw(st.lists(st.floats(-2.0, 2.0), min_size=len(groups), max_size=len(groups)))),
        quality=np.array(draw(st.lists(qualities, min_size=k, max_size=k))),
        price=np.array(draw(st.lists(st.floats(0.0, 0.3), min_size=k, max_size=k))),
    )


def planned(query: Query, depth: int) -> tuple[float, FloatArray]:
    return plan(query.root, query.view, query.quality, query.price, depth=depth)


@settings(max_examples=60)
@given(queries(), st.integers(1, 3))
def test_a_plan_equals_brute_force_over_all_outcomes(query: Query, depth: int) -> None:
    depth = min(depth, len(query.quality))
    stop, values = planned(query, depth)
    total = float(query.masses((), query.groups).sum())
    assert stop == pytest.approx(float(query.root.posterior[1:].max(initial=0.0)), abs=1e-9)
    expected = [ask(query, (), query.groups, depth, arm)[0] / total for arm in range(len(query.quality))]
    assert np.allclose(values, expected, atol=1e-9)


@given(queries())
def test_one_step_from_nothing_is_routing_by_quality_less_price(query: Query) -> None:
    _, values = plan(NOTHING_ASKED, query.view, query.quality, query.price, depth=1)
    assert np.allclose(values, query.view.right(query.quality) @ NODE_WEIGHTS - query.price, atol=1e-12)


@settings(max_examples=60)
@given(queries())
def test_more_depth_is_never_worth_less(query: Query) -> None:
    shallow = planned(query, 1)[1]
    for depth in range(2, len(query.quality) + 1):
        deep = planned(query, depth)[1]
        assert (deep >= shallow - 1e-12).all()
        shallow = deep


@settings(max_examples=40)
@given(queries(most=3), st.integers(1, 3))
def test_expected_cost_never_rises_with_the_price_of_money(query: Query, depth: int) -> None:
    depth = min(depth, len(query.quality))
    costs = []
    for scale in (0.1, 0.5, 1.0, 2.0, 5.0):
        dear = Query(
            query.view, query.answered, query.groups, query.evidence, query.quality, scale * (query.price + 1e-3)
        )
        value, cost = best(dear, (), dear.groups, depth)
        total = float(dear.masses((), dear.groups).sum())
        stop, values = planned(dear, depth)
        assert max(stop, float(values.max())) == pytest.approx(value / total, abs=1e-9)
        costs.append(cost / total / scale)
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(costs))


@given(queries(), st.randoms(use_true_random=False))
def test_permuting_arms_permutes_values(query: Query, random: Random) -> None:
    order = list(range(len(query.quality)))
    random.shuffle(order)
    depth = min(3, len(order))
    stop, values = planned(query, depth)
    again, permuted = plan(query.root, query.view, query.quality[order], query.price[order], depth=depth)
    assert again == pytest.approx(stop)
    assert np.allclose(permuted, values[order], atol=1e-10)


def test_a_free_second_opinion_is_worth_something_and_a_dear_one_is_not() -> None:
    view, quality = JointView(), np.array([0.6, 0.6])
    one = view.partition(np.array([0.6]), (0,), np.zeros(1))
    stop, free = plan(one, view, quality, np.zeros(2), depth=2)
    _, dear = plan(one, view, quality, np.ones(2), depth=2)
    assert free.min() > stop + 0.005
    assert dear.max() < stop
