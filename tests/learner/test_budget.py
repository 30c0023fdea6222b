"""λ: never far over the budget, debts paid back, a floor of quality kept up."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.budget import FLOOR_STEP, LAMBDA_MAX, LAMBDA_MIN, MAX_RATIO, STEP, Controller
from learner.types import Objective

BUDGET = 1e-3
PRICE_OF_THRIFT = 1e4
PRICE_OF_QUALITY = 30.0


def controller(kind: str = "budget", value: float | None = BUDGET) -> Controller:
    return Controller.of(Objective(kind, value), scale_usd=1e-3)  # type: ignore[arg-type]  # the kinds of `Objective`


def overspend(wishes: Sequence[float], most: float) -> list[float]:
    """Overspend after every request, in budgets: any wish up to `most` is granted while money is cheap.

    From `PRICE_OF_THRIFT` on, the cheapest arm is certain, and it costs no more than the budget.
    """
    paced, over = controller(), []
    for wish in wishes:
        spent = min(wish, 1.0 if paced.lambda_ >= PRICE_OF_THRIFT else most)
        paced.settle(spent_usd=spent * BUDGET, quality=0.5)
        over.append(paced.spent_usd / BUDGET - paced.requests)
    return over


def bound(most: float) -> float:
    """Greatest overspend D in budgets, for answers of at most `most` ≤ MAX_RATIO budgets B and any wishes.

    Let D be greatest after request u, and let the debt have begun after request s (D_s ≤ 0). Where D > 0, each request
    moves log λ by η(c/B − 1 + D/H) ≥ η(c/B − 1). Request u was dear, so λ was below λ* before it: the sum of c/B − 1
    from s to u − 1 is at most ln(λ*/λ_min)/η, and u itself adds at most c_max/B − 1. (Had λ met its upper end in
    between, the way back to λ* would have saved ln(λ_max/λ*)/η, more than u adds, and D had been greater before.) Hence
    D ≤ ln(λ*/λ_min)/η + c_max/B − 1, however long the traffic: the mean overspend of T requests is at most D/T.
    """
    assert most <= MAX_RATIO
    assert most - 1.0 < math.log(LAMBDA_MAX / PRICE_OF_THRIFT) / STEP
    return math.log(PRICE_OF_THRIFT / LAMBDA_MIN) / STEP + most - 1.0


@settings(max_examples=30)
@given(st.lists(st.floats(0.0, MAX_RATIO), min_size=1, max_size=200), st.floats(0.6, MAX_RATIO))
def test_overspend_stays_within_its_bound_for_any_wishes(wishes: list[float], most: float) -> None:
    assert max(overspend(wishes, most)) <= bound(most)


@pytest.mark.parametrize("most", [0.6, 2.0, MAX_RATIO])
@pytest.mark.parametrize("pause", [0, 1, 3, 10])
def test_overspend_stays_within_its_bound_for_greedy_and_bursting_traffic(most: float, pause: int) -> None:
    wishes = ([most] * 40 + [0.0] * (40 * pause)) * (4_000 // (40 + 40 * pause))
    over = overspend(wishes, most)
    assert max(over) <= bound(most)
    assert over[-1] / len(over) <= bound(most) / len(over)


def spent_by(paced: Controller, cost_of: Callable[[float], float], n: int) -> None:
    for _ in range(n):
        paced.settle(spent_usd=cost_of(paced.lambda_), quality=0.5)


def falling(lambda_: float) -> float:
    """Mean cost of a request at a price of money: from ten budgets down to a tenth of one."""
    share: float = 1.0 / (1.0 + (lambda_ / 100.0) ** 1.5)
    return BUDGET * (0.1 + 9.9 * share)


def test_spend_meets_the_budget_where_cost_falls_with_lambda() -> None:
    paced = controller()
    spent_by(paced, falling, 1_000)
    assert paced.spent_usd / paced.requests == pytest.approx(BUDGET, rel=0.03)


def test_a_debt_is_paid_back() -> None:
    paced = controller()
    spent_by(paced, falling, 300)
    paced.settle(spent_usd=40.0 * BUDGET, quality=0.5)
    assert paced.spent_usd > paced.requests * BUDGET * 1.05
    spent_by(paced, falling, 700)
    assert paced.spent_usd / paced.requests == pytest.approx(BUDGET, rel=0.02)


def test_savings_are_spent_later() -> None:
    paced = controller()
    spent_by(paced, lambda _: 0.1 * BUDGET, 60)
    spent_by(paced, falling, 900)
    assert paced.spent_usd / paced.requests == pytest.approx(BUDGET, rel=0.03)


def test_a_budget_is_kept_where_one_call_costs_many_budgets() -> None:
    rng, paced = np.random.default_rng(3), controller()
    for _ in range(5_000):
        chance = 1.0 / (1.0 + (paced.lambda_ / 100.0) ** 1.5)
        paced.settle(spent_usd=BUDGET * (30.0 if rng.random() < chance else 0.1), quality=0.5)
    # 30 budgets each: some 1 in 33 requests may be of this kind; five of them more or less are 3 %.
    assert paced.spent_usd / paced.requests == pytest.approx(BUDGET, rel=0.1)


def test_background_spend_raises_lambda_and_counts_no_request() -> None:
    paced = controller()
    before = paced.lambda_
    paced.settle(spent_usd=BUDGET, quality=0.0, requests=0.0)
    assert paced.lambda_ > before
    assert (paced.requests, paced.spent_usd) == (0.0, BUDGET)


@given(st.lists(st.floats(0.0, 1.0), max_size=60))
def test_lambda_stays_within_its_ends(spends: list[float]) -> None:
    paced = controller()
    for spent in spends:
        paced.settle(spent_usd=spent, quality=0.5)
        assert LAMBDA_MIN <= paced.lambda_ <= LAMBDA_MAX


def test_missing_quality_makes_money_cheap() -> None:
    floored = controller("quality_floor", 0.8)
    before = floored.lambda_
    for _ in range(20):
        floored.settle(spent_usd=1e-4, quality=0.5)
    assert floored.lambda_ == pytest.approx(before * math.exp(-FLOOR_STEP * 20 * 0.3))


def test_met_quality_makes_money_dear_until_a_usual_bill_weighs_as_much_as_a_right_answer() -> None:
    floored = controller("quality_floor", 0.6)
    before = floored.lambda_
    floored.settle(spent_usd=1e-4, quality=0.9)
    assert floored.lambda_ == pytest.approx(before * math.exp(FLOOR_STEP * 0.3))
    for _ in range(1_000):
        floored.settle(spent_usd=1e-4, quality=0.9)
    assert floored.lambda_ == pytest.approx(1.0 / 1e-4)


def test_a_dear_answer_does_not_lower_the_price_of_money_where_the_floor_is_met() -> None:
    floored = controller("quality_floor", 0.6)
    for _ in range(10):
        before = floored.lambda_
        floored.settle(spent_usd=1.0, quality=0.9)
        assert floored.lambda_ == before


def test_answers_that_cost_nothing_leave_the_price_finite() -> None:
    floored = controller("quality_floor", 0.0)
    for _ in range(3_000):
        floored.settle(spent_usd=0.0, quality=1.0)
    assert floored.lambda_ == LAMBDA_MAX


def test_background_spend_does_not_touch_a_floor() -> None:
    floored = controller("quality_floor", 0.8)
    before = floored.lambda_
    floored.settle(spent_usd=1.0, quality=0.0, requests=0.0)
    assert floored.lambda_ == before


def test_a_floor_is_met_where_quality_falls_with_lambda() -> None:
    floored, qualities = controller("quality_floor", 0.7), []
    for _ in range(2_000):
        qualities.append(0.5 + 0.4 / (1.0 + floored.lambda_ / 50.0))
        floored.settle(spent_usd=1e-4, quality=qualities[-1])
    assert sum(qualities) / len(qualities) == pytest.approx(0.7, abs=0.01)


def missing(floor: float, wishes: Sequence[float], bills_usd: Sequence[float]) -> list[float]:
    """Quality below the floor in all, after every request, where any may be had while money is dear.

    Below `PRICE_OF_QUALITY` the floor is met.
    """
    floored, short = controller("quality_floor", floor), [0.0]
    for wish, usd in zip(wishes, bills_usd, strict=True):
        quality = wish if floored.lambda_ > PRICE_OF_QUALITY else max(wish, floor)
        floored.settle(spent_usd=usd, quality=quality)
        short.append(short[-1] + floor - quality)
    return short


def longest(short: Sequence[float]) -> float:
    """Return the most quality that is missing between any two requests."""
    return max(after - min(short[: i + 1]) for i, after in enumerate(short))


def shortfall(floor: float) -> float:
    """Greatest quality D that is missing between any two requests, in answers, whatever the others bring.

    Each request moves ln λ by at most κ(ŷ − α). The last of those that are short met λ > λ*; so all before it, from
    wherever λ was, sum up to at most ln(λ_max/λ*)/κ, and it adds at most α. (Had λ met its lower end in between, the
    way back to λ* would have won ln(λ*/λ_min)/κ > α, and D had been greater before.) Hence the mean of T requests is
    short by at most D/T.
    """
    assert math.log(PRICE_OF_QUALITY / LAMBDA_MIN) / FLOOR_STEP > floor
    return math.log(LAMBDA_MAX / PRICE_OF_QUALITY) / FLOOR_STEP + floor


@settings(max_examples=50)
@given(
    st.floats(0.05, 1.0),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=200),
)
def test_what_is_missing_from_a_floor_is_bounded_for_any_answers(
    floor: float, answers: list[tuple[float, float]]
) -> None:
    wishes, bills = zip(*answers, strict=True)
    assert longest(missing(floor, wishes, bills)) <= shortfall(floor) + 1e-9


@pytest.mark.parametrize("fat", [0, 100, 2_000])
def test_a_floor_is_kept_after_years_of_plenty(fat: int) -> None:
    wishes, usd = [1.0] * fat + [0.0] * 2_000, 1e-4
    short = missing(0.7, wishes, [usd] * len(wishes))
    assert longest(short) <= shortfall(0.7)
    # λ had not risen beyond the price at which a usual bill weighs as much as a right answer.
    assert longest(short) <= math.log(1.0 / usd / PRICE_OF_QUALITY) / FLOOR_STEP + 0.7 + 1e-9


def test_a_floor_out_of_reach_ends_where_money_is_no_object() -> None:
    floored = controller("quality_floor", 0.99)
    for _ in range(2_000):
        floored.settle(spent_usd=1e-3, quality=0.7)
    assert floored.lambda_ == LAMBDA_MIN


@pytest.mark.parametrize(("kind", "value", "lambda_"), [("tradeoff", 1e-3, 10.0), ("quality", None, 0.0)])
def test_a_fixed_price_of_money_stays(kind: str, value: float | None, lambda_: float) -> None:
    fixed = controller(kind, value)
    fixed.settle(spent_usd=1.0, quality=0.0)
    assert fixed.lambda_ == lambda_


def test_an_answer_that_costs_millions_of_budgets_moves_the_price_to_its_end_and_no_further() -> None:
    controller = Controller.of(Objective("budget", 1e-6), scale_usd=1e-3)
    controller.settle(spent_usd=1e6, quality=0.5)
    controller.settle(spent_usd=1e-7, quality=0.5)
    assert controller.lambda_ == LAMBDA_MAX
