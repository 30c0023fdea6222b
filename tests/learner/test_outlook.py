"""What the evidence means for the pool, all together."""

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
    states, upsides = looked_around(pool, np.array([500.0, 500.0, 5.0]), typical(0.9, 0.2, 0.6))
    assert [one.state for one in states] == ["active", "parked", "exploring"]
    assert upsides[1] == 0.0
    assert upsides[2] > 0.0


def test_an_arm_that_only_judges_is_not_worth_exploring() -> None:
    pool = [arm("good", state="active"), arm("judge", is_routable=False, state="exploring")]
    _, upsides = looked_around(pool, np.array([500.0, 5.0]), typical(0.5, 0.6))
    assert upsides[1] == 0.0
