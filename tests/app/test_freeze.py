"""Frozen, the service answers, keeps money and stores feedback, and learns nothing; later it learns what it missed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import learning
from app.learning_state import NO_FEEDBACK_DAYS, learning_state
from app.storage.batch import Entry
from learner.snapshot import checksum
from tests.app.harness import PRICES, House, running, settings_of

SETTINGS = settings_of(exploration={"max_share": 0.5, "max_usd_per_day": 5.0})


async def policy(house: House, word: str) -> dict[str, Any]:
    reply = await house.client.post(f"/v1/admin/policies/{word}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def rated(house: House, n: int, *, first: int = 0) -> list[str]:
    """Have questions answered and rated; returns what the header said of learning."""
    said = []
    for at in range(first, first + n):
        house.upstream.answers = {model: "42" if at % 3 or model != "small" else "41" for model in PRICES}
        reply = await house.ask(f"What is {at} times 7?", user=f"user-{at % 3}")
        said.append(reply.headers["x-headrace-learning"])
        await house.quiet()
        assert (await house.thumb(reply.json()["id"], value=at % 3 != 0)).status_code == 202
    await house.quiet()
    return said


async def learner_of(house: House) -> dict[str, Any]:
    return await house.get("/v1/admin/learner")


async def test_frozen_it_serves_and_pays_and_does_not_learn(open_house: Callable[..., Any]) -> None:
    house = await open_house(SETTINGS)
    assert set(await rated(house, 8)) == {"on"}
    before = await learner_of(house)
    told = await policy(house, "freeze")
    assert told["state"] == "frozen"
    assert "unfreeze" in told["reason"]
    spent = (await house.get("/v1/admin/spend"))["total_usd"]
    shadows = house.select("SELECT count(*) AS n FROM calls WHERE purpose = 'shadow'")
    assert set(await rated(house, 8, first=8)) == {"frozen"}
    after = await learner_of(house)
    assert (after["state"], after["observations"]) == ("frozen", before["observations"])
    assert [row["quality"] for row in after["models"].values()] == [r["quality"] for r in before["models"].values()]
    assert after["feedback_events"] == before["feedback_events"] + 8
    assert (await house.get("/v1/admin/spend"))["total_usd"] > spent
    assert house.select("SELECT count(*) AS n FROM calls WHERE purpose = 'shadow'") == shadows
    assert house.select("SELECT 1 FROM decisions WHERE explored AND created_at > ?", told["since"]) == []


async def test_unfrozen_it_learns_what_came_meanwhile_and_pays_nothing_twice(open_house: Callable[..., Any]) -> None:
    house = await open_house(SETTINGS)
    await rated(house, 4)
    await policy(house, "freeze")
    await rated(house, 10, first=4)
    before, spent = await learner_of(house), await house.get("/v1/admin/spend")
    assert (await policy(house, "unfreeze"))["state"] == "on"
    after = await learner_of(house)
    assert after["state"] == "on"
    assert after["observations"] >= before["observations"] + 10
    assert await house.get("/v1/admin/spend") == spent
    assert house.service.learning._state.ledger.total_usd == pytest.approx(spent["total_usd"])
    assert after["requests"] == before["requests"] == 14


@pytest.mark.parametrize("snapshots", [False, True])
async def test_a_freeze_and_its_end_survive_a_kill_bit_for_bit(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshots: bool
) -> None:
    monkeypatch.setattr(learning, "CHUNK", 7)
    async with running(data_dir, SETTINGS) as house:
        await rated(house, 4)
        await policy(house, "freeze")
        await rated(house, 6, first=4)
        if snapshots:
            await house.client.post("/v1/admin/jobs/snapshot/run")
        frozen, killed = house.dump(), house.killed(tmp_path / "frozen")
        await policy(house, "unfreeze")
        await rated(house, 3, first=10)
        ended, killed_later = house.dump(), house.killed(tmp_path / "ended")
    async with running(killed, SETTINGS) as house:
        assert checksum(house.dump()) == checksum(frozen)
        assert (await house.ask()).headers["x-headrace-learning"] == "frozen"
        assert (await learner_of(house))["state"] == "frozen"
    async with running(killed_later, SETTINGS) as house:
        assert checksum(house.dump()) == checksum(ended)
        assert (await learner_of(house))["state"] == "on"


async def test_freezing_twice_is_one_freeze_and_unfreezing_twice_changes_nothing(house: House) -> None:
    first = await policy(house, "freeze")
    assert await policy(house, "freeze") == first
    assert len(house.select("SELECT 1 FROM events WHERE kind = 'freeze'")) == 1
    for _ in range(2):
        told = await policy(house, "unfreeze")
        assert (told["state"], told["since"]) == ("on", None)
    assert len(house.select("SELECT 1 FROM events WHERE kind = 'freeze'")) == 2


async def test_a_freeze_names_the_key_that_said_so(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="boss")
    assert (await policy(house, "freeze"))["by"] == "bootstrap"
    assert "by key bootstrap" in (await learner_of(house))["reason"]


async def test_only_an_admin_may_freeze(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="boss")
    token = (await house.key(scopes=["inference", "feedback"]))["key"]
    reply = await house.client.post("/v1/admin/policies/freeze", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == 403
    assert (await learner_of(house))["state"] == "on"


async def test_frozen_nothing_is_retuned_or_promoted(house: House) -> None:
    await policy(house, "freeze")
    result = (await house.client.post("/v1/admin/jobs/retune/run")).json()
    assert result == {"candidate": None, "reason": "learning is frozen"}


async def test_a_price_is_in_force_at_once_while_frozen(house: House) -> None:
    await policy(house, "freeze")
    body = {"price": {"input_usd_per_mtok": 7.0, "output_usd_per_mtok": 8.0}}
    await house.client.patch("/v1/admin/models/small", json=body)
    assert house.service.learning.view.arms[0].prices == (7.0, 8.0)


async def test_no_snapshot_is_taken_of_half_of_what_was_missed(house: House) -> None:
    house.service.learning.is_catching_up = True
    assert (await house.service.jobs.run("snapshot"))["stored"] is False


async def said(house: House, **changes: Any) -> tuple[str, str]:
    for name, value in changes.items():
        setattr(house.service.learning, name, value)
    found = learning_state(house.service.learning, 1e9)
    return found.state, found.code


async def test_little_data_is_said(house: House) -> None:
    told = await learner_of(house)
    assert told["state"] == "on"
    assert "few" in told["reason"]
    assert 'headrace_learning{reason="too_little_data",state="on"} 1.0' in (await house.client.get("/metrics")).text


async def test_enough_data_and_feedback_need_no_reason(house: House) -> None:
    house.service.learning._state.observations = 100
    assert (await learner_of(house))["reason"] is None
    assert await said(house, last_feedback_at=1e9) == ("on", "none")


async def test_feedback_that_has_ceased_is_said(house: House) -> None:
    house.service.learning._state.observations = 100
    assert await said(house, last_feedback_at=1e9 - NO_FEEDBACK_DAYS * 86_400) == ("on", "no_feedback")
    house.service.learning._state.requests = 5_000
    assert await said(house, last_feedback_at=None) == ("on", "no_feedback")


async def test_when_feedback_came_is_known_after_a_restart(data_dir: Path) -> None:
    async with running(data_dir) as house:
        await rated(house, 1)
        at = house.service.learning.last_feedback_at
    async with running(data_dir) as house:
        assert house.service.learning.last_feedback_at == pytest.approx(at, abs=1.0)


async def test_other_features_are_said(house: House) -> None:
    assert await said(house, of_other_features=12) == ("on", "features_changed")


async def test_a_learner_that_has_stopped_is_off_and_does_not_hang_its_report(house: House) -> None:
    task = house.service.learning._task
    assert task is not None
    task.cancel()
    await asyncio.wait([task])
    reply = await house.ask()
    assert reply.status_code == 200
    assert reply.headers["x-headrace-learning"] == "off"
    told = await learner_of(house)
    assert told["state"] == "off"
    assert "stopped" in told["reason"]
    assert 'headrace_learning{reason="writer_failed",state="off"} 1.0' in (await house.client.get("/metrics")).text


async def test_events_that_cannot_be_read_turn_it_off_until_they_can(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "READ_AGAIN_S", 0.01)
    read, states = house.service.learning._logged, []

    async def at_last(seq: int, entry: Entry) -> Any:
        states.append(house.service.learning.state)
        if len(states) < 3:
            raise OSError("the disk is gone")
        return await read(seq, entry)

    monkeypatch.setattr(house.service.learning, "_logged", at_last)
    await house.ask()
    await house.quiet()
    assert states == ["on", "off", "off"]
    assert house.service.learning.state == "on"


async def test_an_event_that_cannot_be_learned_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(learning, "fold", broken)
    await house.ask()
    await house.quiet()
    assert await said(house) == ("on", "events_failed")


async def test_evaluation_knows_what_was_learned_of_a_freeze(house: House) -> None:
    await rated(house, 6)
    await policy(house, "freeze")
    await rated(house, 6, first=6)
    await policy(house, "unfreeze")
    await house.quiet()
    await rated(house, 6, first=12)
    found = (await house.client.post("/v1/admin/policies/evaluate", json={"parameters": {}})).json()
    # Twelve answers were rated outside of the freeze; one that the channel does not believe counts for nothing.
    assert found["labels"] > 12


async def test_frozen_no_model_that_arrives_is_asked(open_house: Callable[..., Any]) -> None:
    house = await open_house(SETTINGS)
    await rated(house, 12)
    await policy(house, "freeze")
    entry = {"id": "new", "provider": "openai", "base_url": "http://upstream.test/v1",
             "upstream_model": "new", "price": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4}}  # fmt: skip
    assert (await house.client.post("/v1/admin/models", json=entry)).status_code == 201
    await rated(house, 12, first=12)
    assert house.select("SELECT 1 FROM calls WHERE purpose = 'quiz'") == []
