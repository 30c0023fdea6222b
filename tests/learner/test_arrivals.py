"""What is kept of an arm that came: its quiz, its cost, and when it had its fair share."""

from dataclasses import replace

import pytest

from learner.arrivals import LOOK_AGAIN_EVERY, LOOK_AGAIN_SIZE, QUIZ_LEAST, QUIZ_SIZE, Arrival, fair_share, looked
from learner.pool import ArmState
from learner.snapshot import dump, load
from learner.state import LearnerState
from learner.types import Call, PoolChanged
from tests.learner.conftest import ARMS, NOON_S, arm, called, features, served, state

NEW = arm("new", 0.2)


def arrived() -> LearnerState:
    learner = state()
    for i in range(3):
        learner.apply(served(called("small"), name=f"before{i}"), NOON_S)
    learner.apply(PoolChanged(NEW, arrives=True), NOON_S + 1.0)
    return learner


def of(learner: LearnerState) -> Arrival:
    return learner.view().arrivals["new"]


def quizzed(learner: LearnerState, n: int, **changes: object) -> None:
    for i in range(n):
        known = served(called("small", 0, 0), name=f"quiz{learner.requests}-{i}")
        learner.apply(known, NOON_S)
        answer = called("new", 1, 0, purpose="quiz", explored_share=1.0, **changes)
        learner.apply(replace(known, calls=(*known.calls, answer), fresh=(1,), is_request=False), NOON_S)


def test_the_first_pool_does_not_arrive() -> None:
    assert state().view().arrivals == {}


def test_an_arrival_counts_from_when_it_came() -> None:
    arrival = of(arrived())
    assert (arrival.at_s, arrival.request, arrival.size) == (NOON_S + 1.0, 3, QUIZ_SIZE)


def test_questions_are_counted_with_what_they_cost() -> None:
    learner = arrived()
    quizzed(learner, 3, cost_usd=2e-4)
    quizzed(learner, 1, outcome="timeout", cost_usd=0.0)
    assert (of(learner).asked, of(learner).answered) == (4, 3)
    assert of(learner).quiz_usd == pytest.approx(6e-4)


def test_comparisons_and_exploring_requests_are_kept_apart_from_the_quiz() -> None:
    learner = arrived()
    shadowed = served(called("small", 0, 0), called("new", 1, 0, purpose="shadow", explored_share=1.0, cost_usd=1e-4))
    learner.apply(shadowed, NOON_S)
    learner.apply(served(called("new", 0, 0, explored_share=0.25, cost_usd=4e-4), name="live"), NOON_S)
    learner.apply(served(called("new", 0, 0, cost_usd=9e-4), name="plain"), NOON_S)
    arrival = of(learner)
    assert arrival.quiz_usd == 0.0
    assert arrival.shadow_usd == pytest.approx(1e-4)
    assert arrival.live_usd == pytest.approx(1e-4)
    assert arrival.asked == 0


def test_the_fair_share_is_noted_once_it_is_reached() -> None:
    learner = arrived()
    for i in range(60):
        learner.apply(served(called("new"), name=f"new{i}"), NOON_S)
    # 1 − 0.99^n first reaches a quarter at n = 29.
    assert of(learner).fair_after == 29


def test_only_arms_in_service_share() -> None:
    assert fair_share(ARMS) == pytest.approx(1 / 3)
    out = [arm("a", state="retired"), arm("b", state="draining"), arm("judge", is_routable=False)]
    assert fair_share([*ARMS, *out]) == pytest.approx(1 / 3)
    assert fair_share([]) == 1.0


@pytest.mark.parametrize(
    ("changes", "state", "is_over"),
    [
        ({}, "registered", False),
        ({"asked": QUIZ_SIZE - 1}, "exploring", False),
        ({"asked": QUIZ_SIZE}, "exploring", True),
        ({"asked": 4}, "parked", True),
        ({"asked": 10, "size": 15}, "parked", False),
        ({"asked": 15, "size": 15}, "parked", True),
        ({"asked": 9, "answered": 9}, "active", False),
        ({"asked": QUIZ_LEAST, "answered": QUIZ_LEAST}, "active", True),
        ({"asked": QUIZ_LEAST, "answered": QUIZ_LEAST - 1}, "active", False),
        ({"fair_after": 40}, "exploring", True),
        ({}, "draining", True),
        ({}, "retired", True),
    ],
)
def test_a_quiz_ends_when_all_is_asked_or_the_verdict_is_clear(
    changes: dict[str, int], state: ArmState, is_over: bool
) -> None:
    arrival = replace(Arrival(0.0, 0, 0.0), **changes)
    assert arrival.is_over(state) is is_over


def test_a_parked_arm_is_asked_a_few_questions_more_after_a_while_again_and_again() -> None:
    parked = looked(Arrival(0.0, 0, 0.0, asked=12), "parked", 100)
    assert parked.is_over("parked")
    assert looked(parked, "parked", 100 + LOOK_AGAIN_EVERY - 1) == parked
    again = looked(parked, "parked", 100 + LOOK_AGAIN_EVERY)
    assert again.size == 12 + LOOK_AGAIN_SIZE
    assert not again.is_over("parked")
    answered = replace(again, asked=17)
    assert answered.is_over("parked")
    assert looked(answered, "parked", 100 + 2 * LOOK_AGAIN_EVERY).size == 17 + LOOK_AGAIN_SIZE
    assert looked(again, "active", 5000).looked_at is None


def test_a_model_that_comes_back_has_a_quiz_of_its_own() -> None:
    learner = arrived()
    quizzed(learner, 5)
    learner.apply(PoolChanged(replace(NEW, state="retired")), NOON_S)
    assert of(learner).asked == 5
    learner.apply(PoolChanged(NEW, arrives=True), NOON_S + 9.0)
    assert (of(learner).asked, of(learner).at_s) == (0, NOON_S + 9.0)


def test_a_patch_keeps_state_reason_and_arrival() -> None:
    learner = arrived()
    quizzed(learner, 5)
    before, known = learner.arms[3], of(learner)
    assert before.reason
    learner.apply(PoolChanged(replace(NEW, input_usd_per_mtok=9.0)), NOON_S)
    assert learner.arms[3] == replace(before, input_usd_per_mtok=9.0)
    assert of(learner) == known


def test_the_pool_is_looked_at_after_every_five_answers_of_a_quiz() -> None:
    learner = arrived()
    states = []
    for _ in range(5):
        quizzed(learner, 1)
        states.append(learner.arms[3].state)
    assert states == [*["registered"] * 4, "exploring"]


def test_arrivals_and_reasons_survive_a_snapshot() -> None:
    learner = arrived()
    quizzed(learner, 6)
    loaded = load(dump(learner), features())
    assert loaded.arrivals == learner.arrivals
    assert loaded.arms == learner.arms
    for one in (learner, loaded):
        quizzed(one, 5)
    assert dump(loaded) == dump(learner)


def test_views_keep_what_they_had() -> None:
    learner = arrived()
    before = learner.view()
    quizzed(learner, 2)
    assert before.arrivals["new"].asked == 0


def test_judging_is_no_question() -> None:
    judged = Call("new", 0, "judge", cost_usd=1.0, explored_share=1.0)
    learner = arrived()
    learner.apply(served(called("small", 0, 0), judged), NOON_S)
    assert of(learner).live_usd == 0.0
