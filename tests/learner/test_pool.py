"""Hard filters: what an arm may not answer it is never asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import LearnerError, NoEligibleArm
from learner.pool import SERVING, Arm, ArmState, eligible, is_named, refusal
from learner.types import Limits
from tests.learner.conftest import arm

POOL = (arm("acme/small"), arm("acme/large", 4.0), arm("other/middle", capabilities=frozenset({"tools"})))


def test_a_call_costs_its_tokens_at_the_arms_prices() -> None:
    assert Arm("a", 0.5, 2.0).cost_usd(1_000, 500) == pytest.approx(0.0005 + 0.001)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(), [0, 1, 2]),
        (Limits(allow=("acme/*",)), [0, 1]),
        (Limits(allow=("*/small", "other/*")), [0, 2]),
        (Limits(deny=("acme/*",)), [2]),
        (Limits(allow=("acme/*",), deny=("*/large",)), [0]),
        (Limits(unavailable=frozenset({"acme/small"})), [1, 2]),
        (Limits(needs=frozenset({"tools"})), [2]),
    ],
)
def test_limits_keep_exactly_these_arms(limits: Limits, kept: list[int]) -> None:
    assert eligible(POOL, limits) == kept


def test_an_arm_of_unknown_capabilities_is_asked_where_no_other_claims_them() -> None:
    limits = Limits(needs=frozenset({"tools"}), allow=("acme/*",))
    assert eligible(POOL, limits) == [0, 1]


def test_an_arm_that_states_its_capabilities_lacks_all_others() -> None:
    assert refusal(POOL[2], Limits(needs=frozenset({"vision", "audio"}))) == "lacks audio, vision"
    assert eligible(POOL, Limits(needs=frozenset({"vision"}))) == [0, 1]


def test_a_request_must_fit_into_the_context_window() -> None:
    short = arm("short", context_tokens=1_000)
    assert refusal(short, Limits(input_tokens=1_000)) is None
    assert refusal(short, Limits(input_tokens=1_001)) == "context window of 1000 tokens"


@pytest.mark.parametrize("state", ["registered", "exploring", "active", "parked", "draining", "retired", "quarantined"])
def test_only_arms_in_service_answer(state: ArmState) -> None:
    assert (refusal(arm("a", state=state), Limits()) is None) == (state in SERVING)


def test_an_arm_that_is_not_routable_is_never_chosen() -> None:
    assert refusal(arm("judge", is_routable=False), Limits()) == "not in service"


def test_a_refusal_of_all_names_each_arm_with_its_reason() -> None:
    with pytest.raises(NoEligibleArm, match=r"acme/small: in router\.deny; acme/large: in router\.deny"):
        eligible(POOL, Limits(deny=("*",)))
    with pytest.raises(LearnerError, match="the pool is empty"):
        eligible((), Limits())


@given(st.permutations(POOL), st.sets(st.sampled_from([one.id for one in POOL]), max_size=2))
def test_the_order_of_the_pool_does_not_matter(pool: list[Arm], away: set[str]) -> None:
    limits = Limits(unavailable=frozenset(away))
    assert {pool[i].id for i in eligible(pool, limits)} == {POOL[i].id for i in eligible(POOL, limits)}


def test_globs_are_matched_with_their_case() -> None:
    assert is_named("acme/Small", ["acme/S*"])
    assert not is_named("acme/Small", ["acme/s*"])
