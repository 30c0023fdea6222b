"""What an alarm does, and that a freeze keeps money and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.drift import Alarm, DriftMonitor, Kind
from learner.snapshot import dump, load
from learner.state import LearnerState
from learner.types import Event, Frozen, Happened, Missed, PoolChanged, Rated, Served
from tests.learner.conftest import (
    NOON_S,
    TEXTS,
    arm,
    called,
    context,
    features,
    served,
    state,
    thumb,
    traffic,
)


def known(n: int = 60) -> LearnerState:
    learner = state()
    for i in range(n):
        event = served(called("small", 0, None), name=f"q{i}", of=context(TEXTS[i % len(TEXTS)]))
        learner.apply(event, NOON_S)
        learner.apply(thumb(event, up=True), NOON_S)
    return learner


def alarm(kind: Kind, category: int | None = None) -> Alarm:
    return Alarm(kind, "small", category, "down", -1.0, NOON_S, 60)


def test_an_alarm_of_quality_forgets_four_fifths_and_opens_a_quota() -> None:
    learner = known()
    before, tokens = learner.quality.count[0].sum(), learner.cost.calls[0].sum()
    learner._alarm([alarm("quality")])
    assert learner.quality.count[0].sum() == pytest.approx(0.2 * before)
    assert learner.cost.calls[0].sum() == tokens
    assert learner.recovery.watches[0].quota > 0
    assert learner.upsides[0] > 0.0


def test_an_alarm_of_one_category_forgets_there_alone() -> None:
    learner = known()
    before = learner.quality.count[0].copy()
    learner._alarm([alarm("quality", 1)])
    assert learner.quality.count[0].tolist() == pytest.approx((before * [1.0, 0.2, 1.0]).tolist())


@pytest.mark.parametrize("kind", ["cost", "latency"])
def test_an_alarm_of_cost_or_latency_forgets_what_calls_were_like(kind: Kind) -> None:
    learner = known()
    quality, calls = learner.quality.count[0].sum(), learner.cost.calls[0].sum()
    latency_s = learner.cost.seconds[0] / calls
    learner._alarm([alarm(kind)])
    assert learner.cost.calls[0].sum() == pytest.approx(0.2 * calls)
    assert learner.cost.seconds[0] / learner.cost.calls[0].sum() == pytest.approx(latency_s)
    assert learner.quality.count[0].sum() == quality
    assert learner.recovery.watches[0].quota == 0


def test_an_answer_that_becomes_three_times_as_long_is_an_alarm_and_soon_foreseen() -> None:
    rng, learner = np.random.default_rng(4), state()
    for i in range(360):
        tokens = int((100 if i < 240 else 300) * rng.lognormal(0.0, 0.3))
        call = called("small", 0, None, output_tokens=tokens)
        learner.apply(served(call, name=f"q{i}", of=context(TEXTS[i % len(TEXTS)])), NOON_S + i)
    (raised,) = learner.drift.alarms
    assert (raised.kind, raised.model, raised.category, raised.direction) == ("cost", "small", None, "up")
    assert raised.at_s >= NOON_S + 240
    assert learner.cost.view().expected_tokens(context(), [0])[0] > 220.0


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 90), st.sampled_from([0.1, 0.5, 1.0]))
def test_monitors_that_were_saved_go_on_bit_for_bit(seed: int, at: int, spread: float) -> None:
    rng, learner = np.random.default_rng(seed), state()
    again = learner
    for i in range(100):
        if i == at:
            again = load(dump(learner), features())
        tokens, latency_s = int(rng.lognormal(4.0, spread)), float(rng.lognormal(0.0, spread))
        call = called("small", 0, None, output_tokens=tokens, latency_s=latency_s)
        event = served(call, name=f"q{i}", of=context(TEXTS[i % len(TEXTS)]))
        told: list[Event] = [event, thumb(event, up=bool(rng.random() < 0.6))]
        for one in told:
            learner.apply(one, NOON_S + i)
            if again is not learner:
                again.apply(one, NOON_S + i)
    assert dump(again) == dump(learner)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 1.0), st.floats(0.2, 0.9))
def test_steady_calls_and_labels_raise_no_alarm(seed: int, spread: float, rate: float) -> None:
    rng, monitor = np.random.default_rng(seed), DriftMonitor()
    for i in range(600):
        category = int(rng.integers(3))
        usual = 50.0 * 2.0**category
        call = called("a", output_tokens=int(usual * rng.lognormal(0.0, spread)), latency_s=rng.lognormal(0.0, spread))
        monitor.called(call, category, expected=usual, observation=i)
        monitor.rated("a", category, float(rng.random() < rate), rate, observation=i)
    # One in 10,000 observations of each kind would be 0.06 here; two are a sign that something is wrong.
    assert monitor.raised < 2


def happened(seed: int, n: int) -> list[tuple[Happened, float]]:
    return [(event, at_s) for event, at_s in traffic(seed, n) if isinstance(event, Happened)]


def quality_of(learner: LearnerState) -> list[float]:
    return [*learner.quality.count.ravel().tolist(), *learner.quality.total.ravel().tolist()]


def test_while_frozen_money_is_kept_and_nothing_is_learned() -> None:
    learner = known()
    learner.apply(Frozen(True, "boss"), NOON_S + 100)
    before, names, weights = quality_of(learner), learner.taxonomy.names, learner.stacker.view().weights
    observations, spent, requests = learner.observations, learner.accounts.everybody.spent_usd, learner.requests
    for event, at_s in happened(3, 40):
        learner.apply(event, at_s)
    assert (quality_of(learner), learner.taxonomy.names, learner.stacker.view().weights) == (before, names, weights)
    assert learner.observations == observations
    assert learner.accounts.everybody.spent_usd > spent
    assert learner.requests == requests + 40
    freeze = learner.view().freeze
    assert freeze is not None
    assert (freeze.since_s, freeze.by) == (NOON_S + 100, "boss")


def test_what_was_missed_is_learned_as_if_it_had_not_been_and_paid_once() -> None:
    paused, steady = known(), known()
    paused.apply(Frozen(True), NOON_S)
    paused.apply(Frozen(True, "again"), NOON_S + 1)
    events = happened(5, 40)
    for event, at_s in events:
        paused.apply(event, at_s)
        steady.apply(event, at_s)
    money = paused.accounts.everybody.spent_usd, paused.ledger.total_usd, paused.requests
    paused.apply(Frozen(False), NOON_S + 1e6)
    for event, at_s in events:
        paused.apply(Missed(event), at_s)
    assert (paused.accounts.everybody.spent_usd, paused.ledger.total_usd, paused.requests) == money
    assert paused.observations == steady.observations
    assert quality_of(paused) == pytest.approx(quality_of(steady), rel=0.05, abs=0.05)
    assert paused.ledger.total_usd == steady.ledger.total_usd
    assert paused.view().freeze is None


def test_the_operators_word_is_in_force_while_frozen() -> None:
    learner = known()
    learner.apply(Frozen(True), NOON_S)
    learner.apply(PoolChanged(arm("new", 0.3)), NOON_S)
    assert learner.view().arms[-1].id == "new"


def test_a_freeze_survives_a_snapshot_and_ends_after_it() -> None:
    learner = known()
    learner.apply(Frozen(True, "boss"), NOON_S)
    again = load(dump(learner), features())
    assert again.freeze == learner.freeze
    event: Served = served(called("small", 0, None), name="late")
    rating: Rated = thumb(event, up=False)
    for one in (learner, again):
        one.apply(Frozen(False), NOON_S)
        one.apply(event, NOON_S)
        one.apply(rating, NOON_S)
    assert dump(again) == dump(learner)
