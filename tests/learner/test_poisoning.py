"""One user cannot sink or raise a model: end to end, from events to what is believed."""

from dataclasses import replace

import numpy as np
import pytest

from learner.quality import GAMMA
from learner.snapshot import dump, load
from learner.state import LearnerState
from learner.types import Call, Demonstrated, Event, JudgeScore, Probed, Rated, Served
from tests.learner.conftest import ARMS, NOON_S, TEXTS, called, context, features, served, state

SKILL = dict(zip((one.id for one in ARMS), (0.5, 0.7, 0.9), strict=True))
USERS = 40


def asked(rng: np.random.Generator, name: str, only: str | None = None) -> tuple[Served, bool]:
    """A request that one to three arms answered, and whether the answer that was served is right."""
    arms = rng.permutation(list(SKILL)).tolist()[: rng.integers(1, 4)] if only is None else [only]
    groups = [0 if rng.random() < SKILL[arm] else int(rng.integers(1, 4)) for arm in arms]
    calls = [called(arm, step, group) for step, (arm, group) in enumerate(zip(arms, groups, strict=True))]
    return served(*calls, name=name, of=context(TEXTS[int(rng.integers(len(TEXTS)))])), groups[0] == 0


def by_a_crowd(requests: int = 600, *, users: int = USERS) -> LearnerState:
    """What is learned from requests of forty users who rate three in ten, one in twenty of them wrongly."""
    rng, learner = np.random.default_rng(3), state()
    for i in range(requests):
        event, is_right = asked(rng, f"q{i}")
        learner.apply(event, NOON_S + 60.0 * i)
        if users and rng.random() < 0.3:
            reward = float(is_right != (rng.random() < 0.05))
            learner.apply(Rated(event, "thumbs", reward, is_binary=True, user=f"user-{i % users}"), NOON_S + 60.0 * i)
    return learner


def attacked(
    how: str, *, only: str | None, user: str | None = "mallory", n: int = 500, crowd: LearnerState | None = None
) -> LearnerState:
    """The crowd's state after as many requests of one user more, each rated as told."""
    rng, learner = np.random.default_rng(4), crowd or by_a_crowd()
    for i in range(n):
        event, is_right = asked(rng, f"bad{i}", only)
        learner.apply(event, NOON_S + 1e6 + 5.0 * i)
        if how != "none":
            reward = float(not is_right) if how == "inverted" else 0.0
            learner.apply(Rated(event, "thumbs", reward, is_binary=True, user=user), NOON_S + 1e6 + 5.0 * i)
    return learner


@pytest.mark.slow
@pytest.mark.parametrize(("how", "only"), [("inverted", None), ("inverted", "large"), ("down", "middle")])
def test_five_hundred_thumbs_of_one_user_move_no_quality_by_more_than_a_fiftieth(how: str, only: str | None) -> None:
    calm, attack = attacked("none", only=only), attacked(how, only=only)
    moved = np.abs(attack.quality.means()[0] - calm.quality.means()[0])
    assert moved.max() < 0.02
    assert attack.trust.users.damped > 400
    assert attack.trust.users.distrusted >= 1
    assert not attack.drift.alarms


@pytest.mark.slow
@pytest.mark.parametrize("users", [0, 5])
@pytest.mark.parametrize("only", [None, "large"])
def test_nor_do_they_where_few_or_none_rate_but_answers_agree(users: int, only: str | None) -> None:
    calm, attack = (attacked(how, only=only, crowd=by_a_crowd(300, users=users)) for how in ("none", "inverted"))
    assert np.abs(attack.quality.means()[0] - calm.quality.means()[0]).max() < 0.02
    assert attack.trust.users.distrusted >= 1


@pytest.mark.parametrize("only", [None, "middle"])
def test_the_only_one_who_rates_teaches_if_what_they_say_holds(only: str | None) -> None:
    learner, rng = state(), np.random.default_rng(5)
    counted = []
    for i in range(150):
        event, is_right = asked(rng, f"q{i}", only)
        learner.apply(event, NOON_S + 60.0 * i)
        reward = float(is_right != (rng.random() < 0.05))
        learner.apply(Rated(event, "thumbs", reward, is_binary=True, user="ada"), NOON_S + 60.0 * i)
        counted.append(learner.lessons.of(event.inference_id).weights.get(False, 0.0))
    assert np.mean(counted) > 0.75
    assert learner.trust.users.distrusted == 0
    assert learner.quality.means()[0][1] == pytest.approx(SKILL["middle"], abs=0.1)


def test_what_a_user_taught_does_not_speak_for_the_same_user() -> None:
    alone, one_of_two = by_a_crowd(0), by_a_crowd(200, users=0)
    for learner in (alone, one_of_two):
        for i in range(60):
            event = served(called("large", 0, None), name=f"bad{i}")
            learner.apply(event, NOON_S + 1e6 + 60.0 * i)
            learner.apply(Rated(event, "thumbs", 0.0, is_binary=True, user="mallory"), NOON_S + 1e6 + 60.0 * i)
    assert alone.trust.users.distrusted == 0
    assert one_of_two.trust.users.distrusted == 1


def test_the_same_thumbs_from_nobody_in_particular_do_move_it() -> None:
    calm, crowd = attacked("none", only="large", n=100), attacked("down", only="large", user=None, n=100)
    assert np.abs(crowd.quality.means()[0] - calm.quality.means()[0]).max() > 0.05


def test_a_key_that_invents_users_is_capped_as_a_key() -> None:
    learner = by_a_crowd()
    for name in ("key-1", "key-2"):
        event = replace(served(called("small", 0, 0), name=name), account=name)
        learner.apply(event, NOON_S)
        learner.apply(Rated(event, "thumbs", 1.0, is_binary=True, user="ada"), NOON_S)
    before = learner.quality.means()[0].copy()
    for i in range(300):
        event = replace(served(called("large", 0, 0), name=f"bad{i}"), account="key-2")
        learner.apply(event, NOON_S + 5.0 * i)
        learner.apply(Rated(event, "thumbs", 0.0, is_binary=True, user=f"invented-{i}"), NOON_S + 5.0 * i)
    assert np.abs(learner.quality.means()[0] - before).max() < 0.05
    assert learner.trust.keys.distrusted == 1


@pytest.mark.parametrize("kind", ["demonstration", "metric", "episode"])
def test_no_kind_of_feedback_evades_the_cap(kind: str) -> None:
    calm, attack = by_a_crowd(300), by_a_crowd(300)
    for i in range(200):
        event = served(called("large", 0, None, seal="number:aaaa42"), name=f"bad{i}")
        for learner in (calm, attack):
            learner.apply(event, NOON_S + 1e6 + 60.0 * i)
        said: dict[str, Event] = {
            "demonstration": Demonstrated(event, "number:aaaa7", user="mallory"),
            "metric": Rated(event, "resolved", 0.0, is_binary=False, user="mallory"),
            "episode": Rated(event, "resolved", 0.0, is_binary=True, user="mallory", share=0.5),
        }
        attack.apply(said[kind], NOON_S + 1e6 + 60.0 * i)
    moved = np.abs(attack.quality.means()[0] - calm.quality.means()[0])
    assert 0.0 < moved.max() < 0.05
    assert attack.trust.users.damped > 100


def test_a_demonstration_that_counts_for_nothing_is_no_reference() -> None:
    learner = by_a_crowd(300)
    for i in range(60):
        answer = called("large", 0, None, seal="number:aaaa42")
        event = replace(served(answer, name=f"bad{i}"), query_seal=f"query-{i}")
        learner.apply(event, NOON_S + 1e6 + 60.0 * i)
        learner.apply(Demonstrated(event, "number:aaaa7", user="mallory"), NOON_S + 1e6 + 60.0 * i)
    assert learner.lessons.of("bad0").reference == "number:aaaa7"
    assert "bad0" in learner.references.kept
    assert learner.lessons.of("bad59").reference is None
    assert "bad59" not in learner.references.kept


def test_an_episode_counts_as_one_rating_of_its_user_however_many_answers_it_took() -> None:
    learner = by_a_crowd(100)
    for i in range(10):
        event = served(called("large", 0, None), name=f"e{i}")
        learner.apply(event, NOON_S + 1e6)
        learner.apply(Rated(event, "resolved", 1.0, is_binary=True, user="ada", share=0.1), NOON_S + 1e6)
    (ada,) = (rater for rater in list(learner.trust.users.known.values())[-1:])
    assert ada.recent == pytest.approx(1.0)
    assert ada.labels[2][0] == pytest.approx(1.0, rel=0.05)


def test_a_snapshot_keeps_who_rated_and_how() -> None:
    learner = by_a_crowd(120)
    restored = load(dump(learner), features())
    event, _ = asked(np.random.default_rng(8), "next")
    for each in (learner, restored):
        each.apply(event, NOON_S + 2e6)
        each.apply(Rated(event, "thumbs", 0.0, is_binary=True, user="user-3"), NOON_S + 2e6)
    assert dump(restored) == dump(learner)


def judged(i: int, score: float) -> Probed:
    answer = called("large", 0, None)
    ask = Call("judge", 0, "judge", cost_usd=1e-5, explored_share=1.0)
    event = Served(f"p{i}", context(), (answer, replace(ask, arm="small")), (JudgeScore("strict", 0, score),), 0, (1,))
    return Probed(replace(event, is_request=False))


def test_a_probe_is_billed_as_exploration_and_no_request() -> None:
    learner = state()
    learner.apply(judged(0, 0.9), NOON_S)
    assert learner.requests == 0
    assert learner.ledger.explored_usd == pytest.approx(1e-5)
    assert learner.trust.probes.sums[0].sum() == 1.0


def test_a_crowds_thumbs_do_not_push_a_quality_further_than_the_probes_support() -> None:
    def pushed(probes: int) -> LearnerState:
        learner = state()
        for i in range(probes):
            learner.apply(judged(i, 0.98), NOON_S)
        for i in range(150):
            event = served(called("large", 0, None), name=f"q{i}")
            learner.apply(event, NOON_S)
            learner.apply(Rated(event, "thumbs", 0.0, is_binary=True), NOON_S)
        return learner

    free, held = pushed(0), pushed(60)
    assert held.quality.means()[0][2] > free.quality.means()[0][2] + 0.1
    assert held.trust.unsupported > 0
    assert free.trust.unsupported == 0


def test_an_alarm_makes_room_for_those_who_rate_often() -> None:
    learner = by_a_crowd(100)
    before = float(learner.trust.ages[0])
    learner.trust.forgotten(0, 0.2)
    assert pytest.approx(0.2) == GAMMA ** (learner.trust.ages[0] - before)


def by_the_only_key(press: str, only: str | None = None) -> tuple[LearnerState, list[tuple[float, float]]]:
    """What is learned from the many users of one key, and each thumb with what it counted for."""
    rng, learner, said = np.random.default_rng(3), by_a_crowd(300, users=0), []
    for i in range(400):
        event, is_right = asked(rng, f"k{i}", only)
        event = replace(event, account="app")
        learner.apply(event, NOON_S + 1e6 + 60.0 * i)
        if press != "nothing":
            reward = float(is_right != (press == "inverted" or rng.random() < 0.05))
            thumb = Rated(event, "thumbs", reward, is_binary=True, user=f"user-{i % 97}")
            learner.apply(thumb, NOON_S + 1e6 + 60.0 * i)
            said.append((reward, learner.lessons.of(event.inference_id).weights.get(False, 0.0)))
    return learner, said


def test_thumbs_up_and_down_of_honest_users_count_alike() -> None:
    _, said = by_the_only_key("honest", only="middle")
    up, down = ([weight for reward, weight in said if reward == way] for way in (1.0, 0.0))
    assert min(np.mean(up), np.mean(down)) > 0.8
    assert np.mean(up) == pytest.approx(float(np.mean(down)), abs=0.03)
    # The only key is not doubted for chance mistakes of its users: without that it would be 0.86.
    assert np.mean([weight for _, weight in said]) > 0.88


def test_the_only_key_may_not_invent_users_against_what_answers_say() -> None:
    (calm, _), (attack, said) = by_the_only_key("nothing"), by_the_only_key("inverted")
    assert np.abs(attack.quality.means()[0] - calm.quality.means()[0]).max() < 0.05
    assert sum(weight for _, weight in said) < 40.0
    assert attack.trust.keys.distrusted == 1
