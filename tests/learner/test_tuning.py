"""Re-tuning replays other parameters on logged comparisons, without a single call."""

from dataclasses import replace

import numpy as np
import pytest

from learner.channel import FLIP, Rates
from learner.policy import View
from learner.tuning import (
    LEAST_COMPARISONS,
    Believed,
    Comparison,
    Played,
    candidates,
    compared,
    played,
    retune,
    utilities,
)
from learner.types import Parameters, Rated
from tests.learner.conftest import TEXTS, arm, called, context, served, state

POOL = (arm("a", 0.1), arm("b", 0.1), arm("c", 0.1))
BELIEVED = Believed(np.full(3, 0.6), np.full(3, 0.6))


def comparison(k: int, groups: tuple[int, ...], *, reward: float | None = None) -> Comparison:
    """A query that three equally good and equally cheap arms answered; `a` was served."""
    calls = (called(one.id, i, group, cost_usd=1e-6) for i, (one, group) in enumerate(zip(POOL, groups, strict=True)))
    event = served(*calls, name=f"q{k}", of=context(TEXTS[k % len(TEXTS)]))
    return Comparison(replace(event, answered_step=0), BELIEVED, reward)


def comparisons(n: int, *, agree: float = 0.6) -> list[Comparison]:
    rng = np.random.default_rng(1)
    return [comparison(k, tuple(0 if rng.random() < agree else 1 + i for i in range(3))) for k in range(n)]


def view(depth: int = 1, margin: float = 0.002, lambda_: float = 1.0) -> View:
    return replace(state(POOL).view(), parameters=Parameters(depth=depth, margin=margin), lambda_=lambda_)


def test_candidates_change_one_parameter_each_and_are_the_next_version() -> None:
    now = Parameters(version=4, depth=2, margin=0.005)
    found = candidates(now)
    assert {one.version for one in found} == {5}
    assert {one.depth for one in found} == {1, 2, 3}
    for one in found:
        assert sum((one.depth != now.depth, one.margin != now.margin, one.sharpness != now.sharpness)) == 1


def test_a_vote_of_three_beats_a_single_answer_where_calls_are_cheap() -> None:
    found = retune(view(depth=2), comparisons(200))
    assert found is not None
    assert found.parameters.depth == 3
    assert found.gain.low > 0.0
    assert found.comparisons == 200


def test_nothing_is_gained_by_asking_more_where_calls_are_dear() -> None:
    found = retune(view(depth=1, lambda_=1e6), comparisons(LEAST_COMPARISONS))
    assert found is not None
    assert found.gain.mean == pytest.approx(0.0, abs=1e-9)


def test_too_few_comparisons_tune_nothing() -> None:
    assert retune(view(), comparisons(LEAST_COMPARISONS - 1)) is None


def test_requests_that_one_arm_answered_are_no_comparisons() -> None:
    lone = [Comparison(served(called("a", 0, 0), name=f"lone{i}"), BELIEVED) for i in range(100)]
    assert retune(view(), [*comparisons(LEAST_COMPARISONS - 1), *lone]) is None
    found = retune(view(), [*comparisons(LEAST_COMPARISONS), *lone])
    assert found is not None
    assert found.comparisons == LEAST_COMPARISONS


def test_comparisons_of_arms_that_have_left_are_passed_over() -> None:
    gone = state([replace(one, state="retired") for one in POOL])
    assert retune(replace(gone.view(), parameters=Parameters(depth=1)), comparisons(LEAST_COMPARISONS)) is None


def test_a_policy_that_asks_one_arm_ends_with_its_answer_and_pays_it_alone() -> None:
    found = played(view(depth=1), comparison(0, (0, 1, 1)))
    assert found.chances.sum() == pytest.approx(1.0)
    assert found.cost_usd == pytest.approx(1e-6)


def test_an_unrated_comparison_is_worth_what_its_answers_say_less_its_price() -> None:
    one, now = comparison(0, (0, 0, 1)), view(lambda_=1e4)
    (utility,) = utilities(now, [one], [Played(np.array([0.0, 0.0, 1.0]), 2e-6)], [Played(np.eye(3)[0], 1e-6)])
    right = replace(now, quality=BELIEVED).answered(one.served.context, one.served.calls, ()).right
    assert utility == pytest.approx(float(right[2]) - 1e4 * 2e-6)


def test_ratings_correct_a_wrong_belief_in_the_answers() -> None:
    """All believe that two who agree are right; the users know better: only the odd one is. Both policies are valued
    as the users would, on average over who happens to rate (n = 2,000, tolerance four standard errors).
    """
    rng = np.random.default_rng(3)
    log = []
    for k in range(2_000):
        step = int(rng.integers(3))
        is_rated = rng.random() < 0.5
        is_up = (step == 2) != (rng.random() < FLIP)
        one = comparison(k, (0, 0, 1), reward=Rates().unflipped(is_up) if is_rated else None)
        log.append(replace(one, served=replace(one.served, answered_step=step)))
    logged = [Played(np.full(3, 1 / 3), 0.0)] * len(log)
    now = view(lambda_=0.0)
    for target, truth in ((np.eye(3)[0], 0.0), (np.eye(3)[2], 1.0)):
        values = utilities(now, log, [Played(target, 0.0)] * len(log), logged)
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(len(values)))


def test_thumbs_pressed_by_mistake_do_not_move_the_mean() -> None:
    for quality in (0.2, 0.9):
        up = quality * (1 - FLIP) + (1 - quality) * FLIP
        assert up * Rates().unflipped(1.0) + (1 - up) * Rates().unflipped(0.0) == pytest.approx(quality)


def test_a_comparison_remembers_what_was_believed_before_it_and_how_it_was_rated() -> None:
    learner = state(POOL)
    event = comparison(0, (0, 0, 1)).served
    before = learner.view().quality.mean(event.context).copy()
    learner.apply(event, 0.0)
    learner.apply(Rated(event, "thumbs", 1.0, is_binary=True), 1.0)
    for k in range(1, 30):
        learner.apply(comparison(k, (0, 0, 1)).served, float(k))
    found = compared(learner, event)
    assert found.believed.quality == pytest.approx(before)
    assert found.reward == learner.trust.channel.rates(event.context).unflipped(1.0)
