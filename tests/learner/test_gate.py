"""A contest on live traffic errs no more often than it says, whenever it is looked at."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.channel import Rates
from learner.gate import (
    ALPHA,
    LEAST_REQUESTS,
    MARGIN,
    WARM_UP,
    Contest,
    Verdict,
    boundary,
    contest_of,
    dump,
    evidence,
    restore,
)
from learner.lessons import Lesson
from learner.ratings import Rating
from learner.snapshot import dump as dump_state
from learner.snapshot import load
from learner.types import Limits, Parameters, ParametersChanged, Phase, Served
from tests.learner.conftest import NOON_S, called, context, features, served, state, thumb, traffic

Draw = Callable[[np.random.Generator], float]

CHAMPION, CHALLENGER = Parameters(version=3), Parameters(version=4, depth=2)


def contest(share: float = 0.5, phase: Phase = "canary") -> Contest:
    found = contest_of(ParametersChanged(CHAMPION, CHALLENGER, share, phase), 0.0)
    assert found is not None
    return found


def request(policy: str | None, name: str = "q1") -> Served:
    return replace(served(called("small"), name=name), policy=policy)


def serve(one: Contest, policy: str, quality: float, name: str = "q1", price: float = 0.0) -> None:
    one.serve(request(policy, name), Lesson(seen=quality), at_s=0.0, lambda_=1.0, usd=price)


def fought(rng: np.random.Generator, one: Contest, n: int, champion: Draw, challenger: Draw) -> Verdict | None:
    """Let two versions serve, looking at the verdict after every request; returns the first one."""
    for i in range(n):
        is_challenger = rng.random() < one.share
        reward = (challenger if is_challenger else champion)(rng)
        # A utility below 0 is that of a bad answer that was paid for.
        price = max(-reward, 0.0)
        name = (CHALLENGER if is_challenger else CHAMPION).name
        serve(one, name, reward + price, f"q{i}", price)
        if (verdict := one.verdict()) is not None:
            return verdict
    return None


def even(mean: float) -> Draw:
    return lambda rng: mean + 0.2 * (rng.random() - 0.5)


def coin(mean: float) -> Draw:
    return lambda rng: float(rng.random() < mean)


def mostly_good(mean: float) -> Draw:
    """Rare failures that cost much: what tells least in few requests."""
    return lambda rng: -1.0 if rng.random() < (0.9 - mean) / 1.9 else 0.9


@pytest.mark.parametrize("phase", ["canary", "hold_back"])
@pytest.mark.parametrize(("share", "mean"), [(0.1, 0.85), (0.5, 0.85), (0.5, 0.6)])
@pytest.mark.parametrize("world", [even, coin, mostly_good])
def test_a_newer_version_as_good_as_the_other_is_rarely_shown_worse(
    world: Callable[[float], Draw], share: float, mean: float, phase: Phase
) -> None:
    """At most α/2 of such contests, looked at after every request: more than 2 of 20 has probability 0.013 then.

    `tests/scripts/bench/test_contests.py` counts them in hundreds.
    """
    rng = np.random.default_rng(1)
    same = world(mean)
    ended = [fought(rng, contest(share, phase), 200, same, same) for _ in range(20)]
    assert ended.count("worse") <= 2


@pytest.mark.parametrize("phase", ["canary", "hold_back"])
@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("world", [even, coin, mostly_good])
def test_a_newer_version_that_is_worse_by_the_margin_rarely_passes(
    world: Callable[[float], Draw], share: float, phase: Phase
) -> None:
    rng = np.random.default_rng(2)
    good, bad = world(0.85), world(0.85 - MARGIN)
    pair = (good, bad) if phase == "canary" else (bad, good)
    ended = [fought(rng, contest(share, phase), 200, *pair) for _ in range(20)]
    assert ended.count("not_worse") <= 2


@pytest.mark.parametrize("phase", ["canary", "hold_back"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_newer_version_that_is_much_worse_is_found_out_soon(share: float, phase: Phase) -> None:
    rng = np.random.default_rng(4)
    good, bad = even(0.85), even(0.5)
    pair = (good, bad) if phase == "canary" else (bad, good)
    for _ in range(10):
        assert fought(rng, contest(share, phase), 600, *pair) == "worse"


@pytest.mark.parametrize("phase", ["canary", "hold_back"])
def test_a_newer_version_that_is_better_passes(phase: Phase) -> None:
    rng = np.random.default_rng(5)
    better, before = even(0.9), even(0.7)
    pair = (before, better) if phase == "canary" else (better, before)
    for _ in range(10):
        assert fought(rng, contest(0.5, phase), 600, *pair) == "not_worse"


def test_the_interval_covers_the_gain_at_all_times() -> None:
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(40):
        one = contest(0.3)
        for i in range(150):
            is_challenger = rng.random() < 0.3
            quality = coin(0.6 if is_challenger else 0.8)(rng)
            serve(one, (CHALLENGER if is_challenger else CHAMPION).name, quality, f"q{i}")
            if i > WARM_UP and i % 10 == 0 and not one.gain().low <= -0.2 <= one.gain().high:
                missed += 1
                break
    assert missed <= 40 * ALPHA + 2


def test_too_few_requests_of_one_version_show_nothing() -> None:
    one = warm()
    for i in range(50):
        serve(one, CHAMPION.name, 1.0, f"a{i}")
    for i in range(LEAST_REQUESTS - 1):
        serve(one, CHALLENGER.name, 0.0, f"b{i}")
    assert one.verdict() is None
    serve(one, CHALLENGER.name, 0.0, "last")
    assert one.verdict() == "worse"


def test_a_contest_that_shows_nothing_ends_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.gate.MOST_REQUESTS", 100)
    rng = np.random.default_rng(7)
    assert fought(rng, contest(), 1_000, coin(0.5), coin(0.5)) == "undecided"


@given(st.floats(0.0, 1e5), st.floats(1.0, 40.0))
def test_the_boundary_is_where_the_evidence_is_enough(squares: float, reach: float) -> None:
    total = boundary(squares, reach)
    assert evidence(total, squares, reach) == pytest.approx(math.log(2.0 / ALPHA), abs=1e-6)


@given(st.floats(-5.0, 5.0), st.floats(0.0, 100.0), st.floats(1.0, 40.0))
def test_evidence_grows_with_the_sum_and_shrinks_with_the_spread(total: float, squares: float, reach: float) -> None:
    assert evidence(total + 0.1, squares, reach) > evidence(total, squares, reach)
    assert evidence(total, squares + 1.0, reach) < evidence(total, squares, reach)


def warm(**changes: Any) -> Contest:
    one = contest(**changes)
    for i in range(WARM_UP):
        serve(one, CHAMPION.name, 0.6, f"warm{i}")
    return one


def test_only_requests_that_were_drawn_for_one_of_the_two_count() -> None:
    one = warm()
    part = replace(request(CHAMPION.name), is_request=False)
    for event in (request(None), request("headrace@99"), part):
        one.serve(event, Lesson(seen=0.5), at_s=0.0, lambda_=1.0, usd=0.0)
    assert one.requests == 0
    one.serve(request(CHAMPION.name), Lesson(seen=None), at_s=0.0, lambda_=1.0, usd=0.0)
    assert one.requests == 0, "an answer made of several is nobody's own"


def test_a_request_that_nobody_answered_earns_nothing_and_costs_what_it_cost() -> None:
    one = warm()
    one.serve(replace(request(CHALLENGER.name), answered_step=None), Lesson(), at_s=0.0, lambda_=100.0, usd=0.001)
    assert one.challengers.mean == pytest.approx(-0.1)


def test_what_costs_more_than_a_good_answer_is_worth_counts_as_that_much() -> None:
    one = warm()
    serve(one, CHALLENGER.name, 0.7, price=50.0)
    assert one.challengers.mean == pytest.approx(-0.3)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans())
def test_a_rating_stands_in_place_of_what_was_believed(
    seen: float, rating: float, weight: float, is_champion: bool
) -> None:
    policy = (CHAMPION if is_champion else CHALLENGER).name
    lesson, event = Lesson(seen=seen), request(policy)
    rated, told = warm(), warm()
    rated.serve(event, lesson, at_s=0.0, lambda_=1.0, usd=0.1)
    lesson.weights[False] = weight
    lesson.ratings["rating", False] = _rating(rating)
    rated.hear(event, lesson, Rates())
    rated.hear(event, lesson, Rates())
    serve(told, policy, seen + weight * (rating - seen), price=0.1)
    assert (rated.sum, rated.squares) == pytest.approx((told.sum, told.squares), abs=1e-9)
    assert rated.requests == told.requests == 1
    assert rated.figures()["gain"] == pytest.approx(told.figures()["gain"], abs=1e-9)


def _rating(reward: float) -> Rating:
    return Rating(reward, is_binary=False)


def test_what_is_said_of_other_requests_changes_nothing() -> None:
    one = warm()
    before = dump(one)
    lesson = Lesson(seen=0.5, ratings={("rating", False): _rating(1.0)}, weights={False: 1.0})
    one.hear(request(CHAMPION.name, "from before"), lesson, Rates())
    assert dump(one) == before


def test_a_contest_survives_as_plain_values() -> None:
    rng, one = np.random.default_rng(8), contest(0.3, "hold_back")
    fought(rng, one, 40, coin(0.5), coin(0.5))
    again = restore(json.loads(json.dumps(dump(one))))
    assert dump(again) == dump(one)
    assert isinstance(again.challenger, Parameters)


# -- in the state -------------------------------------------------------------------------------------------------


def contested(n: int = 40) -> Any:
    """A state in the midst of a contest, with traffic that both versions decided and users rated."""
    learner = state()
    learner.apply(ParametersChanged(CHAMPION, CHALLENGER, 0.3), NOON_S)
    rng = np.random.default_rng(9)
    for i in range(n):
        policy = (CHALLENGER if rng.random() < 0.3 else CHAMPION).name
        event = replace(served(called("small", 0, 0), called("large", 1, 1), name=f"c{i}"), policy=policy)
        learner.apply(event, NOON_S + i)
        if i % 3 == 0:
            learner.apply(thumb(event, up=i % 2 == 0), NOON_S + i)
    return learner


def test_the_state_follows_the_contest_through_served_and_rated_events() -> None:
    learner = contested()
    assert learner.contest is not None
    assert learner.contest.requests == 40 - WARM_UP
    assert learner.contest.challengers.requests > 0
    believed = [lesson.seen for lesson in learner.lessons.recent.values()]
    counted = [quality for quality, _ in learner.contest.counted.values()]
    assert set(counted) - set(believed), "ratings stand in place of beliefs"


def test_a_snapshot_in_the_midst_of_a_contest_goes_on_bit_for_bit() -> None:
    learner = contested()
    loaded = load(dump_state(learner), features())
    for one in (learner, loaded):
        for event, at_s in traffic(11, 30):
            told = replace(event, policy=CHALLENGER.name) if isinstance(event, Served) else event
            one.apply(told, at_s + 1e6)
    assert dump_state(loaded) == dump_state(learner)


def test_a_view_draws_the_challenger_for_its_share_and_decides_by_its_parameters() -> None:
    view, rng = contested().view(), np.random.default_rng(10)
    names = [view.drawn(rng).parameters.name for _ in range(2_000)]
    assert names.count(CHALLENGER.name) / len(names) == pytest.approx(0.3, abs=0.04)
    drawn = view.under(CHALLENGER.name)
    assert drawn.parameters == CHALLENGER
    assert drawn.decide(context(), Limits(), rng).policy_version == CHALLENGER.name
    assert view.decide(context(), Limits(), rng).policy_version == CHAMPION.name
    assert view.under("headrace@99").parameters == CHAMPION


def test_without_a_challenger_nothing_is_drawn_at_random() -> None:
    view, rng = state().view(), np.random.default_rng(11)
    before = rng.bit_generator.state
    assert view.drawn(rng) is view
    assert rng.bit_generator.state == before


def test_another_change_of_the_policy_ends_the_contest() -> None:
    learner = contested()
    learner.apply(ParametersChanged(CHALLENGER), NOON_S + 100)
    assert learner.contest is None
    assert learner.view().challenger is None
    assert learner.view().parameters == CHALLENGER


def test_a_request_from_before_the_contest_was_drawn_otherwise_and_does_not_count() -> None:
    found = contest_of(ParametersChanged(CHAMPION, CHALLENGER, 0.1, "canary"), 100.0)
    assert found is not None
    for at_s, counted in ((99.0, 0), (100.0, 1)):
        found.serve(request(CHAMPION.name, f"at {at_s}"), Lesson(seen=0.5), at_s=at_s, lambda_=1.0, usd=0.0)
        assert found.warmed == counted
