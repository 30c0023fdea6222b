"""Whether an answer has the form that its request laid down."""

import json
from typing import Any

import pytest

from app.formats import format_signals, is_valid

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}
ASKED = {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": CITY}}]}
OLDER = {"functions": [{"name": "look_up", "parameters": CITY}]}


def told(request: dict[str, Any], content: str) -> dict[str, float]:
    return format_signals(request, {"role": "assistant", "content": content})


def called(name: str, arguments: Any) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


# -- schemas ----------------------------------------------------------------------------------------------------------


def test_an_answer_of_the_schema_is_seen_and_has_no_fault() -> None:
    assert told(ASKED, '{"name": "Bern", "people": 134000}') == {"schema_seen": 1.0}


@pytest.mark.parametrize(
    "content", ['{"people": 1}', '{"name": "Bern", "people": "many"}', '{"name": "B", "x": 1}', "3"]
)
def test_json_of_another_shape_does_not_fit_the_schema(content: str) -> None:
    assert told(ASKED, content) == {"schema_invalid": 1.0, "schema_seen": 1.0}


@pytest.mark.parametrize("content", ["", "Bern", '{"name": "Be', "[" * 100_000])
def test_text_that_is_no_json_is_another_fault(content: str) -> None:
    assert told(ASKED, content) == {}


@pytest.mark.parametrize(
    "request_",
    [{}, {"response_format": None}, {"response_format": {"type": "json_object"}}, {"response_format": 3},
     {"response_format": {"type": "json_schema", "json_schema": None}}],
)  # fmt: skip
def test_without_a_schema_there_is_nothing_to_check(request_: dict[str, Any]) -> None:
    assert told(request_, "{}") == {}


def test_definitions_are_followed() -> None:
    schema = {"$defs": {"city": CITY}, "type": "array", "items": {"$ref": "#/$defs/city"}}
    assert is_valid([{"name": "Bern"}], schema) is True
    assert is_valid([{"name": 3}], schema) is False


@pytest.mark.parametrize(
    "schema",
    [{"type": "town"}, {"properties": 5}, {"required": 7}, {"$ref": "#/$defs/absent"}, {"$ref": "#"}, "city", 7,
     {"$ref": "http://127.0.0.1:9/schema.json"}, {"$ref": "file:///etc/hostname"},
     {"patternProperties": {"(a+)+b": {}}}, {"additionalProperties": False, "patternProperties": {"(a+)+b": {}}}],
)  # fmt: skip
def test_what_cannot_be_checked_is_no_signal(schema: Any) -> None:
    assert is_valid({"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!": 1}, schema) is None


def test_no_reference_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", fetched.append)
    assert is_valid({}, {"$ref": "https://example.org/schema.json"}) is None
    assert fetched == []


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize("draft", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_a_schema_that_doubles_its_work_at_every_level_is_given_up(draft: dict[str, str]) -> None:
    inner = draft | {"items": {"$ref": "#/$defs/n"}}
    schema = draft | {"$defs": {"n": draft | {"allOf": [inner, inner]}}, "$ref": "#/$defs/n"}
    assert is_valid(nested(40), schema) is None


def test_a_long_list_of_alternatives_for_many_items_is_given_up() -> None:
    assert is_valid(list(range(10_000, 20_000)), {"items": {"enum": list(range(2_000))}}) is not True


@pytest.mark.parametrize("draft", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_a_regular_expression_is_never_run(draft: dict[str, str]) -> None:
    schema = {"type": "array", "items": draft | {"pattern": "^(a+)+$"}}
    assert is_valid(["a" * 40 + "!"], schema) is True


# -- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [TOOLS, OLDER])
def test_a_call_of_a_known_tool_with_fitting_arguments_is_seen(request_: dict[str, Any]) -> None:
    assert format_signals(request_, called("look_up", '{"name": "Bern"}')) == {"tools_seen": 1.0}
    older = {"function_call": {"name": "look_up", "arguments": '{"name": "Bern"}'}}
    assert format_signals(request_, older) == {"tools_seen": 1.0}


@pytest.mark.parametrize("request_", [TOOLS, OLDER, {}])
def test_a_tool_that_was_not_offered_is_unknown(request_: dict[str, Any]) -> None:
    assert format_signals(request_, called("delete", "{}")) == {"tool_unknown": 1.0, "tools_seen": 1.0}


@pytest.mark.parametrize("arguments", ['{"people": 3}', '{"name": ', "3", "[]", "[" * 100_000, None, {"name": "Bern"}])
def test_arguments_of_another_shape_do_not_fit_the_tool(arguments: Any) -> None:
    assert format_signals(TOOLS, called("look_up", arguments)) == {"arguments_invalid": 1.0, "tools_seen": 1.0}


def test_a_tool_without_parameters_takes_any_object() -> None:
    bare = {"tools": [{"type": "function", "function": {"name": "now"}}]}
    assert format_signals(bare, called("now", "")) == {"tools_seen": 1.0}
    assert format_signals(bare, called("now", "3")) == {"arguments_invalid": 1.0, "tools_seen": 1.0}


@pytest.mark.parametrize("calls", [None, 3, [], [3], [{}], [{"function": None}]])
def test_an_answer_without_a_call_of_a_tool_has_no_signal_of_tools(calls: Any) -> None:
    assert format_signals(TOOLS, {"content": "Hello.", "tool_calls": calls}) == {}


def test_no_more_than_eight_calls_are_looked_at() -> None:
    calls = [called("look_up", '{"name": "Bern"}')["tool_calls"][0]] * 8 + called("delete", "{}")["tool_calls"]
    assert format_signals(TOOLS, {"tool_calls": calls}) == {"tools_seen": 1.0}


@pytest.mark.parametrize("tools", [3, [3], [{}], [{"function": 3}], "x", None])
def test_tools_that_are_none_are_no_tools(tools: Any) -> None:
    assert format_signals({"tools": tools}, called("x", "{}"))["tool_unknown"] == 1.0


def test_the_evidence_can_be_stored() -> None:
    assert json.loads(json.dumps(told(ASKED, "{}"))) == {"schema_invalid": 1.0, "schema_seen": 1.0}


def test_what_is_held_against_a_schema_counts_too() -> None:
    # Five hundred walks over one list are as many steps as five hundred lists.
    assert is_valid([1] * 4_000, {"allOf": [{"items": {}}] * 50}) is None
