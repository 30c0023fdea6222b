"""The pool of a demonstration: an OpenAI-compatible server on loopback that counts what it really bills.

It runs in the event loop of the player: both only wait most of the time, and a second process would take its turns
from the service's core. It lives until the demonstration ends, so that background calls of the service are answered
and billed too.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from app.demo.worlds import Answer, World

CHUNK_CHARACTERS = 40
LONGEST_BODY_BYTES = 8 * 2**20


@dataclass(slots=True)
class Bill:
    """What the pool has billed so far, by model, and the calls it could not answer."""

    usd: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    unknown: int = 0

    @property
    def total_usd(self) -> float:
        """The whole bill in USD."""
        return sum(self.usd.values())

    def add(self, model: str, usd: float) -> None:
        """Put one answered call on the bill."""
        self.usd[model] = self.usd.get(model, 0.0) + usd


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running pool: where it listens (`…/v1`) and its bill."""

    base_url: str
    bill: Bill


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Upstream]:
    """Serve the world's models on a free loopback port while the context is open."""
    bill = Bill()
    runner = web.AppRunner(build_app(world, bill), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Upstream(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", bill)
    finally:
        await runner.cleanup()


def build_app(world: World, bill: Bill) -> web.Application:
    """Build the server: `GET /v1/models` and `POST /v1/chat/completions`."""

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": m, "object": "model"} for m in world.models]})

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        model, prompt = str(body["model"]), last_user_text(body["messages"])
        answer = await world.source(model, prompt)
        bill.calls[model] += 1
        if answer is None:
            bill.unknown += 1
            return unrecorded(model, prompt)
        bill.add(model, world.cost_usd(model, answer))
        if body.get("stream"):
            return await stream(request, completion(model, answer), body.get("stream_options") or {})
        return web.json_response(completion(model, answer))

    app = web.Application(client_max_size=LONGEST_BODY_BYTES)
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    return app


def last_user_text(messages: list[Mapping[str, Any]]) -> str:
    """Return the text of the last user message, whether a string or a list of parts."""
    content = next((m.get("content") for m in reversed(messages) if m.get("role") == "user"), "")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or [])


def unrecorded(model: str, prompt: str) -> web.Response:
    """Answer a prompt that the world does not know with OpenAI's error object."""
    message = f"the replay pool has no answer of {model!r} to {prompt[:60]!r}: it knows only its recorded prompts"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "unrecorded"}
    return web.json_response({"error": error}, status=404)


def completion(model: str, answer: Answer) -> dict[str, Any]:
    """Return the answer as an OpenAI `chat.completion`."""
    message = {"role": "assistant", "content": answer.text}
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }


async def stream(request: web.Request, done: dict[str, Any], options: Mapping[str, Any]) -> web.StreamResponse:
    """Send a completion as server-sent events, the usage last where the client asked for it."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks(done, include_usage=bool(options.get("include_usage"))):
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


def chunks(done: dict[str, Any], *, include_usage: bool) -> list[dict[str, Any]]:
    """Cut a completion into the chunks of a stream."""
    head = {key: done[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    text = str(done["choices"][0]["message"]["content"])
    pieces = [text[at : at + CHUNK_CHARACTERS] for at in range(0, len(text), CHUNK_CHARACTERS)]
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": p}, None) for p in pieces]
    deltas.append(({}, "stop"))
    body = [head | {"choices": [{"index": 0, "delta": d, "finish_reason": end}]} for d, end in deltas]
    return body + ([head | {"choices": [], "usage": done["usage"]}] if include_usage else [])
