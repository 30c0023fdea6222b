"""A load client: as many connections as wanted, each with one request under way, and the latency of every answer."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import uvloop

LOOPBACK = "127.0.0.1"
PATH = "/v1/chat/completions"
DISTINCT_PROMPTS = 4_000
WORDS = (
    "the a of and to in for with from by under over between after before without against across explain compare "
    "describe summarise list improve review rewrite translate outline estimate design plan argue classify correct "
    "report letter contract recipe poem story function query table schema engine river bridge market budget loan tax "
    "school exam lesson garden forest harbour train ticket patient therapy vaccine protein cell orbit signal voltage "
    "network packet thread memory cache queue compiler theorem proof vector matrix sample variance island empire "
    "treaty senate verdict witness melody canvas novel chapter sentence grammar accent dialect winter storm "
    "valley glacier small large early late public private local simple formal brief modern ancient typical unusual "
    "quickly slowly mostly rarely clearly carefully why when where which while because although unless since however"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers chat requests on a port, and what a request to it says besides the messages."""

    name: str
    port: int
    extra: dict[str, Any]


def prompts(seed: int) -> Iterator[str]:
    """Yield distinct prompts of about 30 to 200 tokens; the same ones for the same seed."""
    draw, words = random.Random(seed), WORDS.split()
    for number in range(DISTINCT_PROMPTS):
        words = draw.choices(words, k=draw.randint(26, 170))
        yield f"{' '.join(words[:12])}. {' '.join(words[12:])} ({number})?".capitalize()


def chat_requests(target: Target, seed: int) -> list[bytes]:
    """Return whole HTTP requests, ready to be written."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: {LOOPBACK}:{target.port}\r\nContent-Type: application/json\r\n"
    bodies = (
        json.dumps({"messages": [{"role": "user", "content": prompt}], "temperature": 0.0} | target.extra).encode()
        for prompt in prompts(seed)
    )
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def load(target: Target, connections: int, seconds: float, seed: int) -> list[float]:
    """Keep a number of connections busy; returns the latency of every request, in seconds.

    Raises:
        RuntimeError: an answer has another status than 200.
    """
    return uvloop.run(_load(target, connections, seconds, cycle(chat_requests(target, seed))))


async def _load(target: Target, connections: int, seconds: float, requests: Iterator[bytes]) -> list[float]:
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_ask(target, requests, until, latencies) for _ in range(connections)))
    return latencies


async def _ask(target: Target, requests: Iterator[bytes], until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, target.port)
    for request in requests:
        began = time.perf_counter()
        if began >= until:
            break
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(content_length(head))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{target.name} answered {head[:30]!r}: {body[:300]!r}")
        latencies.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def content_length(head: bytes) -> int:
    """Read the length of the body from the head of an HTTP message; 0 where it names none."""
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0
