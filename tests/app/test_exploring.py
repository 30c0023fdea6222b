"""Exploration stays within its caps however many requests run at once, and each request that refuses it has none."""

import asyncio
from calendar import timegm
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.providers.base import Completion, Endpoint
from app.providers.completion import read_completion
from app.settings import Settings
from tests.app.harness import PRICES, USAGE, Gone, House, Upstream, Watcher, bearer, entry, head, running, settings_of

KEY = "correct horse battery"
FREE = "Tell me about the sea, number {}."
CAP_USD = 1e-3


def free_text(model: str) -> Callable[[str], str]:
    return lambda prompt: f"{model} says of {prompt} that it is wide and deep"


def pool(**exploration: float) -> Settings:
    """A cheap model that is known and two dear ones that may be better; free texts, so that trials teach most."""
    models = [entry("small", prior_quality=0.6), *(entry(m, prior_quality=None) for m in ("middle", "large"))]
    return settings_of(
        *models,
        objective={"kind": "budget", "usd_per_request": 2e-4},
        exploration={"max_share": 0.9, "max_usd_per_day": CAP_USD} | exploration,
        feedback={"probe_share": 1.0},
    )


@pytest.fixture
def sea(upstream: Upstream) -> Upstream:
    upstream.answers = {model: free_text(model) for model in PRICES}
    return upstream


async def warmed(house: House, n: int = 40) -> None:
    for at in range(n):
        await house.answered(FREE.format(at), router={"explore": False})
    await house.quiet()


async def explored_usd(house: House) -> float:
    await house.quiet()
    usd = (await house.get("/v1/admin/spend"))["exploration_usd"]
    assert isinstance(usd, float)
    return usd


async def at_once(house: House, n: int, first: int = 100, **body: Any) -> list[Any]:
    """Have so many requests decide before any of them is answered."""
    gate, asked = asyncio.Event(), len(house.upstream.asked)
    house.upstream.gates = dict.fromkeys(PRICES, gate)
    asking = [asyncio.create_task(house.ask(FREE.format(first + i), **body)) for i in range(n)]
    while len(house.upstream.asked) < asked + n:
        await asyncio.sleep(0.001)
    gate.set()
    replies = await asyncio.gather(*asking)
    await house.quiet()
    return replies


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hundred_requests_at_once_do_not_spend_the_same_allowance(
    open_house: Callable[..., Any], sea: Upstream, streamed: bool
) -> None:
    house = await open_house(pool())
    await warmed(house)
    replies = await at_once(house, 100, stream=streamed)
    assert any(reply.headers["x-headrace-explored"] == "1" for reply in replies)
    assert 0.0 < await explored_usd(house) <= CAP_USD
    if hasattr(house.service.learning, "exploring"): assert house.service.learning.exploring.held_usd == 0.0
