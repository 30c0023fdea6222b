"""Feedback metrics: which values they take and what reward each value is worth.

The built-in metrics are always there; the configuration file declares further ones. A reward is a number from 0 to 1
that the learner learns from; a metric that is only text has none.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from app.schemas.base import Strict, UnitInterval


def _with_both(rewards: dict[Any, float]) -> dict[Any, float]:
    if len(rewards) < 2:
        raise ValueError("should give a reward for both true and false")
    return rewards


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _unit_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("should be a number from 0 to 1")
    return float(value)


class BooleanMetric(Strict):
    """A metric of true and false."""

    type: Literal["boolean"]
    reward_map: Annotated[dict[Literal["true", "false"], UnitInterval], AfterValidator(_with_both)] = Field(
        default={"true": 1.0, "false": 0.0}
    )

    def reward(self, value: Any) -> float:
        """Return the reward of a value; ValueError says what it should be."""
        return self.reward_map["true" if _boolean(value) else "false"]


class FloatMetric(Strict):
    """A metric that is its own reward, a number from 0 to 1."""

    type: Literal["float"]

    def reward(self, value: Any) -> float:
        """Return the reward of a value; ValueError says what it should be."""
        return _unit_number(value)


class CategoricalMetric(Strict):
    """A metric of named categories."""

    type: Literal["categorical"]
    reward_map: Annotated[dict[str, UnitInterval], Field(min_length=1)]

    def reward(self, value: Any) -> float:
        """Return the reward of a value; ValueError says what it should be."""
        if not isinstance(value, str) or value not in self.reward_map:
            raise ValueError(f"should be one of {', '.join(self.reward_map)}")
        return self.reward_map[value]


Metric = Annotated[BooleanMetric | FloatMetric | CategoricalMetric, Field(discriminator="type")]


def _comment(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError("should be text")


def _demonstration(value: Any) -> None:
    content = value.get("content") if isinstance(value, dict) else value
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if not any(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("should be the text of the answer, or a message object with content")


BUILT_IN_METRICS: Mapping[str, Callable[[Any], float | None]] = MappingProxyType(
    {
        "thumbs": lambda value: float(_boolean(value)),
        "rating": _unit_number,
        "comment": _comment,
        "demonstration": _demonstration,
    }
)
"""Name of each built-in metric and the reward of a value; None is text without a reward."""
