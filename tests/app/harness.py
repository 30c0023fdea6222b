"""What the tests of the service share: a scripted upstream, a running service, and clients that see every byte."""

import asyncio
import shutil
import socket
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from pydantic import SecretStr

from app.main import create_app
from app.providers.base import CallFailed, Completion, Endpoint, Provider
from app.providers.completion import read_completion
from app.providers.fake import last_user_text
from app.seals import FILE as SEAL_KEY
from app.service import Service, open_service
from app.settings import Environment, Settings
from app.streaming import Chunk
from learner.embedding import Embedder, HashEmbedding

Said = str | CallFailed
Answer = Said | Callable[[str], Said]
Piece = str | CallFailed | asyncio.Event
End = Literal["answered", "failed", "cancelled"]

INPUT_TOKENS, OUTPUT_TOKENS = 100, 50
PRICES = {"small": 0.1, "middle": 1.0, "large": 10.0}
COST_USD = {model: (INPUT_TOKENS * usd + OUTPUT_TOKENS * 4 * usd) / 1e6 for model, usd in PRICES.items()}
JSON = {"Content-Type": "application/json"}
QUALITIES = {"small": 0.6, "middle": 0.75, "large": 0.9}


class Gone(CallFailed):
    """A failed call as an upstream gives it, in one word."""

    def __init__(self, outcome: Any = "unreachable", status_code: int | None = None, **details: Any) -> None:
        super().__init__(outcome, f"scripted: {outcome} {status_code or ''}", status_code=status_code, **details)


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that the upstream got."""

    model: str
    prompt: str
    body: Mapping[str, Any]


@dataclass
class Upstream:
    """A `Provider` that says what it is told to, waits where it is told to, and keeps what it was asked.

    Args:
        answers: What each model says; "<model> says 42" where it is not named.
        gates: A model named here answers only once its event is set.
        pieces: What a model streams instead of its answer: texts, failures to raise, events to wait for.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    pieces: dict[str, Sequence[Piece]] = field(default_factory=dict)
    timeouts_s: list[float] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def models(self) -> list[str]:
        return [call.model for call in self.asked]

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        model, prompt = endpoint.model_id, last_user_text(body)
        self._note(model, prompt, body, timeout_s)
        await self._pass_gate(model)
        answer = self.answers.get(model, f"{model} says 42")
        said = answer if isinstance(answer, str | CallFailed) else answer(prompt)
        if isinstance(said, CallFailed):
            raise said
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return read_completion({**head(endpoint), "choices": [choice], "usage": USAGE}, request=body, latency_s=0.0)

    def _note(self, model: str, prompt: str, body: Mapping[str, Any], timeout_s: float) -> None:
        self.asked.append(Asked(model, prompt, body))
        self.timeouts_s.append(timeout_s)
        self.was_asked.set()

    async def _pass_gate(self, model: str) -> None:
        if model in self.gates:
            try:
                await self.gates[model].wait()
            except asyncio.CancelledError:
                self.cancelled.append(model)
                raise

    async def stream(
        self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float
    ) -> AsyncGenerator[Chunk, None]:
        model = endpoint.model_id
        try:
            if model not in self.pieces:
                done = await self.complete(endpoint, body, timeout_s=timeout_s)
                for text in done.text.split(" "):
                    yield delta(endpoint, text)
            else:
                self._note(model, last_user_text(body), body, timeout_s)
                async for text in self._told(self.pieces[model], model):
                    yield delta(endpoint, text)
            yield {**delta(endpoint, None), "usage": USAGE}
        finally:
            self.closed.append(model)

    async def _told(self, pieces: Sequence[Piece], model: str) -> AsyncIterator[str]:
        for piece in pieces:
            if isinstance(piece, CallFailed):
                raise piece
            if isinstance(piece, str):
                yield piece
                continue
            try:
                await piece.wait()
            except asyncio.CancelledError:
                self.cancelled.append(model)
                raise

    async def close(self) -> None:
        pass


USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def head(endpoint: Endpoint) -> dict[str, Any]:
    return {"id": "upstream-1", "object": "chat.completion", "created": 1, "model": f"{endpoint.upstream_model}-0613"}


def delta(endpoint: Endpoint, text: str | None) -> Chunk:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": None if text else "stop"}
    return {**head(endpoint), "object": "chat.completion.chunk", "choices": [choice]}


def entry(model: str, **changes: Any) -> dict[str, Any]:
    """Return a model's entry as a configuration or `POST /v1/admin/models` has it."""
    usd = PRICES.get(model, 1.0)
    return {
        "id": model,
        "provider": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "price": {"input_usd_per_mtok": usd, "output_usd_per_mtok": 4 * usd},
        "prior_quality": QUALITIES.get(model, 0.5),
    } | changes


def settings_of(*models: str | dict[str, Any], **sections: Any) -> Settings:
    """Return settings with these models (`small`, `middle` and `large` where none is named)."""
    entries = [entry(m) if isinstance(m, str) else m for m in models or tuple(PRICES)]
    given: dict[str, Any] = {
        "objective": {"kind": "tradeoff", "usd_per_point": 0.001},
        "models": entries,
        "control": {"share": 0.0},
    }
    return Settings.model_validate(given | sections)


@dataclass
class House:
    """A running service with its application, a client, its scripted upstream, and its data directory."""

    app: FastAPI
    service: Service
    client: httpx.AsyncClient
    upstream: Upstream
    data_dir: Path

    async def ask(self, content: Any = "What is 6 times 7?", **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": content}]
        return await self.client.post("/v1/chat/completions", json={"messages": messages, **body})

    async def answered(self, content: Any = "What is 6 times 7?", **body: Any) -> dict[str, Any]:
        reply = await self.ask(content, **body)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def thumb(self, inference_id: str, value: Any = True, **item: Any) -> httpx.Response:
        body = {"inference_id": inference_id, "metric_name": "thumbs", "value": value, **item}
        return await self.client.post("/v1/feedback", json=body)

    async def key(self, name: str = "client", **entry: Any) -> dict[str, Any]:
        """Make a key and return it as it was answered, token and all."""
        reply = await self.client.post("/v1/admin/keys", json={"name": name, **entry})
        assert reply.status_code == 201, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def get(self, path: str) -> dict[str, Any]:
        reply = await self.client.get(path)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def quiet(self) -> None:
        """Wait until nothing is under way and all of it is learned."""
        # A request whose client has hung up ends on its own, after the application has let go of it.
        if answering := [task for task in asyncio.all_tasks() if is_answering(task)]:
            await asyncio.wait(answering)
        await self.service.background.drain()
        await self.service.learning.settled()

    def select(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Read the database as it is on disk, past the service."""
        return select(self.data_dir, query, *values)

    def counts(self) -> dict[str, int]:
        tables = [row["name"] for row in self.select("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: self.select(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables}

    def dump(self) -> bytes:
        """Return the learner's state, byte by byte."""
        return self.service.learning.snapshot(0.0).body

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Check that what happens inside stores nothing and teaches nothing."""
        await self.quiet()
        before = self.counts(), self.dump()
        yield
        await self.quiet()
        assert (self.counts(), self.dump()) == before

    def killed(self, to: Path) -> Path:
        """Return a data directory as it is left where the process is killed now."""
        to.mkdir()
        for file in self.data_dir.glob("headrace.db*"):
            if not file.name.endswith(("-shm", ".lock")):
                shutil.copy(file, to)
        shutil.copy(self.data_dir / SEAL_KEY, to)
        return to


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": f"Bearer {token}".encode()}


def is_answering(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "Router.complete"


def select(data_dir: Path, query: str, *values: Any) -> list[dict[str, Any]]:
    """Read the database of a data directory."""
    with closing(sqlite3.connect(data_dir / "headrace.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


class Embedding(HashEmbedding):
    """Hashing that remembers: every start embeds the same examples."""

    @staticmethod
    @cache
    def _embedded(size: int, text: str) -> NDArray[np.float32]:
        return HashEmbedding(size=size).embed(text)

    def embed(self, text: str) -> NDArray[np.float32]:
        return self._embedded(self.size, text)


@asynccontextmanager
async def running(
    data_dir: Path,
    settings: Settings | None = None,
    *,
    upstream: Upstream | None = None,
    providers: dict[str, Provider] | None = None,
    admin_key: str | None = None,
    environ: Mapping[str, str] | None = None,
    embedder: Embedder | None = None,
) -> AsyncIterator[House]:
    """Run the service behind the real application; `providers` stand in for the scripted upstream."""
    upstream = upstream or Upstream()
    environment = Environment(
        config_path=None, data_dir=data_dir, admin_key=SecretStr(admin_key) if admin_key else None, url=""
    )
    app = create_app(
        lambda: open_service(
            settings or settings_of(),
            environment,
            environ or {},
            providers=providers or {"openai": upstream, "fake": upstream},
            embedder=embedder or Embedding(size=32),
            seed=7,
            schedule=False,
        )
    )
    headers = bearer(admin_key) if admin_key else {}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://headrace", headers=headers)
        await stack.enter_async_context(client)
        yield House(app, app.state.service, client, upstream, data_dir)


@asynccontextmanager
async def on_a_port(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application that is already running on a free port of 127.0.0.1; yields its address."""
    config = uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        await server.startup(sockets=[listening])
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await server.shutdown(sockets=[listening])


class Watcher:
    """A streaming client that sees every piece as it is sent, and can go away; it does what uvicorn does."""

    def __init__(self, app: FastAPI, body: Mapping[str, Any], *, token: str = "") -> None:
        self._app = app
        self._token = token
        self._body = orjson.dumps({"messages": [{"role": "user", "content": "What is 6 times 7?"}], **body})
        self._sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._incoming: list[dict[str, Any]] = [{"type": "http.request", "body": self._body, "more_body": False}]
        self._left = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> "Watcher":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def _run(self) -> None:
        headers = [(b"authorization", f"Bearer {self._token}".encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
            "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "",
            "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        try:
            await self._app(scope, self._receive, self._send)
        finally:
            self._sent.put_nowait(None)

    async def _receive(self) -> dict[str, Any]:
        if self._incoming:
            return self._incoming.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if not self._left.is_set():
            self._sent.put_nowait(message)

    async def start(self) -> int:
        """Wait for status and headers."""
        message = await self._sent.get()
        assert message is not None, "the application ended without an answer"
        self.status = message["status"]
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return self.status

    async def piece(self) -> bytes:
        """Wait for the next piece of the body; empty at its end."""
        message = await self._sent.get()
        return b"" if message is None else bytes(message.get("body", b""))

    async def rest(self) -> bytes:
        """Wait for the whole rest of the body."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def leave(self) -> None:
        """Hang up, and wait until the application has noticed."""
        self._left.set()
        if self._task is not None:
            await self._task


@asynccontextmanager
async def streaming(house: House, end: End = "answered") -> AsyncIterator[str]:
    """Hold an answer of `small` in the midst of its stream, then let it end as told; yields its inference id."""
    gate = asyncio.Event()
    house.upstream.pieces["small"] = ["Forty", gate, Gone() if end == "failed" else "-two"]
    async with Watcher(house.app, {"stream": True, "model": "small"}) as watcher:
        await watcher.start()
        await watcher.piece()
        yield watcher.headers["x-headrace-decision-id"]
        if end == "cancelled":
            await watcher.leave()
        gate.set()
        await watcher.rest()
    await house.quiet()


def events(body: bytes) -> list[Any]:
    """Read server-sent events: JSON objects, then perhaps "[DONE]"; comments are left out."""
    data = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line.startswith(b"data: ")]
    return [orjson.loads(each) if each != b"[DONE]" else "[DONE]" for each in data]


def text_of(chunks: Sequence[Any]) -> str:
    """Join what the chunks of a stream say."""
    said = [c["choices"][0]["delta"].get("content") for c in chunks if c != "[DONE]" and c.get("choices")]
    return "".join(each or "" for each in said)
