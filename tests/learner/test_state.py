"""The state is a fold of its events: the same events give the same state, and what it refuses leaves no trace."""

from dataclasses import replace

import numpy as np
import pytest

from learner import lessons
from learner.errors import InvalidObservation
from learner.report import report
from learner.snapshot import dump
from learner.state import LearnerState
from learner.types import (
    Call,
    Context,
    Event,
    JudgeScore,
    Limits,
    Objective,
    ObjectiveChanged,
    Parameters,
    ParametersChanged,
    PoolChanged,
    Query,
    Rated,
    Recorded,
    Served,
)
from tests.learner.conftest import NOON_S, TEXTS, arm, called, context, features, served, state, thumb, traffic


def folded(*events: Event, into: LearnerState | None = None) -> LearnerState:
    into = into or state()
    for event in events:
        into.apply(event, NOON_S)
    return into


def experienced(n: int = 40) -> LearnerState:
    into = state()
    for event, at_s in traffic(1, n):
        into.apply(event, at_s)
    return into


def counts(of: LearnerState) -> list[float]:
    return [round(float(count), 9) for count in of.quality.count.sum(axis=1)]


ANSWERS = (called("small", 0, 0), called("middle", 1, 0), called("large", 2, 1))


def test_the_same_events_give_the_same_state_bit_for_bit() -> None:
    assert dump(experienced(60)) == dump(experienced(60))


def test_looking_at_a_state_does_not_change_it() -> None:
    watched = state()
    for event, at_s in traffic(1, 40):
        watched.view().decide(context(), Limits(), np.random.default_rng(0))
        watched.apply(event, at_s)
        watched.view()
    assert dump(watched) == dump(experienced())


def test_an_arm_that_answers_again_is_measured_against_what_is_believed_by_now() -> None:
    first = served(*ANSWERS[:2], name="q1")
    again = replace(served(*ANSWERS[:2], called("small", 2, 1), name="q1"), fresh=(2,), is_request=False)
    unseen, seen = (folded(first, served(*ANSWERS, name="q2")) for _ in range(2))
    seen.view()
    assert dump(folded(again, into=seen)) == dump(folded(again, into=unseen))


@pytest.mark.parametrize(
    "event",
    [
        served(called("nobody", 0)),
        thumb(served(called("nobody", 0)), up=True),
        Recorded(context(), (called("small", 0, 0), called("nobody", 1, 0)), (1.0, 0.0)),
        Rated(served(called("small", 0)), "score", 1.5, is_binary=False),
        Rated(served(called("small", 0)), "score", -0.1, is_binary=False),
        Rated(served(called("small", 0)), "score", float("nan"), is_binary=False),
        Recorded(context(), (called("small", 0, 0), called("large", 1, 0)), (1.0, 1.5)),
        Recorded(context(), (called("small", 0, 0), called("large", 1, 0)), (1.0, float("nan"))),
        Recorded(context(), (called("small", 0, 0), called("large", 1, 0)), (1.0,)),
    ],
    ids=["served", "rated", "recorded", "above", "below", "nan", "recorded-above", "recorded-nan", "recorded-short"],
)
def test_what_is_out_of_range_or_unknown_is_refused_and_changes_nothing(event: Event) -> None:
    learner = experienced()
    before = dump(learner)
    with pytest.raises(InvalidObservation):
        learner.apply(event, NOON_S + 1e6)
    assert dump(learner) == before


def test_a_refusal_names_the_arm_and_the_reward() -> None:
    with pytest.raises(InvalidObservation, match="never in the pool: nobody"):
        folded(served(called("nobody", 0)))
    with pytest.raises(InvalidObservation, match=r"in \[0, 1\], got 2"):
        folded(Rated(served(called("small", 0)), "score", 2.0, is_binary=False))


def test_a_new_arm_changes_nothing_that_is_known_of_the_others() -> None:
    learner = experienced()
    count, total = learner.quality.count.copy(), learner.quality.total.copy()
    folded(PoolChanged(arm("new")), into=learner)
    assert np.array_equal(learner.quality.count[:3], count)
    assert np.array_equal(learner.quality.total[:3], total)
    assert "new" in learner.view().decide(context(), Limits(), np.random.default_rng(0)).probabilities


def test_a_patched_arm_keeps_its_state_and_its_evidence() -> None:
    learner = folded(PoolChanged(arm("small", 0.1, state="active")), served(*ANSWERS))
    before = counts(learner)
    folded(PoolChanged(arm("small", 0.3)), into=learner)
    assert learner.arms[0] == arm("small", 0.3, state="active")
    assert counts(learner) == before


def test_a_price_acts_at_once() -> None:
    learner = state()
    before = learner.view().cost.predict(context())[0]
    folded(PoolChanged(arm("small", 0.2)), into=learner)
    assert learner.view().cost.predict(context())[0] == pytest.approx(2.0 * before)


def test_a_retired_arm_is_not_chosen_and_keeps_its_evidence() -> None:
    learner = folded(served(*ANSWERS), PoolChanged(arm("small", 0.1, state="retired")))
    assert "small" not in learner.view().decide(context(), Limits(), np.random.default_rng(0)).probabilities
    assert counts(learner)[0] > 0.0


def test_agreement_alone_teaches() -> None:
    learner = folded(*(served(*ANSWERS, name=f"q{i}") for i in range(30)))
    mean = learner.view().quality.means
    assert mean[0] > mean[2]
    assert learner.observations == 90


def test_a_lone_answer_without_a_thumb_teaches_nothing_of_quality() -> None:
    learner = folded(served(called("small", 0, 0)))
    assert counts(learner) == [0.0, 0.0, 0.0]
    assert learner.cost.calls.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("answers", [ANSWERS, (called("small", 0, 0),), (called("small", 0, None),)])
def test_a_corrected_thumb_ends_where_the_right_one_alone_would(answers: tuple[Call, ...], up: bool) -> None:
    event = served(*answers)
    twice, once = folded(event, thumb(event, up=not up), thumb(event, up=up)), folded(event, thumb(event, up=up))
    # The second thumb is read in the light of beliefs that the first one had moved: a small difference stays.
    assert np.abs(twice.quality.count - once.quality.count).max() < 0.1
    assert np.abs(twice.quality.total - once.quality.total).max() < 0.1
    assert np.abs(twice.view().quality.means - once.view().quality.means).max() < 0.02


def test_the_same_thumb_twice_counts_once() -> None:
    event = served(called("small", 0, None))
    once, twice = folded(event, thumb(event, up=True)), folded(event, thumb(event, up=True), thumb(event, up=True))
    assert counts(twice) == counts(once)
    assert twice.stacker.calibration.count.sum() == once.stacker.calibration.count.sum() == 1.0


def test_a_thumb_replaces_what_agreement_said_of_the_same_answers() -> None:
    event = served(*ANSWERS)
    rated, plain = folded(event, thumb(event, up=False)), folded(event)
    assert rated.view().quality.means[0] < plain.view().quality.means[0]
    assert max(counts(rated)) < 2.0


def test_a_comparison_that_comes_after_the_thumb_does_not_overrule_it() -> None:
    first = served(called("small", 0, 0))
    calls = (called("small", 0, 0), called("middle", 1, 1, purpose="shadow"), called("large", 2, 1, purpose="shadow"))
    later = Served("q1", context(), calls, (), 0, (1, 2), is_request=False)
    early = folded(first, thumb(first, up=True), later)
    late = folded(first, later, thumb(later, up=True))
    assert early.lessons.of("q1").labels[0].value == pytest.approx(late.lessons.of("q1").labels[0].value, abs=0.15)


def test_a_comparison_that_failed_teaches_nothing_twice() -> None:
    event = served(*ANSWERS)
    failed = Call("large", 3, "shadow", "timeout")
    once = folded(event)
    twice = folded(event, replace(event, calls=(*ANSWERS, failed), fresh=(3,), is_request=False))
    assert np.allclose(twice.joint.loglik, once.joint.loglik)
    assert counts(twice) == counts(once)


def test_recorded_outcomes_are_full_labels() -> None:
    learner = folded(*(Recorded(context(), ANSWERS, (1.0, 1.0, 0.0)) for _ in range(50)))
    mean = learner.view().quality.means
    assert mean[0] > 0.9
    assert mean[2] < 0.2
    assert learner.accounts.everybody.spent_usd == learner.ledger.total_usd == 0.0


def test_background_work_is_spend_but_no_request() -> None:
    shadow = called("large", 0, 0, purpose="shadow", cost_usd=3e-4, explored_share=1.0)
    learner = folded(replace(served(shadow), is_request=False))
    assert (learner.requests, learner.accounts.everybody.requests) == (0, 0.0)
    assert learner.accounts.everybody.spent_usd == learner.ledger.explored_usd == pytest.approx(3e-4)


def test_only_fresh_calls_are_billed() -> None:
    event = served(called("small", 0, 0, cost_usd=1e-4), called("large", 1, 0, cost_usd=5e-4))
    learner = folded(replace(event, fresh=(1,)))
    assert learner.ledger.total_usd == pytest.approx(5e-4)
    assert learner.cost.calls.sum(axis=1).tolist() == pytest.approx([0.0, 0.0, 1.0])


def test_failed_calls_and_judges_teach_no_cost_and_no_quality() -> None:
    judge = called("large", 0, None, purpose="judge")
    learner = folded(served(Call("small", 0, outcome="timeout", cost_usd=1e-5), judge))
    assert learner.cost.calls.sum() == 0.0
    assert counts(learner) == [0.0, 0.0, 0.0]
    assert learner.ledger.total_usd == pytest.approx(1.1e-4)


def test_a_request_that_was_never_called_is_a_request() -> None:
    assert folded(Served("q", context(), (), (), None, ())).requests == 1


def test_the_same_objective_again_keeps_the_price_of_money() -> None:
    budget = ObjectiveChanged(Objective("budget", 2e-4))
    learner = folded(budget, *(served(*ANSWERS, name=f"q{i}") for i in range(5)))
    before = learner.accounts.everybody
    folded(budget, into=learner)
    assert learner.accounts.everybody is before
    folded(ObjectiveChanged(Objective("budget", 3e-4)), into=learner)
    assert learner.accounts.everybody.requests == 0.0


def test_a_budget_advances_the_first_exploration() -> None:
    learner = folded(ObjectiveChanged(Objective("budget", 1e-3)))
    assert learner.view().allowance_usd == pytest.approx(10 * 0.1 * 1e-3)


def test_promoted_parameters_act_at_once() -> None:
    learner = folded(ParametersChanged(Parameters(version=7, depth=1)))
    assert learner.view().decide(context(), Limits(), np.random.default_rng(0)).policy_version == "headrace@7"


def test_arms_become_active_with_evidence() -> None:
    learner = folded(*(Recorded(context(t), ANSWERS, (1.0, 1.0, 1.0)) for t in TEXTS for _ in range(3)))
    folded(*(served(*ANSWERS, name=f"q{i}") for i in range(60)), into=learner)
    assert learner.arms[0].state == "active"
    # Nobody uses the dearer ones, which are no better.
    assert {one.state for one in learner.arms} <= {"active", "parked"}


def test_a_served_arm_gains_a_share() -> None:
    learner = folded(*(served(called("large", 0, 0), name=f"q{i}") for i in range(50)))
    assert learner.shares[2] == pytest.approx(1.0 - 0.99**50)


def unfamiliar() -> Context:
    return features().context(Query("zebras juggle quantum marmalade beside glaciers"), features().seeds)


def test_recurring_unfamiliar_queries_make_room_for_a_category() -> None:
    assert unfamiliar().familiarity < 0.45
    learner = folded(*(replace(served(*ANSWERS, name=f"q{i}"), context=unfamiliar()) for i in range(90)))
    assert len(learner.taxonomy.names) == 4
    newer = features().context(Query("zebras juggle quantum marmalade"), learner.taxonomy)
    for where in (context(), newer):
        decision = learner.view().decide(where, Limits(), np.random.default_rng(0))
        assert decision.category in learner.taxonomy.names
        event = replace(served(*ANSWERS, name="later"), context=where)
        folded(event, thumb(event, up=True), Recorded(where, ANSWERS, (1.0, 1.0, 0.0)), into=learner)
    assert learner.taxonomy.names[int(newer.categories.argmax())] == learner.taxonomy.names[3]


def test_an_arm_that_becomes_another_raises_one_alarm_and_is_learned_anew() -> None:
    rng, learner = np.random.default_rng(3), state()
    for i in range(300):
        event = served(called("small", 0, None), name=f"q{i}", of=context(TEXTS[i % len(TEXTS)]))
        folded(event, thumb(event, up=bool(rng.random() < (0.9 if i < 200 else 0.2))), into=learner)
    assert [(alarm.kind, alarm.model) for alarm in learner.drift.alarms] == [("quality", "small")]
    assert learner.view().quality.means[0] < 0.4


def test_judges_scores_are_learned_from_thumbs() -> None:
    learner = state()
    for i in range(80):
        event = served(called("small", 0, None), name=f"q{i}", scores=(JudgeScore("strict", 0, 0.9 if i % 2 else 0.1),))
        folded(event, thumb(event, up=bool(i % 2)), into=learner)
    assert learner.view().stacker.weights["judge:strict"] > 0.8


def test_labels_of_old_inferences_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "REMEMBERED", 3)
    known = folded(*(served(*ANSWERS, name=f"q{i}") for i in range(5)))
    assert list(known.lessons.recent) == ["q2", "q3", "q4"]


def test_a_rating_corrects_an_earlier_one_however_many_requests_came_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "REMEMBERED", 3)
    first = served(*ANSWERS, name="first")
    known = folded(first, thumb(first, up=True), *(served(*ANSWERS, name=f"q{i}") for i in range(9)))
    before = known.stacker.calibration.n
    folded(thumb(first, up=False), thumb(first, up=True), into=known)
    assert "first" in known.lessons.rated
    assert known.stacker.calibration.n == before == 1


def test_a_part_of_a_request_is_heard_and_believed_and_no_request() -> None:
    part = replace(
        served(called("small", 0, 0), called("large", 1, 0), scores=(JudgeScore("strict", 0, 0.9),)), is_request=False
    )
    known = folded(part)
    assert known.requests == 0
    assert known.stacker.heard["strict", context().category] == 1
    assert known.comparable.sum() > 0.0


def test_a_request_that_nobody_answered_leaves_a_report() -> None:
    known = folded(
        served(*ANSWERS, scores=(JudgeScore("strict", 0, 0.9),)),
        replace(
            served(called("small", 0, outcome="timeout"), of=context("Write a sonnet."), name="q2"), answered_step=None
        ),
    )
    assert "strict" in report(known)["judges"]


def test_it_knows_how_often_replies_state_their_answer() -> None:
    stated, silent = state(), state()
    mute = tuple(replace(call, evidence={"unstated": 1.0}) for call in ANSWERS)
    for i in range(20):
        folded(served(*ANSWERS, name=f"q{i}"), into=stated)
        folded(served(*mute, name=f"q{i}"), into=silent)
    assert stated.view().statedness @ context().categories > 0.85
    assert silent.view().statedness @ context().categories < 0.15


def test_outcomes_of_several_arms_on_one_query_say_how_hard_it_was_and_teach_no_ease() -> None:
    learner = state()
    for i in range(40):
        calls = (called("small", 0, None), called("large", 1, None))
        learner.apply(Recorded(context(TEXTS[i % len(TEXTS)]), calls, (float(i % 2), 1.0)), NOON_S + i)
    assert (learner.quality.ease.features == 0.0).all()
    learner.apply(Recorded(context(), (called("small", 0, None),), (0.0,)), NOON_S + 50)
    assert learner.quality.ease.features == pytest.approx(context().vector)
