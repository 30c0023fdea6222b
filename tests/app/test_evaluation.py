"""Off-policy evaluation end to end: served, rated, folded again, valued."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.evaluation import Evaluator
from learner.types import Parameters
from tests.app.harness import PRICES, Gone, House, running, settings_of

PATH = "/v1/admin/policies/evaluate"


async def served(house: House, n: int = 12, **body: Any) -> list[str]:
    """Have requests answered, two thirds of them by disagreeing models, and every third rated."""
    ids = []
    for at in range(n):
        house.upstream.answers = {model: "42" if at % 3 or model != "small" else "41" for model in PRICES}
        answer = await house.answered(f"What is {at} times 7?", **body)
        await house.quiet()
        if at % 3 == 0:
            await house.thumb(answer["id"], value=at % 2 == 0)
        await house.quiet()
        ids.append(answer["id"])
    return ids


async def evaluated(house: House, **body: Any) -> dict[str, Any]:
    reply = await house.client.post(PATH, json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_the_policy_in_force_gains_nothing_over_itself(house: House) -> None:
    await served(house)
    found = await evaluated(house, version="headrace@1")
    assert found["decisions"] == 12
    assert found["labels"] == 4
    assert found["reproduced_share"] == 1.0
    assert found["ess"] == pytest.approx(12)
    assert found["unsupported_share"] == found["model_share"] == 0.0
    for told in found["estimators"].values():
        for kind in ("quality", "cost_usd", "utility"):
            assert told["difference"][kind]["mean"] == told["difference"][kind]["low"] == 0.0
            assert told["candidate"][kind] == told["in_force"][kind]


async def test_its_cost_is_what_the_log_has(house: House) -> None:
    await served(house)
    rows = house.select("SELECT cost_usd FROM decisions")
    mean = sum(row["cost_usd"] for row in rows) / len(rows)
    told = (await evaluated(house, parameters={}))["estimators"]
    for name in ("ips", "snips"):
        assert told[name]["candidate"]["cost_usd"]["mean"] == pytest.approx(mean)


async def test_the_early_answers_of_one_that_asks_once_are_called_beliefs(house: House) -> None:
    await served(house)
    assert any(row["attempts"] > 1 for row in house.select("SELECT attempts FROM decisions"))
    found = await evaluated(house, parameters={"depth": 1})
    assert found["candidate"]["depth"] == 1
    assert found["in_force"]["parameters"]["depth"] == 3
    assert 0.0 < found["model_share"] <= found["unsupported_share"]
    gain = found["estimators"]["dr"]["difference"]["quality"]
    assert gain["low"] < gain["mean"] < gain["high"]


async def test_few_decisions_are_not_trusted_and_the_reasons_are_told_in_words(house: House) -> None:
    await served(house, 6)
    found = await evaluated(house, parameters={"margin": 0.01})
    assert found["trust"] is False
    told = " ".join(found["warnings"])
    assert "only 6 routed decisions" in told
    assert "only 2 of 6 answers were rated" in told
    assert "replay is biased" in told


async def test_an_empty_log_estimates_nothing(house: House) -> None:
    found = await evaluated(house, parameters={"depth": 2})
    assert (found["decisions"], found["trust"]) == (0, False)
    assert "nothing to estimate from" in found["warnings"][0]
    assert found["estimators"]["dr"]["difference"] == {}


async def test_only_what_the_policy_drew_counts(house: House) -> None:
    await served(house, 3)
    await house.answered(model="small")
    await house.answered(router={"fusion": "vote"})
    await house.quiet()
    found = await evaluated(house, parameters={})
    assert found["decisions"] == 3
    assert found["left_out"] == {"the model was named": 1, "not drawn by the policy": 1}


async def test_limits_that_are_not_stored_bind_every_policy_alike(house: House) -> None:
    await served(house, 8, router={"deny": ["large"], "cascade": "off", "explore": False})
    found = await evaluated(house, parameters={})
    assert found["decisions"] == 8
    assert found["estimators"]["ips"]["difference"]["utility"]["mean"] == 0.0
    assert found["unsupported_share"] == pytest.approx(0.0)


async def test_a_request_whose_models_all_failed_is_worth_nothing(house: House) -> None:
    await served(house, 3)
    house.upstream.answers = {model: Gone() for model in PRICES}
    assert (await house.ask("What is 9 times 9?")).status_code == 502
    await house.quiet()
    found = await evaluated(house, parameters={})
    assert found["decisions"] == 4


async def test_the_window_holds_the_newest_requests(house: House) -> None:
    await served(house, 9)
    assert (await evaluated(house, parameters={}, limit=4))["decisions"] == 4
    future = house.service.router.clock() + 3600.0
    assert (await evaluated(house, parameters={}, since=future))["decisions"] == 0


async def test_a_snapshot_shortens_the_fold_and_changes_nothing(data_dir: Path) -> None:
    async with running(data_dir) as house:
        await served(house, 9)
        whole = await evaluated(house, parameters={"sharpness": 0.5}, limit=3)
        seqs = [row["seq"] for row in house.select("SELECT seq FROM events WHERE kind = 'request' ORDER BY seq")]
    async with running(data_dir) as house:
        (stored,) = house.select("SELECT seq FROM snapshots")
        assert stored["seq"] >= seqs[-1]
        await served(house, 3)
        short = await evaluated(house, parameters={"sharpness": 0.5}, limit=3)
        assert short["log"]["events_folded"] < whole["log"]["events_folded"]


async def test_it_teaches_nothing_and_stores_nothing(house: House) -> None:
    await served(house, 4)
    async with house.unchanged():
        await evaluated(house, parameters={"depth": 1})


async def test_requests_are_answered_meanwhile(house: House) -> None:
    await served(house, 8)
    under_way = asyncio.create_task(evaluated(house, parameters={"depth": 1}))
    await asyncio.sleep(0)
    await house.answered("What is 1 times 7?")
    assert (await under_way)["decisions"] >= 8


async def test_a_service_that_stops_waits_for_no_evaluation(house: House) -> None:
    await served(house, 3)
    house.service.evaluator.stop()
    reply = await house.client.post(PATH, json={"parameters": {}})
    assert reply.status_code == 503
    assert "about to stop" in reply.json()["error"]["message"]


async def test_a_gain_on_five_requests_is_not_to_be_trusted(house: House) -> None:
    await served(house, 5)
    evaluator: Evaluator = house.service.evaluator
    found = await evaluator.evaluate(Parameters(depth=1), Parameters())
    assert not found.assessment.trusted["dr"]
    assert found.assessment.gains["dr"]["utility"].low <= found.assessment.gains["dr"]["utility"].mean


MALFORMED: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({}, "parameters", "is missing; send parameters, or version"),
    ({"parameters": {"depth": 9}}, "parameters.depth", "9 should be less than or equal to 5"),
    ({"parameters": {"deep": 2}}, "parameters.deep", "is unknown"),
    ({"parameters": {"margin": "0.1"}}, "parameters.margin", "should be a number"),
    ({"parameters": {}, "version": "headrace@1"}, "version", "cannot stand beside parameters"),
    ({"parameters": {}, "limit": 0}, "limit", "0 should be greater than or equal to 1"),
    ({"parameters": {}, "limit": 10**6}, "limit", "should be less than or equal to 10000"),
    ({"parameters": {}, "since": -1}, "since", "-1 should be greater than or equal to 0"),
    ({"parameters": {}, "estimators": ["magic"]}, "estimators[0]", '"magic" should be'),
    ({"parameters": {}, "estimators": []}, "estimators", "should have at least 1 item"),
)


async def test_a_malformed_body_is_refused_by_its_field(house: House) -> None:
    for body, param, said in MALFORMED:
        reply = await house.client.post(PATH, json=body)
        assert reply.status_code == 422
        assert reply.json()["error"]["param"] == param
        assert said in reply.json()["error"]["message"]


async def test_an_unknown_version_is_not_found_and_the_known_ones_are_named(house: House) -> None:
    reply = await house.client.post(PATH, json={"version": "headrace@9"})
    assert reply.status_code == 404
    assert "there are headrace@1" in reply.json()["error"]["message"]


async def test_it_needs_the_scope_admin(data_dir: Path) -> None:
    async with running(data_dir, settings_of(), admin_key="boss") as house:
        key = (await house.key())["key"]
        reply = await house.client.post(PATH, json={"parameters": {}}, headers={"Authorization": f"Bearer {key}"})
        assert reply.status_code == 403


async def test_requests_that_a_control_answered_are_left_out_and_the_others_were_drawn_by_the_policy_alone(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(settings_of(control={"share": 0.1}))
    await served(house, 60)
    controls = len(house.select("SELECT id FROM decisions WHERE control IS NOT NULL"))
    found = await evaluated(house, parameters={})
    assert controls
    assert found["left_out"] == {"answered by a control": controls}
    assert found["reproduced_share"] > 0.9
