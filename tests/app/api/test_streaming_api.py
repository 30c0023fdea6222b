import pytest

from tests.app.harness import COST_USD, PRICES, Gone, House, events, text_of

HELD = {"stream": True}
PASSED = {"stream": True, "model": "middle"}


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_a_stream_says_in_chunks_what_the_answer_says(house: House, body: dict[str, object]) -> None:
    house.upstream.answers = dict.fromkeys(PRICES, "It is  42.\n\nTruly\t\u2014 42!")
    reply = await house.ask(**body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert text_of(events(reply.content)).replace(" ", "") == "It is  42.\n\nTruly\t\u2014 42!".replace(" ", "")


async def test_a_held_stream_says_the_answer_verbatim(house: House) -> None:
    house.upstream.answers = dict.fromkeys(PRICES, "It is  42.\n\nTruly\t\u2014 42!")
    assert text_of(events((await house.ask(**HELD)).content)) == "It is  42.\n\nTruly\t\u2014 42!"


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_all_chunks_carry_one_id_one_model_and_one_time(house: House, body: dict[str, object]) -> None:
    reply = await house.ask(**body)
    *chunks, _ = events(reply.content)
    assert {chunk["id"] for chunk in chunks} == {reply.headers["x-headrace-decision-id"]}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["model"] for chunk in chunks}) == 1
    assert chunks[0]["model"] in PRICES
    assert len({chunk["created"] for chunk in chunks}) == 1


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_usage_with_the_cost_comes_in_the_last_chunk_before_done(house: House, body: dict[str, object]) -> None:
    *chunks, last, done = events((await house.ask(**body)).content)
    await house.quiet()
    assert done == "[DONE]"
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (100, 50)
    assert last["usage"]["cost"] == pytest.approx((await house.get("/v1/admin/spend"))["requests_usd"])
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_the_finish_reason_comes_once_and_last(house: House, body: dict[str, object]) -> None:
    *chunks, _, _ = events((await house.ask(**body)).content)
    reasons = [chunk["choices"][0].get("finish_reason") for chunk in chunks]
    assert reasons[-1] == "stop"
    assert all(reason is None for reason in reasons[:-1])


async def test_a_pinned_stream_costs_its_one_call(house: House) -> None:
    *_, last, _ = events((await house.ask(**PASSED)).content)
    assert last["usage"]["cost"] == pytest.approx(COST_USD["middle"])
    assert last["model"] == "middle"


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_the_headers_of_a_stream_tell_the_decision(house: House, body: dict[str, object]) -> None:
    reply = await house.ask(**body)
    assert reply.headers["x-headrace-stage"] in ("taxonomy", "learned", "cascade", "explore", "pinned")
    assert reply.headers["x-headrace-learning"] == "on"
    assert int(reply.headers["x-headrace-attempts"]) == len(house.upstream.asked)


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_a_stream_that_cannot_begin_is_an_ordinary_error(house: House, body: dict[str, object]) -> None:
    house.upstream.answers = dict.fromkeys(PRICES, Gone("unreachable"))
    reply = await house.ask(**body)
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "upstream_failed"


async def test_a_stream_that_the_upstream_refuses_is_a_400_with_its_words(house: House) -> None:
    refusal = {"message": "max_tokens is too large"}
    house.upstream.answers["middle"] = Gone("http_error", 400, upstream_error=refusal)
    reply = await house.ask(**PASSED)
    assert reply.status_code == 400
    assert "max_tokens is too large" in reply.json()["error"]["message"]


@pytest.mark.parametrize("body", [HELD, PASSED])
async def test_a_streamed_answer_takes_feedback_and_is_learned_from(house: House, body: dict[str, object]) -> None:
    reply = await house.ask(**body)
    await house.quiet()
    assert (await house.thumb(reply.headers["x-headrace-decision-id"])).status_code == 202
    learner = await house.get("/v1/admin/learner")
    assert learner["feedback_events"] == 1
    assert learner["observations"] > 0
