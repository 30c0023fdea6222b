import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.streaming import COMMENT, DONE, StreamAccount, keep_alive, relabel, replay_chunks, sse, usage_chunk

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
TOOL_CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
]
LOGPROBS: dict[str, Any] = {
    "content": [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in ("It is", " four.")],
    "refusal": None,
}


def body(*messages: dict[str, Any], finish_reason: str = "stop", logprobs: Any = None) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": None} | message,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        for index, message in enumerate(messages)
    ]
    return {"id": "chat-1", "object": "chat.completion", "created": 5, "model": "small", "choices": choices}


def replayed(finished: dict[str, Any]) -> list[dict[str, Any]]:
    return list(replay_chunks(finished, inference_id="chat-1", model="small", created=5))


def gathered(chunks: list[dict[str, Any]]) -> StreamAccount:
    account = StreamAccount()
    for chunk in chunks:
        account.add(chunk)
    return account


FINISHED = [
    body({"content": "It is four, for two and two is four."}),
    body({"content": "It is four."}, finish_reason="length", logprobs=LOGPROBS),
    body({"tool_calls": TOOL_CALLS}, finish_reason="tool_calls"),
    body({"content": "Let me look.", "tool_calls": TOOL_CALLS}, finish_reason="tool_calls"),
    body({"refusal": "I cannot help with that."}, finish_reason="content_filter"),
    body({"content": ""}),
    body({"content": "four", "reasoning_content": "two and two"}),
    body({"content": "four"}, {"content": "4"}),
]


@pytest.mark.parametrize("finished", FINISHED)
def test_replaying_and_gathering_gives_the_same_completion(finished: dict[str, Any]) -> None:
    ChatCompletion.model_validate(finished)
    assert gathered(replayed(finished)).body() == finished


@pytest.mark.parametrize("finished", FINISHED)
def test_the_official_client_accepts_every_chunk(finished: dict[str, Any]) -> None:
    for chunk in replayed(finished):
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_a_replay_begins_with_the_role_and_ends_with_the_finish_reason() -> None:
    first, *middle, last = [chunk["choices"][0] for chunk in replayed(FINISHED[0])]
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert [choice["delta"] for choice in middle] == [
        {"content": "It is four, "},
        {"content": "for two and "},
        {"content": "two is four."},
    ]
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert all(choice["finish_reason"] is None for choice in (first, *middle))


@given(st.text(alphabet=" \t\n\u2003a.é"))
def test_no_character_is_lost_between_the_pieces(content: str) -> None:
    assert gathered(replayed(body({"content": content}))).text == content


def test_tool_calls_that_come_in_fragments_are_put_together() -> None:
    fragments = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{"}},
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '"Bern"}'}},
        {"index": 1, "id": "", "function": {"name": None, "arguments": "}"}},
    ]
    account = gathered([{"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in fragments])
    assert account.body()["choices"][0]["message"]["tool_calls"] == TOOL_CALLS


def test_the_usage_that_came_last_counts() -> None:
    chunks: list[dict[str, Any]]
    chunks = [{"choices": [], "usage": {"prompt_tokens": 7}}, {"choices": [], "usage": USAGE}, {"choices": []}]
    assert gathered(chunks).body()["usage"] == USAGE


def test_an_account_of_nothing_is_an_empty_answer() -> None:
    account = StreamAccount()
    message = account.body()["choices"][0]["message"]
    assert (account.text, account.finish_reason, message["content"]) == ("", None, None)


def test_a_relabelled_chunk_has_this_services_identity_and_no_usage() -> None:
    chunk = {"id": "theirs", "model": "vendor/small", "choices": [], "usage": USAGE, "system_fingerprint": "fp"}
    assert relabel(chunk, inference_id="ours", model="small", created=9) == {
        "id": "ours",
        "object": "chat.completion.chunk",
        "created": 9,
        "model": "small",
        "choices": [],
        "system_fingerprint": "fp",
    }
    assert chunk["usage"] == USAGE


async def test_the_official_client_reads_the_whole_stream() -> None:
    last = usage_chunk(USAGE, cost_usd=0.25, inference_id="chat-1", model="small", created=5)
    stream = [COMMENT, *map(sse, replayed(FINISHED[3])), sse(last), DONE]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"".join(stream), content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/chat/completions", answer)
    async with (
        TestServer(app) as server,
        AsyncOpenAI(api_key="none", base_url=str(server.make_url("/"))) as client,
        client.chat.completions.stream(model="auto", messages=[], stream_options={"include_usage": True}) as events,
    ):
        final = await events.get_final_completion()
    message = final.choices[0].message
    assert (final.id, message.content, final.choices[0].finish_reason) == ("chat-1", "Let me look.", "tool_calls")
    assert [call.function.arguments for call in message.tool_calls or []] == ['{"city": "Bern"}', "{}"]
    assert final.usage is not None
    assert final.usage.model_dump(exclude_none=True) == USAGE | {"cost": 0.25}


async def test_comments_come_until_the_work_is_done() -> None:
    release = asyncio.Event()

    async def work() -> str:
        await release.wait()
        return "done"

    task, comments = asyncio.create_task(work()), 0
    async for comment in keep_alive(task, every_s=0.001):
        assert comment == COMMENT
        comments += 1
        if comments == 3:
            release.set()
    assert comments >= 3
    assert task.result() == "done"


async def test_work_whose_waiter_leaves_is_cancelled_unless_shielded() -> None:
    alone, shielded = (asyncio.create_task(asyncio.Event().wait()) for _ in range(2))
    for pending in (alone, asyncio.shield(shielded)):
        async with aclosing(keep_alive(pending, every_s=0.001)) as comments:
            await anext(comments)
    await asyncio.wait({alone}, timeout=5)
    assert alone.cancelled()
    assert not shielded.done()
    shielded.cancel()


async def test_a_failure_of_the_work_is_left_to_who_takes_its_result() -> None:
    async def work() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(work())
    assert [comment async for comment in keep_alive(task, every_s=5)] == []
    with pytest.raises(ValueError, match="broken"):
        task.result()
