"""Play a world through the running service as its clients and its operator would, by the public contract alone.

A few workers ask the prompts in order with `model: "auto"`; feedback follows some requests later; the late model is
registered when the second half begins. What comes back goes into the tally.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import numpy as np

from app.demo.tally import Served, Tally

WORKERS = 4
FEEDBACK_DELAY = 12
USERS = 97
POLL_S = 1.0
SETTLE_S, LONGEST_SETTLE_S = 0.5, 20.0
REQUEST_TIMEOUT_S = 180.0


class Player:
    """Drive one stream; `play` once.

    Args:
        session: An HTTP session whose base URL is the service's.
        tally: The account to fill.
        upstream_url: Where the late model is served (`…/v1`).
        seed: Draws which answers get feedback.
    """

    def __init__(self, session: aiohttp.ClientSession, tally: Tally, upstream_url: str, seed: int = 0) -> None:
        self._session = session
        self._tally = tally
        self._upstream_url = upstream_url
        self._rated = np.random.default_rng(seed).random(tally.total) < tally.world.feedback_share
        self._pending: deque[Served] = deque()

    async def play(self) -> None:
        """Ask every prompt, send every feedback, and keep λ up to date in the meantime."""
        positions = iter(range(self._tally.total))
        poll = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(self._work(positions) for _ in range(WORKERS)))
            await self._send_feedback(keep=0)
        finally:
            poll.cancel()

    async def _work(self, positions: Iterator[int]) -> None:
        for position in positions:
            if position == self._tally.world.arrival:
                await self._begin_second_half()
            try:
                served = await self._ask(position)
            except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
                self._tally.errors.append(f"request {position}: {type(error).__name__}: {error}")
                continue
            self._tally.served.append(served)
            if self._rated[position]:
                self._pending.append(served)
            await self._send_feedback(keep=FEEDBACK_DELAY)

    async def _ask(self, position: int) -> Served:
        world = self._tally.world
        prompt = world.prompts[position]
        messages = [{"role": "user", "content": prompt}]
        body = {"model": "auto", "messages": messages, "user": f"user-{position % USERS}"}
        async with self._session.post("/v1/chat/completions", json=body) as reply:
            data = await accepted(reply)
            stage = reply.headers.get("x-headrace-stage", "")
        answer = await world.source(data["model"], prompt)
        text = data["choices"][0]["message"]["content"]
        return Served(
            position=position,
            inference_id=data["id"],
            model=data["model"],
            reward=answer.reward if answer else 0.0,
            usd=float(data["usage"]["cost"]),
            stage=stage,
            verbatim=answer is not None and answer.text == text,
        )

    async def _send_feedback(self, *, keep: int) -> None:
        """Send the oldest waiting feedback until `keep` are left."""
        while len(self._pending) > keep:
            served = self._pending.popleft()
            value = served.reward if self._tally.world.metric == "rating" else served.reward >= 0.5
            body = {"inference_id": served.inference_id, "metric_name": self._tally.world.metric, "value": value}
            if await self._post("/v1/feedback", body):
                self._tally.feedback_sent += 1

    async def _begin_second_half(self) -> None:
        self._tally.usd_at_arrival = self._tally.bill.total_usd
        late = self._tally.world.late
        if late is not None:
            entry = self._tally.world.pool_entry(late, self._upstream_url)
            self._tally.joined = await self._post("/v1/admin/models", entry)

    async def _post(self, path: str, body: Mapping[str, Any]) -> bool:
        try:
            async with self._session.post(path, json=body) as reply:
                await accepted(reply)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._tally.errors.append(f"POST {path}: {type(error).__name__}: {error}")
            return False
        return True

    async def _watch(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                learner = await read(self._session, "/v1/admin/learner")
                self._tally.price_of_usd = float(learner["lambda"]) if "lambda" in learner else None
            await asyncio.sleep(POLL_S)


async def accepted(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the JSON object of a reply.

    Raises:
        ValueError: The status is not 2xx, or the body is no JSON object; the message holds the body's beginning.
    """
    text = await reply.text()
    if not reply.ok:
        raise ValueError(f"status {reply.status}: {text[:300]}")
    data = await reply.json(content_type=None)
    if not isinstance(data, dict):
        raise ValueError(f"no JSON object: {text[:300]}")
    return data


async def read(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """GET a JSON object from the service."""
    async with session.get(path) as reply:
        return await accepted(reply)


async def settle(session: aiohttp.ClientSession, tally: Tally) -> dict[str, Any]:
    """Wait until background work has come to rest, and return the service's ledger (`/v1/admin/spend`).

    At rest means that neither the ledger nor the upstream's bill moved between two readings.
    """
    before: object = None
    ledger: dict[str, Any] = {}
    for _ in range(int(LONGEST_SETTLE_S / SETTLE_S)):
        ledger = await read(session, "/v1/admin/spend")
        now = (ledger.get("total_usd"), tally.bill.total_usd)
        if now == before:
            break
        before = now
        await asyncio.sleep(SETTLE_S)
    return ledger
