"""`/v1/admin/spend`: sums that agree with every stored call, by model, key, day and purpose."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from app.storage.batch import Entry
from app.storage.spend import day_of
from app.storage.tables import CallRow
from tests.app.harness import PRICES, House, Upstream, bearer, entry, settings_of

KEY = "correct horse battery"
DAY_S = 86_400
FIRST = 1_699_833_600.0  # 2023-11-13 00:00 UTC
REQUESTS = 60
PARTS = ("total_usd", "requests_usd", "background_usd", "exploration_usd", "exploration_quality", "judges_usd")


def sea(model: str) -> Callable[[str], str]:
    return lambda prompt: f"{model} says of {prompt} that it is wide and deep"


@pytest.fixture
async def house(open_house: Callable[..., Any], upstream: Upstream) -> House:
    """A service that has explored for two keys and for none, and whose log knows calls of three days."""
    upstream.answers = {model: sea(model) for model in PRICES}
    models = [entry("small", prior_quality=None), entry("middle", prior_quality=None), entry("large")]
    explored = {"max_share": 0.5, "max_usd_per_day": 5.0}
    house: House = await open_house(settings_of(*models, exploration=explored), admin_key=KEY)
    keys = [bearer((await house.key(name))["key"]) for name in ("ada", "bob")]
    for at in range(REQUESTS):
        sea_like = [{"role": "user", "content": f"Tell me about the sea, number {at}."}]
        body = {"messages": sea_like, "router": {"cascade": "off" if at > REQUESTS // 2 else "auto"}}
        reply = await house.client.post("/v1/chat/completions", json=body, headers=[*keys, None][at % 3])
        assert reply.status_code == 200
    for at, usd in enumerate((0.25, 0.5, 1.0)):
        call = CallRow(
            inference_id=f"old-{at}", step=0, model="large", purpose="quiz", outcome="ok", cost_usd=usd,
            account="background", explored_share=1.0, key_id="ada", created_at=FIRST + DAY_S * at + 5,
        )  # fmt: skip
        await house.service.journal.append(Entry(None, call.inference_id, FIRST, {}, (call,)))
    await house.quiet()
    return house


def calls_of(house: House) -> list[dict[str, Any]]:
    rows = house.select("SELECT *, explored_share * cost_usd AS explored_usd FROM calls")
    return [row | {"day": day_of(row["created_at"]), "key": row["key_id"]} for row in rows]


def summed(rows: list[dict[str, Any]], name: str) -> Any:
    return pytest.approx(math.fsum(row[name] or 0.0 for row in rows))


async def test_the_sums_are_those_of_the_stored_calls(house: House) -> None:
    spend, calls = await house.get("/v1/admin/spend"), calls_of(house)
    assert spend["total_usd"] == summed(calls, "cost_usd")
    assert spend["requests_usd"] + spend["background_usd"] == pytest.approx(spend["total_usd"])
    assert spend["exploration_usd"] == spend["exploration"]["usd"] == summed(calls, "explored_usd")
    assert spend["exploration"]["quality"] == summed(calls, "explored_quality")
    assert spend["requests"] == REQUESTS
    per_1000 = spend["exploration"]["quality"] * 1_000 / REQUESTS
    assert spend["exploration"]["quality_per_1000_requests"] == pytest.approx(per_1000)
    assert per_1000 > 0.0
    assert sum(row["usd"] for row in spend["rows"]) == summed(calls, "cost_usd")
    assert sum(row["calls"] for row in spend["rows"]) == spend["calls"] == len(calls)


async def test_exploration_is_shown_by_model_key_and_day(house: House) -> None:
    exploration, calls = (await house.get("/v1/admin/spend"))["exploration"], calls_of(house)
    for name in ("model", "key", "day"):
        told = exploration[f"by_{name}"]
        for row in told:
            own = [call for call in calls if call[name] == row[name]]
            assert (row["usd"], row["quality"]) == (summed(own, "explored_usd"), summed(own, "explored_quality"))
        explored = {call[name] for call in calls if call["explored_usd"] or call["explored_quality"]}
        assert {row[name] for row in told} == explored
        assert len(explored) > 1


async def test_rows_are_by_what_was_asked_for_and_make_up_the_whole(house: House) -> None:
    for name in ("model", "key", "day", "purpose"):
        spend, calls = await house.get(f"/v1/admin/spend?by={name}"), calls_of(house)
        assert {row[name] for row in spend["rows"]} == {call[name] for call in calls}
        for row in spend["rows"]:
            own = [call for call in calls if call[name] == row[name]]
            assert row["total_usd"] == summed(own, "cost_usd")
            assert row["calls"] == len(own)
        for part in (*PARTS, "requests"):
            assert sum(row[part] for row in spend["rows"]) == pytest.approx(spend[part]), part


async def test_only_the_days_asked_for_count(house: House) -> None:
    asked = {
        "since=2023-11-13&until=2023-11-13": 0.25,
        "since=2023-11-14&until=2023-11-15": 1.5,
        "until=2023-11-14": 0.75,
        "until=2023-11-12": 0.0,
    }
    for query, usd in asked.items():
        spend = await house.get(f"/v1/admin/spend?{query}")
        assert spend["total_usd"] == spend["exploration"]["usd"] == pytest.approx(usd)
        assert spend["exploration"]["quality_per_1000_requests"] is None
        assert sum(row["usd"] for row in spend["exploration"]["by_day"]) == pytest.approx(usd)


async def test_what_cannot_be_asked_for_is_a_422_that_says_what_can(open_house: Callable[..., Any]) -> None:
    house = await open_house()
    refused = {
        "since=yesterday": ("since", "yesterday", "YYYY-MM-DD"),
        "until=20231113": ("until", "20231113", "YYYY-MM-DD"),
        "until=2023-02-30": ("until", "2023-02-30", "YYYY-MM-DD"),
        "since=1700000000": ("since", "1700000000", "YYYY-MM-DD"),
        "since=": ("since", "YYYY-MM-DD"),
        "since=2023-11-14&until=2023-11-13": ("since (2023-11-14)", "after until (2023-11-13)"),
        "by=user": ("by", "user", "'model', 'key', 'day' or 'purpose'"),
        "form=2023-11-13": ("form", "unknown"),
    }
    for query, words in refused.items():
        reply = await house.client.get(f"/v1/admin/spend?{query}")
        assert reply.status_code == 422, query
        for word in words:
            assert word in reply.json()["error"]["message"]


async def test_exploration_stands_beside_its_caps(house: House) -> None:
    spend = await house.get("/v1/admin/spend")
    told, today = spend["exploration"], await house.get(f"/v1/admin/spend?since={day_of(house.service.router.clock())}")
    assert told["caps"] == {
        "max_share": 0.5,
        "max_usd_per_day": 5.0,
        "share": pytest.approx(spend["exploration_usd"] / spend["total_usd"]),
        "today_usd": pytest.approx(today["exploration_usd"]),
        "held_usd": 0.0,
    }
    assert told["allowance_usd"] == house.service.learning.view.allowance_usd


async def test_a_service_that_spent_nothing_says_so(open_house: Callable[..., Any]) -> None:
    spend = await (await open_house()).get("/v1/admin/spend")
    assert [spend[part] for part in PARTS] == [0.0] * len(PARTS)
    assert (spend["rows"], spend["exploration"]["by_day"]) == ([], [])
    assert spend["exploration"]["quality_per_1000_requests"] is None


async def test_what_a_key_caused_in_the_background_is_listed_with_it(house: House) -> None:
    rows = house.select(
        "SELECT DISTINCT c.key_id, d.key_id AS asked FROM calls c JOIN decisions d ON c.inference_id = d.id"
    )
    assert all(row["key_id"] == row["asked"] for row in rows)
    assert len(rows) == 3
