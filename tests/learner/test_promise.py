"""What an arm that arrives is promised."""

from dataclasses import replace

import pytest

from learner.arrivals import QUIZ_SIZE
from learner.policy import View
from learner.promise import Caps, promised
from learner.types import Objective, PoolChanged
from tests.learner.conftest import NOON_S, TEXTS, arm, called, context, served, state

CAPS = Caps(0.1, 5.0)
RECENT = [context(text) for text in TEXTS]
BUDGET = Objective("budget", 2e-4)


def view(*arrivals: str, objective: Objective = BUDGET, **changes: object) -> View:
    learner = state(objective=objective)
    for name in arrivals:
        learner.apply(PoolChanged(arm(name, 0.1, **changes), arrives=True), NOON_S)
    return learner.view()


def test_a_plan_rests_on_price_traffic_and_allowance() -> None:
    promise = promised(view("new"), "new", RECENT, CAPS)
    assert (promise.questions, promise.left) == (QUIZ_SIZE, QUIZ_SIZE)
    assert promise.fair_share == pytest.approx(0.25)
    assert promise.quiz_usd is not None
    assert 0.0 < promise.quiz_usd < 0.01
    assert promise.queries_to_fair_share is not None
    assert promise.queries_to_fair_share > 28


def test_less_allowance_or_more_arrivals_take_longer() -> None:
    def queries(known: View, caps: Caps = CAPS) -> int:
        found = promised(replace(known, allowance_usd=0.0), "new", RECENT, caps).queries_to_fair_share
        assert found is not None
        return found

    assert queries(view("new")) < queries(view("new"), Caps(0.05, 5.0))
    assert queries(view("new")) < queries(view("new", "other", "third"))


def test_an_allowance_that_pays_for_the_quiz_leaves_only_the_time_that_a_share_needs() -> None:
    rich = replace(view("new"), allowance_usd=1.0)
    assert promised(rich, "new", RECENT, CAPS).queries_to_fair_share == 29


@pytest.mark.parametrize(
    ("known", "recent", "caps", "words"),
    [
        (view("new"), [], CAPS, "no recent query"),
        (view("new"), RECENT, Caps(0.0, 5.0), "exploration.max_share"),
        (view("new"), RECENT, Caps(0.1, 1e-9), "max_usd_per_day"),
        (view("new", objective=Objective("quality")), RECENT, CAPS, "nothing is known yet"),
        (view("new", is_routable=False), RECENT, CAPS, "not routable"),
        (view("new", prior_quality=0.01), RECENT, CAPS, "as believed now"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(known: View, recent: list[object], caps: Caps, words: str) -> None:
    promise = promised(known, "new", recent, caps)  # type: ignore[arg-type]  # contexts, or none
    assert promise.queries_to_fair_share is None
    assert words in promise.reason


def test_one_of_the_first_pool_has_no_quiz() -> None:
    promise = promised(view("new"), "small", RECENT, CAPS)
    assert (promise.questions, promise.queries_to_fair_share) == (0, None)
    assert "first pool" in promise.reason


def test_nothing_is_promised_to_an_arm_that_leaves_or_has_its_share() -> None:
    learner = state(objective=BUDGET)
    learner.apply(PoolChanged(arm("new", 0.1), arrives=True), NOON_S)
    for i in range(40):
        learner.apply(served(called("new", 0, 0), name=f"q{i}"), NOON_S)
    assert "had its fair share" in promised(learner.view(), "new", RECENT, CAPS).reason
    learner.apply(PoolChanged(arm("new", 0.1, state="draining")), NOON_S)
    assert promised(learner.view(), "new", RECENT, CAPS).reason == "it is draining"


def test_what_was_asked_need_not_be_paid_again() -> None:
    learner = state(objective=BUDGET)
    learner.apply(PoolChanged(arm("new", 0.1), arrives=True), NOON_S)
    before = promised(learner.view(), "new", RECENT, CAPS)
    known = served(called("small", 0, 0))
    learner.apply(known, NOON_S)
    answer = called("new", 1, 0, purpose="quiz", explored_share=1.0)
    learner.apply(replace(known, calls=(*known.calls, answer), fresh=(1,), is_request=False), NOON_S)
    assert promised(learner.view(), "new", RECENT, CAPS).left == before.left - 1
