import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.demo.checks import loop_checks
from app.demo.play import Player, read, settle
from app.demo.service import configuration
from app.demo.tally import Tally
from app.demo.upstream import serving
from app.demo.worlds import World
from tests.app.demo.fake_service import FakeService


@asynccontextmanager
async def played(world: World, **faults: Any) -> AsyncIterator[tuple[Tally, FakeService, aiohttp.ClientSession]]:
    """A stream that has been played to its end through a fake service."""
    async with serving(world) as upstream:
        service = FakeService(configuration(world, upstream.base_url, Path()), **faults)
        async with TestServer(service.app()) as server, aiohttp.ClientSession(server.make_url("/")) as session:
            tally = Tally(world, upstream.bill)
            await Player(session, tally, upstream.base_url).play()
            yield tally, service, session


async def failing(tally: Tally, session: aiohttp.ClientSession) -> list[str]:
    ledger, learner = await read(session, "/v1/admin/spend"), await read(session, "/v1/admin/learner")
    checks = loop_checks(tally, ledger, learner)
    return [check.claim for check in checks if not check.holds]


async def test_every_prompt_is_asked_once_and_graded_by_the_world(make_world: Callable[..., World]) -> None:
    world = make_world(30)
    async with played(world) as (tally, _, _):
        assert sorted(answer.position for answer in tally.served) == list(range(30))
        for answer in tally.served:
            record = await world.source(answer.model, world.prompts[answer.position])
            assert record is not None
            assert (answer.reward, answer.verbatim, answer.stage) == (record.reward, True, "learned")
            assert answer.usd == pytest.approx(world.cost_usd(answer.model, record))


async def test_feedback_is_the_reward_of_the_answer_it_is_about(make_world: Callable[..., World]) -> None:
    async with played(make_world(30)) as (tally, service, _):
        given = {item["inference_id"]: item["value"] for item in service.feedback}
        assert {item["metric_name"] for item in service.feedback} == {"thumbs"}
    assert given == {answer.inference_id: answer.reward == 1.0 for answer in tally.served}
    assert tally.feedback_sent == 30


async def test_ratings_are_sent_as_they_were_recorded(make_world: Callable[..., World]) -> None:
    async with played(make_world(12, metric="rating")) as (_, service, _):
        assert {(item["metric_name"], item["value"]) for item in service.feedback} == {("rating", 0.0), ("rating", 1.0)}


async def test_only_the_worlds_share_of_the_answers_gets_feedback(make_world: Callable[..., World]) -> None:
    async with played(make_world(200, feedback_share=0.3)) as (tally, service, _):
        assert 40 <= tally.feedback_sent <= 80
        assert len(service.feedback) == tally.feedback_sent


async def test_the_late_model_joins_when_the_second_half_begins(make_world: Callable[..., World]) -> None:
    async with played(make_world(40)) as (tally, service, _):
        assert [model["id"] for model in service.models] == ["small", "large", "middle"]
        assert 16 <= service.asked_at_registration[0] <= 20
        assert tally.joined
        assert 0 < tally.usd_at_arrival < tally.bill.total_usd
        assert all(answer.model != "middle" for answer in tally.served if answer.position < 16)


async def test_a_world_without_a_late_model_registers_none(make_world: Callable[..., World]) -> None:
    async with played(replace(make_world(), late=None)) as (tally, service, _):
        assert service.asked_at_registration == []
        assert len(service.models) == 3
        assert not tally.errors


async def test_lambda_is_what_the_service_reports(make_world: Callable[..., World]) -> None:
    async with played(make_world(200)) as (tally, _, _):
        assert tally.price_of_usd == 12.5


async def test_the_loop_closes_with_an_honest_service(make_world: Callable[..., World]) -> None:
    async with played(make_world(30)) as (tally, _, session):
        assert await failing(tally, session) == []


async def test_a_ledger_that_leaves_out_half_a_percent_is_found(make_world: Callable[..., World]) -> None:
    async with played(make_world(30), forget_cost=0.005) as (tally, _, session):
        assert await failing(tally, session) == ["the spend ledger equals the upstream's bill"]


async def test_feedback_that_was_accepted_but_not_counted_is_found(make_world: Callable[..., World]) -> None:
    async with played(make_world(30), lose_feedback=True) as (tally, _, session):
        assert await failing(tally, session) == ["every feedback was counted"]


async def test_the_ledger_is_read_once_it_has_come_to_rest(make_world: Callable[..., World]) -> None:
    async with played(make_world(4)) as (tally, service, session):

        def shadow_call() -> None:
            service.total_usd += 0.001
            tally.bill.add("small", 0.001)

        before = service.total_usd
        asyncio.get_running_loop().call_later(0.2, shadow_call)
        assert (await settle(session, tally))["total_usd"] == pytest.approx(before + 0.001)


async def test_an_altered_answer_is_found(make_world: Callable[..., World]) -> None:
    async with played(make_world(10)) as (tally, _, session):
        tally.served[3] = replace(tally.served[3], verbatim=False)
        assert await failing(tally, session) == ["every answer is verbatim that of the model it names"]


async def test_a_service_that_refuses_is_told_in_the_errors(make_world: Callable[..., World]) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "the pool is empty"}}, status=503)

    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", refuse)])
    world = make_world(8)
    async with (
        serving(world) as upstream,
        TestServer(app) as server,
        aiohttp.ClientSession(server.make_url("/")) as session,
    ):
        tally = Tally(world, upstream.bill)
        await Player(session, tally, upstream.base_url).play()
    assert tally.served == []
    assert len(tally.errors) == 9
    assert "the pool is empty" in tally.errors[0]
    assert [check.claim for check in loop_checks(tally, {}, {}) if not check.holds] == [
        "every request was answered",
        "a model joined the pool at run time",
        "the spend ledger equals the upstream's bill",
        "every feedback was counted",
    ]
