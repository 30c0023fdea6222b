"""What the evidence means for the pool, all together."""

from dataclasses import replace

import numpy as np

from learner.cascade import Prospects
from learner.joint import JointView
from learner.outlook import looked_around
from tests.learner.conftest import arm


def typical(*quality: float) -> Prospects:
    m = len(quality)
    return Prospects(
        quality=np.array(quality), deviation=np.full(m, 0.1), cost_usd=np.full(m, 1e-3), lambda_=1.0, comparable=1.0,
        joint=JointView(), depth=3, margin=0.0,
    )  # fmt: skip


def test_an_arm_that_is_beaten_for_certain_is_parked_and_not_worth_exploring() -> None:
    pool = [arm("good", state="active"), arm("beaten", state="active"), arm("unknown", state="exploring")]
    states, upsides = looked_around(pool, np.array([500.0, 500.0, 5.0]), np.zeros(3), typical(0.9, 0.2, 0.6))
    assert [one.state for one in states] == ["active", "parked", "exploring"]
    assert upsides[1] == 0.0
    assert upsides[2] > 0.0


def test_an_arm_that_only_judges_is_not_worth_exploring() -> None:
    pool = [arm("good", state="active"), arm("judge", is_routable=False, state="exploring")]
    _, upsides = looked_around(pool, np.array([500.0, 5.0]), np.zeros(2), typical(0.5, 0.6))
    assert upsides[1] == 0.0


def cheap_and_weak(counts: float, share: float, lambda_: float) -> str:
    """The state of an arm that is cheaper than the other one, and weaker."""
    pool = [arm("good", state="active"), arm("weak", state="exploring")]
    told = replace(typical(0.9, 0.2), cost_usd=np.array([1e-3, 1e-4]), lambda_=lambda_)
    states, _ = looked_around(pool, np.array([500.0, counts]), np.array([1.0 - share, share]), told)
    return states[1].state


def test_a_cheap_arm_that_no_plan_would_use_is_parked_with_the_price_of_quality() -> None:
    assert cheap_and_weak(100.0, 0.0, 1.0) == "parked"
    assert cheap_and_weak(10.0, 0.0, 1.0) == "exploring"
    assert cheap_and_weak(100.0, 0.2, 1.0) == "active"
    # Where money is dear enough, a weak answer for a tenth of the price is the better one.
    assert cheap_and_weak(100.0, 0.0, 900.0) == "active"


def test_the_reason_names_what_it_would_have_to_be() -> None:
    pool = [arm("good", state="active"), arm("weak", state="active")]
    told = replace(typical(0.9, 0.2), cost_usd=np.array([1e-3, 1e-4]), lambda_=2.5)
    states, _ = looked_around(pool, np.full(2, 500.0), np.array([1.0, 0.0]), told)
    assert "no plan would use it while a dollar must buy 2.5 of quality" in states[1].reason
    assert "0.0001 USD" in states[1].reason
