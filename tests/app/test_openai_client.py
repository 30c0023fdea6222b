from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from tests.app.harness import COST_USD, PRICES, Gone, House, on_a_port

QUESTION: Any = [{"role": "user", "content": "What is 6 times 7?"}]
KEY = "sk-for-tests"


@pytest.fixture
async def guarded(open_house: Callable[..., Any]) -> House:
    house: House = await open_house(admin_key=KEY)
    return house


@pytest.fixture
async def address(guarded: House) -> AsyncIterator[str]:
    async with on_a_port(guarded.app) as address:
        yield f"{address}/v1"


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=address, api_key=KEY, max_retries=0) as client:
        yield client


async def test_a_chat_is_answered(client: openai.AsyncOpenAI) -> None:
    done = await client.chat.completions.create(model="auto", messages=QUESTION)
    assert done.model in PRICES
    assert done.choices[0].message.content == f"{done.model} says 42"
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.total_tokens) == (100, 150)
    assert done.usage.model_extra is not None
    assert done.usage.model_extra["cost"] > 0.0


async def test_the_router_object_goes_in_the_extra_body_and_the_decision_comes_in_the_headers(
    client: openai.AsyncOpenAI,
) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="auto", messages=QUESTION, extra_body={"router": {"allow": ["large"], "cascade": "off"}}
    )
    assert raw.parse().model == "large"
    assert raw.headers["x-headrace-decision-id"] == raw.parse().id


@pytest.mark.parametrize("mode", ["vote", "best", "synthesize"])
async def test_one_answer_is_made_of_several(client: openai.AsyncOpenAI, guarded: House, mode: str) -> None:
    guarded.upstream.answers = {
        model: lambda prompt: "Merged: 42" if "Several assistants" in prompt else "It is 42" for model in PRICES
    }
    done = await client.chat.completions.create(
        model="auto:best", messages=QUESTION, extra_body={"router": {"fusion": mode}}
    )
    assert done.choices[0].message.content == ("Merged: 42" if mode == "synthesize" else "It is 42")
    assert done.model in PRICES
    assert done.usage is not None
    (decision,) = guarded.select("SELECT cost_usd FROM decisions")
    assert (done.usage.model_extra or {})["cost"] == pytest.approx(decision["cost_usd"])


@pytest.mark.parametrize("model", ["auto", "small"])
async def test_a_chat_is_streamed_with_its_usage_last(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(
        model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.replace(" ", "") == f"{chunks[0].model}says42"
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_extra is not None
    assert chunks[-1].usage.model_extra["cost"] >= COST_USD["small"]


async def test_the_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert {model.id async for model in client.models.list()} == {
        "auto", "auto:cheap", "auto:balanced", "auto:best", *PRICES,
    }  # fmt: skip


async def test_the_id_of_an_answer_is_the_key_for_feedback(client: openai.AsyncOpenAI) -> None:
    done = await client.chat.completions.create(model="auto", messages=QUESTION)
    body = {"inference_id": done.id, "metric_name": "thumbs", "value": True}
    reply = await client.post("/feedback", cast_to=dict[str, Any], body=body)
    assert reply["feedback_id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("request_", "raised", "code"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found"),
        ({"model": "auto", "messages": []}, openai.BadRequestError, None),
        ({"model": "auto", "extra_body": {"router": {"cascad": 1}}}, openai.BadRequestError, None),
    ],
)
async def test_a_wrong_request_raises_the_usual_error(
    client: openai.AsyncOpenAI, request_: dict[str, Any], raised: type[openai.APIStatusError], code: str | None,
    stream: bool,
) -> None:  # fmt: skip
    with pytest.raises(raised) as caught:
        await client.chat.completions.create(**{"messages": QUESTION, "stream": stream, **request_})
    assert caught.value.code == code
    assert caught.value.body is not None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "raised", "status"),
    [
        (Gone("unreachable"), openai.InternalServerError, 502),
        (Gone("timeout"), openai.InternalServerError, 504),
        (Gone("http_error", 429), openai.RateLimitError, 429),
        (Gone("http_error", 400, upstream_error={"message": "too long"}), openai.BadRequestError, 400),
    ],
)
async def test_an_upstream_that_fails_raises_the_usual_error(
    client: openai.AsyncOpenAI, guarded: House, failure: Gone, raised: type[openai.APIStatusError], status: int,
    stream: bool,
) -> None:  # fmt: skip
    guarded.upstream.answers["small"] = failure
    with pytest.raises(raised) as caught:
        await client.chat.completions.create(model="small", messages=QUESTION, stream=stream)
    assert caught.value.status_code == status


async def test_a_wrong_key_raises_the_usual_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="sk-wrong").chat.completions.create(model="auto", messages=QUESTION)


async def test_a_stream_that_breaks_off_raises_while_it_is_read(client: openai.AsyncOpenAI, guarded: House) -> None:
    guarded.upstream.pieces["small"] = ["Forty", Gone("unreachable")]
    stream = await client.chat.completions.create(model="small", messages=QUESTION, stream=True)
    first = await anext(stream)
    assert first.choices[0].delta.content == "Forty"
    with pytest.raises(openai.APIError, match="small"):
        await anext(stream)


async def test_a_key_that_has_reached_its_budget_is_told_so(address: str, guarded: House) -> None:
    key = await guarded.key(budget={"usd": 1e-9, "per": "total"})
    async with openai.AsyncOpenAI(base_url=address, api_key=key["key"], max_retries=0) as client:
        await client.chat.completions.create(model="auto", messages=QUESTION)
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(model="auto", messages=QUESTION)
    assert (raised.value.type, raised.value.code) == ("insufficient_quota", "budget_exceeded")


async def test_a_key_without_the_scope_is_told_so(address: str, guarded: House) -> None:
    key = await guarded.key(scopes=["feedback"])
    async with openai.AsyncOpenAI(base_url=address, api_key=key["key"], max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as raised:
            await client.models.list()
    assert raised.value.code == "insufficient_scope"
