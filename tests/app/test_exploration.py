"""Exploration stays within its caps however many requests run at once; a request that refuses it causes none."""

import asyncio
from calendar import timegm
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.providers.base import Completion, Endpoint
from app.providers.fake import last_user_text
from app.settings import Settings
from app.storage.errors import NotStored
from learner.exploration import DAY_S, MARGIN
from tests.app.harness import COST_USD, PRICES, Gone, House, Upstream, Watcher, bearer, entry, running, settings_of
from tests.app.judges.court import Judge
from tests.app.providers.conftest import http_server

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
    )


@pytest.fixture
def sea(upstream: Upstream) -> Upstream:
    upstream.answers = {model: free_text(model) for model in PRICES}
    return upstream


async def warmed(house: House, n: int = 40) -> None:
    """Have the service learn that answers cannot be compared, without any exploration."""
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
    assert house.service.learning.exploring.held_usd == 0.0


async def test_the_share_of_all_spend_holds_too(open_house: Callable[..., Any], sea: Upstream) -> None:
    house = await open_house(pool(max_share=0.2, max_usd_per_day=5.0))
    await warmed(house)
    await at_once(house, 100)
    spend = await house.get("/v1/admin/spend")
    advance_usd = 10 * 0.2 * 2e-4
    assert 0.0 < spend["exploration_usd"] <= 0.2 * spend["total_usd"] + advance_usd
    assert spend["exploration"]["caps"]["share"] == pytest.approx(spend["exploration_usd"] / spend["total_usd"])


async def test_what_ends_without_an_answer_holds_nothing(open_house: Callable[..., Any], sea: Upstream) -> None:
    house = await open_house(pool(max_usd_per_day=5.0), admin_key=KEY)
    await warmed(house)
    exploring = house.service.learning.exploring
    poor = await house.key(budget={"usd": 1e-9, "per": "total"})
    await house.client.post(
        "/v1/chat/completions",
        json={"model": "small", "messages": [{"role": "user", "content": "Hi"}]},
        headers=bearer(poor["key"]),
    )
    explored = 0
    for at in range(40):
        body = {"messages": [{"role": "user", "content": FREE.format(at)}]}
        for path in ("/v1/route", "/v1/chat/completions"):
            reply = await house.client.post(path, json=body | {"router": {"dry_run": True}})
            explored += int(reply.headers["x-headrace-explored"])
        refused = await house.client.post("/v1/chat/completions", json=body, headers=bearer(poor["key"]))
        refused_stream = await house.client.post(
            "/v1/chat/completions", json=body | {"stream": True}, headers=bearer(poor["key"])
        )
        assert refused.status_code == refused_stream.status_code == 429
        assert exploring.held_usd == 0.0
    assert explored > 0
    house.upstream.answers = dict.fromkeys(PRICES, Gone())
    for at in range(10):
        assert (await house.ask(FREE.format(at))).status_code == 502
    await house.quiet()
    assert exploring.held_usd == 0.0


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_hangs_up_leaves_held_what_the_log_does_not_know_yet_and_no_longer(
    open_house: Callable[..., Any], sea: Upstream, streamed: bool
) -> None:
    house = await open_house(pool(max_usd_per_day=5.0))
    await warmed(house)
    sea.gates = dict.fromkeys(PRICES, asyncio.Event())
    exploring = house.service.learning.exploring
    for at in range(30):
        sea.was_asked.clear()
        body = {"stream": streamed, "messages": [{"role": "user", "content": FREE.format(at)}]}
        async with Watcher(house.app, body):
            await sea.was_asked.wait()
            was_held = exploring.held_usd > 0.0
        await house.quiet()
        assert exploring.held_usd == 0.0
        if was_held:
            break
    assert was_held


async def test_what_was_spent_and_could_not_be_stored_stays_held(
    open_house: Callable[..., Any], sea: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(pool(max_usd_per_day=5.0))
    await warmed(house)

    async def refused(_: Any) -> None:
        raise NotStored("no disk")

    with monkeypatch.context() as broken:
        broken.setattr(house.service.journal, "append_all", refused)
        for at in range(30):
            assert (await house.ask(FREE.format(at))).status_code >= 500
    assert house.service.learning.exploring.held_usd > 0.0


# -- calls that cost more than foreseen, new days, restarts -----------------------------------------------------------


class Verbose(Upstream):
    """Answers every question shortly at first, and at great length whoever is asked the same again."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        is_again = last_user_text(body) in {call.prompt for call in self.asked}
        done = await super().complete(endpoint, body, timeout_s=timeout_s)
        return replace(done, output_tokens=self.times * done.output_tokens) if is_again else done


class Clock:
    def __init__(self) -> None:
        self.now = float(timegm((2026, 3, 31, 12, 0, 0)))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


def comparing(cap_usd: float) -> Settings:
    """Three models of one price whose answers can be compared; the first answer always stands."""
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}
    models = [entry(m, price=price, prior_quality=None) for m in PRICES]
    return settings_of(
        *models,
        objective={"kind": "tradeoff", "usd_per_point": 1e-6},
        exploration={"max_share": 1.0, "max_usd_per_day": cap_usd},
    )


async def shadows(house: House) -> list[dict[str, Any]]:
    await house.quiet()
    return house.select("SELECT inference_id, cost_usd, created_at FROM calls WHERE purpose = 'shadow' ORDER BY id")


async def test_a_comparison_dearer_than_foreseen_overdraws_by_its_own_excess_and_is_the_last_of_its_day(
    data_dir: Path, clock: Clock
) -> None:
    cap_usd = 6e-3
    async with running(data_dir, comparing(cap_usd), upstream=Verbose(20)) as house:
        for at in range(60):
            await house.answered(f"What is {at} times 7?")
            await house.quiet()
        calls = await shadows(house)
        assert len({call["inference_id"] for call in calls}) == 1
        assert sum(call["cost_usd"] for call in calls) > cap_usd
        told = (await house.get("/v1/admin/spend"))["exploration"]
        assert told["allowance_usd"] == 0.0
        assert told["caps"]["today_usd"] == pytest.approx(sum(call["cost_usd"] for call in calls))
        clock.now += DAY_S
        await house.answered("What day is it?", router={"explore": False})
        await house.quiet()
        told = await house.get("/v1/admin/spend")
        assert told["exploration"]["caps"]["today_usd"] == 0.0
        assert told["exploration"]["allowance_usd"] == pytest.approx(MARGIN * cap_usd)


async def test_the_days_cap_holds_over_restarts_and_opens_at_midnight(
    data_dir: Path, tmp_path: Path, clock: Clock
) -> None:
    cap_usd, folder, by_day = 1e-3, data_dir, {}
    for round_ in range(4):
        async with running(folder, comparing(cap_usd), upstream=Upstream()) as house:
            clock.now = timegm((2026, 3, 31 + round_ // 2, 23, 50 + round_, 0))
            for at in range(10):
                await asyncio.gather(*(house.answered(f"What is {at} times {n}, round {round_}?") for n in range(3)))
            await house.quiet()
            rows = (await house.get("/v1/admin/spend?by=day"))["rows"]
            by_day = {row["day"]: row["exploration_usd"] for row in rows}
            folder = house.killed(tmp_path / f"round-{round_}")
    assert by_day.keys() == {"2026-03-31", "2026-04-01"}
    for usd in by_day.values():
        assert 0.5 * cap_usd < usd <= cap_usd


async def test_a_comparison_is_booked_on_the_day_whose_cap_it_was_held_against(data_dir: Path, clock: Clock) -> None:
    cap_usd = 2e-3
    async with running(data_dir, comparing(cap_usd), upstream=Upstream()) as house:
        clock.now = timegm((2026, 3, 31, 23, 59, 59))
        for at in range(40):
            await house.answered(f"What is {at} times 7?")
            await house.quiet()
        gate = asyncio.Event()
        house.upstream.gates = dict.fromkeys(PRICES, gate)
        late = [asyncio.create_task(house.answered(f"What is {at} plus 7?")) for at in range(30)]
        while len(house.upstream.asked) < 30:
            await asyncio.sleep(0.001)
        clock.now += 2.0
        house.upstream.gates = {}
        await house.answered("What day is it?")  # the learner's day is the new one now
        await house.service.learning.settled()
        gate.set()
        await asyncio.gather(*late)
        await house.quiet()
        rows = (await house.get("/v1/admin/spend?by=day"))["rows"]
        assert {row["day"]: row["exploration_usd"] <= cap_usd for row in rows} == {
            "2026-03-31": True,
            "2026-04-01": True,
        }


# -- `router.explore: false` ------------------------------------------------------------------------------------------


async def test_a_request_that_refuses_exploration_causes_none_on_any_path(
    open_house: Callable[..., Any], sea: Upstream
) -> None:
    async with http_server(Judge().answer) as url:
        price = {"input_usd_per_mtok": 0.5, "output_usd_per_mtok": 2.0}
        models = [entry(m, prior_quality=None) for m in PRICES]
        grader = entry("judge-a", base_url=url, routable=False, price=price)
        house = await open_house(
            settings_of(
                *models,
                grader,
                judges=[{"id": f"j{i}", "kind": "llm", "model": "judge-a"} for i in range(2)],
                exploration={"max_share": 1.0, "max_usd_per_day": 50.0},
                feedback={"probe_share": 1.0},
                objective={"kind": "tradeoff", "usd_per_point": 1e-6},
            )
        )
        plan = '{"parts": ["Tell me of the sea.", "Tell me of the shore."]}'
        answers = dict(sea.answers)
        ways: list[dict[str, Any]] = [{}, {"stream": True}, {"cascade": "off"}, {"cascade": "off", "stream": True},
                                      {"fusion": "best"}, {"fusion": "vote"}, {"decompose": True}]  # fmt: skip
        for at in range(70):
            way = dict(ways[at % len(ways)])
            stream = way.pop("stream", False)
            planning = way.get("decompose") and at % 2
            sea.answers = dict.fromkeys(PRICES, plan) if planning else dict(answers)
            if at % 9 == 0:
                sea.answers |= {"small": Gone()}
            reply = await house.ask(FREE.format(at), stream=stream, router={"explore": False, **way})
            assert reply.status_code == 200
            assert reply.headers["x-headrace-explored"] == "0"
        sea.answers = answers
        await house.quiet()
        calls = house.select("SELECT purpose, account, explored_share, explored_quality FROM calls")
        assert {"answer", "synthesis", "plan"} <= {call["purpose"] for call in calls}
        assert {(call["account"], call["explored_share"], call["explored_quality"]) for call in calls} == {
            ("request", None, None)
        }
        assert not house.select("SELECT 1 FROM events WHERE kind IN ('comparison', 'probe')")
        assert not house.select("SELECT 1 FROM decisions WHERE explored")
        before = len(calls)
        for at in range(30):
            await house.answered(FREE.format(at))
        await house.quiet()
        explored = house.select("SELECT purpose FROM calls WHERE explored_share IS NOT NULL AND id > ?", before)
        assert {"judge"} <= {call["purpose"] for call in explored}
        assert house.select("SELECT 1 FROM events WHERE kind = 'probe'")


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_exploration_never_overdraws_a_keys_budget_further_than_its_requests_do(
    open_house: Callable[..., Any], sea: Upstream
) -> None:
    models = [entry("small", prior_quality=0.6), entry("middle", prior_quality=None)]
    thrifty = {"kind": "tradeoff", "usd_per_point": 3e-5}
    house = await open_house(settings_of(*models, objective=thrifty, exploration={"max_share": 1.0}), admin_key=KEY)
    await warmed(house)
    rich, poor = await house.key(), await house.key(budget={"usd": 0.5 * COST_USD["middle"], "per": "total"})

    async def ask_as(key: dict[str, Any], at: int) -> Any:
        body = {"messages": [{"role": "user", "content": FREE.format(at)}]}
        return await house.client.post("/v1/chat/completions", json=body, headers=bearer(key["key"]))

    replies = {"rich": [await ask_as(rich, at) for at in range(30)], "poor": []}
    while not replies["poor"] or replies["poor"][-1].status_code == 200:
        replies["poor"].append(await ask_as(poor, len(replies["poor"])))
    explored = {name: {reply.headers.get("x-headrace-explored") for reply in given} for name, given in replies.items()}
    assert explored == {"rich": {"0", "1"}, "poor": {"0", None}}


@pytest.mark.parametrize("explored", ["request", "background"])
async def test_the_key_pays_for_the_extra_of_live_answers_and_the_operator_for_the_background(
    open_house: Callable[..., Any], sea: Upstream, explored: str
) -> None:
    house = await open_house(pool(max_usd_per_day=5.0), admin_key=KEY)
    question, n = FREE, 40
    if explored == "background":
        # Where answers can be compared comparisons are bought, and trials where they cannot.
        sea.answers = dict.fromkeys(PRICES, lambda _: "The answer is 7.")
        question, n = "What is {} plus 7, as a number?", 160
    else:
        await warmed(house)
    key = await house.key()
    for at in range(n):
        body = {"messages": [{"role": "user", "content": question.format(at)}]}
        await house.client.post("/v1/chat/completions", json=body, headers=bearer(key["key"]))
    await house.quiet()
    calls = house.select("SELECT account, cost_usd, explored_share FROM calls WHERE key_id = ?", key["id"])
    assert not house.select("SELECT 1 FROM calls WHERE key_id IS NULL AND explored_share IS NOT NULL")
    assert any(call["explored_share"] for call in calls if call["account"] == explored)
    (row,) = (row for row in (await house.get("/v1/admin/keys"))["data"] if row["id"] == key["id"])
    assert row["spent_usd"] == pytest.approx(sum(c["cost_usd"] for c in calls if c["account"] == "request"))
    (told,) = (await house.get("/v1/admin/spend"))["exploration"]["by_key"]
    assert told["key"] == key["id"]
    assert told["usd"] == pytest.approx(sum(c["cost_usd"] * (c["explored_share"] or 0.0) for c in calls))
