from dataclasses import replace

import numpy as np
import pytest

from learner.features import Features
from scripts.bench.batch import (
    BATCH,
    Known,
    Past,
    StaticCascade,
    cascade_router,
    evidence,
    fitted_router,
    logistic,
    priced,
    spend,
    supersets,
)
from scripts.bench.play import Case, play
from scripts.bench.worlds import World
from tests.scripts.conftest import MakeWorld


@pytest.fixture
def past(make: MakeWorld, features: Features) -> Past:
    world = make(600)
    return Past.of(Case(world, features, world.budget_usd(0.6), 0))


@pytest.mark.parametrize("name", BATCH)
def test_a_fitted_policy_serves_the_cheapest_model_first_and_then_better_ones(
    name: str, make: MakeWorld, features: Features
) -> None:
    world = make(300)
    case = Case(world, features, world.budget_usd(0.85), 0)
    played = play(case, BATCH[name](case))
    assert (played.model[:60] == 0).all()
    assert played.quality[60:].mean() > world.quality[60:, 0].mean()


def test_a_policy_is_fitted_to_the_first_part_only(make: MakeWorld, features: Features) -> None:
    world = make(600)
    late = replace(world, quality=np.vstack([world.quality[:120], 1.0 - world.quality[120:]]))
    routers = [fitted_router(Past.of(Case(w, features, 1e-4, 0))) for w in (world, late)]
    assert np.array_equal(routers[0].weights, routers[1].weights)
    assert np.array_equal(routers[0].after, routers[1].after)


def test_supersets_hold_what_was_run_and_at_most_three_models() -> None:
    members, belongs = supersets(4, (2,))
    assert {frozenset(row) for row in members.tolist()} == {
        frozenset(s) for s in ((2,), (2, 0), (2, 1), (2, 3), (2, 0, 1), (2, 0, 3), (2, 1, 3))
    }
    assert belongs[:, 2].all()
    assert belongs.sum(axis=1).tolist() == [len(set(row)) for row in members.tolist()]
    assert supersets(4, ())[1].sum(axis=1).min() == 1


def test_cascade_routing_asks_the_cheapest_alone_where_money_is_all(past: Past) -> None:
    router = priced(fitted_router(past), 1e9)
    asked = past.question(0)
    assert router(asked).model == 0
    assert asked.usd == past.usd[0, 0]


def test_cascade_routing_asks_several_where_money_is_nothing(past: Past) -> None:
    assert spend(past, 0, priced(fitted_router(past), 0.0)) > past.usd[0, 2]


def test_cascade_routing_spends_its_budget_on_the_past(past: Past) -> None:
    route = cascade_router(past, 2e-4)
    spent = np.mean([spend(past, at, route) for at in range(100)])
    assert 1e-4 < spent <= 2e-4


def test_agreement_is_evidence_for_and_disagreement_against(past: Past) -> None:
    weights = fitted_router(past).after
    before = np.array([0.6, 0.6, 0.6])
    agreeing = evidence(before, [0, 1], [4, 4])[0] @ weights
    alone = evidence(before, [0], [4])[0] @ weights
    differing = evidence(before, [0, 1], [4, 5])[0] @ weights
    assert agreeing > alone > differing
    assert evidence(before, [0, 1], [None, None])[0].tolist() == evidence(before, [0], [None])[0].tolist()


def test_the_static_cascade_goes_on_until_it_trusts_an_answer(past: Past) -> None:
    table = np.full((len(past.contexts[0].categories), 3), 0.6)
    at = int(np.flatnonzero(past.groups[:, 0] == past.groups[:, 1])[0])
    easy, hard = past.question(at), past.question(at)
    StaticCascade(table, [0, 1, 2], 0.5, 0.5)(easy)
    StaticCascade(table, [0, 1, 2], 0.5, 0.8)(hard)
    assert easy.usd == pytest.approx(past.usd[at, 0])
    assert hard.usd == pytest.approx(past.usd[at, :2].sum())


def test_unsuitable_models_are_never_asked_by_the_static_cascade(past: Past) -> None:
    table = np.tile([0.2, 0.9, 0.8], (len(past.contexts[0].categories), 1))
    asked = Known(past, 0)
    StaticCascade(table, [0, 1, 2], 0.8, 2.0)(asked)
    assert asked.usd == pytest.approx(past.usd[0, 1:].sum())


def test_logistic_finds_the_weights_behind_the_labels(world: World) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(4000), rng.normal(size=4000)])
    y = (rng.random(4000) < 1.0 / (1.0 + np.exp(-(x @ [0.5, -1.5])))).astype(float)
    assert logistic(x, y) == pytest.approx([0.5, -1.5], abs=0.15)
