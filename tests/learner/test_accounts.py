"""Accounts: whose objective rules, and whose λ moves with whose spend."""

from dataclasses import replace

import pytest

from learner import snapshot
from learner.state import ENOUGH_FOR_CURVE, LearnerState
from learner.types import Limits, Objective, ObjectiveChanged, PoolChanged, Served
from tests.learner.conftest import TEXTS, arm, called, context, served, state

POOL = (arm("cheap", 0.1), arm("middle", 1.0), arm("dear", 10.0))
BUDGET = Objective("budget", 2e-3)


def answers(n: int, *, account: str | None = None, cost_usd: float = 1e-3) -> list[Served]:
    """Requests that two arms answered, two times in three alike."""
    return [
        replace(
            served(
                called("cheap", 0, 0, cost_usd=cost_usd / 10), called("middle", 1, int(k % 3 == 0), cost_usd=cost_usd),
                name=f"{account}{k}", of=context(TEXTS[k % len(TEXTS)]),
            ),
            account=account,
        )
        for k in range(n)
    ]  # fmt: skip


def experienced() -> LearnerState:
    learner = state(POOL)
    learner.apply(ObjectiveChanged(BUDGET), 0.0)
    for event in answers(ENOUGH_FOR_CURVE):
        learner.apply(event, 0.0)
    return learner


def lambda_of(learner: LearnerState, account: str | None) -> float:
    return learner.view().price(Limits(account=account))


def test_an_account_has_everybodys_objective_until_it_has_its_own() -> None:
    learner = experienced()
    assert lambda_of(learner, "team") == lambda_of(learner, None)
    learner.apply(ObjectiveChanged(Objective("tradeoff", 1e-4), "team"), 0.0)
    assert lambda_of(learner, "team") == pytest.approx(100.0)
    learner.apply(ObjectiveChanged(None, "team"), 0.0)
    assert lambda_of(learner, "team") == lambda_of(learner, None)


def test_spend_moves_the_lambda_of_its_own_account_only() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    before = lambda_of(learner, None), lambda_of(learner, "team")
    for event in answers(30, account="team", cost_usd=1e-2):
        learner.apply(event, 0.0)
    assert lambda_of(learner, None) == before[0]
    assert lambda_of(learner, "team") > before[1]


def test_the_dial_scales_an_accounts_price_of_money() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    assert learner.view().price(Limits(account="team", price_factor=4.0)) == 4.0 * lambda_of(learner, "team")


def test_the_same_objective_again_changes_nothing() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    for event in answers(10, account="team", cost_usd=1e-2):
        learner.apply(event, 0.0)
    before = lambda_of(learner, "team")
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    assert lambda_of(learner, "team") == before


def test_a_tighter_budget_starts_at_a_greater_lambda_once_beliefs_say_what_things_cost() -> None:
    found = []
    for usd in (2e-3, 8e-4, 1e-4):
        learner = experienced()
        learner.apply(ObjectiveChanged(Objective("budget", usd)), 0.0)
        found.append(lambda_of(learner, None))
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_prices_in_another_currency_move_lambda_at_once_and_the_same_prices_do_not() -> None:
    """All prices and the budget a hundredfold: the plans are the same, at a hundredth of the λ."""
    learner = experienced()
    learner.apply(ObjectiveChanged(Objective("budget", 8e-4)), 0.0)
    before = lambda_of(learner, None)
    learner.apply(PoolChanged(POOL[1]), 0.0)
    assert lambda_of(learner, None) == before
    for one in POOL:
        learner.apply(
            PoolChanged(
                replace(
                    one,
                    input_usd_per_mtok=100 * one.input_usd_per_mtok,
                    output_usd_per_mtok=100 * one.output_usd_per_mtok,
                )
            ),
            0.0,
        )
    learner.apply(ObjectiveChanged(Objective("budget", 8e-2)), 0.0)
    assert lambda_of(learner, None) == pytest.approx(before / 100.0, rel=1e-3)


def test_a_price_change_moves_lambda_by_as_much_as_the_curve_of_spend() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(Objective("budget", 8e-4), "team"), 0.0)
    for event in answers(20, account="team"):
        learner.apply(event, 0.0)
    before, start = lambda_of(learner, "team"), learner._lambdas()["team"]
    learner.apply(PoolChanged(replace(POOL[0], output_usd_per_mtok=3.0)), 0.0)
    after = lambda_of(learner, "team")
    assert after != before
    assert after / before == pytest.approx(learner._lambdas()["team"] / start)


def test_accounts_survive_a_snapshot() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    again = snapshot.load(snapshot.dump(learner), learner.features)
    assert again.accounts == learner.accounts


def test_budgets_and_prices_change_where_nothing_was_answered_yet() -> None:
    learner = state(POOL)
    for k in range(ENOUGH_FOR_CURVE + 10):
        failed = replace(served(called("cheap", 0, None), name=f"f{k}"), calls=(), fresh=(), answered_step=None)
        learner.apply(failed, 0.0)
    learner.apply(ObjectiveChanged(BUDGET), 0.0)
    learner.apply(PoolChanged(replace(POOL[0], output_usd_per_mtok=9.0)), 0.0)
    assert learner.accounts.everybody.objective == BUDGET
    assert learner.arms[0].output_usd_per_mtok == 9.0


def test_budgets_and_prices_change_while_no_arm_is_in_service() -> None:
    learner = experienced()
    for one in POOL:
        learner.apply(PoolChanged(replace(one, state="retired")), 0.0)
    learner.apply(ObjectiveChanged(Objective("budget", 1e-3)), 0.0)
    learner.apply(ObjectiveChanged(BUDGET, "team"), 0.0)
    learner.apply(PoolChanged(replace(POOL[0], output_usd_per_mtok=9.0, state="active")), 0.0)
    assert learner.accounts.own["team"].objective == BUDGET
    assert (learner.arms[0].state, learner.arms[0].output_usd_per_mtok) == ("active", 9.0)


def test_a_price_change_that_takes_the_last_arm_out_of_service_is_taken_whole() -> None:
    learner = experienced()
    for one in POOL[1:]:
        learner.apply(PoolChanged(replace(one, state="retired")), 0.0)
    learner.apply(PoolChanged(replace(POOL[0], output_usd_per_mtok=9.0, is_routable=False)), 0.0)
    assert not learner.arms[0].is_routable


def test_a_budget_below_the_cheapest_arms_cost_does_not_push_lambda_to_its_end() -> None:
    learner = experienced()
    learner.apply(ObjectiveChanged(Objective("budget", 1e-6)), 0.0)
    assert lambda_of(learner, None) < 1e4
