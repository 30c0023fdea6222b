from dataclasses import replace

import numpy as np
import pytest

from learner.features import Features
from scripts.bench.ope import TARGETS, Population, drawn, greedy, measure, populate, truths
from scripts.bench.worlds import World
from tests.scripts.conftest import make_world


@pytest.fixture(scope="module")
def population(features: Features) -> Population:
    world: World = replace(make_world(90), delay=2)
    return populate(world, features, n=40, warm_up=30, mix=0.2)


def test_every_request_knows_what_would_have_come_of_every_first_arm(population: Population) -> None:
    assert len(population.rows) == 40
    for row in population.rows:
        assert sum(row.probabilities) == pytest.approx(1.0)
        assert [one.calls[0].arm for one in row.routed] == list(row.arms)
        assert all(len(found) == 1 + len(TARGETS) for found in row.foreseen)


def test_the_truth_is_the_mean_of_the_records(population: Population) -> None:
    found = truths(population.rows)
    assert found["in force"]["quality"] == pytest.approx(np.mean([row.truth[0][0] for row in population.rows]))
    assert found["far"]["cost_usd"] <= found["in force"]["cost_usd"] + 1e-9


def test_a_replay_is_drawn_with_the_logs_own_probabilities(population: Population) -> None:
    replay = drawn(population, np.random.default_rng(0), n=200, labelled=0.3, is_binary=True)
    assert (replay.log.propensity > 0.0).all()
    assert (greedy(replay.targets["near"]).probabilities.max(axis=1) == 1.0).all()
    again = drawn(population, np.random.default_rng(0), n=200, labelled=0.3, is_binary=True)
    assert (again.log.arm == replay.log.arm).all()


def test_the_table_has_every_target_estimator_and_kind(population: Population) -> None:
    lines = measure(population, replays=3, n=60, labelled=0.3, is_binary=True)
    assert len(lines) == 3 * 3 * 5
    assert all(line.count("|") == 11 for line in lines)
