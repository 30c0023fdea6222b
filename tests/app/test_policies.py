"""The life of the policy's versions, end to end: the gate, the canary, the hold-back, and MLflow's absence."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.registry import Registry, store_of
from app.schemas.chat import parse_chat
from app.settings import Settings
from app.storage.batch import Entry
from app.storage.errors import NotStored
from learner.evaluation import Estimate
from learner.gate import WARM_UP, Contest
from learner.tuning import LEAST_COMPARISONS, Candidate, usable_of
from learner.types import Parameters
from tests.app.harness import PRICES, House, Upstream, entry, running, settings_of

Open = Callable[..., Awaitable[House]]

REFUSAL = "I'm sorry, but I can't help with that."
ALONE = {"depth": 1}


def sometimes(model: str) -> Callable[[str], str]:
    """A model that refuses half of all questions, each its own half: one model alone is bad, three are good."""

    def say(prompt: str) -> str:
        return "42" if hashlib.sha256(f"{model} {prompt}".encode()).digest()[0] % 2 else REFUSAL

    return say


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(answers={model: sometimes(model) for model in PRICES})


def even_settings(**sections: Any) -> Settings:
    """Three models of which none is known to be better."""
    return settings_of(*(entry(model, prior_quality=0.6) for model in PRICES), **sections)


async def compared(house: House) -> None:
    """Have all three models answer, as comparisons in the background do, often enough to judge candidates by.

    Users press thumbs: that a refusal is a bad answer is learned.
    """
    router, background = house.service.router, house.service.background
    for i in range(LEAST_COMPARISONS + 4):
        content = f"What is {i} times 7?"
        request, body = parse_chat(orjson.dumps({"messages": [{"role": "user", "content": content}]}))
        exchange = router.begin(request, body, user=None, key_id=None)
        await router.complete(exchange)
        await background.drain()
        asked = {row.model for row in exchange.rows}
        await background._compare(exchange, [model for model in PRICES if model not in asked])
        said = exchange.completions[exchange.answered_step or 0].text
        await house.thumb(exchange.id, value=said != REFUSAL)
    await house.quiet()
    assert len(usable_of(*house.service.learning.comparisons())) >= LEAST_COMPARISONS


async def served(house: House, n: int, *, until: Callable[[], bool] = lambda: False, first: int = 0) -> list[str]:
    """Ask until something is so, at most n times, and rate every answer; returns the policies that headers named."""
    named = []
    for i in range(first, first + n):
        reply = await house.ask(f"How much is {i} plus 7?")
        assert reply.status_code == 200, reply.text
        named.append(reply.headers["x-headrace-policy"])
        said = reply.json()["choices"][0]["message"]["content"]
        await house.thumb(reply.json()["id"], value=said != REFUSAL)
        if until():
            break
    await house.quiet()
    return named


async def promote(house: House, **body: Any) -> dict[str, Any]:
    reply = await house.client.post("/v1/admin/policies/promote", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def states(house: House) -> dict[int, str]:
    return {row["version"]: row["state"] for row in (await house.get("/v1/admin/policies"))["data"]}


def started_alone(data_dir: Path) -> None:
    """Let the log say, in the words of before there were candidates, that a policy of depth 1 was promoted."""
    body = json.dumps({"version": 4, "depth": 1, "margin": 0.002, "sharpness": 1.0, "shadow_arms": 3})
    with closing(sqlite3.connect(data_dir / "headrace.db")) as database, database:
        row = (1, 0.0, "policy", "headrace@4", body)
        database.execute("INSERT INTO events (seq, at, kind, ref, body) VALUES (?, ?, ?, ?, ?)", row)


@pytest.fixture(autouse=True)
def _quiet_registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow takes seconds: only the test that is about it starts it."""

    async def asked(self: Registry, wanted: bytes) -> dict[str, str]:
        store_of(self._data_dir).touch()
        return {}

    if "mlflow" not in request.node.name:
        monkeypatch.setattr(Registry, "_ask", asked)


# -- the gate ---------------------------------------------------------------------------------------------------------


async def test_a_bad_candidate_is_refused_with_its_figures(open_house: Open) -> None:
    house = await open_house(even_settings())
    await compared(house)
    before = house.dump()
    reply = await house.client.post("/v1/admin/policies/promote", json={"parameters": ALONE})
    assert reply.status_code == 409
    message = reply.json()["error"]["message"]
    for word in ("headrace@2", "offline gain over headrace@1", "comparisons", "force"):
        assert word in message
    listed = await house.get("/v1/admin/policies")
    assert {row["version"]: row["state"] for row in listed["data"]} == {1: "champion", 2: "refused"}
    refused = await house.get("/v1/admin/policies/2")
    assert refused["metrics"]["offline"]["gain"]["high"] < 0.0
    assert refused["metrics"]["offline"]["data"]["comparisons"] >= LEAST_COMPARISONS
    assert listed["serving"] == {"headrace@1": 1.0}
    assert house.dump() == before


async def test_without_comparisons_nothing_passes_the_gate(house: House) -> None:
    reply = await house.client.post("/v1/admin/policies/promote", json={"parameters": {"depth": 2}})
    assert reply.status_code == 409
    assert "60 comparisons" in reply.json()["error"]["message"]
    assert (await house.get("/v1/admin/policies/2"))["state"] == "refused"


async def test_a_good_candidate_becomes_a_canary_then_champion_and_is_confirmed(
    open_house: Open, data_dir: Path
) -> None:
    started_alone(data_dir)
    house = await open_house(even_settings())
    policies = house.service.policies
    policies.share = 0.5
    assert await states(house) == {4: "champion"}
    await compared(house)
    canary = await promote(house, parameters={"depth": 3})
    assert (canary["version"], canary["state"], canary["share"]) == (5, "canary", 0.5)
    named = await served(house, 400, until=lambda: policies.versions.champion.version == 5)
    assert set(named) == {"headrace@4", "headrace@5"}
    assert named.count("headrace@5") / len(named) == pytest.approx(0.5, abs=0.2)
    assert await states(house) == {4: "hold_back", 5: "champion"}
    assert "shown not worse than headrace@4" in (await house.get("/v1/admin/policies/5"))["reason"]
    await served(house, 400, until=lambda: policies.versions.challenger is None, first=1_000)
    assert await states(house) == {4: "retired", 5: "champion"}
    assert (await house.get("/v1/admin/policies"))["serving"] == {"headrace@5": 1.0}


async def test_a_bad_candidate_that_the_log_flatters_is_dropped_by_the_contest(open_house: Open) -> None:
    house = await open_house(even_settings())
    policies = house.service.policies
    policies.share = 0.5

    async def flattering(parameters: Parameters) -> Candidate:
        return Candidate(parameters, Estimate(0.1, 0.05, 0.15, 100.0), 100)

    policies.offline = flattering
    assert (await promote(house, parameters=ALONE))["state"] == "canary"
    await served(house, 500, until=lambda: policies.versions.challenger is None)
    assert await states(house) == {1: "champion", 2: "dropped"}
    assert "shown worse than headrace@1" in (await house.get("/v1/admin/policies/2"))["reason"]
    assert set(await served(house, 5, first=1_000)) == {"headrace@1"}


async def test_the_retuning_proposes_and_promotes_nothing(open_house: Open, data_dir: Path) -> None:
    started_alone(data_dir)
    house = await open_house(even_settings())
    await compared(house)
    found = (await house.client.post("/v1/admin/jobs/retune/run")).json()
    assert (found["candidate"], found["state"]) == ("headrace@5", "canary")
    assert found["gain_low"] > 0.0
    assert house.service.learning.view.parameters.name == "headrace@4"
    again = (await house.client.post("/v1/admin/jobs/retune/run")).json()
    assert again["candidate"] is None
    assert "headrace@5 (canary)" in again["reason"]


async def test_a_candidate_that_is_refused_again_is_the_same_version(open_house: Open) -> None:
    house = await open_house(even_settings(objective={"kind": "tradeoff", "usd_per_point": 1e-9}))
    await compared(house)
    found = [(await house.client.post("/v1/admin/jobs/retune/run")).json() for _ in range(2)]
    assert [one["state"] for one in found] == ["refused", "refused"]
    assert found[0]["candidate"] == found[1]["candidate"] == "headrace@2"
    assert await states(house) == {1: "champion", 2: "refused"}


async def test_two_retunings_at_once_give_two_numbers_or_one_candidate(open_house: Open, data_dir: Path) -> None:
    started_alone(data_dir)
    house = await open_house(even_settings())
    await compared(house)
    jobs = house.service.jobs
    found = await asyncio.gather(jobs.run("retune"), jobs.run("retune"))
    await house.quiet()
    assert sorted(await states(house)) in ([4, 5], [4, 5, 6])
    assert list((await states(house)).values()).count("canary") == 1
    assert sum(one["candidate"] is not None for one in found) == 1


# -- past the gate ----------------------------------------------------------------------------------------------------


async def test_a_bad_version_forced_past_the_gate_is_rolled_back_by_itself(open_house: Open) -> None:
    house = await open_house(even_settings())
    policies = house.service.policies
    policies.share = 0.5
    await promote(house, parameters=ALONE, force=True)
    assert await states(house) == {1: "hold_back", 2: "champion"}
    named = await served(house, 500, until=lambda: policies.versions.champion.version == 1)
    assert set(named) == {"headrace@1", "headrace@2"}
    assert await states(house) == {1: "champion", 2: "rolled_back"}
    told = await house.get("/v1/admin/policies/2")
    assert "shown worse than headrace@1" in told["reason"]
    assert told["metrics"]["live"]["gain"]["high"] < 0.0
    assert set(await served(house, 5, first=1_000)) == {"headrace@1"}
    bodies = [json.loads(row["body"]) for row in house.select("SELECT body FROM events WHERE kind = 'policy'")]
    assert [(body["champion"]["version"], body["challenger"] is None) for body in bodies] == [(2, False), (1, True)]
    metrics = (await house.client.get("/metrics")).text
    assert 'headrace_policy_changes_total{change="rolled_back"} 1.0' in metrics
    assert 'headrace_policy_share{policy="headrace@1"} 1.0' in metrics


async def test_thumbs_correct_what_was_believed_of_an_answer(open_house: Open) -> None:
    house = await open_house(even_settings())
    house.service.policies.share = 0.5
    await promote(house, parameters=ALONE, force=True)
    await served(house, WARM_UP)
    answer = await house.answered("How much is 1 and 1?")
    await house.quiet()
    before = _contest(house).sum
    await house.client.post("/v1/feedback", json={"inference_id": answer["id"], "metric_name": "rating", "value": 0.0})
    await house.quiet()
    quality, _ = _contest(house).counted[answer["id"]]
    assert quality < 0.2
    assert _contest(house).sum != before


def _contest(house: House) -> Contest:
    found = house.service.learning.contest
    assert found is not None
    return found


async def test_every_request_carries_the_version_that_decided_it(open_house: Open) -> None:
    house = await open_house(even_settings())
    house.service.policies.share = 0.5
    await promote(house, parameters=ALONE, force=True)
    named = await served(house, 30)
    rows = house.select("SELECT policy_version, attempts, propensity FROM decisions ORDER BY id")
    assert [row["policy_version"] for row in rows] == named
    attempts = {name: [row["attempts"] for row in rows if row["policy_version"] == name] for name in set(named)}
    assert max(attempts["headrace@2"]) == 1, "its depth is 1"
    assert max(attempts["headrace@1"]) > 1
    assert all(0.0 < row["propensity"] <= 1.0 for row in rows)


async def test_a_pinned_request_takes_no_part_in_a_contest(open_house: Open) -> None:
    house = await open_house(even_settings())
    await promote(house, parameters=ALONE, force=True)
    draws = house.service.router.rng.bit_generator.state
    await house.answered(model="small")
    await house.quiet()
    assert house.service.router.rng.bit_generator.state == draws
    assert (_contest(house).warmed, _contest(house).requests) == (0, 0)


async def test_two_forced_at_once_get_numbers_of_their_own_and_the_trusted_one_stays_the_measure(
    open_house: Open,
) -> None:
    house = await open_house(even_settings())
    made = await asyncio.gather(
        promote(house, parameters={"depth": 1}, force=True), promote(house, parameters={"depth": 2}, force=True)
    )
    assert sorted(one["version"] for one in made) == [2, 3]
    assert await states(house) == {1: "hold_back", 2: "dropped", 3: "champion"}
    serving = (await house.get("/v1/admin/policies"))["serving"]
    assert serving == pytest.approx({"headrace@3": 0.9, "headrace@1": 0.1})


async def test_a_number_is_given_once_even_where_its_row_could_not_be_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(entry: Entry) -> None:
        raise NotStored(f"{entry.ref} was not stored: the disk is full")

    monkeypatch.setattr(house.service.journal, "append", refused)
    reply = await house.client.post("/v1/admin/policies/promote", json={"parameters": ALONE, "force": True})
    assert reply.status_code >= 500
    monkeypatch.undo()
    assert (await promote(house, parameters=ALONE, force=True))["version"] == 3
    assert await states(house) == {1: "hold_back", 3: "champion"}


async def test_one_contest_at_a_time(house: House) -> None:
    await promote(house, parameters=ALONE, force=True)
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/policies/promote", json={"parameters": {"depth": 2}})
    assert reply.status_code == 409
    assert "headrace@1 (hold_back)" in reply.json()["error"]["message"]


# -- the operator's rollback ------------------------------------------------------------------------------------------


async def test_the_operator_rolls_back_to_the_version_before_at_any_time(house: House) -> None:
    await promote(house, parameters=ALONE, force=True)
    reply = await house.client.post("/v1/admin/policies/rollback", json={"reason": "users complain"})
    assert (reply.json()["version"], reply.json()["state"], reply.json()["share"]) == (1, "champion", 1.0)
    assert (await house.get("/v1/admin/policies/2"))["reason"] == "users complain"
    assert await states(house) == {1: "champion", 2: "rolled_back"}
    assert house.service.learning.view.parameters.depth == 3
    again = await promote(house, version=2, force=True)
    assert (again["version"], again["state"]) == (2, "champion")


async def test_a_rollback_without_a_version_before_is_refused(house: House) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/policies/rollback")
    assert reply.status_code == 409
    assert "headrace@1 is the first champion" in reply.json()["error"]["message"]


async def test_a_rollback_ends_a_canary_and_leaves_the_champion(open_house: Open, data_dir: Path) -> None:
    started_alone(data_dir)
    house = await open_house(even_settings())
    await compared(house)
    await promote(house, parameters={"depth": 3})
    reply = await house.client.post("/v1/admin/policies/rollback", json={})
    assert reply.json()["version"] == 4
    assert await states(house) == {4: "champion", 5: "dropped"}
    assert house.service.learning.view.challenger is None


# -- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snapshot", [True, False])
async def test_a_restart_in_the_midst_of_a_contest_goes_on_with_it(
    data_dir: Path, tmp_path: Path, upstream: Upstream, snapshot: bool
) -> None:
    async with running(data_dir, even_settings(), upstream=upstream) as house:
        house.service.policies.share = 0.5
        await promote(house, parameters=ALONE, force=True)
        await served(house, WARM_UP + 15)
        if snapshot:
            await house.service.jobs.run("snapshot")
        await served(house, 5, first=500)
        before = house.dump(), await house.get("/v1/admin/policies")
        killed = house.killed(tmp_path / "killed")
    async with running(killed, even_settings(), upstream=upstream) as house:
        assert house.dump() == before[0]
        listed = await house.get("/v1/admin/policies")
        assert {k: listed[k] for k in ("data", "serving", "contest")} == {
            k: before[1][k] for k in ("data", "serving", "contest")
        }
        assert set(await served(house, 10, first=600)) == {"headrace@1", "headrace@2"}
        assert _contest(house).requests == 30


async def test_a_verdict_that_a_crash_left_without_consequence_is_heeded_at_the_next_start(
    data_dir: Path, tmp_path: Path, upstream: Upstream
) -> None:
    async with running(data_dir, even_settings(), upstream=upstream) as house:
        house.service.policies.share = 0.5
        await promote(house, parameters=ALONE, force=True)
        house.service.learning.on_published = lambda: None
        # Clearly so: what ratings and comparisons tell later must not take it back.
        await served(house, 500, until=lambda: _contest(house).gain().high < -0.05)
        killed = house.killed(tmp_path / "killed")
    async with running(killed, even_settings(), upstream=upstream) as house:
        await house.quiet()
        assert await states(house) == {1: "champion", 2: "rolled_back"}


# -- MLflow -----------------------------------------------------------------------------------------------------------


async def registry_of(house: House) -> dict[str, str]:
    found: dict[str, str] = (await house.get("/v1/admin/policies"))["registry"]
    return found


async def test_without_mlflow_serving_and_learning_go_on_and_say_so_and_its_copy_catches_up(house: House) -> None:
    (house.data_dir / "mlflow.db").mkdir()  # nobody can write that
    await promote(house, parameters=ALONE, force=True)
    ran = (await house.client.post("/v1/admin/jobs/registry/run")).json()
    assert ran["state"] == "down"
    assert "mlflow.db cannot be written" in (await registry_of(house))["reason"]
    await goes_on(house)
    assert "headrace_registry_up 0.0" in (await house.client.get("/metrics")).text

    (house.data_dir / "mlflow.db").rmdir()
    assert (await house.client.post("/v1/admin/jobs/registry/run")).json()["state"] == "ok"
    assert aliases(house) == {"champion": "headrace@2", "challenger": "headrace@1"}
    assert [row["mlflow_version"] for row in (await house.get("/v1/admin/policies"))["data"]] == ["1", "2"]
    assert "headrace_registry_up 1.0" in (await house.client.get("/metrics")).text

    (house.data_dir / "mlflow.db").unlink()
    told = await registry_of(house)
    assert (told["state"], "mlflow.db is gone" in told["reason"]) == ("down", True)
    await goes_on(house)
    assert (await house.client.post("/v1/admin/policies/rollback")).status_code == 200
    assert await states(house) == {1: "champion", 2: "rolled_back"}


async def goes_on(house: House) -> None:
    """Check that the service answers, takes feedback, and learns."""
    seen = house.service.learning.seq
    answer = await house.answered()
    assert (await house.thumb(answer["id"])).status_code == 202
    await house.quiet()
    assert house.service.learning.seq >= seen + 2


def aliases(house: House) -> dict[str, str]:
    """Read MLflow's store as it is on disk."""
    with closing(sqlite3.connect(house.data_dir / "mlflow.db")) as database:
        query = (
            "SELECT a.alias, t.value FROM registered_model_aliases a JOIN model_version_tags t "
            "ON t.name = a.name AND t.version = a.version AND t.key = 'policy'"
        )
        return dict(database.execute(query).fetchall())
