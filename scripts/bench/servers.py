"""The servers of the overhead benchmark, one process each, on loopback: fake upstream, bare forwarder, Headrace."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, cast

import aiohttp
import httpx
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response

from scripts.bench.load import LOOPBACK, PATH, content_length

READY_S = 90.0
PRICES = {"nano": (0.05, 0.2), "small": (0.1, 0.4), "medium": (0.4, 1.6), "large": (2.0, 8.0), "giant": (5.0, 20.0)}
ANSWER = (
    "Here is a short overview. The matter rests on a few points that are worth keeping apart. First, what was asked "
    "depends on the circumstances, and most of them are not stated, so the usual ones are assumed here. Second, there "
    "is a trade between effort and result, which most people settle by trying the simple way and looking at what is "
    "missing. Third, mistakes are cheap early and dear late, so it pays to look at a draft together with somebody who "
    "has to live with it. Taken together this suggests to begin with the smallest version that is of any use, to write "
    "down what it does not do, and to return to it when more is known."
)


def completion() -> bytes:
    """Return the upstream's whole HTTP answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 120, "completion_tokens": 140, "total_tokens": 260}
    body = json.dumps(
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "nano", "choices": [choice]}
        | {"usage": usage, "system_fingerprint": None}
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Upstream(asyncio.Protocol):
    """One connection to the fake upstream: every whole request is answered at once and counted in `calls`."""

    def __init__(self, calls: Any, answer: bytes) -> None:
        self._calls = calls
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back to the client."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole; the rest waits for its end."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            end += content_length(self._received[:end])
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._calls.value += 1
            self._transport.write(self._answer)


def serve_upstream(port: int, calls: Any) -> None:
    """Serve the fake upstream until the process is ended."""

    async def serve() -> None:
        answer = completion()
        server = await asyncio.get_running_loop().create_server(lambda: Upstream(calls, answer), LOOPBACK, port)
        await server.serve_forever()

    uvloop.run(serve())


def serve_bare(port: int, upstream_port: int) -> None:
    """Serve the least that forwards with this stack: FastAPI, uvicorn and aiohttp, raw bytes both ways."""
    url = f"http://{LOOPBACK}:{upstream_port}{PATH}"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app.state.session = session
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post(PATH)
    async def forward(request: Request) -> Response:
        headers = {"Content-Type": "application/json"}
        async with request.app.state.session.post(url, data=await request.body(), headers=headers) as answer:
            return Response(await answer.read(), answer.status, media_type="application/json")

    uvicorn.run(app, host=LOOPBACK, port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False)


@contextmanager
def running(context: SpawnContext, serve: Callable[..., None], port: int, *arguments: Any) -> Iterator[None]:
    """Run a server of this script in its own process; it is ended in any case."""
    process = context.Process(target=serve, args=(port, *arguments), daemon=True)
    process.start()
    try:
        wait_until(lambda: is_listening(port), process.is_alive, f"{serve.__name__} did not start")
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def running_headrace(
    port: int, upstream_port: int, embedding: Path, data_dir: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `headrace serve` with five models that all point at the upstream; it is ended in any case."""
    config, log = data_dir / "headrace.yaml", data_dir / "service.log"
    # JSON is YAML.
    config.write_text(json.dumps(configuration(upstream_port, embedding)))
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve", "--config", str(config)]
    environ = os.environ | {"HEADRACE_DATA_DIR": str(data_dir), "HEADRACE_ADMIN_KEY": ""}
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--port", str(port)], env=environ, stdout=out, stderr=out)
    try:
        wait_until(lambda: is_ready(port), lambda: process.poll() is None, "headrace did not start", log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def configuration(upstream_port: int, embedding: Path) -> dict[str, Any]:
    """Return the service's configuration."""
    models = [
        {"id": name, "provider": "openai", "base_url": f"http://{LOOPBACK}:{upstream_port}/v1"}
        | {"price": {"input_usd_per_mtok": into, "output_usd_per_mtok": out}}
        for name, (into, out) in PRICES.items()
    ]
    return {"models": models, "embedding": {"path": str(embedding)}}


def wait_until(
    is_up: Callable[[], bool], is_alive: Callable[[], bool], complaint: str, log: Path | None = None
) -> None:
    """Wait for a server.

    Raises:
        RuntimeError: it has ended, or is not up in time; the end of its log says why.
    """
    until = time.monotonic() + READY_S
    while not is_up():
        if not is_alive() or time.monotonic() > until:
            raise RuntimeError(f"{complaint}: {log.read_text()[-2000:] if log else 'see above'}")
        time.sleep(0.05)


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def is_ready(port: int) -> bool:
    """Tell whether the service says that it is ready."""
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
