from dataclasses import dataclass, field

import numpy as np
import pytest

from learner.features import Features
from learner.types import Query
from scripts.bench.play import Case, Given, Question, Rewards, play
from scripts.bench.worlds import World
from tests.scripts.conftest import MakeWorld


@dataclass
class Fixed:
    """Asks two models, one in the background, and writes down what it is told and when."""

    served: int = 0
    learned: list[tuple[int, int, float]] = field(default_factory=list)

    def serve(self, question: Question) -> Given:
        assert question.position == self.served
        question.ask(0)
        question.ask(2, in_background=True)
        self.served += 1
        return Given(0, 0.5)

    def learn(self, position: int, reward: float) -> None:
        self.learned.append((self.served - 1, position, reward))


def test_the_bill_holds_every_call_and_tells_the_background_apart(world: World, features: Features) -> None:
    played = play(Case(world, features, 1e-4, 0), Fixed())
    assert np.allclose(played.usd, world.usd[:, 0])
    assert np.allclose(played.background_usd, world.usd[:, 2])
    assert np.allclose(played.total_usd, world.usd[:, 0] + world.usd[:, 2])
    assert (played.calls == 2).all()
    assert np.array_equal(played.quality, world.quality[:, 0])


def test_ratings_come_late_and_only_for_a_share_of_the_answers(world: World, features: Features) -> None:
    policy = Fixed()
    play(Case(world, features, 1e-4, 0), policy)
    assert {at - position for at, position, _ in policy.learned} == {world.delay}
    assert 0.15 < len(policy.learned) / len(world.prompts) < 0.45


def test_users_say_the_same_to_every_policy(world: World) -> None:
    one, other = Rewards(world, 3), Rewards(world, 3)
    assert np.array_equal(one.is_rated, other.is_rated)
    assert [one.of(i, 1) for i in range(50)] == [other.of(i, 1) for i in range(50)]


def test_a_few_thumbs_are_slips(make: MakeWorld) -> None:
    world = make(2000)
    rewards = Rewards(world, 0)
    slips = np.mean([rewards.of(i, 0) != world.quality[i, 0] for i in range(2000)])
    assert slips == pytest.approx(0.05, abs=0.02)


def test_a_policy_is_not_told_groups_that_nobody_can_know(make: MakeWorld, features: Features) -> None:
    blind, seeing = make(is_comparable=False), make()
    context = features.context(Query("Who?"), features.seeds)
    assert Question(blind, 0, context).ask(1).group is None
    assert Question(seeing, 0, context).ask(1).group == seeing.groups[0, 1]
