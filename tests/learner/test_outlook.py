"""What the evidence means for the pool, all together."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learner.cascade import Prospects, upsides
from learner.joint import JointView
from learner.outlook import is_worth_asking, looked_around
from learner.types import FloatArray
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


def worth_asking(counts: float) -> FloatArray:
    """What comparing two arms is worth that differ little, after so many observations of each."""
    pool = [arm("cheap", state="active"), arm("dear", state="active")]
    told = replace(typical(0.6, 0.65), cost_usd=np.array([1e-4, 1e-3]), lambda_=40.0, depth=1)
    return looked_around(pool, np.full(2, counts), np.full(2, 0.5), told)[1]


def test_comparisons_end_where_beliefs_have_settled() -> None:
    assert (worth_asking(20.0) > 0.0).all()
    assert (worth_asking(2_000.0) == 0.0).all()


@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4),
    st.floats(2.0, 2_000.0),
    st.floats(0.1, 1_000.0),
    st.floats(1.0, 100.0),
)
def test_what_is_worth_asking_at_a_price_is_so_at_any_lower_one(
    means: list[float], counts: float, price: float, cheaper: float
) -> None:
    told = replace(typical(*means), lambda_=price)
    deviations = np.sqrt(told.quality * (1.0 - told.quality) / (counts + 1.0))
    _, informed = upsides(told, deviations, range(len(means)))
    now = is_worth_asking(told, deviations, informed)
    then = is_worth_asking(replace(told, lambda_=price / cheaper), deviations, informed)
    assert (then >= now).all()


def test_who_is_surely_known_is_not_worth_asking_at_any_price() -> None:
    told = replace(typical(0.6, 0.6), lambda_=0.0)
    _, informed = upsides(told, np.zeros(2), range(2))
    assert not is_worth_asking(told, np.zeros(2), informed).any()


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
