import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.app.harness import House, settings_of

MONTH_S = 30 * 86_400
WEEK_S = 7 * 86_400


async def run(house: House, name: str) -> dict[str, Any]:
    reply = await house.client.post(f"/v1/admin/jobs/{name}/run")
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    return result


async def test_the_jobs_are_listed_with_their_schedule_and_last_result(house: House) -> None:
    assert {job["name"]: job["last"] for job in (await house.get("/v1/admin/jobs"))["data"]} == {
        "snapshot": None, "retune": None, "registry": None, "expire": None,
    }  # fmt: skip
    await run(house, "snapshot")
    jobs = {job["name"]: job for job in (await house.get("/v1/admin/jobs"))["data"]}
    assert jobs["snapshot"]["last"]["result"]["stored"] is True
    assert jobs["snapshot"]["every_s"] > 0


async def test_an_unknown_job_is_a_404_that_names_the_known_ones(house: House) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/jobs/cleanup/run")
    assert reply.status_code == 404
    for word in ("cleanup", "snapshot", "retune", "registry", "expire"):
        assert word in reply.json()["error"]["message"]


async def test_a_snapshot_is_stored_once_for_each_state(house: House) -> None:
    assert (await run(house, "snapshot"))["stored"] is True
    assert (await run(house, "snapshot"))["stored"] is False
    await house.answered()
    await house.quiet()
    assert (await run(house, "snapshot"))["stored"] is True
    assert house.select("SELECT count(*) AS n FROM snapshots") == [{"n": 2}]


async def test_only_the_newest_three_snapshots_are_kept(house: House) -> None:
    for _ in range(5):
        await house.answered(model="small")
        await house.quiet()
        await run(house, "snapshot")
    assert house.select("SELECT count(*) AS n FROM snapshots") == [{"n": 3}]


async def test_retune_without_comparisons_has_no_candidate_and_says_why(house: House) -> None:
    async with house.unchanged():
        result = await run(house, "retune")
    assert result["candidate"] is None
    assert "comparisons" in result["reason"]


async def test_expire_forgets_old_content_and_keeps_the_accounts(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(storage={"content": True}))
    old, new = (await house.answered(model="small"))["id"], (await house.answered(model="small"))["id"]
    for inference_id in (old, new):
        body = {"inference_id": inference_id, "metric_name": "comment", "value": "about tulips"}
        await house.client.post("/v1/feedback", json=body)
    await house.quiet()
    with closing(sqlite3.connect(house.data_dir / "headrace.db")) as connection, connection:
        connection.execute("UPDATE decisions SET created_at = created_at - ? WHERE id = ?", (MONTH_S + 60, old))
        change = "UPDATE feedback SET received_at = received_at - ? WHERE inference_id = ?"
        connection.execute(change, (MONTH_S + 60, old))
    spend, dump = await house.get("/v1/admin/spend"), house.dump()
    await run(house, "expire")
    kept = {
        row["id"]: (row["prompt"], row["answer"]) for row in house.select("SELECT id, prompt, answer FROM decisions")
    }
    assert kept == {old: (None, None), new: ("What is 6 times 7?", "small says 42")}
    values = {row["inference_id"]: row["value"] for row in house.select("SELECT inference_id, value FROM feedback")}
    assert values == {old: None, new: '"about tulips"'}
    assert (await house.get("/v1/admin/spend"), house.dump()) == (spend, dump)


async def test_expire_forgets_idempotency_keys_after_a_week(house: House) -> None:
    answer = await house.answered(model="small")
    body = {"inference_id": answer["id"], "metric_name": "thumbs", "value": True}
    first = {}
    for key in ("older", "newer"):
        reply = await house.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": key})
        first[key] = reply.json()
    sealed = {key: house.service.feedback.seals.whole(f":{key}".encode()) for key in first}
    with closing(sqlite3.connect(house.data_dir / "headrace.db")) as connection, connection:
        for key, seconds in (("older", WEEK_S + 60), ("newer", WEEK_S - 60)):
            change = "UPDATE idempotency_keys SET created_at = created_at - ? WHERE key = ?"
            connection.execute(change, (seconds, sealed[key]))
    await run(house, "expire")
    assert [row["key"] for row in house.select("SELECT key FROM idempotency_keys")] == [sealed["newer"]]
    for key, is_told_again in (("newer", True), ("older", False)):
        reply = await house.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": key})
        assert (reply.json() == first[key]) is is_told_again


async def test_a_job_that_fails_is_told_and_the_service_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("app.jobs.repository.add_snapshot", broken)
    assert (await run(house, "snapshot"))["error"] == "OSError: the disk is full"
    monkeypatch.undo()
    assert (await house.answered())["id"]
    assert (await run(house, "snapshot"))["stored"] is True
