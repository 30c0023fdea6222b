from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.schemas.metrics import BUILT_IN_METRICS, Metric

ADAPTER: TypeAdapter[Metric] = TypeAdapter(Metric)
METRICS: list[dict[str, Any]] = [
    {"type": "boolean"},
    {"type": "boolean", "reward_map": {"true": 0.25, "false": 1}},
    {"type": "float"},
    {"type": "categorical", "reward_map": {"good": 0.9, "bad": 0}},
]

values = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["good", "bad", "true", ""])


def reward_or_wish(metric: dict[str, Any], value: object) -> float | str:
    try:
        return ADAPTER.validate_python(metric).reward(value)
    except ValueError as err:
        return str(err)


@given(st.sampled_from(METRICS), values)
def test_a_reward_is_from_0_to_1_or_the_value_is_refused(metric: dict[str, Any], value: object) -> None:
    outcome = reward_or_wish(metric, value)
    assert outcome.startswith("should be") if isinstance(outcome, str) else 0 <= outcome <= 1


def test_a_boolean_without_a_map_is_1_or_0() -> None:
    metric = ADAPTER.validate_python({"type": "boolean"})
    assert (metric.reward(True), metric.reward(False)) == (1.0, 0.0)


def test_a_map_gives_the_reward() -> None:
    assert ADAPTER.validate_python(METRICS[1]).reward(True) == 0.25
    assert ADAPTER.validate_python(METRICS[3]).reward("good") == 0.9


def test_a_float_is_its_own_reward() -> None:
    assert ADAPTER.validate_python({"type": "float"}).reward(0.3) == 0.3


@pytest.mark.parametrize(
    "metric",
    [
        {},
        {"type": "stars"},
        {"type": "boolean", "reward_map": {"true": 1}},
        {"type": "boolean", "reward_map": {"true": 1, "false": 0, "maybe": 0.5}},
        {"type": "boolean", "reward_map": {"true": 2, "false": 0}},
        {"type": "float", "reward_map": {"1": 1}},
        {"type": "categorical"},
        {"type": "categorical", "reward_map": {}},
        {"type": "categorical", "reward_map": {"a": float("nan")}},
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(metric: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(metric)


def test_the_built_in_metrics_are_those_of_the_contract() -> None:
    assert set(BUILT_IN_METRICS) == {"thumbs", "rating", "comment", "demonstration"}
