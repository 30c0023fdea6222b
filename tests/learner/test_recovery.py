"""Who fell is looked at again: rarely, within the cap, and so that a healed model comes back."""

from collections import Counter

import numpy as np
import pytest

from learner import recovery
from learner.recovery import BETTER, DOUBT, PROBE_QUOTA, STALE_AFTER, Recovery
from learner.snapshot import dump, load
from learner.types import Call, Limits, Purpose
from tests.learner import test_learning
from tests.learner.conftest import NOON_S, TEXTS, arm, called, context, features, served, state, thumb
from tests.learner.test_learning import Simulator

POOL = [arm("well", state="active"), arm("parked", state="parked")]


def recovering(*arms: str) -> Recovery:
    found = Recovery()
    for _ in arms or ("a", "b"):
        found.add(0)
    return found


def test_a_parked_or_fallen_arm_is_stale_after_long_without_an_answer_and_no_other_is() -> None:
    watched = recovering()
    assert watched.stale(POOL, STALE_AFTER - 1) == []
    assert watched.stale(POOL, STALE_AFTER) == [1]
    watched.answered(1, 500)
    assert watched.stale(POOL, STALE_AFTER) == []
    watched.alarmed(0, has_fallen=True)
    assert watched.stale(POOL, STALE_AFTER) == []
    while not watched.answered(0, 10):
        pass
    assert watched.stale(POOL, STALE_AFTER + 10) == [0]


def test_a_quota_is_doubted_until_it_is_answered_and_opens_again_where_answers_were_better() -> None:
    watched = recovering()
    watched.look_again(1, 0.4, 2_000)
    assert watched.doubts.tolist() == [0.0, DOUBT]
    assert [watched.answered(1, 2_001) for _ in range(PROBE_QUOTA)] == [False] * (PROBE_QUOTA - 1) + [True]
    assert watched.done() == [1]
    watched.judge(1, 0.4 + BETTER)
    assert watched.doubts.tolist() == [0.0, DOUBT]
    while not watched.answered(1, 2_002):
        pass
    watched.judge(1, 0.4 + BETTER)
    assert watched.doubts.tolist() == [0.0, 0.0]
    assert watched.done() == []


def test_an_arm_that_is_looked_at_again_is_believed_as_before_and_known_less() -> None:
    rng, learner = np.random.default_rng(1), state()
    for i in range(120):
        event = served(called("small", 0, None), name=f"q{i}", of=context(TEXTS[i % len(TEXTS)]))
        learner.apply(event, NOON_S)
        learner.apply(thumb(event, up=bool(rng.random() < 0.3)), NOON_S)
    before = learner.quality.means()[0][0]
    kept = learner.quality.age(0, 4.0)
    assert learner.quality.count[0].sum() == pytest.approx(4.0)
    assert 0.0 < kept < 0.1
    assert learner.quality.means()[0][0] == pytest.approx(before, abs=0.1)
    assert learner.quality.age(0, 4.0) == 1.0


def test_a_failed_call_teaches_nothing_and_is_no_answer() -> None:
    learner = state()
    before = learner.quality.count.copy()
    learner.apply(served(called("small", 0, outcome="timeout"), called("large", 1, 0), step=1), NOON_S)
    assert (learner.quality.count == before).all()
    assert ("cost", "small") not in learner.drift.scales
    assert ("cost", "large") in learner.drift.scales


class Healing(Simulator):
    """A simulator that counts who answers, and one of whose models is bad for a while."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked: dict[str, Counter[str]] = {"answer": Counter(), "shadow": Counter()}

    def call(self, name: str, step: int, *, purpose: Purpose = "answer", explored_share: float | None = None) -> Call:
        self.asked[purpose][name] += 1
        return super().call(name, step, purpose=purpose, explored_share=explored_share)

    def share(self, first: int, n: int, name: str) -> float:
        """Play some requests; returns how often a model was asked by them."""
        before = self.asked["answer"][name]
        for i in range(first, first + n):
            self.play(i)
        return (self.asked["answer"][name] - before) / n


@pytest.mark.slow
def test_a_model_that_turns_bad_and_then_good_again_regains_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "STALE_AFTER", 250)
    orders = [Healing(seed) for seed in range(6)]
    good = [one.share(0, 500, "middle") for one in orders]
    monkeypatch.setitem(test_learning.ACCURACY, "middle", 0.15)
    for one in orders:
        one.share(500, 500, "middle")
    alarms = [[(alarm.kind, alarm.model, alarm.direction) for alarm in one.learner.drift.alarms] for one in orders]
    bad = [one.share(1_000, 100, "middle") for one in orders]
    monkeypatch.setitem(test_learning.ACCURACY, "middle", 0.82)
    for one in orders:
        one.share(1_100, 500, "middle")
    healed = [one.share(1_600, 600, "middle") for one in orders]
    # Where its share falls before it was rated often enough, there is no alarm; there never is another one.
    assert any(alarms)
    assert all(fallen in ([], [("quality", "middle", "down")]) for fallen in alarms)
    assert sum(good) > 0.5 * len(orders)
    assert sum(bad) < 0.05 * len(orders)
    # Single orders regain 0.2 to 1.4 of it, so that the mean of six has a standard error of about a fifth.
    assert sum(healed) > 0.5 * sum(good)
    for one in orders:
        again = load(dump(one.learner), features())
        assert dump(again) == dump(one.learner)
        ledger = one.learner.ledger
        assert ledger.explored_usd <= ledger.max_share * ledger.total_usd


def test_a_quota_never_spends_more_than_the_allowance() -> None:
    learner = state(explore_share=0.0)
    learner.recovery.alarmed(0, has_fallen=True)
    for i in range(60):
        learner.apply(served(called("large", 0, 0), name=f"q{i}", of=context(TEXTS[i % len(TEXTS)])), NOON_S)
    view = learner.view()
    assert view.upsides[0] > 0.0
    rng = np.random.default_rng(2)
    assert all(view.shadows(context(text), Limits(), ["large"], rng) == [] for text in TEXTS)


def test_ageing_keeps_the_mean_and_how_categories_differ() -> None:
    learner = state()
    for i in range(60):
        learner.apply(thumb(served(called("small"), name=f"q{i}"), up=i % 4 != 0), NOON_S)
    before = learner.quality.total[0].copy(), float(learner.quality.view().means[0])
    learner.quality.age(0, 4.0)
    assert learner.quality.view().means[0] == pytest.approx(before[1], abs=0.02)
    assert (learner.quality.total[0] >= -1.0).all()
    assert (learner.quality.total[0] <= before[0] + 1.0).all()
