"""An exchange compares free answers by their meaning, where no final answer can be compared."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from app.providers.base import Completion
from app.schemas.chat import parse_chat
from app.storage.tables import CallRow
from learner.likeness import MOST
from tests.app.harness import House, entry, settings_of

PRICELESS = {"kind": "quality"}
TALE = "Once upon a time a miller had three sons, his mill, a donkey and a cat, and nobody wanted the cat."
WEATHER = "Tomorrow it will rain in the north, with strong winds at the coast and some sun late in the afternoon."


def likenesses(house: House) -> dict[str, float]:
    """What was stored, by model."""
    rows = house.select("SELECT model, evidence FROM calls")
    told = {row["model"]: orjson.loads(row["evidence"]) for row in rows}
    return {model: evidence["likeness"] for model, evidence in told.items() if "likeness" in evidence}


async def answers_of(house: House, **texts: str) -> dict[str, float]:
    house.upstream.answers.update(texts)
    await house.answered("Tell me something.", router={"cascade": 3, "explore": False})
    await house.quiet()
    return likenesses(house)


@pytest.mark.parametrize(("middle", "are_alike"), [(TALE, True), (WEATHER, False)])
async def test_free_answers_that_say_the_same_are_alike_and_others_are_not(
    open_house: Callable[..., Any], middle: str, are_alike: bool
) -> None:
    house = await open_house(settings_of(objective=PRICELESS))
    found = await answers_of(house, middle=middle, large=TALE)
    assert set(found) == {"middle", "large"}
    assert {value == MOST for value in found.values()} == {are_alike}


async def test_answers_with_a_final_answer_are_compared_by_that_alone(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(objective=PRICELESS))
    assert await answers_of(house, small="42", middle="41", large="42") == {}


def free_text(text: str) -> Completion:
    return Completion(
        body={"choices": [{"message": {"content": text}}]}, text=text, finish_reason="stop", input_tokens=9,
        output_tokens=9, is_estimated=False, logprobs=(), has_tool_calls=False, latency_s=0.1,
    )  # fmt: skip


SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}


async def test_an_answer_is_compared_with_what_its_request_asked_for(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(entry("small", capabilities=["json"])))
    house.upstream.answers["small"] = '{"why": "this answer has words enough to be about the question"}'
    await house.answered("Why does this question have words?", model="small", response_format=SCHEMA)
    (row,) = house.select("SELECT evidence FROM calls")
    evidence = orjson.loads(row["evidence"])
    assert (evidence["json_seen"], evidence["schema_seen"], evidence["schema_invalid"]) == (1.0, 1.0, 1.0)
    assert evidence["relevance_seen"] == 1.0
    assert evidence["relevance"] != 0.0


async def test_a_call_of_a_tool_is_compared_with_the_tools_that_were_offered(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(entry("small", capabilities=["tools"])))
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"required": ["name"]}}}
    asked = {"messages": [{"role": "user", "content": "Look it up."}], "tools": [tool]}
    request, body = parse_chat(orjson.dumps(asked))
    exchange = house.service.router.begin(request, body, user=None, key_id=None)
    calls = [{"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
    done = free_text("")
    done.body["choices"][0]["message"]["tool_calls"] = calls
    evidence = exchange.succeeded("small", replace(done, has_tool_calls=True), 1e-5).evidence
    assert evidence == {"arguments_invalid": 1.0, "tools_seen": 1.0}


async def test_a_judged_answer_is_not_compared_with_itself(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(objective=PRICELESS))
    request, body = parse_chat(orjson.dumps({"messages": [{"role": "user", "content": "Tell me something."}]}))
    exchange = house.service.router.begin(request, body, user=None, key_id=None)
    first = exchange.succeeded("middle", free_text(WEATHER), 1e-5)
    verdict = CallRow(
        inference_id=exchange.id, step=first.step, model="judge", purpose="judge", outcome="ok", account="request",
        created_at=exchange.at,
    )  # fmt: skip
    exchange.rows.append(verdict)
    second = exchange.succeeded("large", free_text(TALE), 1e-5)
    assert first.evidence["likeness"] == second.evidence["likeness"] < MOST
    assert "likeness" not in verdict.evidence


async def test_the_policy_and_the_ledger_see_what_exploration_causes(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(objective=PRICELESS))
    request, body = parse_chat(orjson.dumps({"messages": [{"role": "user", "content": "Tell me something."}]}))
    exchange = house.service.router.begin(request, body, user=None, key_id=None)
    exchange.decision = replace(exchange.decision, explored_share=0.25)
    exchange.succeeded("small", free_text(TALE), 4e-5)
    exchange.succeeded("middle", free_text(TALE), 4e-5)
    exchange.succeeded("large", free_text(TALE), 4e-5, purpose="shadow")
    assert [call.explored_share for call in exchange.calls] == [0.25, None, 1.0]
    assert [call.explored_usd for call in exchange.calls] == pytest.approx([1e-5, 0.0, 4e-5])
