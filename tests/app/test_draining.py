import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.under_way import UnderWay
from tests.app.harness import House, Upstream, Watcher, entry, running, settings_of


async def state_of(house: House, model: str = "small") -> str:
    return str((await house.get(f"/v1/admin/models/{model}"))["state"])


async def asked(house: House, n: int = 1) -> None:
    """Wait until the upstream has been asked so often."""
    while len(house.upstream.asked) < n:
        house.upstream.was_asked.clear()
        await house.upstream.was_asked.wait()


async def held(house: House, model: str = "small", **body: Any) -> tuple[asyncio.Event, asyncio.Task[Any]]:
    """Begin a request that waits for its answer until the event is set."""
    gate = house.upstream.gates[model] = asyncio.Event()
    before = len(house.upstream.asked)
    request = asyncio.create_task(house.ask(model=model, **body))
    await asked(house, before + 1)
    return gate, request


async def test_a_model_drains_while_a_request_is_under_way_and_retires_when_it_has_ended(house: House) -> None:
    gate, request = await held(house)
    reply = await house.client.delete("/v1/admin/models/small")
    assert (reply.status_code, reply.json()["state"]) == (200, "draining")
    assert await state_of(house) == "draining"
    assert "small" in {model["id"] for model in (await house.get("/v1/admin/models"))["data"]}
    assert "small" not in {model["id"] for model in (await house.get("/v1/models"))["data"]}
    gate.set()
    assert (await request).json()["model"] == "small"
    await house.quiet()
    assert (await house.client.get("/v1/admin/models/small")).status_code == 404
    assert (await house.get("/v1/admin/learner"))["models"]["small"]["state"] == "retired"
    assert (await house.get("/v1/admin/models/small/onboarding"))["state"] == "retired"
    states = [row["body"] for row in house.select("SELECT body FROM events WHERE kind = 'model' AND ref = 'small'")]
    assert ['"draining"' in body for body in states] == [False, True, False]


async def test_a_draining_model_gets_no_new_requests(house: House) -> None:
    gate, request = await held(house)
    await house.client.delete("/v1/admin/models/small")
    pinned = await house.ask(model="small")
    assert pinned.status_code == 404
    assert "draining" in pinned.json()["error"]["message"]
    for _ in range(5):
        assert (await house.answered())["model"] != "small"
    assert house.upstream.models.count("small") == 1
    gate.set()
    await request


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"routable": False}), ("DELETE", None)])
async def test_a_draining_model_cannot_be_changed(house: House, method: str, body: Any) -> None:
    gate, request = await held(house)
    await house.client.delete("/v1/admin/models/small")
    reply = await house.client.request(method, "/v1/admin/models/small", json=body)
    assert reply.status_code == 404
    assert "draining" in reply.json()["error"]["message"]
    gate.set()
    await request


async def test_a_model_comes_back_only_when_it_has_drained(house: House) -> None:
    gate, request = await held(house)
    await house.client.delete("/v1/admin/models/small")
    early = await house.client.post("/v1/admin/models", json=entry("small"))
    assert early.status_code == 409
    assert "draining" in early.json()["error"]["message"]
    gate.set()
    await request
    await house.quiet()
    assert (await house.client.post("/v1/admin/models", json=entry("small"))).status_code == 201
    house.upstream.gates.clear()
    assert (await house.answered(model="small"))["model"] == "small"


async def test_requests_that_begin_later_do_not_keep_a_model_draining(house: House) -> None:
    gate, first = await held(house)
    await house.client.delete("/v1/admin/models/small")
    later_gate, later = await held(house, "large")
    gate.set()
    await first
    while "small" in {row.id for row in house.service.pool.rows()}:
        await asyncio.sleep(0)
    assert not later.done()
    later_gate.set()
    await later


async def test_a_stream_goes_on_while_its_model_drains(house: House) -> None:
    more = asyncio.Event()
    house.upstream.pieces["small"] = ["forty", more, "two"]
    async with Watcher(house.app, {"stream": True, "model": "small"}) as watcher:
        await watcher.start()
        assert (await house.client.delete("/v1/admin/models/small")).json()["state"] == "draining"
        more.set()
        assert b"two" in b"".join([piece async for piece in pieces(watcher)])
    await house.quiet()
    assert (await house.client.get("/v1/admin/models/small")).status_code == 404


async def pieces(watcher: Watcher) -> Any:
    yield await watcher.rest()


async def test_work_in_the_background_is_waited_for(house: House) -> None:
    gate = asyncio.Event()
    house.service.background.keep(gate.wait())
    assert (await house.client.delete("/v1/admin/models/small")).json()["state"] == "draining"
    gate.set()
    await house.quiet()
    assert (await house.client.get("/v1/admin/models/small")).status_code == 404


async def test_a_model_that_was_draining_at_a_kill_is_retired_after_it(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir) as house:
        await house.client.post("/v1/admin/models", json=entry("new"))
        gate, request = await held(house, "new")
        await house.client.delete("/v1/admin/models/new")
        killed = house.killed(tmp_path / "killed")
        gate.set()
        await request
    async with running(killed) as house:
        assert (await house.client.get("/v1/admin/models/new")).status_code == 404
        assert (await house.get("/v1/admin/learner"))["models"]["new"]["state"] == "retired"


async def test_a_model_of_the_file_that_was_draining_at_a_kill_comes_back_with_the_file(
    data_dir: Path, tmp_path: Path
) -> None:
    async with running(data_dir, settings_of("small", "large")) as house:
        gate, request = await held(house)
        await house.client.delete("/v1/admin/models/small")
        killed = house.killed(tmp_path / "killed")
        gate.set()
        await request
    async with running(killed, settings_of("small", "large")) as house:
        assert (await house.answered(model="small"))["model"] == "small"


async def test_a_cascade_under_way_ends_without_the_model_that_drains(open_house: Callable[..., Any]) -> None:
    upstream = Upstream(answers={"small": "41", "middle": "42", "large": "42"})
    house = await open_house(settings_of(objective={"kind": "quality"}), upstream=upstream)
    gate, request = await held(house, "large", router={"deny": ["nobody"]})
    gate.set()
    await request
    first = upstream.gates["small"] = asyncio.Event()
    upstream.asked.clear()
    under_way = asyncio.create_task(house.ask(router={"allow": ["small", "large"], "fusion": "vote"}))
    await asked(house, 1)
    assert (await house.client.delete("/v1/admin/models/small")).json()["state"] == "draining"
    first.set()
    assert (await under_way).status_code == 200
    await house.quiet()
    assert (await house.client.get("/v1/admin/models/small")).status_code == 404


async def test_what_is_under_way_is_told_apart_by_when_it_began() -> None:
    under_way = UnderWay()
    with under_way.request():
        before = under_way.turn()
        assert not under_way.is_over(before)
        waiting = asyncio.create_task(under_way.over(before))
        with under_way.request():
            await asyncio.sleep(0)
            assert not waiting.done()
    await waiting
    with under_way.request():
        assert under_way.is_over(before)
    assert under_way.counts == {}
