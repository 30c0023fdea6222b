import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from openai.types.chat import ChatCompletionChunk

from app.providers import CallFailed, Endpoint, OpenAICompatibleProvider, read_completion
from app.streaming import COMMENT, DONE, StreamAccount, sse

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]

BODY = {"model": "auto", "messages": [{"role": "user", "content": "two and two?"}], "stream": True}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "vendor/small"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "fo"}),
    chunk({"content": "ur"}),
    chunk({}, "stop"),
    {**HEAD, "choices": [], "usage": USAGE},
]


def endpoint(base_url: str) -> Endpoint:
    return Endpoint("small", base_url, "vendor/small", "sk-secret-0123456789", 1.0, 2.0)


async def events(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


async def collect(
    provider: OpenAICompatibleProvider, base_url: str, into: list[dict[str, Any]], timeout_s: float = 5
) -> None:
    async with aclosing(provider.stream(endpoint(base_url), BODY, timeout_s=timeout_s)) as chunks:
        async for each in chunks:
            into.append(each)


async def test_a_stream_gives_the_upstreams_chunks(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    sent = []

    async def answer(request: web.Request) -> web.StreamResponse:
        sent.append(await request.json())
        return await events(request, *map(sse, CHUNKS), DONE)

    chunks: list[dict[str, Any]] = []
    await collect(provider, await serve(answer), chunks)
    assert chunks == CHUNKS
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
    assert sent == [BODY | {"model": "vendor/small", "stream_options": {"include_usage": True}}]


async def test_streams_one_after_the_other_share_a_connection(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    peers = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        response = await events(request, *map(sse, CHUNKS), DONE)
        await asyncio.sleep(0.01)
        return response

    base_url = await serve(answer)
    for _ in range(3):
        await collect(provider, base_url, [])
    assert len(peers) == 1


async def test_a_stream_that_stays_open_after_its_end_is_left(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events(request, *map(sse, CHUNKS), DONE)
        while True:
            await asyncio.sleep(0.01)
            await response.write(COMMENT)

    chunks: list[dict[str, Any]] = []
    await asyncio.wait_for(collect(provider, await serve(answer), chunks, timeout_s=60), 20)
    assert chunks == CHUNKS


async def test_an_error_status_fails_before_the_first_chunk(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "2"})

    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), [])
    assert (caught.value.status_code, caught.value.retry_after_s) == (429, 2.0)


async def test_an_error_chunk_is_an_error(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await events(request, sse(CHUNKS[1]), sse({"error": {"message": "overloaded", "code": "busy"}}))

    chunks: list[dict[str, Any]] = []
    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), chunks)
    assert chunks == CHUNKS[1:2]
    assert caught.value.outcome == "http_error"
    assert caught.value.upstream_error is not None
    assert caught.value.upstream_error["message"] == "overloaded"


@pytest.mark.parametrize("usage", [USAGE, None])
async def test_a_server_that_does_not_stream_is_replayed(
    serve: Serve, provider: OpenAICompatibleProvider, usage: dict[str, int] | None
) -> None:
    body = {
        **HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "It is four."}, "finish_reason": "stop"}],
        "usage": usage,
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body)

    chunks: list[dict[str, Any]] = []
    await collect(provider, await serve(answer), chunks)
    account = StreamAccount()
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
        account.add(each)
    assert (account.text, account.finish_reason) == ("It is four.", "stop")
    assert account.body().get("usage") == usage


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_a_page_instead_of_a_stream_is_garbage(
    serve: Serve, provider: OpenAICompatibleProvider, content_type: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>bad gateway</html>", content_type=content_type)

    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), [])
    assert caught.value.outcome == "garbage"


async def test_a_broken_event_ends_the_stream_as_garbage_after_what_was_good(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await events(request, *map(sse, CHUNKS[:2]), b'data: {"choi\n\n', DONE)

    chunks: list[dict[str, Any]] = []
    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), chunks)
    assert (chunks, caught.value.outcome) == (CHUNKS[:2], "garbage")


async def test_a_stream_that_breaks_off_can_still_be_accounted(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events(request, *map(sse, CHUNKS[:2]))
        assert request.transport is not None
        request.transport.close()
        return response

    chunks: list[dict[str, Any]] = []
    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), chunks)
    assert caught.value.outcome == "unreachable"
    account = StreamAccount()
    for each in chunks:
        account.add(each)
    broken = read_completion(account.body(), request=BODY, latency_s=caught.value.latency_s)
    assert (broken.text, broken.finish_reason) == ("fo", None)
    assert (broken.input_tokens, broken.output_tokens, broken.is_estimated) == (3, 1, True)


async def test_a_stream_that_falls_silent_times_out(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events(request, *map(sse, CHUNKS[:2]))
        await asyncio.Event().wait()
        return response

    chunks: list[dict[str, Any]] = []
    with pytest.raises(CallFailed) as caught:
        await collect(provider, await serve(answer), chunks, timeout_s=0.1)
    assert (chunks, caught.value.outcome) == (CHUNKS[:2], "timeout")


async def test_a_long_stream_that_keeps_coming_does_not_time_out(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events(request)
        for each in CHUNKS * 3:
            await asyncio.sleep(0.05)
            await response.write(sse(each))
        return response

    chunks: list[dict[str, Any]] = []
    await collect(provider, await serve(answer), chunks, timeout_s=0.5)
    assert chunks == CHUNKS * 3


async def test_closing_a_stream_hangs_up(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events(request, sse(CHUNKS[1]))
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return response

    chunks = provider.stream(endpoint(await serve(answer)), BODY, timeout_s=60)
    assert await anext(chunks) == CHUNKS[1]
    await chunks.aclose()
    await asyncio.wait_for(ended.wait(), 5)
