import numpy as np
import pytest

from learner.features import Features
from learner.types import Context, Query
from scripts.bench.baselines import BASELINES, Cells, LinUcb, Nearest, Pacing, centres
from scripts.bench.play import Case, Reply, play
from scripts.bench.worlds import World
from tests.scripts.conftest import MakeWorld

SUMS, KINGS = "What is 4 + 4?", "Who was king number 12 of Rome?"


@pytest.fixture
def contexts(features: Features) -> tuple[Context, Context]:
    return features.context(Query(SUMS), features.seeds), features.context(Query(KINGS), features.seeds)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_serves_a_stream_and_pays_for_one_call_a_request(
    name: str, world: World, features: Features
) -> None:
    case = Case(world, features, world.budget_usd(0.6), 0)
    played = play(case, BASELINES[name](case))
    assert (played.calls == 1).all()
    assert ((played.probability >= 0.0) & (played.probability <= 1.0)).all()
    assert np.array_equal(played.usd, world.usd[np.arange(len(world.prompts)), played.model])


@pytest.mark.parametrize("name", ["kNN router", "k-means cells", "LinUCB"])
def test_paced_baselines_meet_the_budget(name: str, make: MakeWorld, features: Features) -> None:
    world = make(600)
    case = Case(world, features, world.budget_usd(0.6), 0)
    played = play(case, BASELINES[name](case))
    assert played.usd.mean() == pytest.approx(world.budget_usd(0.6), rel=0.15)


def test_pacing_raises_the_price_of_money_after_an_expensive_answer(world: World) -> None:
    pacing = Pacing.of(world, 1e-5)
    before = pacing.price.copy()
    pacing.settle(Reply(2, 1e-3, 10, 10, None))
    assert (pacing.price > before).all()


def test_linucb_learns_which_model_is_good_at_what(
    world: World, features: Features, contexts: tuple[Context, Context]
) -> None:
    estimate = LinUcb(Case(world, features, 1e-4, 0))
    sums, kings = contexts
    for _ in range(30):
        for context, reward in ((sums, 1.0), (kings, 0.0)):
            estimate.update(context, 1, reward)
    rng = np.random.default_rng(0)
    mean, optimistic = estimate.predict(sums, rng)
    assert mean[1] > 0.85 > 0.35 > estimate.predict(kings, rng)[0][1]
    assert optimistic[0] - mean[0] > 2 * (optimistic[1] - mean[1])


def test_nearest_neighbours_decide_between_models(contexts: tuple[Context, Context]) -> None:
    estimate = Nearest(2)
    sums, kings = contexts
    for _ in range(40):
        for model, context, reward in ((0, sums, 1.0), (0, kings, 0.0), (1, sums, 0.0), (1, kings, 1.0)):
            estimate.update(context, model, reward)
    rng = np.random.default_rng(0)
    assert estimate.predict(sums, rng)[0].argmax() == 0
    assert estimate.predict(kings, rng)[0].argmax() == 1


def test_cells_keep_apart_what_lies_apart(features: Features) -> None:
    cells = Cells(1, seed=0)
    texts = [f"What is {i} + {i}?" for i in range(80)] + [f"Who was king {i} of Rome?" for i in range(80)]
    seen = [features.context(Query(text), features.seeds) for text in texts]
    rng = np.random.default_rng(0)
    for context in seen:
        cells.predict(context, rng)
    for at, context in enumerate(seen):
        cells.update(context, 0, float(at < 80))
    assert cells.predict(seen[3], rng)[0][0] > 0.5 > cells.predict(seen[150], rng)[0][0]


def test_centres_of_two_clouds_lie_in_them() -> None:
    rng = np.random.default_rng(1)
    points = np.vstack([rng.normal(0.0, 0.1, (50, 2)), rng.normal(5.0, 0.1, (50, 2))])
    found = np.sort(centres(points, 2, rng).mean(axis=1))
    assert found == pytest.approx([0.0, 5.0], abs=0.2)
