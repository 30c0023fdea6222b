"""The life of an arm."""

import numpy as np
import pytest

from learner.onboarding import ENOUGH, next_states
from learner.pool import ArmState
from tests.learner.conftest import arm

MEANS, COUNTS, COSTS = np.array([0.9, 0.4]), np.array([100.0, 100.0]), np.array([1.0, 2.0])


def states(
    first: ArmState, second: ArmState, means: list[float], counts: list[float], costs: list[float]
) -> list[ArmState]:
    pair = [arm("a", state=first), arm("b", state=second)]
    return [one.state for one in next_states(pair, np.array(means), np.array(counts), np.array(costs))]


def test_a_new_arm_explores_until_there_is_enough_evidence() -> None:
    assert states("registered", "exploring", [0.5, 0.5], [4.0, ENOUGH - 1], [1, 1]) == ["exploring", "exploring"]
    assert states("registered", "exploring", [0.5, 0.5], [ENOUGH, ENOUGH], [1, 1]) == ["active", "active"]


def test_an_arm_that_is_beaten_at_no_lower_price_is_parked() -> None:
    assert states("active", "active", [0.9, 0.4], [100, 100], [1, 2]) == ["active", "parked"]
    assert states("active", "exploring", [0.9, 0.4], [100, 100], [1, 1]) == ["active", "parked"]


def test_a_worse_arm_stays_while_it_is_cheaper() -> None:
    assert states("active", "active", [0.9, 0.4], [100, 100], [2, 1]) == ["active", "active"]


def test_intervals_that_overlap_park_nobody() -> None:
    assert states("active", "active", [0.6, 0.5], [30, 30], [1, 2]) == ["active", "active"]


def test_an_arm_that_only_explores_beats_nobody() -> None:
    assert states("exploring", "active", [0.9, 0.4], [ENOUGH - 1, 100], [1, 2]) == ["exploring", "active"]


def test_a_parked_arm_returns_when_its_rival_fades() -> None:
    assert states("active", "parked", [0.4, 0.45], [100, 100], [1, 2]) == ["active", "active"]


def test_an_arm_outside_the_routing_beats_nobody() -> None:
    pair = [arm("judge", state="active", is_routable=False), arm("b", state="active")]
    assert next_states(pair, MEANS, COUNTS, COSTS)[1].state == "active"


@pytest.mark.parametrize("word", ["draining", "retired", "quarantined"])
def test_the_operators_word_stands(word: ArmState) -> None:
    assert states(word, "active", [0.1, 0.9], [100, 100], [1, 1]) == [word, "active"]


def test_nothing_but_the_state_changes() -> None:
    pair = [arm("a", 3.0, prior_quality=0.3, state="active"), arm("b", state="active")]
    judged = next_states(pair, MEANS, COUNTS, COSTS)
    assert judged[0] == pair[0]
    assert judged[1] == arm("b", state="parked")
