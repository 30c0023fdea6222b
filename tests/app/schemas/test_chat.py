import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadRequest
from app.schemas.chat import ROLES, RouterOptions, parse_chat

MESSAGES = [{"role": "user", "content": "Which planet has rings?"}]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def refused(body: Any) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        parse_chat(body if isinstance(body, bytes) else orjson.dumps(body))
    return raised.value


def router(**options: Any) -> RouterOptions:
    return parse_chat(orjson.dumps({"messages": MESSAGES, "router": options}))[0].router


def test_the_least_request_gets_the_defaults() -> None:
    request, body = parse_chat(orjson.dumps({"messages": MESSAGES}))
    assert (request.model, request.stream, request.user, request.n) == ("auto", False, None, 1)
    assert request.router == RouterOptions()
    assert body == {"messages": MESSAGES}


def test_the_body_comes_back_as_it_was_sent() -> None:
    sent = {"model": "m", "messages": MESSAGES, "temperature": 0.2, "tools": [{"x": 1}], "router": {"explore": False}}
    request, body = parse_chat(orjson.dumps(sent))
    assert body == sent
    assert request.model_extra == {"temperature": 0.2, "tools": [{"x": 1}]}


def test_the_messages_are_not_copied() -> None:
    request, body = parse_chat(orjson.dumps({"messages": MESSAGES}))
    assert request.messages is body["messages"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("content", ["text", None, [], [{"type": "text", "text": "t"}, {"type": "image_url"}]])
def test_every_role_may_have_every_form_of_content(role: str, content: object) -> None:
    messages = [{"role": role, "content": content}]
    assert parse_chat(orjson.dumps({"messages": messages}))[0].messages == messages


def test_an_assistant_may_have_called_tools_and_said_nothing() -> None:
    messages = [{"role": "assistant", "tool_calls": [{"id": "c"}]}]
    assert parse_chat(orjson.dumps({"messages": messages}))[0].messages == messages


@pytest.mark.parametrize("name", ["model", "stream", "user", "n", "router"])
def test_null_is_read_as_absent(name: str) -> None:
    assert (
        parse_chat(orjson.dumps({"messages": MESSAGES, name: None}))[0]
        == parse_chat(orjson.dumps({"messages": MESSAGES}))[0]
    )


@pytest.mark.parametrize("name", RouterOptions.model_fields)
def test_a_router_option_of_null_is_read_as_absent(name: str) -> None:
    assert router(**{name: None}) == RouterOptions()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "The body is empty"),
        (b"  \n", "The body is empty"),
        (b'{"messages": ', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"model": NaN}', "not valid JSON"),
        (b"[" * 5_000, "not valid JSON"),
        (b"[]", "The body is an empty list; send a JSON object"),
        (b"null", "The body is null; send a JSON object"),
        (b'"hi"', 'The body is "hi"; send a JSON object'),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(raw: bytes, words: str) -> None:
    assert words in str(refused(raw))


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "an empty list should be a list of at least one message"),
        ({"messages": "hi"}, "messages", '"hi" should be a list'),
        ({"messages": None}, "messages", "null should be a list"),
        ({"messages": ["hi"]}, "messages[0]", '"hi" should be an object with role and content'),
        ({"messages": [*MESSAGES, {"role": "boss"}]}, "messages[1].role", '"boss" should be one of system'),
        ({"messages": [{"role": ["user"]}]}, "messages[0].role", "a list should be one of"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "null should be one of"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "3 should be a string, a list"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", '"x" should be an object'),
        ({"messages": [{"role": "user", "content": [{"type": 1}]}]}, "messages[0].content[0]", "with a type"),
        ({"model": 5}, "model", "5 should be a string"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"stream": "yes"}, "stream", '"yes" should be true or false'),
        ({"stream": 1}, "stream", "1 should be true or false"),
        ({"user": 7}, "user", "7 should be a string"),
        ({"n": 0}, "n", "0 should be greater than or equal to 1"),
        ({"n": 9}, "n", "9 should be less than or equal to 8"),
        ({"n": 1.5}, "n", "1.5 should be a whole number"),
        ({"router": []}, "router", "an empty list should be an object"),
    ],
)
def test_a_malformed_field_is_named_with_its_value_and_the_mend(fields: dict[str, Any], param: str, words: str) -> None:
    error = refused({"messages": MESSAGES} | fields)
    assert error.param == param
    assert words in error.message


def test_missing_messages_are_named() -> None:
    assert str(refused({"model": "auto"})) == "messages: is missing; add it"


def test_an_unknown_router_field_is_named_with_the_known_ones() -> None:
    error = refused({"messages": MESSAGES, "router": {"colour": "blue"}})
    assert error.param == "router.colour"
    assert "router.colour: is unknown; the known ones are cost_quality, max_cost_usd" in error.message


def test_a_misspelt_router_field_gets_the_right_spelling() -> None:
    assert "did you mean cost_quality?" in str(refused({"messages": MESSAGES, "router": {"cost_qualty": 0.5}}))


@pytest.mark.parametrize("mode", ["vote", "best", "synthesize", None])
def test_fusion_is_one_of_three_modes_or_off(mode: str | None) -> None:
    assert router(fusion=mode).fusion == mode
    assert router().fusion is None


def test_decomposition_is_off_unless_asked_for() -> None:
    assert router(decompose=True).decompose
    assert not router().decompose


@pytest.mark.parametrize("cascade", ["auto", "off", 1, 7])
def test_a_cascade_is_auto_off_or_a_depth(cascade: str | int) -> None:
    assert router(cascade=cascade).cascade == cascade


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cascade", 0),
        ("cascade", True),
        ("cascade", "on"),
        ("cascade", 1.0),
        ("cost_quality", 1.1),
        ("cost_quality", "0.5"),
        ("max_cost_usd", 0),
        ("max_cost_usd", -1),
        ("fusion", "merge"),
        ("decompose", "no"),
        ("min_quality", -0.1),
        ("allow", []),
        ("allow", "gpt-*"),
        ("allow", [""]),
        ("allow", ["*"] * 101),
        ("deny", [1]),
        ("explore", 1),
        ("session_id", ""),
        ("tags", {"a": 1}),
        ("tags", {str(number): "" for number in range(17)}),
        ("tags", {"k" * 65: ""}),
        ("tags", {"k": "v" * 513}),
        ("dry_run", "true"),
    ],
)
def test_a_router_option_out_of_range_is_named(name: str, value: object) -> None:
    assert str(refused({"messages": MESSAGES, "router": {name: value}}).param).startswith(f"router.{name}")


def test_all_router_options_are_read() -> None:
    options = router(
        cost_quality=1, max_cost_usd=0.01, min_quality=0, allow=["a*", "b"], deny=["c"], explore=False,
        session_id="s", tags={"team": "x"}, dry_run=True,
    )  # fmt: skip
    assert options.cost_quality == 1.0
    assert options.allow == ("a*", "b")
    assert options.deny == ("c",)
    assert options.tags == {"team": "x"}
    assert options.dry_run


def test_a_long_value_is_shortened_in_the_message() -> None:
    assert len(str(refused({"messages": MESSAGES, "stream": "x" * 5_000}))) < 130


def test_all_problems_are_told_at_once() -> None:
    message = str(refused({"messages": [], "stream": 1, "router": {"dry_run": 1}}))
    assert all(place in message for place in ("messages:", "stream:", "router.dry_run:"))


def told(raw: bytes) -> str:
    """Return what a client is told about a body, empty where the body is read."""
    try:
        parse_chat(raw)
    except BadRequest as err:
        return err.message
    return ""


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["model", "messages", "stream", "user", "n", "router", "x"]), json_values))
def test_any_object_is_read_or_refused_with_a_field_named(body: dict[str, Any]) -> None:
    message = told(orjson.dumps(body))
    assert not message or re.match(r"(model|messages|stream|user|n|router)[.[:]", message)


@settings(max_examples=50)
@given(st.binary(max_size=20))
def test_any_bytes_without_a_message_are_refused(raw: bytes) -> None:
    assert told(raw)
