from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.api.gate import MAX_BODY_BYTES
from tests.app.harness import COST_USD, JSON, PRICES, Gone, House, entry, settings_of

HEADERS = (
    "decision-id", "policy", "stage", "attempts", "confidence", "explored", "cost-usd", "overhead-ms", "learning",
)  # fmt: skip


async def test_an_answer_is_verbatim_that_of_the_model_it_names(house: House) -> None:
    house.upstream.answers = {model: f"  {model} says <b>4\u20442</b>\n" for model in PRICES}
    answer = await house.answered()
    assert answer["choices"][0]["message"]["content"] == f"  {answer['model']} says <b>4\u20442</b>\n"
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")


async def test_the_usage_keeps_the_counts_of_the_answer_and_adds_the_cost_of_all_calls(house: House) -> None:
    answer = await house.answered()
    assert answer["usage"]["prompt_tokens"] == 100
    assert answer["usage"]["completion_tokens"] == 50
    rows = house.select("SELECT cost_usd FROM calls WHERE inference_id = ? AND account = 'request'", answer["id"])
    assert answer["usage"]["cost"] == pytest.approx(sum(row["cost_usd"] for row in rows))


async def test_the_headers_tell_the_decision(house: House) -> None:
    reply = await house.ask()
    told = {name: reply.headers[f"x-headrace-{name}"] for name in HEADERS}
    body = reply.json()
    assert told["decision-id"] == body["id"]
    assert told["policy"] == "headrace@1"
    assert told["stage"] in ("taxonomy", "learned", "cascade", "explore")
    assert int(told["attempts"]) == len(house.select("SELECT 1 FROM calls WHERE purpose = 'answer'"))
    assert 0.0 <= float(told["confidence"]) <= 1.0
    assert told["explored"] in ("0", "1")
    assert float(told["cost-usd"]) == pytest.approx(body["usage"]["cost"], abs=1e-9)
    assert float(told["overhead-ms"]) >= 0.0
    assert told["learning"] == "on"


async def test_the_upstream_gets_the_request_without_what_only_this_service_understands(house: House) -> None:
    await house.answered(model="small", router={"tags": {"team": "a"}}, temperature=0.3, seed=5, unheard_of={"x": 1})
    sent = house.upstream.asked[0].body
    assert "router" not in sent
    assert (sent["temperature"], sent["seed"], sent["unheard_of"]) == (0.3, 5, {"x": 1})


async def test_without_a_model_the_request_is_routed(house: House) -> None:
    reply = await house.ask()
    assert reply.headers["x-headrace-stage"] != "pinned"


@pytest.mark.parametrize("name", ["auto", "auto:cheap", "auto:balanced", "auto:best"])
async def test_the_names_of_routing_are_answered_by_a_model_of_the_pool(house: House, name: str) -> None:
    assert (await house.answered(model=name))["model"] in PRICES


async def test_a_model_by_name_answers_alone(house: House) -> None:
    reply = await house.ask(model="large")
    assert reply.headers["x-headrace-stage"] == "pinned"
    assert reply.json()["model"] == "large"
    assert reply.json()["usage"]["cost"] == pytest.approx(COST_USD["large"])
    assert house.upstream.models == ["large"]


async def test_several_choices_come_from_one_model(house: House) -> None:
    await house.answered(n=2)
    assert len(house.upstream.asked) == 1


async def test_a_request_with_tools_goes_to_a_model_that_has_them(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of("small", entry("large", capabilities=["tools"])))
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    assert (await house.answered(tools=[tool]))["model"] == "large"
    await house.quiet()
    assert house.upstream.models == ["large"]


async def test_a_request_that_no_model_can_serve_is_a_400_that_says_what_they_lack(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(settings_of(entry("small", capabilities=["tools"])))
    async with house.unchanged():
        reply = await house.ask(response_format={"type": "json_object"})
    assert_refused(reply, ("small: lacks json", "pool"))
    assert house.upstream.asked == []


async def test_a_denied_model_does_not_answer(house: House) -> None:
    for _ in range(5):
        assert (await house.answered(router={"deny": ["s*", "m*"]}))["model"] == "large"


async def test_an_empty_question_is_answered(house: House) -> None:
    assert (await house.answered(""))["model"] in PRICES


async def test_a_question_in_parts_is_answered(house: House) -> None:
    assert (await house.answered([{"type": "text", "text": "What is 6 times 7?"}]))["model"] in PRICES


async def test_user_session_and_tags_are_kept_with_the_decision(house: House) -> None:
    answer = await house.answered(user="ann", router={"session_id": "s-1", "tags": {"team": "a"}})
    (row,) = house.select("SELECT * FROM decisions")
    assert (row["id"], row["user"], row["session_id"], row["tags"]) == (answer["id"], "ann", "s-1", '{"team":"a"}')


# -- deciding only --------------------------------------------------------------------------------------------------


async def test_route_decides_with_scores_and_reasons_and_calls_no_model(house: House) -> None:
    body = {"messages": [{"role": "user", "content": "What is 6 times 7?"}]}
    async with house.unchanged():
        reply = await house.client.post("/v1/route", json=body)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert told["model"] in told["models"]
    assert set(told["models"]) == set(PRICES)
    assert sum(model["probability"] for model in told["models"].values()) == pytest.approx(1.0)
    assert told["propensity"] == pytest.approx(told["models"][told["model"]]["probability"])
    assert told["reason"]
    assert house.upstream.asked == []


async def test_route_of_a_pinned_model_says_that_the_request_names_it(house: House) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], "model": "middle"}
    reply = await house.client.post("/v1/route", json=body)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["model"], reply.json()["stage"]) == ("middle", "pinned")


async def test_a_dry_run_is_the_decision_only(house: House) -> None:
    async with house.unchanged():
        reply = await house.ask(router={"dry_run": True})
    assert reply.status_code == 200, reply.text
    assert reply.json()["model"] in PRICES
    assert house.upstream.asked == []


async def test_models_lists_the_names_of_routing_and_the_pool(house: House) -> None:
    listed = await house.get("/v1/models")
    assert [model["id"] for model in listed["data"]] == [
        "auto", "auto:cheap", "auto:balanced", "auto:best", "small", "middle", "large",
    ]  # fmt: skip
    assert {model["object"] for model in listed["data"]} == {"model"}


# -- what is wrong with a request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", ("body is empty", "send a JSON object")),
        ("   ", ("body is empty", "send a JSON object")),
        ("{", ("not valid JSON",)),
        ("\xff", ("not valid JSON",)),
        ("[]", ("send a JSON object with model and messages",)),
        ("{}", ("messages", "missing")),
        ('{"messages": []}', ("messages", "at least one message")),
        ('{"messages": "Hello"}', ("messages", '"Hello"', "list")),
        ('{"messages": ["Hello"]}', ("messages[0]", "object with role and content")),
        ('{"messages": [{"role": "boss", "content": "x"}]}', ("messages[0].role", "boss", "user")),
        ('{"messages": [{"role": "user", "content": 5}]}', ("messages[0].content", "5", "string")),
        ('{"messages": [{"role": "user", "content": ["x"]}]}', ("messages[0].content[0]", "type")),
    ],
)
async def test_a_body_that_is_no_chat_request_is_a_400_and_leaves_nothing_behind(
    house: House, body: str, words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/chat/completions", content=body.encode("latin-1"), headers=JSON)
    assert_refused(reply, words)
    assert house.upstream.asked == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": 5}, ("model", "5", "string")),
        ({"stream": "yes"}, ("stream", "yes", "true or false")),
        ({"n": 0}, ("n", "0", "1")),
        ({"n": 1.5}, ("n", "1.5")),
        ({"user": 7}, ("user", "7")),
        ({"response_format": "json"}, ("response_format", "json")),
        ({"router": 1}, ("router", "1")),
        ({"router": {"cascad": "off"}}, ("router.cascad", "unknown", "cascade")),
        ({"router": {"cost_quality": 1.5}}, ("router.cost_quality", "1.5", "1")),
        ({"router": {"max_cost_usd": 0}}, ("router.max_cost_usd", "0")),
        ({"router": {"cascade": 0}}, ("router.cascade", "0", "1 or more")),
        ({"router": {"allow": ["gpt*"]}}, ("not in router.allow", "change the router object")),
        ({"router": {"deny": ["*"]}}, ("in router.deny", "change the router object")),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it_and_leaves_nothing_behind(
    house: House, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await house.ask("Hello", **change)
    assert_refused(reply, words)
    assert house.upstream.asked == []


def assert_refused(reply: httpx.Response, words: tuple[str, ...]) -> None:
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    for word in words:
        assert word in error["message"]


async def test_a_malformed_request_is_refused_by_route_alike(house: House) -> None:
    body = b'{"messages": [], "router": {"cascad": 1}}'
    async with house.unchanged():
        reply = await house.client.post("/v1/route", content=body, headers=JSON)
    assert reply.status_code == 400
    assert "messages" in reply.json()["error"]["message"]
    assert "router.cascad" in reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_a_404_that_names_the_known_ones(house: House, stream: bool) -> None:
    async with house.unchanged():
        reply = await house.ask(model="gpt-9", stream=stream)
    assert reply.status_code == 404
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    for word in ("gpt-9", "auto", "small", "middle", "large"):
        assert word in error["message"]
    assert house.upstream.asked == []


async def test_a_retired_model_is_unknown(house: House) -> None:
    await house.client.delete("/v1/admin/models/large")
    reply = await house.ask(model="large")
    assert reply.status_code == 404
    assert "large" in reply.json()["error"]["message"]


async def test_an_oversized_body_is_a_413_that_names_the_limit(house: House) -> None:
    async with house.unchanged():
        reply = await house.ask("x" * MAX_BODY_BYTES)
    assert reply.status_code == 413
    assert str(MAX_BODY_BYTES) in reply.json()["error"]["message"]
    assert house.upstream.asked == []


async def test_a_body_within_the_limit_is_answered(house: House) -> None:
    assert (await house.ask("word " * 100_000)).status_code == 200


async def test_without_any_model_the_service_is_unavailable_and_says_what_to_change(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(settings_of(objective={"kind": "quality"}).model_copy(update={"models": ()}))
    async with house.unchanged():
        reply = await house.ask()
    assert reply.status_code == 503
    assert "pool" in reply.json()["error"]["message"]


async def test_an_unreachable_upstream_leaves_its_call_behind_and_nothing_learned(house: House) -> None:
    house.upstream.answers["small"] = Gone("unreachable")
    before, counted = await house.get("/v1/admin/learner"), house.counts()
    reply = await house.ask(model="small")
    assert reply.status_code == 502
    assert "small: unreachable" in reply.json()["error"]["message"]
    after = await house.get("/v1/admin/learner")
    for name in ("models", "judges", "observations", "feedback_events", "lambda"):
        assert after[name] == before[name], name
    grown = {table for table, n in house.counts().items() if n != counted[table]}
    assert grown == {"decisions", "calls", "events", "spend"}
    (call,) = house.select("SELECT * FROM calls")
    assert (call["model"], call["outcome"], call["cost_usd"]) == ("small", "unreachable", 0.0)


# -- content ---------------------------------------------------------------------------------------------------------


async def test_content_is_not_stored_unless_it_is_wanted(house: House) -> None:
    await house.answered("The password is tulip.")
    await house.quiet()
    stored = b"".join(file.read_bytes() for file in house.data_dir.glob("headrace.db*"))
    assert b"tulip" not in stored
    assert b"says 42" not in stored


async def test_content_is_stored_where_it_is_wanted(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(storage={"content": True}))
    answer = await house.answered("What is the password?", model="small")
    (row,) = house.select("SELECT prompt, answer FROM decisions WHERE id = ?", answer["id"])
    assert row == {"prompt": "What is the password?", "answer": "small says 42"}
