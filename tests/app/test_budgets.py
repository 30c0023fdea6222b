from datetime import UTC, datetime
from typing import Any

import pytest

from app.budgets import Budgets, period_end, period_start
from app.errors import BudgetExceeded
from app.schemas.keys import KeyBudget, Period

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC).timestamp()


def opened(per: Period = "day", usd: float = 1.0, **account: Any) -> Budgets:
    budgets = Budgets()
    budgets.open("k", KeyBudget(usd=usd, per=per), NOON, **account)
    return budgets


def spend(budgets: Budgets, cost_usd: float, *, at: float = NOON, expected_usd: float = 0.0) -> None:
    with budgets.charged("k", at, expected_usd=expected_usd, cost_usd=lambda: cost_usd):
        pass


@pytest.mark.parametrize(
    ("per", "begun", "ends"),
    [
        ("day", datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("month", datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("total", datetime(1970, 1, 1, tzinfo=UTC), None),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(per: Period, begun: datetime, ends: datetime | None) -> None:
    assert period_start(per, NOON) == begun.timestamp()
    assert period_end(per, NOON) == (ends.timestamp() if ends else None)


@pytest.mark.parametrize("month", range(1, 13))
def test_the_month_ends_where_the_next_one_begins(month: int) -> None:
    begun = datetime(2023, month, 1, tzinfo=UTC).timestamp()
    end = period_end("month", begun + 3.5)
    assert end == datetime(2023 + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()
    assert period_start("month", end - 1.0) == begun


def test_a_key_spends_until_its_budget_is_reached() -> None:
    budgets = opened()
    spend(budgets, 0.5)
    spend(budgets, 0.5)
    assert budgets.spent_usd("k", NOON) == pytest.approx(1.0)
    with pytest.raises(BudgetExceeded):
        spend(budgets, 0.0)


def test_what_is_under_way_counts_at_its_expected_cost_and_then_at_its_real_one() -> None:
    budgets = opened()
    with budgets.charged("k", NOON, expected_usd=1.0, cost_usd=lambda: 0.25):
        with pytest.raises(BudgetExceeded):
            spend(budgets, 0.0)
        assert budgets.spent_usd("k", NOON) == 0.0
    spend(budgets, 0.25)
    assert budgets.spent_usd("k", NOON) == pytest.approx(0.5)


def test_a_request_that_ends_in_an_error_is_charged_and_holds_nothing_any_more() -> None:
    budgets = opened()
    with (
        pytest.raises(ZeroDivisionError),
        budgets.charged("k", NOON, expected_usd=5.0, cost_usd=lambda: 0.5),
    ):
        raise ZeroDivisionError
    spend(budgets, 0.125)
    assert budgets.spent_usd("k", NOON) == pytest.approx(0.625)


def test_a_refused_request_holds_nothing() -> None:
    budgets = opened(spent_usd=1.0)
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match="expected to cost 0 USD"):
            spend(budgets, 9.0, expected_usd=9.0)
    assert budgets.spent_usd("k", NOON) == 1.0


@pytest.mark.parametrize(("per", "is_new"), [("day", True), ("month", True), ("total", False)])
def test_a_new_period_begins_at_nothing_spent(per: Period, is_new: bool) -> None:
    budgets = opened(per, spent_usd=1.0)
    with pytest.raises(BudgetExceeded):
        spend(budgets, 0.0, at=MIDNIGHT - 0.001)
    assert budgets.spent_usd("k", MIDNIGHT) == (0.0 if is_new else 1.0)
    if is_new:
        spend(budgets, 0.5, at=MIDNIGHT)
        assert budgets.spent_usd("k", MIDNIGHT) == 0.5


def test_a_month_goes_on_over_midnight() -> None:
    budgets = opened("month", spent_usd=0.5)
    assert budgets.spent_usd("k", MIDNIGHT - 1.0) == 0.5


def test_a_request_over_midnight_counts_in_the_period_in_which_it_began() -> None:
    budgets = opened()
    with budgets.charged("k", MIDNIGHT - 1.0, expected_usd=0.5, cost_usd=lambda: 0.5):
        spend(budgets, 0.25, at=MIDNIGHT)
    assert budgets.spent_usd("k", MIDNIGHT) == 0.25


@pytest.mark.parametrize(
    ("per", "words"),
    [
        ("day", ("1 USD a day", "It resets at 2024-03-01T00:00:00Z")),
        ("month", ("1 USD a month", "It resets at 2024-03-01T00:00:00Z")),
        ("total", ("1 USD in all", "It never resets")),
    ],
)
def test_the_refusal_names_limit_spend_reset_and_how_to_mend(per: Period, words: tuple[str, ...]) -> None:
    budgets = opened(per, spent_usd=1.25)
    with pytest.raises(BudgetExceeded) as raised:
        spend(budgets, 0.0)
    for word in (*words, "The key k", "has spent 1.25 USD", "another key", "a higher budget"):
        assert word in raised.value.message
    assert (raised.value.status, raised.value.type, raised.value.code) == (429, "insufficient_quota", "budget_exceeded")


def test_a_key_without_a_budget_has_no_limit_and_its_spend_is_counted() -> None:
    budgets = Budgets()
    budgets.open("k", None, NOON)
    spend(budgets, 1e6)
    spend(budgets, 1.0, at=MIDNIGHT)
    assert budgets.spent_usd("k", MIDNIGHT) == 1e6 + 1.0


@pytest.mark.parametrize("key_id", [None, "bootstrap"])
def test_who_has_no_account_spends_without_a_limit(key_id: str | None) -> None:
    with opened(spent_usd=1.0).charged(key_id, NOON, expected_usd=1.0, cost_usd=lambda: 1.0):
        pass


def test_what_a_key_has_left_leaves_out_what_is_under_way_and_starts_anew_with_each_period() -> None:
    budgets = opened(usd=1.0, spent_usd=0.25)
    with budgets.charged("k", NOON, expected_usd=0.5, cost_usd=lambda: 0.125):
        assert budgets.left_usd("k", NOON) == pytest.approx(0.25)
    assert budgets.left_usd("k", NOON) == pytest.approx(0.625)
    assert budgets.left_usd("k", MIDNIGHT) == pytest.approx(1.0)


@pytest.mark.parametrize("key", [None, "nobody", "rich"])
def test_without_a_budget_there_is_no_end_of_money(key: str | None) -> None:
    budgets = opened()
    budgets.open("rich", None, NOON)
    assert budgets.left_usd(key, NOON) == float("inf")
