"""Exploration: a true distribution with floors, and money that is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learner.exploration import (
    DAY_S,
    LEAST_WIDTH,
    LOGISTIC_SCALE,
    MARGIN,
    MOST_TRIALS,
    MOST_WIDTH,
    NEW_COUNT,
    Ledger,
    best_probabilities,
    confined,
    draw,
    extra_usd,
    floors_for,
    given_up,
    mix_with_floor,
    narrowed,
    shadow_arms,
    trial_floors,
)
from learner.types import FloatArray


def vectors(low: float, high: float) -> st.SearchStrategy[FloatArray]:
    return arrays(np.float64, 4, elements=st.floats(low, high))


@given(vectors(-5.0, 5.0), vectors(0.0, 0.25), st.floats(1e-4, 2.0))
def test_probabilities_sum_to_one_and_respect_the_floors(utilities: FloatArray, floors: FloatArray, t: float) -> None:
    p = mix_with_floor(utilities, temperature=t, floors=floors)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert (p >= floors - 1e-12).all()
    assert p[utilities.argmax()] - floors[utilities.argmax()] == pytest.approx((p - floors).max())


@given(vectors(-5.0, 5.0), vectors(0.0, 0.25), st.permutations(range(4)))
def test_permuting_arms_permutes_probabilities(utilities: FloatArray, floors: FloatArray, order: list[int]) -> None:
    p = mix_with_floor(utilities, temperature=0.1, floors=floors)
    assert np.allclose(mix_with_floor(utilities[order], temperature=0.1, floors=floors[order]), p[order], atol=1e-12)


def test_only_differences_of_utilities_matter() -> None:
    u, floors = np.array([0.1, 0.3]), np.full(2, 0.1)
    assert np.allclose(
        mix_with_floor(u, temperature=0.2, floors=floors), mix_with_floor(u + 7.0, temperature=0.2, floors=floors)
    )


@pytest.mark.parametrize(
    ("utilities", "temperature", "floors"),
    [
        ([], 1.0, []),
        ([0.0, np.nan], 1.0, [0.0, 0.0]),
        ([0.0, np.inf], 1.0, [0.0, 0.0]),
        ([0.0, 0.0], 0.0, [0.0, 0.0]),
        ([0.0, 0.0], 1.0, [-0.1, 0.0]),
        ([0.0, 0.0], 1.0, [0.6, 0.6]),
    ],
)
def test_what_is_no_distribution_is_refused(utilities: list[float], temperature: float, floors: list[float]) -> None:
    with pytest.raises(ValueError, match=r"utilities|temperature"):
        mix_with_floor(np.array(utilities), temperature=temperature, floors=np.array(floors))


@given(vectors(-0.1, 0.1), vectors(0.0, 0.5), st.floats(0.0, 0.01), st.floats(0.0, 0.2))
def test_floors_cost_no_more_than_their_allowance(
    extra: FloatArray, uncertainty: FloatArray, allowance: float, most: float
) -> None:
    floors = floors_for(extra_usd=extra, uncertainty=uncertainty, allowance_usd=allowance, most=most)
    assert (floors >= 0.0).all()
    assert floors.sum() <= most + 1e-12
    assert float(floors @ np.maximum(extra, 0.0)) <= allowance + 1e-12


@given(arrays(float, 4, elements=st.floats(0.0, 1.0)).filter(lambda p: p.sum() > 0.1), st.integers(0, 1_000))
def test_what_is_drawn_is_possible_and_the_same_as_numpys_own_choice(weights: FloatArray, seed: int) -> None:
    probabilities = weights / weights.sum()
    drawn = draw(probabilities, np.random.default_rng(seed))
    assert probabilities[drawn] > 0.0
    assert drawn == np.random.default_rng(seed).choice(4, p=probabilities)


def test_an_allowance_too_small_for_any_call_explores_nothing() -> None:
    assert not floors_for(extra_usd=np.zeros(2), uncertainty=np.full(2, 0.5), allowance_usd=2e-311).any()


def test_uncertain_and_cheap_arms_are_explored_more() -> None:
    floors = floors_for(
        extra_usd=np.array([0.0, 1e-3, 1e-3]), uncertainty=np.array([0.1, 0.1, 0.3]), allowance_usd=1e-2
    )
    assert floors[0] > floors[1]
    assert floors[2] == pytest.approx(3.0 * floors[1])


def test_without_an_allowance_nothing_is_explored() -> None:
    assert floors_for(extra_usd=np.ones(2), uncertainty=np.ones(2), allowance_usd=0.0).tolist() == [0.0, 0.0]


# -- trials: arms whose answers are served to be rated ----------------------------------------------------------------


@given(vectors(0.0, 1.0), vectors(1e-4, 0.5), st.permutations(range(4)))
def test_each_is_the_best_with_a_probability_that_does_not_depend_on_the_order(
    means: FloatArray, deviations: FloatArray, order: list[int]
) -> None:
    p = best_probabilities(means, deviations)
    assert p.sum() == pytest.approx(1.0)
    assert (p >= 0.0).all()
    assert np.allclose(best_probabilities(means[order], deviations[order]), p[order], atol=1e-9)


@pytest.mark.parametrize(
    "deviations", [[0.02, 0.02, 0.02], [0.2, 0.05, 0.01], [0.5, 0.5, 0.001], [0.001, 0.002, 0.001]]
)
def test_an_arm_is_the_best_as_often_as_draws_of_the_beliefs_say(deviations: list[float]) -> None:
    means, scale = np.array([0.5, 0.55, 0.6]), LOGISTIC_SCALE * np.array(deviations)
    best = np.random.default_rng(0).logistic(means, scale, size=(200_000, 3)).argmax(axis=1)
    # The standard error of a share of 200,000 is at most 0.0012; the sum has 64 points.
    assert best_probabilities(means, np.array(deviations)) == pytest.approx(np.bincount(best) / 200_000, abs=0.02)


def test_what_is_known_for_certain_needs_no_trial() -> None:
    assert best_probabilities(np.array([0.3, 0.9]), np.full(2, 1e-6))[1] == pytest.approx(1.0)


@given(vectors(-1.0, 1.0), vectors(1e-4, 0.01), st.floats(0.0, 1_000.0))
def test_a_try_costs_what_it_gives_up_and_never_more_than_its_bill(
    values: FloatArray, costs: FloatArray, lambda_: float
) -> None:
    extra, best = extra_usd(values=values, costs_usd=costs, lambda_=lambda_), int(values.argmax())
    assert extra[best] == 0.0
    assert (extra >= 0.0).all()
    assert (extra <= np.maximum(costs - costs[best], 0.0)).all()
    assert (extra * max(lambda_, 1e-9) <= values[best] - values + 1e-9).all()


@given(vectors(0.02, 0.98), vectors(0.0, 1.0), vectors(0.01, 0.5), vectors(0.0, 0.01), st.floats(0.0, 0.01))
def test_trials_cost_no_more_than_their_allowance_and_cheap_arms_are_tried_without_any(
    qualities: FloatArray, prices: FloatArray, deviations: FloatArray, extra: FloatArray, allowance: float
) -> None:
    floors = trial_floors(
        qualities=qualities, prices=prices, deviations=deviations, extra_usd=extra, allowance_usd=allowance
    )
    free = extra == 0.0
    best = best_probabilities(qualities - prices, narrowed(qualities, deviations))
    assert float(floors @ extra) <= allowance + 1e-12
    assert floors.sum() <= MOST_TRIALS + 1e-12
    assert np.allclose(floors[free], MOST_TRIALS * best[free])


@given(st.floats(0.02, 0.98), st.floats(1.0, 1_000.0))
def test_the_more_is_known_of_an_arm_the_fewer_tries_its_doubt_buys(quality: float, seen: float) -> None:
    counts = np.array([seen, 2.0 * seen])
    qualities = np.full(2, quality)
    deviations = np.sqrt(qualities * (1.0 - qualities) / counts)
    fewer, more = (narrowed(qualities, deviations) / deviations).tolist()
    assert LEAST_WIDTH < more <= fewer + 1e-12 <= MOST_WIDTH + 1e-9
    assert fewer == pytest.approx(min(LEAST_WIDTH + NEW_COUNT / seen, MOST_WIDTH))


@given(vectors(0.0, 0.3), st.sets(st.integers(0, 3)), st.integers(0, 3))
def test_what_must_not_be_drawn_goes_to_the_best_and_all_others_keep_theirs(
    weights: FloatArray, barred: set[int], best: int
) -> None:
    probabilities = np.append(weights[:3], 0.0) + np.array([0.0, 0.0, 0.0, 1.0 - weights[:3].sum()])
    barred -= {best}
    kept = confined(probabilities, sorted(barred), best)
    others = [i for i in range(4) if i not in {best, *barred}]
    assert kept.sum() == pytest.approx(1.0)
    assert (kept[sorted(barred)] == 0.0).all()
    assert (kept[others] == probabilities[others]).all()


@given(vectors(0.0, 1.0), vectors(0.0, 0.01), st.floats(0.0, 1_000.0), st.integers(0, 3))
def test_what_one_call_gives_up_is_its_quality_in_books_apart_from_its_price(
    qualities: FloatArray, costs: FloatArray, lambda_: float, drawn: int
) -> None:
    values = qualities - lambda_ * costs
    best = int(values.argmax())
    lost = given_up(values=values, costs_usd=costs, lambda_=lambda_, drawn=drawn)
    assert lost == pytest.approx(max(0.0, qualities[best] - qualities[drawn]), abs=1e-9)
    extra = extra_usd(values=values, costs_usd=costs, lambda_=lambda_)[drawn]
    saved = max(costs[best] - costs[drawn], 0.0)
    # Together, in USD and in quality, it is the whole utility given up.
    assert lost + lambda_ * (extra - saved) == pytest.approx(values[best] - values[drawn], abs=1e-6)


spends = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 4.0 * DAY_S))


@given(st.lists(spends, max_size=80), st.floats(0.0, 1.0), st.floats(0.0, 3.0), st.floats(0.0, 0.5))
def test_caps_hold_for_an_explorer_that_always_spends_its_allowance(
    sequence: list[tuple[float, float, float]], share: float, per_day: float, advance: float
) -> None:
    ledger, by_day = Ledger(share, per_day, advance), dict[int, float]()
    # Events are logged in the order of their commit: at midnight their own times may be out of order.
    for served_usd, greed, at_s in sequence:
        explored = greed * ledger.allowance_usd
        ledger.spend(usd=served_usd + explored, explored_usd=explored, at_s=at_s)
        day = max([int(at_s // DAY_S), *by_day])
        by_day[day] = by_day.get(day, 0.0) + explored
        assert ledger.explored_usd <= share * ledger.total_usd + advance + 1e-9
        assert 0.0 <= ledger.allowance_usd <= ledger.room_usd
    assert max(by_day.values(), default=0.0) <= per_day + 1e-9


def test_a_new_day_opens_the_daily_cap_again() -> None:
    ledger = Ledger(1.0, 2.0)
    ledger.spend(usd=10.0, explored_usd=2.0, at_s=0.0)
    assert ledger.allowance_usd == 0.0
    ledger.spend(usd=1.0, explored_usd=0.0, at_s=DAY_S)
    assert ledger.allowance_usd == MARGIN * 2.0
    assert ledger.room_usd == 2.0


def test_an_event_of_yesterday_does_not_open_the_daily_cap_again() -> None:
    ledger = Ledger(1.0, 2.0)
    ledger.spend(usd=10.0, explored_usd=2.0, at_s=DAY_S + 1.0)
    ledger.spend(usd=1.0, explored_usd=0.0, at_s=DAY_S - 1.0)
    ledger.spend(usd=1.0, explored_usd=0.0, at_s=DAY_S + 2.0)
    assert ledger.allowance_usd == 0.0


@given(vectors(0.0, 0.01), vectors(0.0, 0.5), st.floats(0.0, 0.03), st.integers(0, 4))
def test_a_comparison_stays_within_its_money_and_its_number(
    costs: FloatArray, uncertainty: FloatArray, allowance: float, most: int
) -> None:
    chosen = shadow_arms(costs, uncertainty, allowance_usd=allowance, most=most)
    assert len(chosen) == len(set(chosen)) <= most
    assert sum(costs[i] for i in chosen) <= allowance + 1e-12
    assert all(uncertainty[i] > 0.0 for i in chosen)


def test_the_most_uncertain_arms_per_usd_are_compared_first() -> None:
    costs, uncertainty = np.array([1e-3, 1e-3, 1e-2]), np.array([0.1, 0.3, 0.4])
    assert shadow_arms(costs, uncertainty, allowance_usd=1.0, most=2) == [1, 0]
    assert shadow_arms(costs, uncertainty, allowance_usd=1.0, most=3) == [1, 0, 2]
