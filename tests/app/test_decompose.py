import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from app.config_file import load
from app.decompose import parts_in
from app.errors import ConfigError
from tests.app.harness import (
    COST_USD,
    PRICES,
    Gone,
    House,
    Watcher,
    bearer,
    entry,
    events,
    on_a_port,
    running,
    settings_of,
    text_of,
)

QUESTION = "What is 6 times 7, and who wrote Faust?"
PARTS = ("What is 6 times 7?", "Who wrote the play Faust?")
WHOLE = "42, and Goethe wrote it."
PLANNER = entry("planner", routable=False, prior_quality=0.8)


def plan(*parts: object) -> str:
    return orjson.dumps({"parts": parts}).decode()


def says(prompt: str) -> str:
    """Say what a model says of each thing that it is asked here."""
    if "The request above was split" in prompt:
        return WHOLE
    return {PARTS[0]: "It is 42", PARTS[1]: "Goethe"}.get(prompt, "I answer the whole: 42, Goethe")


def scripted(house: House, planned: Any = None, merged: Any = None, **others: Any) -> None:
    def planner(prompt: str) -> Any:
        if "split" in prompt and "FIRST PART" in prompt:
            return plan(*PARTS) if planned is None else planned
        return says(prompt) if merged is None else merged

    house.upstream.answers = {model: others.get(model, says) for model in PRICES} | {"planner": planner}


@pytest.fixture
async def house(open_house: Callable[..., Any]) -> House:
    """A service with a model that plans and merges, and answers nothing by itself."""
    house: House = await open_house(settings_of(*PRICES, PLANNER, decompose={"planner": "planner"}))
    scripted(house)
    return house


async def decomposed(house: House, content: Any = QUESTION, **body: Any) -> dict[str, Any]:
    router = {"decompose": True, "explore": False, **body.pop("router", {})}
    return await house.answered(content, router=router, **body)


def rows(house: House, table: str) -> list[dict[str, Any]]:
    return house.select(f"SELECT * FROM {table} ORDER BY id")


def whole_and_parts(house: House) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = rows(house, "decisions")
    (whole,) = (row for row in found if row["parent_id"] is None)
    return whole, [row for row in found if row["parent_id"] is not None]


def purposes(house: House, inference_id: str) -> list[str]:
    return [row["purpose"] for row in rows(house, "calls") if row["inference_id"] == inference_id]


# -- a compound request -----------------------------------------------------------------------------------------------


async def test_a_compound_request_is_split_answered_in_parts_and_merged(house: House) -> None:
    answer = await decomposed(house)
    assert answer["choices"][0]["message"]["content"] == WHOLE
    assert answer["model"] == "planner"
    asked = [call.prompt for call in house.upstream.asked]
    assert set(PARTS) <= set(asked)
    assert f"USER\n{QUESTION}" in asked[0]
    assert asked[-1].startswith(QUESTION)
    assert all(text in asked[-1] for text in (*PARTS, "It is 42", "Goethe"))


async def test_every_part_is_an_inference_with_a_decision_and_a_propensity_of_its_own(house: House) -> None:
    answer = await decomposed(house)
    whole, parts = whole_and_parts(house)
    assert whole["id"] == answer["id"]
    assert (whole["stage"], whole["answer_model"], whole["status"]) == ("decompose", "planner", "answered")
    assert purposes(house, whole["id"]) == ["plan", "synthesis"]
    assert [part["parent_id"] for part in parts] == [whole["id"]] * 2
    for part in parts:
        assert part["status"] == "answered"
        assert part["propensity"] == pytest.approx(orjson.loads(part["probabilities"])[part["arm"]])
        assert set(purposes(house, part["id"])) == {"answer"}
    assert parts[0]["context"] != parts[1]["context"] != whole["context"]


async def test_the_parts_run_at_once(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.gates = dict.fromkeys(PRICES, gate)
    asking = asyncio.create_task(decomposed(house))
    async with asyncio.timeout(20.0):
        while len(house.upstream.asked) < 3:
            await asyncio.sleep(0)
    gate.set()
    assert (await asking)["choices"][0]["message"]["content"] == WHOLE


async def test_a_part_takes_the_rules_and_settings_along_and_not_the_form_of_the_whole(house: House) -> None:
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": QUESTION},
    ]  # fmt: skip
    form = {"response_format": {"type": "json_object"}, "temperature": 0.5, "stop": ["END"]}
    reply = await house.client.post(
        "/v1/chat/completions", json={"messages": messages, "router": {"decompose": True}} | form
    )
    assert reply.status_code == 200
    planned, *_, merging = house.upstream.asked
    (part,) = [call.body for call in house.upstream.asked if call.prompt == PARTS[0]][:1]
    assert part["messages"] == [messages[0], {"role": "user", "content": PARTS[0]}]
    assert part["temperature"] == 0.5
    assert not {"response_format", "stop", "router"} & set(part)
    assert all(merging.body[name] == value for name, value in form.items())
    assert merging.body["messages"][:3] == messages[:3]
    assert all(f"{m['role'].upper()}\n{m['content']}" in planned.prompt for m in messages)
    assert "response_format" not in planned.body


async def test_a_merger_of_its_own_merges(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(settings_of(*PRICES, decompose={"planner": "small", "merger": "large"}))
    scripted(house, small=lambda prompt: plan(*PARTS) if "FIRST PART" in prompt else says(prompt))
    answer = await decomposed(house)
    assert (answer["model"], house.upstream.models[0]) == ("large", "small")


async def test_without_a_configured_planner_the_most_useful_model_plans_and_merges(
    open_house: Callable[..., Any],
) -> None:
    house: House = await open_house()
    house.upstream.answers = {
        model: lambda prompt: plan(*PARTS) if "FIRST PART" in prompt else says(prompt) for model in PRICES
    }
    answer = await decomposed(house, model="auto:best")
    assert answer["model"] == house.upstream.models[0] == "large"
    assert answer["choices"][0]["message"]["content"] == WHOLE


async def test_a_planner_that_the_client_denies_is_not_asked(house: House) -> None:
    await decomposed(house, router={"deny": ["plan*"]})
    assert "planner" not in house.upstream.models


# -- what is learned --------------------------------------------------------------------------------------------------


async def test_a_thumb_on_the_whole_teaches_nothing_and_one_on_a_part_teaches_its_models(house: House) -> None:
    answer = await decomposed(house)
    await house.quiet()
    _, (part, _) = whole_and_parts(house)

    async def believed() -> Any:
        return {m: v["quality"] for m, v in (await house.get("/v1/admin/learner"))["models"].items()}

    before = await believed()
    assert (await house.thumb(answer["id"], value=False)).status_code == 202
    await house.quiet()
    assert await believed() == before
    assert (await house.thumb(part["id"], value=False)).status_code == 202
    await house.quiet()
    assert (await believed())[part["answer_model"]] < before[part["answer_model"]]


async def test_a_decomposed_request_is_one_request_to_the_budget(house: House) -> None:
    await decomposed(house)
    await house.quiet()
    controller = house.service.learning._state.accounts.everybody
    assert controller.requests == 1.0
    assert controller.spent_usd == pytest.approx(sum(row["cost_usd"] for row in rows(house, "calls")))


# -- money ------------------------------------------------------------------------------------------------------------


async def test_the_bill_is_the_sum_of_all_calls_everywhere(house: House) -> None:
    reply = await house.ask(QUESTION, router={"decompose": True, "explore": False})
    await house.quiet()
    calls = sum(row["cost_usd"] for row in rows(house, "calls"))
    whole, parts = whole_and_parts(house)
    assert reply.json()["usage"]["cost"] == pytest.approx(calls)
    assert float(reply.headers["x-headrace-cost-usd"]) == pytest.approx(calls, abs=1e-8)
    assert int(reply.headers["x-headrace-attempts"]) == len(house.upstream.asked) - 1
    assert whole["cost_usd"] + sum(part["cost_usd"] for part in parts) == pytest.approx(calls)
    spend = await house.get("/v1/admin/spend")
    assert (spend["requests_usd"], spend["background_usd"]) == (pytest.approx(calls), 0.0)


async def test_a_key_pays_for_the_parts_also_after_a_restart(data_dir: Path, tmp_path: Path) -> None:
    settings = settings_of(*PRICES, PLANNER, decompose={"planner": "planner"})
    async with running(data_dir, settings, admin_key="sk-boss") as house:
        scripted(house)
        made = await house.key(budget={"usd": 1.0, "per": "total"})
        body = {"messages": [{"role": "user", "content": QUESTION}], "router": {"decompose": True, "explore": False}}
        reply = await house.client.post("/v1/chat/completions", json=body, headers=bearer(made["key"]))
        await house.quiet()
        cost = reply.json()["usage"]["cost"]
        (key,) = (await house.get("/v1/admin/keys"))["data"]
        assert key["spent_usd"] == pytest.approx(cost)
        killed = house.killed(tmp_path / "killed")
    async with running(killed, settings, admin_key="sk-boss") as house:
        (key,) = (await house.get("/v1/admin/keys"))["data"]
        assert key["spent_usd"] == pytest.approx(cost)


@pytest.mark.parametrize("configured", [False, True])
async def test_without_the_money_for_plan_and_merge_the_request_is_answered_whole(
    open_house: Callable[..., Any], configured: bool
) -> None:
    limit_usd = COST_USD["small"]
    options = {"planner": "planner"} | ({"max_cost_usd": limit_usd} if configured else {})
    house: House = await open_house(settings_of(*PRICES, PLANNER, decompose=options))
    scripted(house)
    answer = await decomposed(house, router={} if configured else {"max_cost_usd": limit_usd})
    assert "planner" not in house.upstream.models
    assert answer["choices"][0]["message"]["content"].startswith("I answer the whole")
    assert whole_and_parts(house)[1] == []


async def test_parts_that_would_cost_more_than_is_left_are_not_begun(open_house: Callable[..., Any]) -> None:
    cheap = entry("planner", routable=False, price={"input_usd_per_mtok": 1e-6, "output_usd_per_mtok": 1e-6})
    settings = settings_of("large", cheap, decompose={"planner": "planner", "max_cost_usd": 0.015})
    house: House = await open_house(settings)
    scripted(house, large="I answer the whole")
    answer = await decomposed(house)
    assert house.upstream.models == ["planner", "large"]
    assert answer["usage"]["cost"] == pytest.approx(COST_USD["large"], rel=1e-3)


async def test_a_spent_budget_is_refused_before_anything_is_planned(open_house: Callable[..., Any]) -> None:
    settings = settings_of(*PRICES, PLANNER, decompose={"planner": "planner"})
    house: House = await open_house(settings, admin_key="sk-boss")
    scripted(house)
    made = await house.key(budget={"usd": 1e-9, "per": "total"})
    body = {"messages": [{"role": "user", "content": QUESTION}], "router": {"decompose": True}}
    statuses = [
        (await house.client.post("/v1/chat/completions", json=body, headers=bearer(made["key"]))).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 429]
    assert "planner" not in house.upstream.models


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "no JSON", "", "{", '{"parts": "one"}', '{"parts": []}', '{"parts": ["a", 1]}', '{"parts": ["a", " "]}',
        '{"parts": ["a", "a"]}', '{"parts": ["a", "b", "c", "d", "e"]}', '{"parts": ["a", "b"], "note": "x"}',
        '["a", "b"]', plan("a", "b" * 8_001), '{"parts": null}', '{"parts": ["a"]} {"parts": ["b"]}',
    ],
)  # fmt: skip
def test_a_plan_that_is_not_what_was_asked_for_is_none(text: str) -> None:
    assert parts_in(text, most=4) == []


def test_a_plan_may_stand_in_a_block() -> None:
    assert parts_in(f"```json\n{plan('a', 'b')}\n```", most=4) == ["a", "b"]


@pytest.mark.parametrize("planned", ["This cannot be split.", plan("one"), Gone("timeout"), Gone("http_error", 400)])
async def test_a_request_without_a_usable_plan_is_answered_whole_and_the_plan_is_accounted(
    house: House, planned: Any
) -> None:
    scripted(house, planned)
    answer = await decomposed(house)
    assert answer["choices"][0]["message"]["content"].startswith("I answer the whole")
    whole, parts = whole_and_parts(house)
    assert (parts, whole["stage"] != "decompose") == ([], True)
    calls = rows(house, "calls")
    assert calls[0]["purpose"] == "plan"
    assert answer["usage"]["cost"] == pytest.approx(sum(call["cost_usd"] for call in calls))


async def test_a_part_that_nobody_answers_is_left_to_the_merger(house: House) -> None:
    def fails(prompt: str) -> Any:
        return Gone("timeout") if prompt == PARTS[1] else says(prompt)

    scripted(house, **dict.fromkeys(PRICES, fails))
    answer = await decomposed(house)
    assert answer["choices"][0]["message"]["content"] == WHOLE
    assert "ANSWER 2\n(no answer)" in house.upstream.asked[-1].prompt
    assert sorted(part["status"] for part in whole_and_parts(house)[1]) == ["answered", "failed"]
    assert answer["usage"]["cost"] == pytest.approx(sum(row["cost_usd"] for row in rows(house, "calls")))


async def test_the_request_is_answered_whole_where_no_part_is(house: House) -> None:
    def fails(prompt: str) -> Any:
        return Gone("http_error", 400) if prompt in PARTS else says(prompt)

    scripted(house, **dict.fromkeys(PRICES, fails))
    answer = await decomposed(house)
    assert answer["choices"][0]["message"]["content"].startswith("I answer the whole")


@pytest.mark.parametrize("merged", [Gone("timeout"), Gone("http_error", 400), " "])
async def test_the_request_is_answered_whole_where_nobody_merges(house: House, merged: Any) -> None:
    scripted(house, merged=merged)
    answer = await decomposed(house)
    assert answer["choices"][0]["message"]["content"].startswith("I answer the whole")
    assert len(whole_and_parts(house)[1]) == 2
    assert answer["usage"]["cost"] == pytest.approx(sum(row["cost_usd"] for row in rows(house, "calls")))


async def test_where_everything_fails_the_client_is_told_and_all_is_stored(house: House) -> None:
    scripted(house, **dict.fromkeys(PRICES, Gone("timeout")))
    reply = await house.ask(QUESTION, router={"decompose": True})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "upstream_timeout")
    whole, parts = whole_and_parts(house)
    assert [row["status"] for row in (whole, *parts)] == ["failed"] * 3
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == 0.0
    assert spend["total_usd"] == pytest.approx(COST_USD["middle"])  # the planner's price is that of `middle`


async def test_a_client_that_goes_away_cancels_all_parts_and_each_is_accounted(house: House) -> None:
    house.upstream.gates = dict.fromkeys(PRICES, asyncio.Event())
    async with Watcher(house.app, {"messages": [{"role": "user", "content": QUESTION}], "router": {"decompose": True}}):
        async with asyncio.timeout(20.0):
            while len(house.upstream.asked) < 3:
                await asyncio.sleep(0)
    await house.quiet()
    whole, parts = whole_and_parts(house)
    assert [row["status"] for row in (whole, *parts)] == ["cancelled"] * 3
    calls = rows(house, "calls")
    assert sorted(call["outcome"] for call in calls) == ["cancelled", "cancelled", "ok"]
    assert all(call["account"] == "background" and call["cost_usd"] > 0.0 for call in calls)
    assert sum(row["cost_usd"] for row in (whole, *parts)) == pytest.approx(sum(call["cost_usd"] for call in calls))


# -- what cannot be, and what stands in the file ----------------------------------------------------------------------


async def test_what_cannot_be_decomposed_is_refused_plainly(house: House) -> None:
    image = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("use auto", {"model": "small"}), ("leave out n", {"n": 2}), ("leave out tools", {"tools": [tool]}),
        ("send text", {"content": image}),
    ]  # fmt: skip
    async with house.unchanged():
        for told, body in cases:
            reply = await house.ask(**body, router={"decompose": True})
            assert reply.status_code == 400
            assert told in reply.json()["error"]["message"]
            assert reply.json()["error"]["param"] == "router.decompose"


@pytest.mark.parametrize("role", ["planner", "merger"])
def test_a_planner_or_merger_is_a_model_of_the_pool(role: str) -> None:
    with pytest.raises(ValueError, match=f"decompose.{role}|should be the id of an entry of models"):
        settings_of(*PRICES, decompose={role: "nobody"})


def test_the_line_of_an_unknown_planner_is_named(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("models: []\ndecompose:\n  planner: nobody\n")
    with pytest.raises(ConfigError, match=r":3: decompose\.planner: .*nobody.*should be the id of an entry of models"):
        load(file, {})


# -- streams, clients and recovery ------------------------------------------------------------------------------------


async def test_a_decomposed_answer_is_streamed_once_it_stands(house: House) -> None:
    body = {"stream": True, "messages": [{"role": "user", "content": QUESTION}], "router": {"decompose": True}}
    async with Watcher(house.app, body) as watcher:
        assert await watcher.start() == 200
        *chunks, end = events(await watcher.rest())
    assert (end, text_of(chunks)) == ("[DONE]", WHOLE)
    assert chunks[-1]["usage"]["cost"] == pytest.approx(sum(row["cost_usd"] for row in rows(house, "calls")))
    assert [part["streamed"] for part in whole_and_parts(house)[1]] == [0, 0]


async def test_the_official_client_gets_a_decomposed_answer(open_house: Callable[..., Any]) -> None:
    settings = settings_of(*PRICES, PLANNER, decompose={"planner": "planner"})
    house: House = await open_house(settings, admin_key="sk-boss")
    scripted(house)
    async with (
        on_a_port(house.app) as address,
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="sk-boss", max_retries=0) as client,
    ):
        done = await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": QUESTION}], extra_body={"router": {"decompose": True}}
        )
    assert (done.model, done.choices[0].message.content) == ("planner", WHOLE)
    assert done.usage is not None
    assert (done.usage.model_extra or {})["cost"] > 0.0


async def test_what_was_decomposed_is_recovered_bit_for_bit(data_dir: Path, tmp_path: Path) -> None:
    exploring = {"max_share": 0.5, "max_usd_per_day": 5.0}
    settings = settings_of(*PRICES, PLANNER, decompose={"planner": "planner"}, exploration=exploring)
    async with running(data_dir, settings) as house:
        for at in range(12):
            fails = Gone("timeout") if at % 4 == 3 else says
            scripted(house, merged=Gone("timeout") if at % 5 == 4 else None, small=fails)
            answer = await decomposed(house, router={"explore": None})
            await house.quiet()
            await house.thumb(answer["id"], value=at % 2 == 0)
            for part in whole_and_parts_of(house, answer["id"])[:1]:
                await house.thumb(part, value=at % 3 != 0)
        await house.quiet()
        before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed, settings) as house:
        assert house.dump() == before


def whole_and_parts_of(house: House, inference_id: str) -> list[str]:
    return [row["id"] for row in house.select("SELECT id FROM decisions WHERE parent_id = ?", inference_id)]
