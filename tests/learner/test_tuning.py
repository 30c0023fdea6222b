"""Re-tuning replays other parameters on logged comparisons, without a single call."""

from dataclasses import replace

import numpy as np
import pytest

from learner.policy import View
from learner.tuning import LEAST_COMPARISONS, candidates, retune, utilities
from learner.types import Parameters, Served
from tests.learner.conftest import TEXTS, arm, called, context, served, state

POOL = (arm("a", 0.1), arm("b", 0.1), arm("c", 0.1))


def comparisons(n: int, *, agree: float = 0.6) -> list[Served]:
    """Queries that three equally good and equally cheap arms answered."""
    rng = np.random.default_rng(1)
    return [
        served(
            *(called(one.id, i, 0 if rng.random() < agree else 1 + i, cost_usd=1e-6) for i, one in enumerate(POOL)),
            name=f"q{k}",
            of=context(TEXTS[k % len(TEXTS)]),
        )
        for k in range(n)
    ]


def view(depth: int = 1, margin: float = 0.002, lambda_: float = 1.0) -> View:
    return replace(state(POOL).view(), parameters=Parameters(depth=depth, margin=margin), lambda_=lambda_)


def test_candidates_are_all_neighbours_of_the_next_version() -> None:
    found = candidates(Parameters(version=4, depth=2, margin=0.005))
    assert len(found) == 15
    assert {one.version for one in found} == {5}
    assert (2, 0.005) not in {(one.depth, one.margin) for one in found}


def test_a_vote_of_three_beats_a_single_answer_where_calls_are_cheap() -> None:
    found = retune(view(depth=1), comparisons(60))
    assert found is not None
    assert found.parameters.depth > 1
    assert found.low > 0.0
    assert found.low < found.gain
    assert found.comparisons == 60


def test_a_single_answer_stays_where_calls_are_dear() -> None:
    found = retune(view(depth=1, lambda_=1e6), comparisons(60))
    assert found is not None
    assert found.gain == pytest.approx(0.0, abs=1e-9)


def test_too_few_comparisons_tune_nothing() -> None:
    assert retune(view(), comparisons(LEAST_COMPARISONS - 1)) is None


def test_requests_that_one_arm_answered_are_no_comparisons() -> None:
    lone = [served(called("a", 0, 0), name=f"lone{i}") for i in range(100)]
    assert retune(view(), [*comparisons(LEAST_COMPARISONS - 1), *lone]) is None
    found = retune(view(), [*comparisons(LEAST_COMPARISONS), *lone])
    assert found is not None
    assert found.comparisons == LEAST_COMPARISONS


def test_a_utility_is_the_answers_belief_less_its_price() -> None:
    (event,) = comparisons(1, agree=1.0)
    now = view(depth=1, lambda_=1e4)
    (utility,) = utilities(now, [event])
    right = now.answered(event.context, event.calls, ()).right
    assert utility == pytest.approx(float(right[0]) - 1e4 * 1e-6)


def test_comparisons_of_arms_that_have_left_are_passed_over() -> None:
    gone = state([replace(one, state="retired") for one in POOL])
    left = served(called("a", 0, 0), called("b", 1, 0), called("c", 2, 0), name="left")
    found = retune(replace(gone.view(), parameters=Parameters(depth=1)), [left] * LEAST_COMPARISONS)
    assert found is None
