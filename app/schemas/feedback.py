"""Feedback as it arrives: who it is about, which metric, which value; and the reward that the value is worth."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, model_validator

from app.errors import Unprocessable, refusal
from app.problems import located, problems_in, shown
from app.schemas.base import EPISODE, Many, Name, Strict, Tags, parse_json
from app.schemas.metrics import BUILT_IN_METRICS, Metric

MAX_ITEMS = 1_000
_YEAR_2200_S = 7_258_118_400


def _moment(value: Any) -> datetime | None:
    """Read ISO 8601 (UTC where no offset is given) or seconds since 1970 as a moment in UTC."""
    try:
        if value is None:
            return None
        if isinstance(value, str):
            stated = datetime.fromisoformat(value)
            return (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).astimezone(UTC)
        if not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < _YEAR_2200_S:
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("should be a time in ISO 8601, such as 2026-01-31T12:00:00Z, or in seconds since 1970")


class FeedbackItem(Strict):
    """One value of one metric for one inference, or for all inferences of an episode."""

    inference_id: Name | None = None
    """The `id` of the response that this is about; may be left out where `tags` name an `episode`."""
    metric_name: Name
    value: Any
    """Its type depends on the metric; see `reward_of`."""
    tags: Tags = Field(default_factory=dict)
    occurred_at: Annotated[datetime | None, PlainValidator(_moment, json_schema_input_type=str | float | None)] = None
    """When it happened, in UTC; the time of arrival where none is given."""
    source: Name | None = None

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if self.inference_id is None and not self.tags.get(EPISODE):
            raise located([(("inference_id",), None, "should be the id of a response, unless tags name an episode")])
        return self


_ITEMS = TypeAdapter(Annotated[Many[FeedbackItem], Field(min_length=1, max_length=MAX_ITEMS)])


def parse_feedback(raw: bytes) -> tuple[FeedbackItem, ...]:
    """Read and check the body of a feedback request: one item, or a list of 1 to 1,000.

    Args:
        raw: The body as it came.

    Raises:
        Unprocessable: The body is empty, no JSON, or any item is malformed.
    """
    body = parse_json(raw, Unprocessable)
    is_one = isinstance(body, dict)
    try:
        return (FeedbackItem.model_validate(body),) if is_one else _ITEMS.validate_python(body)
    except ValidationError as err:
        found = problems_in(err.errors(include_url=False), body, lambda _: FeedbackItem.model_fields)
        raise refusal(Unprocessable, found) from err


def reward_of(item: FeedbackItem, metrics: Mapping[str, Metric], *, index: int = 0) -> float | None:
    """Check a value against its metric and return the reward it is worth.

    Args:
        item: The feedback.
        metrics: The metrics that the configuration declares, by name.
        index: Position of the item in its request, for the message.

    Returns:
        A reward, 0 to 1; None for a comment or a demonstration, which are text.

    Raises:
        Unprocessable: The metric is unknown, or the value has the wrong type or range.
    """
    declared = metrics.get(item.metric_name)
    reward = declared.reward if declared else BUILT_IN_METRICS.get(item.metric_name)
    if reward is None:
        known = ", ".join([*BUILT_IN_METRICS, *metrics])
        told = f"item {index}: metric_name: {shown(item.metric_name)} is unknown; the known ones are {known}"
        raise Unprocessable(told, param="metric_name")
    try:
        return reward(item.value)
    except ValueError as err:
        raise Unprocessable(f"item {index}: {item.metric_name}: {shown(item.value)} {err}", param="value") from err
