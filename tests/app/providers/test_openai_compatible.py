import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from openai.types.chat import ChatCompletion

from app.providers import CallFailed, Endpoint, OpenAICompatibleProvider, Provider
from app.providers.openai_compatible import LIMIT_BYTES

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ServeBytes = Callable[[bytes], Awaitable[str]]

KEY = "sk-secret-0123456789"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "two and two?"}], "temperature": 0.5}
ERROR = {"message": "no", "type": "invalid_request_error", "param": "n", "code": "bad"}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "vendor/small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


def endpoint(base_url: str, api_key: str | None = KEY) -> Endpoint:
    return Endpoint("small", base_url, "vendor/small", api_key, 1.0, 2.0)


async def failure(provider: Provider, target: Endpoint, *, timeout_s: float = 5) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await provider.complete(target, BODY, timeout_s=timeout_s)
    return caught.value


async def test_a_whole_answer_is_read(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(ANSWER)

    completion = await provider.complete(endpoint(await serve(answer)), BODY, timeout_s=5)
    assert completion.body == ANSWER
    assert (completion.text, completion.finish_reason) == ("four", "stop")
    assert (completion.input_tokens, completion.output_tokens, completion.is_estimated) == (7, 3, False)
    assert (completion.has_tool_calls, completion.logprobs) == (False, ())
    assert completion.latency_s > 0
    ChatCompletion.model_validate(completion.body)


async def test_the_request_is_the_clients_under_the_upstreams_name_and_key(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    seen: list[tuple[str, str | None, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization"), await request.json()))
        return web.json_response(ANSWER)

    base_url = await serve(answer)
    streaming = BODY | {"stream": True, "stream_options": {"include_usage": True}}
    await provider.complete(endpoint(base_url), streaming, timeout_s=5)
    await provider.complete(endpoint(base_url, api_key=None), BODY, timeout_s=5)
    forwarded = BODY | {"model": "vendor/small"}
    path = "/v1/chat/completions"
    assert seen == [(path, f"Bearer {KEY}", forwarded), (path, None, forwarded)]


async def test_calls_one_after_the_other_share_a_connection(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    peers = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response(ANSWER)

    target = endpoint(await serve(answer))
    for _ in range(3):
        await provider.complete(target, BODY, timeout_s=5)
    assert len(peers) == 1


async def test_missing_usage_is_estimated(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(ANSWER | {"usage": None})

    completion = await provider.complete(endpoint(await serve(answer)), BODY, timeout_s=5)
    assert (completion.input_tokens, completion.output_tokens, completion.is_estimated) == (3, 1, True)


@pytest.mark.parametrize(
    ("status_code", "client_fault"),
    [
        (400, True),
        (401, False),
        (404, True),
        (413, True),
        (422, True),
        (429, False),
        (500, False),
        (503, False),
    ],
)
async def test_an_error_status_carries_the_upstreams_error(
    serve: Serve, provider: OpenAICompatibleProvider, status_code: int, client_fault: bool
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": ERROR}, status=status_code, headers={"Retry-After": "7"})

    target = endpoint(await serve(answer))
    failed = await failure(provider, target)
    assert (failed.outcome, failed.status_code, failed.client_fault) == ("http_error", status_code, client_fault)
    assert (failed.upstream_error, failed.retry_after_s) == (ERROR, 7.0)
    assert failed.latency_s > 0
    assert f"model 'small' at {target.address} answered {status_code} (bad)" in failed.message


async def test_an_error_status_without_an_error_object_is_told_too(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>not found</html>", content_type="text/html", status=404)

    failed = await failure(provider, endpoint(await serve(answer)))
    assert (failed.upstream_error, failed.retry_after_s, failed.client_fault) == (None, None, False)
    assert "answered 404; check base_url and upstream_model" in failed.message


async def test_an_error_with_status_200_is_an_error(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "upstream is down", "code": 502}})

    failed = await failure(provider, endpoint(await serve(answer)))
    assert (failed.outcome, failed.status_code) == ("http_error", 502)


async def test_a_redirect_is_not_followed(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/internal"})

    failed = await failure(provider, endpoint(await serve(answer)))
    assert paths == ["/v1/chat/completions"]
    assert (failed.outcome, failed.status_code) == ("http_error", 307)
    assert "set base_url to the final address" in failed.message


async def test_a_silent_upstream_times_out(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    failed = await failure(provider, endpoint(await serve(answer)), timeout_s=0.05)
    assert (failed.outcome, failed.status_code) == ("timeout", None)
    assert "longer than 0.05 s; raise timeouts.upstream_s" in failed.message


async def test_an_upstream_that_drips_its_answer_times_out(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    failed = await failure(provider, endpoint(await serve(answer)), timeout_s=0.1)
    assert failed.outcome == "timeout"


async def test_a_closed_port_is_unreachable(provider: OpenAICompatibleProvider) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    failed = await failure(provider, endpoint(f"http://127.0.0.1:{port}/v1"))
    assert (failed.outcome, failed.status_code) == ("unreachable", None)
    assert f"127.0.0.1:{port}/v1" in failed.message


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"]
)
async def test_an_upstream_that_hangs_up_is_unreachable(
    serve_bytes: ServeBytes, provider: OpenAICompatibleProvider, answer: bytes
) -> None:
    failed = await failure(provider, endpoint(await serve_bytes(answer)))
    assert failed.outcome == "unreachable"


async def test_an_upstream_that_speaks_no_http_is_garbage(
    serve_bytes: ServeBytes, provider: OpenAICompatibleProvider
) -> None:
    failed = await failure(provider, endpoint(await serve_bytes(b"SSH-2.0-OpenSSH_9.7\r\n\r\n")))
    assert failed.outcome == "garbage"
    assert KEY not in repr((failed.__cause__, failed.__context__ if not failed.__suppress_context__ else None))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<html>bad gateway</html>", "no JSON"),
        ("", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "without choices"),
        ('{"choices": []}', "without choices"),
        ('{"choices": [{"index": 0}]}', "no message"),
        ('{"choices": [{"message": null}]}', "no message"),
    ],
)
async def test_success_without_a_completion_is_garbage(
    serve: Serve, provider: OpenAICompatibleProvider, text: str, what: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    failed = await failure(provider, endpoint(await serve(answer)))
    assert (failed.outcome, failed.client_fault) == ("garbage", False)
    assert what in failed.message


async def test_an_answer_without_end_is_cut_off(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" " * 2**20)

    failed = await failure(provider, endpoint(await serve(answer)), timeout_s=60)
    assert failed.outcome == "garbage"
    assert str(LIMIT_BYTES) in failed.message


async def test_a_key_that_the_upstream_echoes_is_blotted_out(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        echo = f"no such key: {request.headers['Authorization']}"
        error = {"message": echo, "type": echo, "code": echo, "param": [{"name": echo}]}
        return web.json_response({"error": error}, status=401)

    failed = await failure(provider, endpoint(await serve(answer)))
    assert KEY not in repr((failed, failed.message, failed.upstream_error))
    assert failed.upstream_error is not None
    assert failed.upstream_error["message"] == "no such key: Bearer ***"


async def test_what_the_upstream_wrote_is_not_in_the_message(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": ERROR | {"message": await request.text()}}, status=400)

    failed = await failure(provider, endpoint(await serve(answer)))
    assert "two and two?" not in failed.message


async def test_a_query_of_the_address_is_sent_and_not_shown(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    queries = []

    async def answer(request: web.Request) -> web.Response:
        queries.append(request.query_string)
        return web.Response(status=500)

    failed = await failure(provider, endpoint(await serve(answer) + "?key=hunter2"))
    assert queries == ["key=hunter2"]
    assert "hunter2" not in failed.message


async def test_a_cancelled_call_hangs_up(serve: Serve, provider: OpenAICompatibleProvider) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    call = asyncio.create_task(provider.complete(endpoint(await serve(answer)), BODY, timeout_s=60))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 5)


async def test_closing_the_provider_cancels_its_calls_and_refuses_new_ones(
    serve: Serve, provider: OpenAICompatibleProvider
) -> None:
    began = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    target = endpoint(await serve(answer))
    call = asyncio.create_task(failure(provider, target, timeout_s=60))
    await began.wait()
    await provider.close()
    for failed in (await call, await failure(provider, target)):
        assert failed.outcome == "cancelled"
