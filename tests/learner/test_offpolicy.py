"""What another policy would have done with a logged request, followed step by step."""

from dataclasses import replace

import numpy as np
import pytest

from learner.hindsight import Hindsight, rewards
from learner.lessons import Lesson
from learner.offpolicy import Routed, foresee
from learner.policy import Ask, View
from learner.ratings import Rating
from learner.state import LearnerState
from learner.types import Call, Limits, Parameters, ParametersChanged, PoolChanged, Served
from tests.learner.conftest import ARMS, TEXTS, called, context, served, state, traffic

NOW = Parameters()
GROUPS = {"small": 0, "middle": 1, "large": 1}


def grown(seed: int = 1, n: int = 60) -> LearnerState:
    """A state that has seen some traffic."""
    learner = state()
    for event, at in traffic(seed, n):
        learner.apply(event, at)
    learner.apply(ParametersChanged(NOW), 2e9)
    return learner


def logged(view: View, text: str, first: str, *, limits: Limits | None = None) -> Routed:
    """A request as the view would have answered it from a first arm."""
    given = limits or Limits()
    decision = view.decide(context(text), given, np.random.default_rng(0))
    calls: list[Call] = []
    step: Ask | object = Ask(first, 0.0)
    while isinstance(step, Ask):
        call = called(step.arm, len(calls), GROUPS[step.arm], cost_usd=1e-4 * (1 + len(calls)))
        is_tried = not calls and decision.scores[first] < max(decision.scores.values()) - 0.016
        calls.append(replace(call, explored_share=0.0 if is_tried else None))
        step = view.next_step(context(text), given, calls, ())
    event = served(*calls, name=text, of=context(text), step=getattr(step, "step", 0))
    return Routed(event, first, decision.probabilities, decision.lambda_, getattr(step, "confidence", None))


def ways(view: View) -> list[Routed]:
    return [logged(view, text, arm.id) for text in TEXTS[:6] for arm in ARMS]


def test_the_logs_own_policy_follows_every_logged_way_with_the_stored_probabilities() -> None:
    view = grown().view()
    for one in ways(view):
        (found,), reproduced = foresee(view, one, [NOW])
        assert reproduced
        assert found.follows
        assert found.decision.probabilities == pytest.approx(dict(one.probabilities))
        assert found.usd == pytest.approx(sum(call.cost_usd for call in one.calls))
        assert found.quality is None


def test_one_that_asks_once_stops_at_the_first_answer_and_pays_for_it_alone() -> None:
    view = replace(grown().view(), lambda_=0.1, lambdas={})
    longer = [one for one in ways(view) if len(one.calls) > 1]
    assert longer
    for one in longer:
        (found,), _ = foresee(view, one, [replace(NOW, depth=1)])
        assert not found.follows
        assert found.usd == pytest.approx(one.calls[0].cost_usd)
        assert not found.beyond
        # The same answer as the one that was served is worth what that was.
        assert (found.quality is None) == one.is_served(0)


def test_one_that_goes_on_where_the_log_stopped_is_valued_by_what_it_expects() -> None:
    shallow = replace(grown().view(), parameters=replace(NOW, depth=1), lambda_=0.1, lambdas={})
    beyond = []
    for one in ways(shallow):
        (found,), _ = foresee(shallow, one, [replace(NOW, depth=3, margin=0.0)])
        if found.beyond:
            assert found.usd > one.calls[0].cost_usd
            assert found.quality is not None
            assert not found.follows
            beyond.append(found)
    assert beyond


def test_limits_that_are_not_stored_are_supposed_as_fits_the_probabilities() -> None:
    view = grown().view()
    for limits in (Limits(depth=1), Limits(explore=False), Limits(depth=1, explore=False, deny=("large",))):
        one = logged(view, TEXTS[0], "small", limits=limits)
        (found,), reproduced = foresee(view, one, [NOW])
        assert reproduced
        assert found.follows
        assert found.decision.probabilities == pytest.approx(dict(one.probabilities), abs=0.01)


def test_the_price_of_money_is_the_stored_one() -> None:
    view = grown().view()
    one = replace(logged(view, TEXTS[0], "small"), lambda_=1e6)
    (found,), _ = foresee(view, one, [NOW])
    assert found.decision.lambda_ == 1e6
    assert max(found.decision.probabilities, key=lambda arm: found.decision.probabilities[arm]) == "small"


def test_a_failed_call_hands_the_say_to_nobody_until_somebody_answers() -> None:
    view = grown().view()
    first = called("large", 0, None, outcome="timeout", cost_usd=0.0)
    event = Served("q", context(), (first, called("small", 1, 0)), (), 1, (0, 1))
    limits = Limits()
    decision = view.decide(context(), limits, np.random.default_rng(0))
    one = Routed(event, "large", decision.probabilities, decision.lambda_, 0.5)
    (found,), _ = foresee(view, one, [NOW])
    assert found.follows


def test_an_id_with_the_letters_of_a_glob_is_itself() -> None:
    learner = grown()
    learner.apply(PoolChanged(replace(ARMS[0], id="small[1]*")), 2e9)
    view = learner.view()
    decision = view.decide(context(), Limits(), np.random.default_rng(0))
    event = served(called("small[1]*", 0, 0))
    one = Routed(event, "small[1]*", {"small[1]*": 1.0}, decision.lambda_, 0.5)
    (found,), _ = foresee(view, one, [NOW])
    assert dict(found.decision.probabilities) == {"small[1]*": 1.0}


def test_requests_whose_arms_are_gone_are_passed_over_and_counted() -> None:
    view = grown().view()
    hindsight = Hindsight((NOW,))
    hindsight.see(view, Routed(served(called("gone", 0, 0)), "gone", {"gone": 1.0}, 1.0, 0.5))
    assert (hindsight.passed_over, hindsight.requests) == (1, [])


# -- rewards ----------------------------------------------------------------------------------------------------------


def rated_log(
    n: int, *, quality: float, labelled: float, binary: bool, belief: float
) -> tuple[LearnerState, list[Routed]]:
    """Answers of one quality with one belief in them, some of them rated honestly; thumbs slip as the channel says."""
    learner, rng = state(), np.random.default_rng(4)
    requests = []
    for i in range(n):
        requests.append(Routed(served(called("small", 0, 0), name=str(i)), "small", {"small": 1.0}, 1.0, belief))
        if rng.random() < labelled:
            good = rng.random() < quality
            said = float(good != (rng.random() < 0.06)) if binary else float(good)
            lesson = Lesson(ratings={("thumbs", False): Rating(said, binary)}, weights={False: 1.0})
            learner.lessons.recent[str(i)] = lesson
    return learner, requests


@pytest.mark.parametrize("binary", [True, False])
def test_a_few_ratings_correct_the_level_of_all_beliefs(binary: bool) -> None:
    learner, requests = rated_log(3_000, quality=0.6, labelled=0.3, binary=binary, belief=0.85)
    found = rewards(learner, requests)
    error = float(found.quality.std()) / np.sqrt(len(requests))
    assert found.quality.mean() == pytest.approx(0.6, abs=4 * error)
    assert found.labels == pytest.approx(900, abs=100)
    shifts = found.doubts.mean(axis=1)
    assert (np.abs(shifts) > 1e-3).all() if binary else (shifts == 0.0).all()


def test_without_ratings_the_beliefs_stand() -> None:
    learner, requests = rated_log(20, quality=0.6, labelled=0.0, binary=True, belief=0.85)
    found = rewards(learner, requests)
    assert found.quality.tolist() == [0.85] * 20
    assert found.labels == 0


def test_a_request_that_nobody_answered_is_worth_nothing() -> None:
    failed = Served("q", context(), (called("small", 0, None, outcome="timeout"),), (), None, (0,))
    found = rewards(state(), [Routed(failed, "small", {"small": 1.0}, 1.0, None)])
    assert found.quality.tolist() == [0.0]


def test_ratings_that_count_for_nothing_change_nothing() -> None:
    learner, requests = rated_log(50, quality=0.2, labelled=0.5, binary=True, belief=0.9)
    for lesson in learner.lessons.recent.values():
        lesson.weights[False] = 0.0
    assert rewards(learner, requests).quality == pytest.approx(np.full(50, 0.9))
