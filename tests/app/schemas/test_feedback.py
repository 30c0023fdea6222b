from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Unprocessable
from app.schemas.feedback import MAX_ITEMS, FeedbackItem, parse_feedback, reward_of
from app.schemas.metrics import BooleanMetric, CategoricalMetric, FloatMetric, Metric

ITEM: dict[str, Any] = {"inference_id": "i-1", "metric_name": "thumbs", "value": True}
METRICS: dict[str, Metric] = {
    "resolved": BooleanMetric(type="boolean", reward_map={"true": 0.8, "false": 0.1}),
    "share": FloatMetric(type="float"),
    "mood": CategoricalMetric(type="categorical", reward_map={"glad": 1.0, "cross": 0.0}),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def item(**fields: Any) -> FeedbackItem:
    return parse_feedback(orjson.dumps(ITEM | fields))[0]


def refused(body: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as raised:
        parse_feedback(body if isinstance(body, bytes) else orjson.dumps(body))
    return raised.value


def reward(metric_name: str, value: object) -> float | None:
    return reward_of(item(metric_name=metric_name, value=value), METRICS)


def unrewarded(metric_name: str, value: object, index: int = 0) -> Unprocessable:
    with pytest.raises(Unprocessable) as raised:
        reward_of(item(metric_name=metric_name, value=value), METRICS, index=index)
    return raised.value


def test_one_item_is_read() -> None:
    assert parse_feedback(orjson.dumps(ITEM)) == (FeedbackItem(inference_id="i-1", metric_name="thumbs", value=True),)


def test_a_list_is_read_in_order() -> None:
    bodies = [ITEM | {"inference_id": f"i-{number}"} for number in range(MAX_ITEMS)]
    assert [each.inference_id for each in parse_feedback(orjson.dumps(bodies))] == [f"i-{n}" for n in range(MAX_ITEMS)]


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_a_list_of_none_or_of_too_many_is_refused(count: int) -> None:
    assert "should have at" in str(refused([ITEM] * count))


@pytest.mark.parametrize("raw", [b"", b"{", b"3", b"null", b'"x"', b"\xff"])
def test_a_body_that_is_no_item_and_no_list_is_refused(raw: bytes) -> None:
    assert refused(raw).status == 422


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"inference_id": 7}, "inference_id"),
        ({"inference_id": ""}, "inference_id"),
        ({"metric_name": None}, "metric_name"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"tags": {"a": "b\0"}}, "tags.a"),
        ({"source": 1}, "source"),
        ({"metric": "x"}, "metric"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
    ],
)
def test_a_malformed_field_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused(ITEM | fields).param == param


@pytest.mark.parametrize(
    "fields",
    [{"inference_id": "i\0"}, {"metric_name": "\0"}, {"source": "a\0b"}, {"tags": {"\0": "a"}}, {"tags": {"a": "\0"}}],
)
def test_a_nul_character_is_refused(fields: dict[str, Any]) -> None:
    assert "should have no NUL character" in str(refused(ITEM | fields))


def test_in_a_list_the_item_is_named() -> None:
    error = refused([ITEM, ITEM | {"inference_id": 7}])
    assert error.message == "[1].inference_id: 7 should be a string"
    assert error.param == "[1].inference_id"


def test_a_missing_value_is_named() -> None:
    assert str(refused({"inference_id": "i", "metric_name": "thumbs"})) == "value: is missing; add it"


def test_a_misspelt_field_gets_the_right_spelling() -> None:
    assert "did you mean occurred_at?" in str(refused(ITEM | {"occured_at": 5}))


@pytest.mark.parametrize(
    "stated",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T14:00:00+02:00",
        "2026-01-31T12:00:00",
        1769860800,
        1769860800.0,
    ],
)
def test_a_moment_may_be_stated_in_iso_8601_or_in_seconds(stated: object) -> None:
    assert item(occurred_at=stated).occurred_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


@settings(max_examples=50)
@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.integers(-720, 720))
def test_every_moment_is_kept_in_utc(local: datetime, offset_minutes: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    kept = item(occurred_at=moment.isoformat()).occurred_at
    assert kept == moment
    assert kept is not None
    assert kept.tzinfo is UTC


@pytest.mark.parametrize("stated", [1769860800000, -1, True, 1e300, "", "31.01.2026", "0001-01-01T00:00:00+14:00", []])
def test_a_moment_that_cannot_be_is_refused(stated: object) -> None:
    assert "ISO 8601" in str(refused(ITEM | {"occurred_at": stated}))


def test_a_moment_of_null_is_the_same_as_none() -> None:
    assert item(occurred_at=None).occurred_at is None


@pytest.mark.parametrize(
    ("metric_name", "value", "expected"),
    [
        ("thumbs", True, 1.0),
        ("thumbs", False, 0.0),
        ("rating", 0, 0.0),
        ("rating", 0.25, 0.25),
        ("rating", 1, 1.0),
        ("comment", "too long", None),
        ("demonstration", "42", None),
        ("demonstration", {"role": "assistant", "content": "42"}, None),
        ("demonstration", {"role": "assistant", "content": [{"type": "text", "text": "42"}]}, None),
        ("resolved", True, 0.8),
        ("resolved", False, 0.1),
        ("share", 0.5, 0.5),
        ("mood", "glad", 1.0),
    ],
)
def test_a_value_has_the_reward_of_its_metric(metric_name: str, value: object, expected: float | None) -> None:
    assert reward(metric_name, value) == expected


@pytest.mark.parametrize(
    ("metric_name", "value", "words"),
    [
        ("thumbs", "yes", '"yes" should be true or false'),
        ("thumbs", 1, "1 should be true or false"),
        ("rating", 7, "7 should be a number from 0 to 1"),
        ("rating", True, "true should be a number"),
        ("rating", "0.5", '"0.5" should be a number'),
        ("comment", 5, "5 should be text"),
        ("demonstration", 5, "5 should be the text of the answer"),
        ("demonstration", {"text": "42"}, "an object should be the text of the answer"),
        ("resolved", "true", '"true" should be true or false'),
        ("share", 1.5, "1.5 should be a number from 0 to 1"),
        ("mood", "sad", '"sad" should be one of glad, cross'),
        ("mood", ["glad"], "a list should be one of glad, cross"),
        ("thumbs", None, "null should be true or false"),
    ],
)
def test_a_wrong_value_names_the_item_the_value_and_the_mend(metric_name: str, value: object, words: str) -> None:
    error = unrewarded(metric_name, value, index=3)
    assert error.message.startswith(f"item 3: {metric_name}: {words}")
    assert error.param == "value"


def test_an_unknown_metric_names_the_known_ones() -> None:
    error = unrewarded("thumb", True, index=2)
    assert error.message == (
        'item 2: metric_name: "thumb" is unknown; '
        "the known ones are thumbs, rating, comment, demonstration, resolved, share, mood"
    )


def reward_or_refusal(metric_name: str, value: object) -> float | Unprocessable | None:
    try:
        return reward_of(FeedbackItem(inference_id="i", metric_name=metric_name, value=value), METRICS)
    except Unprocessable as err:
        return err


@given(st.sampled_from(["thumbs", "rating", *METRICS]), json_values)
def test_a_reward_is_from_0_to_1_or_refused(metric_name: str, value: object) -> None:
    outcome = reward_or_refusal(metric_name, value)
    assert isinstance(outcome, Unprocessable) or (outcome is not None and 0 <= outcome <= 1)


@settings(max_examples=25)
@given(st.sampled_from(["comment", "demonstration"]), json_values)
def test_text_has_no_reward(metric_name: str, value: object) -> None:
    outcome = reward_or_refusal(metric_name, value)
    assert outcome is None or isinstance(outcome, Unprocessable)
