from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.demo.report import Comparison, Segment, compare, comparisons, hull, mix_weights, savings, verdict
from app.demo.tally import Served, Tally
from app.demo.upstream import Bill
from app.demo.worlds import Array, Mean, Outcomes, World, outcomes

pools = st.integers(1, 6).flatmap(
    lambda k: st.tuples(
        arrays(float, k, elements=st.floats(0.0625, 100, width=32)),
        arrays(float, k, elements=st.floats(0, 1, width=32)),
    )
)


def best_of_pairs(costs: Array, qualities: Array, usd: float) -> float:
    """The best mix of one or two models at mean cost `usd`, by trying all of them."""
    best = max((float(q) for c, q in zip(costs, qualities, strict=True) if c <= usd), default=-1.0)
    for low in range(len(costs)):
        for high in range(len(costs)):
            if costs[low] <= usd < costs[high]:
                share = (usd - costs[low]) / (costs[high] - costs[low])
                best = max(best, float((1 - share) * qualities[low] + share * qualities[high]))
    return best


@given(pool=pools, usd=st.floats(0.0625, 120))
def test_the_static_mix_is_the_best_of_all_mixes_of_two_models(pool: tuple[Array, Array], usd: float) -> None:
    costs, qualities = pool
    assume(usd >= costs.min())
    assert float(qualities @ mix_weights(costs, qualities, usd)) == pytest.approx(
        best_of_pairs(costs, qualities, usd), abs=1e-9
    )


@given(pool=pools, usd=st.floats(0, 120))
def test_the_static_mix_is_a_mix_and_keeps_to_the_cost(pool: tuple[Array, Array], usd: float) -> None:
    costs, qualities = pool
    weights = mix_weights(costs, qualities, usd)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).sum() <= 2
    assert weights @ costs <= max(usd, costs.min()) * (1 + 1e-9)


@given(pool=pools, low=st.floats(0, 120), high=st.floats(0, 120))
def test_more_money_never_makes_the_static_mix_worse(pool: tuple[Array, Array], low: float, high: float) -> None:
    costs, qualities = pool
    poor, rich = (float(qualities @ mix_weights(costs, qualities, usd)) for usd in sorted((low, high)))
    assert poor <= rich + 1e-9


def test_the_hull_leaves_out_models_under_the_line_between_two_others() -> None:
    costs, qualities = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.2, 0.25, 0.6, 0.5])
    assert hull(costs, qualities) == [0, 2]


def segment(rewards: list[float], spent_usd: float, available: tuple[int, ...] = (0, 1)) -> Segment:
    """Two models: `a` costs 1 USD and is right half the time, `b` costs 3 USD and is always right."""
    n = len(rewards)
    quality = np.column_stack([np.arange(n) % 2, np.ones(n)]).astype(float)
    return Segment(quality, np.tile([1.0, 3.0], (n, 1)), np.array(rewards), spent_usd, available)


def test_a_comparison_at_half_way_cost_sees_the_half_way_mix() -> None:
    found = compare("all", ["a", "b"], [segment([1.0, 1.0, 1.0, 0.0], 8.0)])
    assert found.us == Mean(0.75, 2.0)
    assert found.mix_quality == pytest.approx(0.75)
    assert found.over_mix_points == pytest.approx(0)
    assert found.best == "b"
    assert found.saved_share == pytest.approx(1 / 3)
    assert found.saved_usd_per_1k == pytest.approx(1000)
    assert found.over_best_points == pytest.approx(-25)


def test_a_router_that_knew_which_model_to_ask_stands_above_the_mix() -> None:
    found = compare("all", ["a", "b"], [segment([1.0] * 40, 80.0)])
    assert found.over_mix_points == pytest.approx(25)
    assert verdict(found).startswith("above the static mix at equal cost: +25.0")


def test_the_interval_is_that_of_the_paired_differences() -> None:
    found = compare("all", ["a", "b"], [segment([1.0] * 40, 80.0)])
    # The mix at 2 USD earns 0.5 where `a` is wrong and 1 where it is right, so the gains are 50 and 0 points.
    assert found.margin_points == pytest.approx(1.96 * 25 / np.sqrt(40))


def test_over_several_segments_each_mix_has_its_own_pool_and_spend() -> None:
    before, after = segment([0.0, 1.0], 2.0, (0,)), segment([1.0, 1.0], 6.0)
    found = compare("all", ["a", "b"], [before, after])
    assert found.mix_quality == pytest.approx(0.75)
    assert list(found.singles) == ["a"]
    assert found.us == Mean(0.75, 2.0)


@given(spent=st.floats(0.1, 50))
def test_savings_in_percent_and_in_usd_agree(spent: float) -> None:
    found = compare("all", ["a", "b"], [segment([1.0, 0.0, 1.0, 1.0], spent)])
    assert found.saved_usd_per_1k == pytest.approx(found.saved_share * found.singles[found.best].usd * 1000)
    assert ("MORE" in savings(found)) == (found.us.usd > found.singles["b"].usd)


@pytest.mark.parametrize(
    ("gap", "margin", "beginning"),
    [
        (-2.0, 1.0, "BELOW the static mix"),
        (-0.5, 1.0, "below the static mix at equal cost by less than"),
        (0.5, 1.0, "no worse than the static mix at equal cost, by less than"),
        (2.0, 1.0, "above the static mix at equal cost: +2.0"),
    ],
)
def test_the_verdict_says_plainly_where_we_stand(gap: float, margin: float, beginning: str) -> None:
    means = {"a": Mean(0.5, 1.0)}
    assert verdict(Comparison("all", Mean(0.5, 1.0), means, "a", 0.5, gap, margin)).startswith(beginning)


def finished(world: World, model: str, truth: Outcomes) -> Tally:
    """A run in which `model` answered everything, at its recorded price."""
    column = world.models.index(model)
    tally = Tally(world, Bill(usd={model: float(truth.usd[:, column].sum())}))
    tally.usd_at_arrival = float(truth.usd[: world.arrival, column].sum())
    for at in range(tally.total):
        tally.served.append(
            Served(at, f"i{at}", model, float(truth.quality[at, column]), 0.0, "learned", verbatim=True)
        )
    return tally


async def test_a_run_of_one_model_is_compared_with_itself_at_its_own_cost(make_world: Callable[..., World]) -> None:
    world = make_world(40)
    truth = await outcomes(world)
    half, whole = comparisons(finished(world, "large", truth), truth)
    for found in (half, whole):
        assert found.best == "large"
        assert found.us.usd == pytest.approx(found.singles["large"].usd)
        assert found.over_mix_points == pytest.approx(0)
    assert set(half.singles) == {"small", "middle", "large"}
    assert set(whole.singles) == {"small", "large"}


async def test_without_a_late_model_every_model_is_there_for_the_whole_run(make_world: Callable[..., World]) -> None:
    world = replace(make_world(40), late=None)
    truth = await outcomes(world)
    _, whole = comparisons(finished(world, "small", truth), truth)
    assert set(whole.singles) == {"small", "middle", "large"}
