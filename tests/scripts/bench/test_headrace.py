from dataclasses import replace

import numpy as np
import pytest

from learner.features import Features
from learner.pool import Arm
from learner.quality import Label, Quality
from learner.types import Query
from scripts.bench.headrace import PARTS, VARIANTS, Headrace, RidgeAlone, Unforgetting, WithoutCells, WithoutRidge
from scripts.bench.play import Case, Played, play
from scripts.bench.worlds import World
from tests.scripts.conftest import MakeWorld


def case_of(world: World, features: Features) -> Case:
    return Case(world, features, world.budget_usd(0.6), 0)


def played(name: str, world: World, features: Features) -> tuple[Headrace, Played]:
    policy = Headrace(case_of(world, features), PARTS[name])
    return policy, play(case_of(world, features), policy)


def table(kind: type[Quality], features: Features) -> Quality:
    """A table with two arms in two categories, taught that the second arm fails in the first category only."""
    quality = kind(features.size)
    for index, arm in enumerate((Arm("small", 0.1, 0.1), Arm("large", 1.0, 1.0))):
        quality.set_arm(index, arm, 2)
    context = features.context(Query("What is 3 + 4?"), features.seeds)
    for _ in range(40):
        for share, value in ((np.array([1.0, 0.0]), 0.0), (np.array([0.0, 1.0]), 1.0)):
            quality.observe(1, replace(context, categories=share), Label(1.0, value))
    return quality


def test_headrace_keeps_its_budget_and_pays_for_its_comparisons(make: MakeWorld, features: Features) -> None:
    world = make(400)
    _, outcome = played("headrace", world, features)
    assert outcome.background_usd.sum() > 0.0
    assert outcome.total_usd.mean() < 1.15 * world.budget_usd(0.6)
    assert outcome.quality.mean() > world.quality[:, 0].mean()
    assert ((outcome.probability > 0.0) & (outcome.probability < 1.0)).all()


def test_the_same_seed_gives_the_same_run(world: World, features: Features) -> None:
    first, second = (played("headrace", world, features)[1] for _ in range(2))
    assert np.array_equal(first.model, second.model)
    assert np.array_equal(first.total_usd, second.total_usd)


def test_without_the_shadow_stream_nothing_is_asked_in_the_background(world: World, features: Features) -> None:
    assert played("- shadow stream", world, features)[1].background_usd.sum() == 0.0


def test_without_the_cascade_one_model_is_asked(world: World, features: Features) -> None:
    policy, outcome = played("- cascade", world, features)
    assert np.array_equal(outcome.usd, world.usd[np.arange(len(world.prompts)), outcome.model])
    assert all(sum(call.purpose == "answer" for call in served.calls) == 1 for served in policy._served)


def test_without_skipping_the_cheapest_model_is_always_first(world: World, features: Features) -> None:
    policy, _ = played("- skip", world, features)
    assert {served.calls[0].arm for served in policy._served} == {"small"}


def test_without_the_stacker_no_weight_is_learned(world: World, features: Features) -> None:
    taught, untaught = (played(name, world, features)[0]._state.stacker for name in ("headrace", "- stacker"))
    assert untaught.view().weights["prior"] == 1.0
    assert taught.view().weights["prior"] != 1.0


def test_without_the_taxonomy_all_categories_are_alike(features: Features) -> None:
    whole, without = (table(kind, features).view().cells[1] for kind in (Quality, WithoutCells))
    assert whole[0] < whole[1] - 0.3
    assert without[0] == without[1]


def test_the_ridge_has_no_say_or_the_whole_say(features: Features) -> None:
    assert table(WithoutRidge, features).view().gates == (0.0, 0.0)
    alone = table(RidgeAlone, features).view()
    assert alone.gates == (1.0, 1.0)
    assert alone.cells[1, 0] == alone.cells[1, 1]


def test_without_forgetting_every_observation_counts(features: Features) -> None:
    assert table(Quality, features).count[1].sum() < 79.0
    assert table(Unforgetting, features).count[1].sum() == pytest.approx(80.0)
    assert table(Unforgetting, features).total[1].sum() == pytest.approx(40.0)


def test_every_variant_is_built_and_named_once(world: World, features: Features) -> None:
    assert all(isinstance(build(case_of(world, features)), Headrace) for build in VARIANTS.values())
    assert len({repr(parts) for parts in PARTS.values()}) == len(PARTS)
