import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web

from app.pool import Breaker
from app.providers import OpenAICompatibleProvider
from tests.app.harness import COST_USD, PRICES, Gone, House, entry, settings_of
from tests.app.providers.conftest import Handler, http_server, raw_server

THRIFTY = {"kind": "tradeoff", "usd_per_point": 1e-6}
ALONE = {"cascade": "off", "explore": False}
ALL = tuple(PRICES)


@pytest.fixture
async def thrifty(open_house: Callable[..., Any]) -> House:
    """A service that asks `small`, then `middle`, then `large`, and only where the one before fails."""
    house: House = await open_house(settings_of(objective=THRIFTY))
    return house


def outcomes(house: House) -> list[tuple[str, str, int | None]]:
    rows = house.select("SELECT model, outcome, status_code FROM calls ORDER BY inference_id, step")
    return [(row["model"], row["outcome"], row["status_code"]) for row in rows]


# -- a model fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [Gone("unreachable"), Gone("timeout"), Gone("garbage"), Gone("http_error", 500), Gone("http_error", 429),
     Gone("http_error", 401), Gone("http_error", 404), Gone("http_error", 400)],
)  # fmt: skip
async def test_another_model_answers_where_one_fails(thrifty: House, failure: Gone) -> None:
    thrifty.upstream.answers["small"] = failure
    reply = await thrifty.ask()
    assert reply.status_code == 200
    assert reply.json()["model"] == "middle"
    assert reply.headers["x-headrace-stage"] == "fallback"
    assert reply.headers["x-headrace-attempts"] == "2"
    assert reply.json()["usage"]["cost"] == pytest.approx(COST_USD["middle"])
    assert outcomes(thrifty) == [("small", failure.outcome, failure.status_code), ("middle", "ok", None)]


async def test_an_earlier_answer_stands_where_the_next_model_of_a_cascade_fails(house: House) -> None:
    answered: list[str] = []

    def once(_: str) -> Any:
        answered.append("x")
        return "42" if len(answered) == 1 else Gone("unreachable")

    house.upstream.answers = dict.fromkeys(PRICES, once)
    reply = await house.ask("Write a poem about the sea.", router={"explore": False})
    assert reply.status_code == 200
    assert len(house.upstream.asked) > 1
    assert reply.json()["model"] == house.upstream.models[0]
    assert reply.json()["usage"]["cost"] == pytest.approx(COST_USD[house.upstream.models[0]])


@pytest.mark.parametrize(
    ("failures", "status", "code"),
    [
        ([Gone("timeout")] * 3, 504, "upstream_timeout"),
        ([Gone("http_error", 429)] * 3, 429, "upstream_rate_limited"),
        ([Gone("unreachable")] * 3, 502, "upstream_failed"),
        ([Gone("garbage")] * 3, 502, "upstream_failed"),
        ([Gone("timeout"), Gone("http_error", 429), Gone("http_error", 500)], 502, "upstream_failed"),
        ([Gone("http_error", 400)] * 3, 400, "upstream_rejected"),
    ],
)
async def test_where_every_model_fails_the_status_says_how_and_every_call_is_accounted(
    thrifty: House, failures: list[Gone], status: int, code: str
) -> None:
    thrifty.upstream.answers = dict(zip(ALL, failures, strict=True))
    reply = await thrifty.ask()
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    for model, failure in zip(ALL, failures, strict=True):
        assert f"{model}: {failure.status_code or failure.outcome}" in reply.json()["error"]["message"]
    assert outcomes(thrifty) == [(m, f.outcome, f.status_code) for m, f in zip(ALL, failures, strict=True)]
    (decision,) = thrifty.select("SELECT status, attempts, cost_usd, answer_model FROM decisions")
    assert decision == {"status": "failed", "attempts": 3, "cost_usd": 0.0, "answer_model": None}
    assert (await thrifty.get("/v1/admin/spend"))["calls"] == 3


async def test_a_failure_teaches_nothing_about_quality(thrifty: House) -> None:
    before = (await thrifty.get("/v1/admin/learner"))["models"]
    thrifty.upstream.answers = dict.fromkeys(PRICES, Gone("unreachable"))
    await thrifty.ask()
    after = (await thrifty.get("/v1/admin/learner"))["models"]
    assert {m: row["quality"] for m, row in after.items()} == {m: row["quality"] for m, row in before.items()}


async def test_a_model_that_is_retired_while_it_answers_gives_its_answer(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of("small"))
    gate = house.upstream.gates["small"] = asyncio.Event()
    asking = asyncio.create_task(house.ask())
    await house.upstream.was_asked.wait()
    await house.client.delete("/v1/admin/models/small")
    gate.set()
    assert (await asking).status_code == 200


# -- a model by name --------------------------------------------------------------------------------------------------


async def test_a_pinned_model_bypasses_routing_and_is_logged(house: House) -> None:
    answer = await house.answered(model="large")
    (row,) = house.select("SELECT * FROM decisions")
    assert (row["id"], row["requested_model"], row["stage"], row["arm"]) == (answer["id"], "large", "pinned", "large")
    assert (row["propensity"], row["answer_model"], row["status"]) == (1.0, "large", "answered")
    assert house.select("SELECT kind FROM events WHERE ref = ?", answer["id"]) == [{"kind": "request"}]


async def test_no_other_model_answers_for_a_pinned_one_that_fails(house: House) -> None:
    house.upstream.answers["large"] = Gone("http_error", 500)
    reply = await house.ask(model="large")
    assert reply.status_code == 502
    assert house.upstream.models == ["large"]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_pinned_model_that_refuses_the_request_is_a_400_with_its_words(house: House, status: int) -> None:
    said = {"message": "context length exceeded"}
    house.upstream.answers["large"] = Gone("http_error", status, upstream_error=said)
    reply = await house.ask(model="large")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "upstream_rejected"
    assert "context length exceeded" in reply.json()["error"]["message"]
    assert outcomes(house) == [("large", "http_error", status)]


@pytest.mark.parametrize("wrong", [Gone("http_error", 401), Gone("http_error", 404)])
async def test_a_wrong_key_or_address_of_a_pinned_model_is_not_the_clients_fault(house: House, wrong: Gone) -> None:
    house.upstream.answers["large"] = wrong
    assert (await house.ask(model="large")).status_code == 502


# -- the breaker ------------------------------------------------------------------------------------------------------


async def test_after_three_failures_in_a_row_a_model_is_left_alone(thrifty: House) -> None:
    thrifty.upstream.answers["small"] = Gone("unreachable")
    for _ in range(4):
        assert (await thrifty.answered())["model"] == "middle"
    assert thrifty.upstream.models.count("small") == 3


async def test_a_success_in_between_begins_the_count_anew(thrifty: House) -> None:
    for failing in (True, True, False, True, True, False):
        thrifty.upstream.answers["small"] = Gone("unreachable") if failing else "here"
        await thrifty.answered()
    assert thrifty.upstream.models.count("small") == 6


async def test_requests_that_a_model_refuses_do_not_count_against_its_upstream(thrifty: House) -> None:
    thrifty.upstream.answers["small"] = Gone("http_error", 400)
    for _ in range(4):
        await thrifty.answered()
    assert thrifty.upstream.models.count("small") == 4


async def test_where_all_models_are_left_alone_they_are_tried_all_the_same(thrifty: House) -> None:
    thrifty.upstream.answers = dict.fromkeys(PRICES, Gone("unreachable"))
    for _ in range(3):
        await thrifty.ask()
    thrifty.upstream.answers.clear()
    assert (await thrifty.ask()).status_code == 200


async def test_a_model_whose_upstream_is_back_is_asked_again(thrifty: House) -> None:
    thrifty.upstream.answers["small"] = Gone("unreachable")
    for _ in range(3):
        await thrifty.answered()
    thrifty.upstream.answers["small"] = "back"
    await thrifty.answered(model="small")
    assert (await thrifty.answered())["model"] == "small"


def test_the_breaker_opens_at_the_third_failure_and_closes_after_its_pause() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker.failed("small", 100.0)
    assert breaker.unavailable(100.0) == frozenset()
    breaker.failed("small", 100.0)
    assert breaker.unavailable(100.9) == {"small"}
    assert breaker.unavailable(101.0) == frozenset()


def test_the_breaker_waits_twice_as_long_after_each_further_failure_and_15_s_at_most() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed("small", 100.0)
    assert breaker.unavailable(101.9) == {"small"}
    assert breaker.unavailable(102.0) == frozenset()
    for _ in range(50):
        breaker.failed("small", 100.0)
    assert breaker.unavailable(114.9) == {"small"}
    assert breaker.unavailable(115.0) == frozenset()


def test_after_a_pause_one_request_tries_the_model_while_the_others_go_elsewhere() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed("small", 100.0)
    assert breaker.unavailable(101.0) == frozenset()
    breaker.tries("small", 101.0)
    assert breaker.unavailable(101.1) == {"small"}
    breaker.succeeded("small")
    assert breaker.unavailable(101.2) == frozenset()


def test_trying_a_model_that_does_not_fail_keeps_it_open_to_all() -> None:
    breaker = Breaker()
    breaker.tries("small", 100.0)
    assert breaker.unavailable(100.0) == frozenset()


def test_a_success_closes_the_breaker() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed("small", 100.0)
    breaker.succeeded("small")
    breaker.failed("small", 100.0)
    assert breaker.unavailable(100.0) == frozenset()


# -- cascades ---------------------------------------------------------------------------------------------------------


async def test_a_cascade_accounts_every_attempt_and_the_cost_is_their_sum(house: House) -> None:
    reply = await house.ask("Write a poem about the sea.", router={"explore": False})
    asked = house.upstream.models
    assert len(asked) > 1
    assert reply.headers["x-headrace-stage"] == "cascade"
    assert int(reply.headers["x-headrace-attempts"]) == len(asked)
    assert reply.json()["usage"]["cost"] == pytest.approx(sum(COST_USD[model] for model in asked))
    assert [row[0] for row in outcomes(house)] == asked
    (decision,) = house.select("SELECT attempts, cost_usd FROM decisions")
    assert decision == {"attempts": len(asked), "cost_usd": pytest.approx(reply.json()["usage"]["cost"])}


async def test_models_that_agree_end_a_cascade_early(house: House) -> None:
    house.upstream.answers = dict.fromkeys(PRICES, "42")
    agreeing = await house.answered(router={"explore": False})
    attempts_agreeing = len(house.upstream.asked)
    house.upstream.asked.clear()
    house.upstream.answers = {"small": "41", "middle": "42", "large": "43"}
    await house.answered(router={"explore": False})
    assert agreeing["choices"][0]["message"]["content"] == "42"
    assert attempts_agreeing <= len(house.upstream.asked)


@pytest.mark.parametrize("depth", [1, 2])
async def test_no_more_models_are_asked_than_the_request_allows(house: House, depth: int) -> None:
    for n in range(5):
        house.upstream.asked.clear()
        await house.answered(f"Write a poem about {n} seas.", router={"cascade": depth, "explore": False})
        assert len(house.upstream.asked) <= depth


async def test_without_a_cascade_one_model_is_asked(house: House) -> None:
    await house.answered("Write a poem about the sea.", router=ALONE)
    assert len(house.upstream.asked) == 1


async def test_a_cascade_stays_within_the_cost_that_the_request_allows(house: House) -> None:
    most = COST_USD["small"] + COST_USD["middle"] + 1e-9
    for _ in range(5):  # the first answers teach the service what a call costs
        await house.answered("Write a poem about the sea.", model="large")
        await house.answered("Write a poem about the sea.", model="middle")
        await house.answered("Write a poem about the sea.", model="small")
    await house.quiet()
    for n in range(5):
        answer = await house.answered(f"Write a poem about {n} seas.", router={"max_cost_usd": most})
        assert answer["usage"]["cost"] <= most


# -- what is stored ---------------------------------------------------------------------------------------------------


async def test_decision_and_calls_are_durable_before_the_answer(house: House) -> None:
    answer = await house.answered()
    (row,) = house.select("SELECT * FROM decisions WHERE id = ?", answer["id"])
    assert (row["status"], row["answer_model"]) == ("answered", answer["model"])
    assert row["cost_usd"] == pytest.approx(answer["usage"]["cost"])
    assert 0.0 < row["propensity"] <= 1.0
    assert house.select("SELECT 1 FROM calls WHERE inference_id = ?", answer["id"])


async def test_the_stored_propensity_is_the_probability_of_the_first_model(house: House) -> None:
    await house.answered()
    (row,) = house.select("SELECT arm, propensity, probabilities FROM decisions")
    probabilities = orjson.loads(row["probabilities"])
    assert row["propensity"] == pytest.approx(probabilities[row["arm"]])
    assert sum(probabilities.values()) == pytest.approx(1.0)


async def test_many_requests_at_once_are_all_accounted(house: House) -> None:
    answers = await asyncio.gather(*(house.answered(f"What is {n} times 7?") for n in range(40)))
    await house.quiet()
    assert len({answer["id"] for answer in answers}) == 40
    assert house.select("SELECT count(*) AS n FROM decisions WHERE status = 'answered'") == [{"n": 40}]
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == pytest.approx(sum(answer["usage"]["cost"] for answer in answers))
    assert spend["total_usd"] == pytest.approx(sum(COST_USD[model] for model in house.upstream.models))


# -- over the wire ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def wired(
    open_house: Callable[..., Any],
) -> Callable[..., Awaitable[House]]:
    """Start a service whose one model is at this address, through the real provider."""

    async def start(base_url: str, *, upstream_s: float = 10.0) -> House:
        settings = settings_of(entry("small", base_url=base_url), timeouts={"upstream_s": upstream_s})
        house: House = await open_house(settings, providers={"openai": OpenAICompatibleProvider()})
        return house

    return start


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def answer(request: web.Request) -> web.Response:
    body = await request.json()
    message = {"role": "assistant", "content": f"{body['model']} over the wire"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "y", "choices": [choice], "usage": usage}
    )


async def refuse(_: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "no such parameter"}}, status=400)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_does_not_answer_in_time_is_a_504(wired: Any, stream: bool) -> None:
    async with http_server(hang) as url:
        house = await wired(url, upstream_s=0.1)
        reply = await house.ask(model="small", stream=stream)
    assert reply.status_code == 504
    assert outcomes(house) == [("small", "timeout", None)]


async def test_an_upstream_that_nobody_runs_is_a_502(wired: Any) -> None:
    async with raw_server(b"") as url:
        pass
    house = await wired(url)
    assert (await house.ask()).status_code == 502
    assert outcomes(house) == [("small", "unreachable", None)]


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", b"SSH-2.0-OpenSSH\r\n"])
async def test_an_upstream_that_talks_garbage_is_a_502(wired: Any, said: bytes) -> None:
    async with raw_server(said) as url:
        house = await wired(url)
        reply = await house.ask()
    assert reply.status_code == 502
    assert len(outcomes(house)) == 1


@pytest.mark.parametrize(("handler", "status"), [(answer, 200), (refuse, 400)])
async def test_answers_and_refusals_come_through_the_wire(wired: Any, handler: Handler, status: int) -> None:
    async with http_server(handler) as url:
        house = await wired(url)
        reply = await house.ask(model="small")
    assert reply.status_code == status
    assert ("small over the wire" if status == 200 else "no such parameter") in reply.text
