import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.harness import PRICES, House, entry, settings_of


async def register(house: House, model: str = "new", **changes: Any) -> dict[str, Any]:
    reply = await house.client.post("/v1/admin/models", json=entry(model, **{"prior_quality": None, **changes}))
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_the_reply_to_a_registration_is_the_model_with_its_plan(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(exploration={"max_share": 0.2, "max_usd_per_day": 3.0}))
    house.upstream.answers = dict.fromkeys(PRICES, "42")
    for at in range(20):
        await house.answered(f"What is {at} times 7?")
    await house.quiet()
    told = await register(house, price={"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4})
    shown = await house.get("/v1/admin/models/new")
    assert {name: told[name] for name in shown if name not in ("state", "reason")}.items() <= shown.items()
    plan = told["plan"]
    assert plan["quiz"]["questions"] == 30
    assert plan["quiz"]["expected_usd"] > 0.0
    assert "in memory only" in plan["quiz"]["queries"]
    assert plan["caps"] == {"max_share": 0.2, "max_usd_per_day": 3.0}
    assert plan["fair_share"] == pytest.approx(0.25)
    assert plan["queries_to_fair_share"] >= 29
    assert plan["reason"]


async def test_where_nothing_is_known_yet_the_plan_says_why(house: House) -> None:
    plan = (await register(house))["plan"]
    assert (plan["queries_to_fair_share"], plan["quiz"]["expected_usd"]) == (None, None)
    assert "no recent query" in plan["reason"]


@pytest.mark.parametrize(("prior", "source"), [(0.8, "prior_quality"), (None, "price")])
async def test_the_prior_is_the_operators_or_follows_from_the_price(
    house: House, prior: float | None, source: str
) -> None:
    told = (await register(house, prior_quality=prior))["plan"]["prior"]
    assert source in told["source"]
    low, high = told["interval"]
    assert low <= told["quality"] <= high
    assert prior is None or told["quality"] == pytest.approx(prior)


async def test_onboarding_tells_what_the_contract_names(house: House) -> None:
    await register(house)
    told = await house.get("/v1/admin/models/new/onboarding")
    assert told["state"] in ("registered", "exploring")
    assert told["progress"]["quiz"].items() >= {"of": 30, "asked": 0, "answered": 0, "is_over": False}.items()
    assert "waits for requests" in told["progress"]["quiz"]["reason"]
    assert told["spend_usd"] == {"quiz": 0.0, "shadow": 0.0, "live": 0.0, "total": 0.0}
    assert told["verdict"]["decision"] is None
    assert (told["requests_since_arrival"], told["share"]) == (0, 0.0)
    assert told["queries_to_fair_share"]["reached"] is None
    low, high = told["interval"]
    assert low <= told["quality"] <= high


async def test_a_model_of_the_first_pool_never_arrived(house: House) -> None:
    told = await house.get("/v1/admin/models/small/onboarding")
    assert (told["arrived_at"], told["spend_usd"], told["requests_since_arrival"]) == (None, None, None)
    assert told["progress"]["quiz"]["is_over"]
    assert "first pool" in told["progress"]["quiz"]["reason"]


async def test_the_fair_share_is_told_once_it_is_reached(house: House) -> None:
    await register(house)
    for at in range(40):
        await house.answered(f"What is {at} times 7?", model="new")
    await house.quiet()
    told = await house.get("/v1/admin/models/new/onboarding")
    assert told["queries_to_fair_share"]["reached"] == 29
    assert told["share"] > told["fair_share"]
    assert told["requests_since_arrival"] == 40


async def test_ids_with_slashes_have_an_onboarding_of_their_own(house: House) -> None:
    await register(house, "org/new")
    assert (await house.get("/v1/admin/models/org/new/onboarding"))["id"] == "org/new"
    assert (await house.get("/v1/admin/models/org/new"))["id"] == "org/new"


async def test_no_id_stands_in_the_way_of_that_address(house: House) -> None:
    reply = await house.client.post("/v1/admin/models", json=entry("org/onboarding"))
    assert reply.status_code == 422
    assert "/onboarding" in reply.json()["error"]["message"]


async def test_the_onboarding_of_an_unknown_model_is_a_404(house: House) -> None:
    reply = await house.client.get("/v1/admin/models/none/onboarding")
    assert reply.status_code == 404
    assert "none" in reply.json()["error"]["message"]


async def test_several_models_arrive_at_once(house: House) -> None:
    models = [f"new-{at}" for at in range(5)]
    told = await asyncio.gather(*(register(house, model) for model in models))
    assert [each["id"] for each in told] == models
    assert set(house.service.learning.view.arrivals) == set(models)


async def test_a_patch_acts_at_once_and_loses_nothing(house: House) -> None:
    await register(house)
    for at in range(10):
        await house.answered(f"What is {at} times 7?", model="new")
    await house.quiet()
    before = await house.get("/v1/admin/models/new/onboarding")
    learned = (await house.get("/v1/admin/learner"))["models"]["new"]
    change = {
        "price": {"input_usd_per_mtok": 1000.0, "output_usd_per_mtok": 0.0},
        "context_tokens": 64_000,
        "capabilities": ["tools"],
    }
    shown = (await house.client.patch("/v1/admin/models/new", json=change)).json()
    assert shown.items() >= change.items()
    after = await house.get("/v1/admin/models/new/onboarding")
    for name in ("state", "spend_usd", "requests_since_arrival", "share", "arrived_at", "verdict"):
        assert after[name] == before[name], name
    assert after["progress"]["observations"] == before["progress"]["observations"]
    now = (await house.get("/v1/admin/learner"))["models"]["new"]
    assert now["cost_usd"] == pytest.approx(0.1)
    assert now["latency_s"] == learned["latency_s"]
    assert (await house.answered(model="new"))["usage"]["cost"] == pytest.approx(0.1)
