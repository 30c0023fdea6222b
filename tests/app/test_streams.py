import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app import streams
from app.api import chat
from app.streaming import COMMENT
from tests.app.harness import COST_USD, PRICES, End, Gone, House, Watcher, events, streaming, text_of

PINNED = {"stream": True, "model": "small"}
SOON_S = 2.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and comments come after ten milliseconds, not after seconds."""
    monkeypatch.setattr(chat, "WAIT_FOR_HEADERS_S", 0.01)
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.01)


@pytest.fixture
async def gate(house: House) -> AsyncIterator[asyncio.Event]:
    """Every model answers only once this is set; it is set at the end of the test in any case."""
    gate = asyncio.Event()
    house.upstream.gates = dict.fromkeys(PRICES, gate)
    yield gate
    gate.set()


async def status_of(house: House) -> str:
    await house.quiet()
    (row,) = house.select("SELECT status FROM decisions")
    return str(row["status"])


# -- passed through ---------------------------------------------------------------------------------------------------


async def test_a_stream_that_cannot_escalate_is_passed_through_at_once(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.pieces["small"] = ["Forty", gate, "-two"]
    async with Watcher(house.app, PINNED) as watcher:
        assert await watcher.start() == 200
        assert text_of(events(await watcher.piece())) == "Forty"
        assert not gate.is_set()
        gate.set()
        assert text_of(events(await watcher.rest())) == "-two"


async def test_the_decision_is_durable_before_the_first_chunk_and_takes_feedback(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.pieces["small"] = ["Forty", gate, "-two"]
    async with Watcher(house.app, PINNED) as watcher:
        await watcher.start()
        await watcher.piece()
        inference_id = watcher.headers["x-headrace-decision-id"]
        assert house.select("SELECT id, status FROM decisions") == [{"id": inference_id, "status": "open"}]
        assert (await house.thumb(inference_id)).status_code == 202
        gate.set()
        await watcher.rest()
    assert await status_of(house) == "answered"


async def believed(house: House) -> tuple[float, int]:
    """Return the quality of `small`, and from how much all was learned."""
    told = await house.get("/v1/admin/learner")
    return told["models"]["small"]["quality"], told["observations"]


@pytest.mark.parametrize("values", [[False], [True], [True, False]])
async def test_feedback_while_an_answer_streams_teaches_what_it_would_teach_later(
    open_house: Callable[..., Any], tmp_path: Path, values: list[bool]
) -> None:
    early, late = [await open_house(data_dir=tmp_path / name) for name in ("early", "late")]
    at_first = await believed(early)
    async with streaming(early) as inference_id:
        for value in values:
            await early.thumb(inference_id, value)
        assert await believed(early) == at_first
    async with streaming(late) as inference_id:
        pass
    await late.quiet()
    for value in values:
        await late.thumb(inference_id, value)
    assert await believed(early) == await believed(late) != at_first


async def test_feedback_while_an_answer_streams_is_corrected_by_feedback_after_it(house: House) -> None:
    async with streaming(house) as inference_id:
        await house.thumb(inference_id, value=False)
    low, _ = await believed(house)
    await house.thumb(inference_id, value=True)
    assert (await believed(house))[0] > low
    assert (await house.get("/v1/admin/learner"))["feedback_events"] == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_feedback_on_a_stream_that_gave_no_whole_answer_is_kept_and_teaches_nothing(
    house: House, end: End
) -> None:
    at_first = await believed(house)
    async with streaming(house, end) as inference_id:
        await house.thumb(inference_id, value=False)
    assert await believed(house) == at_first
    assert await status_of(house) == end
    assert (await house.get("/v1/admin/learner"))["feedback_events"] == 1


async def test_a_client_that_goes_away_closes_the_upstream_and_is_accounted_as_background(house: House) -> None:
    house.upstream.pieces["small"] = ["Forty", asyncio.Event(), "-two"]
    async with Watcher(house.app, PINNED) as watcher:
        await watcher.start()
        await watcher.piece()
        await watcher.leave()
    assert await status_of(house) == "cancelled"
    assert house.upstream.cancelled == ["small"]
    assert house.upstream.closed == ["small"]
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == 0.0
    assert spend["background_usd"] == spend["total_usd"] > 0.0
    assert house.select("SELECT outcome, account FROM calls") == [{"outcome": "cancelled", "account": "background"}]


async def test_a_client_that_goes_away_before_the_first_chunk_closes_the_upstream(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.pieces["small"] = [gate, "Forty-two"]
    async with Watcher(house.app, PINNED) as watcher:
        await house.upstream.was_asked.wait()
        try:
            async with asyncio.timeout(SOON_S):
                await watcher.leave()
        except TimeoutError:
            pytest.fail("the upstream works on for a client that is gone")
        finally:
            gate.set()
    assert house.upstream.cancelled == ["small"]
    assert await status_of(house) == "cancelled"
    assert (await house.get("/v1/admin/spend"))["requests_usd"] == 0.0


async def test_a_stream_that_breaks_off_says_so_and_is_not_done(house: House) -> None:
    house.upstream.pieces["small"] = ["Forty", Gone("unreachable")]
    async with Watcher(house.app, PINNED) as watcher:
        await watcher.start()
        told = events(await watcher.rest())
    assert text_of(told[:-1]) == "Forty"
    assert told[-1]["error"]["code"] == "upstream_failed"
    assert "small" in told[-1]["error"]["message"]
    assert "[DONE]" not in told
    assert await status_of(house) == "failed"


async def test_what_a_broken_stream_cost_is_spent_and_stands_in_no_answer(house: House) -> None:
    house.upstream.pieces["small"] = ["Forty", Gone("unreachable")]
    async with Watcher(house.app, PINNED) as watcher:
        await watcher.start()
        await watcher.rest()
    await house.quiet()
    (call,) = house.select("SELECT * FROM calls")
    assert (call["outcome"], call["model"]) == ("unreachable", "small")
    assert call["input_tokens"] > 0
    spend = await house.get("/v1/admin/spend")
    assert spend["total_usd"] == pytest.approx(call["cost_usd"])
    assert call["cost_usd"] > 0.0
    assert spend["requests_usd"] == 0.0


async def test_a_broken_stream_counts_against_its_upstream(house: House) -> None:
    house.upstream.pieces["small"] = ["Forty", Gone("unreachable")]
    for _ in range(3):
        await house.ask(**PINNED)
    assert (await house.get("/v1/admin/models/small"))["state"] == "quarantined"


async def test_a_stream_whose_first_model_fails_comes_from_another(house: House) -> None:
    house.upstream.pieces["small"] = [Gone("http_error", 500)]
    reply = await house.ask(stream=True, router={"cascade": "off", "allow": ["small", "middle"], "cost_quality": 1.0})
    *chunks, _ = events(reply.content)
    await house.quiet()
    assert house.upstream.models == ["small", "middle"]
    assert {chunk["model"] for chunk in chunks} == {"middle"}
    assert reply.headers["x-headrace-stage"] == "fallback"
    assert chunks[-1]["usage"]["cost"] == pytest.approx(COST_USD["middle"])
    outcomes = house.select("SELECT model, outcome FROM calls ORDER BY step")
    assert outcomes == [{"model": "small", "outcome": "http_error"}, {"model": "middle", "outcome": "ok"}]


async def test_a_stream_that_is_garbage_comes_from_the_next_model(house: House) -> None:
    house.upstream.pieces["small"] = [Gone("garbage")]
    reply = await house.ask(stream=True, router={"cascade": "off", "allow": ["small", "middle"], "cost_quality": 1.0})
    assert text_of(events(reply.content)) == "middlesays42"


async def test_the_answer_of_a_passed_stream_is_durable_once_all_is_done(house: House) -> None:
    await house.ask(**PINNED)
    await house.quiet()
    (row,) = house.select("SELECT status, answer_model, attempts, cost_usd, streamed FROM decisions")
    assert row == {
        "status": "answered",
        "answer_model": "small",
        "attempts": 1,
        "cost_usd": pytest.approx(COST_USD["small"]),
        "streamed": 1,
    }


# -- held -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_a_stream_that_can_escalate_is_held_and_kept_alive_by_comments(house: House, gate: asyncio.Event) -> None:
    async with Watcher(house.app, {"stream": True}) as watcher:
        assert await watcher.start() == 200
        assert [await watcher.piece() for _ in range(3)] == [COMMENT] * 3
        gate.set()
        told = events(await watcher.rest())
    assert told[-1] == "[DONE]"
    assert text_of(told) == f"{told[0]['model']} says 42"


@pytest.mark.usefixtures("impatient")
async def test_a_held_stream_shows_nothing_of_an_answer_that_was_not_taken(house: House) -> None:
    async with Watcher(house.app, {"stream": True}) as watcher:
        await watcher.start()
        told = events(await watcher.rest())
    await house.quiet()
    taken = told[0]["model"]
    assert len(set(house.upstream.models)) > 1
    assert text_of(told) == f"{taken} says 42"
    assert told[-2]["usage"]["cost"] == pytest.approx((await house.get("/v1/admin/spend"))["requests_usd"])


@pytest.mark.usefixtures("impatient")
async def test_a_held_stream_that_fails_late_ends_with_the_error(house: House, gate: asyncio.Event) -> None:
    house.upstream.answers = dict.fromkeys(PRICES, Gone("unreachable"))
    async with Watcher(house.app, {"stream": True}) as watcher:
        assert await watcher.start() == 200
        assert await watcher.piece() == COMMENT
        gate.set()
        (told,) = events(await watcher.rest())
    assert told["error"]["code"] == "upstream_failed"
    assert await status_of(house) == "failed"


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_leaves_a_held_stream_cancels_the_call_which_is_accounted_as_background(
    house: House, gate: asyncio.Event
) -> None:
    async with Watcher(house.app, {"stream": True}) as watcher:
        await watcher.start()
        assert await watcher.piece() == COMMENT
        await watcher.leave()
    assert not gate.is_set()
    assert await status_of(house) == "cancelled"
    assert house.upstream.cancelled == house.upstream.models
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == 0.0
    assert spend["background_usd"] == spend["total_usd"] > 0.0


async def test_a_client_that_leaves_while_the_headers_wait_cancels_the_call(
    house: House, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "WAIT_FOR_HEADERS_S", 0.05)
    async with Watcher(house.app, {"stream": True}) as watcher:
        await house.upstream.was_asked.wait()
        await watcher.leave()
    assert await status_of(house) == "cancelled"
    assert house.upstream.cancelled == house.upstream.models


async def test_a_held_answer_is_durable_before_its_first_chunk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Watcher(house.app, {"stream": True}) as watcher:
        await watcher.start()
        await watcher.piece()
        assert house.select("SELECT status FROM decisions") == [{"status": "answered"}]
        await watcher.rest()


# -- not streamed -----------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_it_waits_for_an_answer_cancels_the_call(
    house: House, gate: asyncio.Event
) -> None:
    async with Watcher(house.app, {"model": "small"}) as watcher:
        await house.upstream.was_asked.wait()
        try:
            async with asyncio.timeout(SOON_S):
                await watcher.leave()
        except TimeoutError:
            pytest.fail("the upstream works on for a client that is gone")
        finally:
            gate.set()
    assert house.upstream.cancelled == ["small"]
    assert await status_of(house) == "cancelled"
    assert (await house.get("/v1/admin/spend"))["requests_usd"] == 0.0
