import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.harness import COST_USD, PRICES, House, entry, settings_of

FREE = "Tell me about the sea, number {}."


@pytest.fixture
def settings() -> Any:
    """One cheap model that is known, two dear ones that may be better; free texts, so that only trials teach."""
    models = [entry("small", prior_quality=0.6), *(entry(m, prior_quality=None) for m in ("middle", "large"))]
    return settings_of(
        *models,
        objective={"kind": "budget", "usd_per_request": 2e-4},
        exploration={"max_share": 0.9, "max_usd_per_day": 5.0},
    )


async def warmed(house: House, n: int = 40) -> None:
    house.upstream.answers = {m: (lambda prompt, m=m: f"{m} says of {prompt} that it is wide and deep") for m in PRICES}
    for at in range(n):
        await house.answered(FREE.format(at), router={"explore": False})
    await house.quiet()


async def test_many_requests_at_once_do_not_overdraw_the_allowance_together(open_house: Callable[..., Any], settings: Any) -> None:
    house = await open_house(settings)
    await warmed(house)
    view = house.service.learning.view
    print("allowance", view.allowance_usd, "lambda", view.lambda_, COST_USD)
    gate = asyncio.Event()
    house.upstream.gates = dict.fromkeys(PRICES, gate)
    asking = [asyncio.create_task(house.ask(FREE.format(100 + n))) for n in range(100)]
    while len(house.upstream.asked) < 140:
        await asyncio.sleep(0.01)
    gate.set()
    replies = await asyncio.gather(*asking)
    await house.quiet()
    spend = await house.get("/v1/admin/spend")
    print(spend, sum(int(r.headers["x-headrace-explored"]) for r in replies), view.allowance_usd)
    print(house.select("select model, purpose, count(*) n, avg(explored_share) s, sum(cost_usd) u, sum(cost_usd*explored_share) e from calls group by 1,2"))
    assert 0
