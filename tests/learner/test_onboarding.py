"""The life of an arm."""

from dataclasses import replace

import numpy as np
import pytest

from learner.onboarding import ENOUGH, LEAST_SEEN, next_states
from learner.pool import ArmState
from learner.quality import ARM_PRIOR_COUNT, STATED_PRIOR_COUNT, interval
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


def test_an_arm_is_parked_as_soon_as_it_is_beaten_and_not_by_its_prior_alone() -> None:
    assert states("active", "exploring", [0.9, 0.2], [300, ARM_PRIOR_COUNT + LEAST_SEEN], [1, 1]) == [
        "active",
        "parked",
    ]
    stated = [arm("a", state="active"), arm("b", state="exploring", prior_quality=0.2)]
    counts = np.array([300.0, STATED_PRIOR_COUNT + LEAST_SEEN - 1.0])
    assert next_states(stated, np.array([0.9, 0.2]), counts, np.ones(2))[1].state == "active"
    assert next_states(stated, np.array([0.9, 0.2]), counts + 1.0, np.ones(2))[1].state == "parked"


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


def test_nothing_but_the_state_and_its_reason_changes() -> None:
    pair = [arm("a", 3.0, prior_quality=0.3, state="active"), arm("b", state="active")]
    judged = next_states(pair, MEANS, COUNTS, COSTS)
    assert replace(judged[0], reason="") == pair[0]
    assert replace(judged[1], reason="") == arm("b", state="parked")


def test_a_parked_arm_is_told_its_interval_and_the_rival_that_beats_it_with_both_prices() -> None:
    pair = [arm("good", state="active"), arm("fair", state="active"), arm("bad", state="exploring")]
    judged = next_states(pair, np.array([0.9, 0.8, 0.4]), np.full(3, 200.0), np.array([0.0012, 0.0011, 0.0045]))
    assert judged[2].state == "parked"
    low, high = interval(0.4, 200.0)
    for words in (f"{low:.2f} to {high:.2f} at 0.0045 USD", "200 observations", "good is better", "0.0012 USD"):
        assert words in judged[2].reason
    assert "fair" not in judged[2].reason


def test_an_arm_that_explores_is_told_how_much_evidence_is_missing() -> None:
    (one,) = next_states([arm("a")], np.array([0.5]), np.array([7.0]), np.array([1.0]))
    assert "7 observations" in one.reason
    assert "25" in one.reason


def test_the_operators_word_has_no_reason_in_the_evidence() -> None:
    (one,) = next_states([arm("a", state="draining")], np.array([0.5]), np.array([7.0]), np.array([1.0]))
    assert one.reason == ""
