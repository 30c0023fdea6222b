import asyncio
from calendar import timegm
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.schemas.chat import parse_chat
from app.streams import PassThrough
from tests.app.harness import COST_USD, Gone, House, Watcher, bearer, running

KEY = "correct horse battery"
SMALL_USD, LARGE_USD = COST_USD["small"], COST_USD["large"]


@pytest.fixture
async def guarded(open_house: Callable[..., Any]) -> Any:
    return await open_house(admin_key=KEY)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, *date: int) -> None:
        self.set(*date)

    def set(self, *date: int) -> None:
        self.now = float(timegm((*date, 0, 0, 0)[:6]))

    def __call__(self) -> float:
        return self.now


async def ask_as(house: House, key: dict[str, Any], path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
    asked = {"messages": [{"role": "user", "content": "What is 6 times 7?"}], "model": "small"} | body
    return await house.client.post(path, json=asked, headers=bearer(key["key"]))


async def spent(house: House, key: dict[str, Any]) -> float:
    rows = (await house.get("/v1/admin/keys"))["data"]
    (usd,) = (row["spent_usd"] for row in rows if row["id"] == key["id"])
    assert isinstance(usd, float)
    return usd


def budget(usd: float, per: str = "total") -> dict[str, Any]:
    return {"usd": usd, "per": per}


async def test_a_key_is_served_until_its_budget_is_reached(guarded: House) -> None:
    key = await guarded.key(budget=budget(2.5 * SMALL_USD, "day"))
    replies = [await ask_as(guarded, key) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    error = replies[-1].json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    for word in (key["id"], "7.5e-05 USD a day", "has spent 9e-05 USD", "resets at 20", "T00:00:00Z", "another key"):
        assert word in error["message"]
    assert await spent(guarded, key) == pytest.approx(3 * SMALL_USD)
    assert len(guarded.upstream.asked) == 3
    assert (await guarded.answered(model="small"))["id"]  # the bootstrap key has no budget


async def test_a_refused_request_stores_nothing_and_deciding_alone_is_free(guarded: House) -> None:
    key = await guarded.key(budget=budget(0.5 * SMALL_USD))
    await ask_as(guarded, key)
    async with guarded.unchanged():
        assert (await ask_as(guarded, key)).status_code == 429
        assert (await ask_as(guarded, key, model="auto")).status_code == 429
        assert (await ask_as(guarded, key, stream=True)).status_code == 429
        assert (await ask_as(guarded, key, model="auto", stream=True)).status_code == 429
        assert (await ask_as(guarded, key, "/v1/route", model="auto")).status_code == 200
        assert (await ask_as(guarded, key, model="auto", router={"dry_run": True})).status_code == 200
    metrics = (await guarded.client.get("/metrics")).text
    assert 'headrace_errors_total{code="budget_exceeded"} 4.0' in metrics


async def test_deciding_alone_holds_nothing(guarded: House) -> None:
    key = await guarded.key(budget=budget(1e-9))
    for _ in range(3):
        assert (await ask_as(guarded, key, "/v1/route")).status_code == 200
        assert (await ask_as(guarded, key, router={"dry_run": True})).status_code == 200
    assert (await ask_as(guarded, key)).status_code == 200


async def test_the_whole_cost_of_a_routed_request_is_charged(guarded: House) -> None:
    key = await guarded.key()
    costs = [(await ask_as(guarded, key, model="auto")).json()["usage"]["cost"] for _ in range(5)]
    await guarded.quiet()
    assert await spent(guarded, key) == pytest.approx(sum(costs))


# -- at the same time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
async def test_requests_at_the_same_time_cannot_overdraw_together(guarded: House, streamed: bool) -> None:
    key = await guarded.key(budget=budget(3 * LARGE_USD))
    guarded.upstream.gates["large"] = gate = asyncio.Event()
    asking = [asyncio.create_task(ask_as(guarded, key, model="large", stream=streamed)) for _ in range(20)]
    refused = []
    for task in asyncio.as_completed(asking):
        refused.append((await task).status_code)
        if len(refused) == 19:
            break
    assert refused == [429] * 19  # an answer is expected to be longer than it turns out
    gate.set()
    assert {(await task).status_code for task in asking} == {200, 429}
    assert len(guarded.upstream.asked) == 1
    assert await spent(guarded, key) == pytest.approx(LARGE_USD)
    assert (await ask_as(guarded, key, model="large")).status_code == 200


async def test_learned_costs_let_as_many_through_as_the_budget_pays_for(guarded: House) -> None:
    for _ in range(40):
        await guarded.answered(model="large")
    await guarded.quiet()
    key = await guarded.key(budget=budget(5 * LARGE_USD))
    replies = await asyncio.gather(*(ask_as(guarded, key, model="large") for _ in range(20)))
    answered = sum(reply.status_code == 200 for reply in replies)
    assert 3 <= answered <= 6
    assert await spent(guarded, key) == pytest.approx(answered * LARGE_USD)


# -- however it ends --------------------------------------------------------------------------------------------------


async def test_a_streamed_answer_is_charged(guarded: House) -> None:
    key = await guarded.key()
    assert (await ask_as(guarded, key, stream=True)).status_code == 200
    assert await spent(guarded, key) == pytest.approx(SMALL_USD)


async def test_a_failed_request_is_charged_what_it_cost(guarded: House) -> None:
    guarded.upstream.pieces["small"] = ["Forty", Gone()]
    key = await guarded.key(budget=budget(1e-6))
    assert (await ask_as(guarded, key, stream=True)).status_code == 200
    await guarded.quiet()
    assert 0.0 < await spent(guarded, key) < SMALL_USD
    (stored,) = guarded.select("SELECT status, cost_usd FROM decisions")
    assert stored == {"status": "failed", "cost_usd": pytest.approx(await spent(guarded, key))}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_request_that_nobody_answered_costs_nothing_and_holds_nothing(guarded: House, streamed: bool) -> None:
    guarded.upstream.answers = dict.fromkeys(("small", "middle", "large"), Gone("http_error", 400))
    key = await guarded.key(budget=budget(1e-9))
    for _ in range(3):
        assert (await ask_as(guarded, key, stream=streamed)).status_code == 400
    assert await spent(guarded, key) == 0.0


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_hangs_up_is_charged_what_the_upstream_may_bill(
    guarded: House, data_dir: Path, streamed: bool
) -> None:
    key = await guarded.key(budget=budget(1e-6))
    guarded.upstream.gates["small"] = asyncio.Event()
    async with Watcher(guarded.app, {"model": "small", "stream": streamed}, token=key["key"]):
        await guarded.upstream.was_asked.wait()
    await guarded.quiet()
    held = await spent(guarded, key)
    assert held > 0.0
    assert guarded.select("SELECT status, cost_usd FROM decisions") == [{"status": "cancelled", "cost_usd": held}]
    assert (await ask_as(guarded, key)).status_code == 429


async def test_a_stream_that_nobody_ever_reads_is_charged_and_closed_as_well(guarded: House) -> None:
    key = await guarded.key(budget=budget(1e-9))
    request, body = parse_chat(b'{"model": "small", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
    exchange = guarded.service.router.begin(request, body, user=None, key_id=key["id"])
    stream = await PassThrough(guarded.service.router, exchange, lambda: None).open()
    assert (await ask_as(guarded, key)).status_code == 429
    await stream.aclose()
    await guarded.quiet()
    (stored,) = guarded.select("SELECT status, cost_usd FROM decisions")
    assert stored == {"status": "cancelled", "cost_usd": await spent(guarded, key)}
    assert stored["cost_usd"] > 0.0
    assert guarded.upstream.closed == ["small"]


# -- time -------------------------------------------------------------------------------------------------------------


async def test_a_budget_is_kept_over_a_restart(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir, admin_key=KEY) as house:
        key, free = await house.key(budget=budget(2.5 * SMALL_USD, "month")), await house.key()
        for _ in range(3):
            await ask_as(house, key)
            await ask_as(house, free, model="middle")
        house.upstream.gates["small"] = asyncio.Event()
        async with Watcher(house.app, {"model": "small"}, token=free["key"]):
            house.upstream.was_asked.clear()
            await house.upstream.was_asked.wait()
        await house.quiet()
        before = [await spent(house, key), await spent(house, free)]
        killed = house.killed(tmp_path / "killed")
    async with running(killed, admin_key=KEY) as house:
        assert [await spent(house, key), await spent(house, free)] == pytest.approx(before)
        assert before[1] > 3 * COST_USD["middle"]
        assert (await ask_as(house, key)).status_code == 429
        assert (await ask_as(house, free)).status_code == 200


@pytest.mark.parametrize(
    ("per", "still", "after"),
    [
        ("day", (2024, 2, 28, 23, 59, 59), (2024, 2, 29)),
        ("month", (2024, 2, 29, 23, 59, 59), (2024, 3, 1)),
    ],
)
async def test_a_budget_is_whole_again_in_a_new_period(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, per: str, still: tuple[int, ...], after: tuple[int, ...]
) -> None:
    clock = Clock(2024, 2, 28, 12)
    monkeypatch.setattr("time.time", clock)
    async with running(data_dir, admin_key=KEY) as house:
        key = await house.key(budget=budget(SMALL_USD, per))
        assert (await ask_as(house, key)).status_code == 200
        clock.set(*still)
        assert (await ask_as(house, key)).status_code == 429
        clock.set(*after)
        assert await spent(house, key) == 0.0
        assert [(await ask_as(house, key)).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(("per", "sums"), [("day", 1), ("month", 2), ("total", 3)])
async def test_after_a_restart_only_the_present_period_counts(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, per: str, sums: int
) -> None:
    clock = Clock(2024, 2, 29, 12)
    monkeypatch.setattr("time.time", clock)
    async with running(data_dir, admin_key=KEY) as house:
        key = await house.key(budget=budget(1.0, per))
        for day in ((2024, 2, 29, 23), (2024, 3, 1), (2024, 3, 2)):
            clock.set(*day)
            assert (await ask_as(house, key)).status_code == 200
    async with running(data_dir, admin_key=KEY) as house:
        assert await spent(house, key) == pytest.approx(sums * SMALL_USD)
