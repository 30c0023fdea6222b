import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.learning import Learning
from app.service import start_state
from app.storage import repository
from app.storage.batch import Entry
from app.storage.errors import DatabaseHeld, NewerDatabase, StorageUnavailable
from app.storage.tables import FeedbackRow
from learner.embedding import HashEmbedding
from tests.app.harness import PRICES, End, House, Watcher, entry, running, select, settings_of, streaming

SETTINGS = settings_of(exploration={"max_share": 0.5, "max_usd_per_day": 5.0})


async def live_through(house: House, n: int = 12, *, first: int = 0) -> None:
    """Have the service answer, compare, take feedback and corrections, and be administered."""
    for at in range(first, first + n):
        house.upstream.answers = {model: "42" if at % 3 or model != "small" else "41" for model in PRICES}
        answer = await house.answered(f"What is {at} times 7?", user=f"user-{at % 3}")
        await house.quiet()
        await house.thumb(answer["id"], value=at % 3 != 0)
        if at % 4 == 0:
            await house.thumb(answer["id"], value=True)
    await house.ask(model="none")
    await house.client.post("/v1/admin/models", json=entry(f"new-{first}"))
    await house.client.patch("/v1/admin/objective", json={"usd_per_point": 0.002 + first / 1e4})
    async with Watcher(house.app, {"stream": True, "model": "small"}) as watcher:
        await watcher.start()
        await watcher.rest()
    await house.quiet()


async def learner_of(house: House) -> dict[str, Any]:
    return await house.get("/v1/admin/learner")


async def test_everything_acknowledged_survives_a_kill(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir, SETTINGS) as house:
        await live_through(house)
        before = await learner_of(house), await house.get("/v1/admin/spend"), house.dump(), house.counts()
        killed = house.killed(tmp_path / "killed")
    async with running(killed, SETTINGS) as house:
        assert await learner_of(house) == before[0]
        spend = await house.get("/v1/admin/spend")
        for name in ("total_usd", "requests_usd", "background_usd", "exploration_usd", "judges_usd", "calls"):
            assert spend[name] == pytest.approx(before[1][name]), name  # sums of floats, in another order
        for row, known in zip(spend["rows"], before[1]["rows"], strict=True):
            assert row == known | {"usd": pytest.approx(known["usd"])}
        assert spend["exploration"]["by_day"]
        assert house.dump() == before[2]
        assert house.counts() == before[3]
        assert before[0]["feedback_events"] == 12
        assert before[0]["observations"] > 0


async def test_comparisons_are_among_what_survives(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir, SETTINGS) as house:
        await live_through(house, 30)
        assert house.select("SELECT 1 FROM events WHERE kind = 'comparison'")
        before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed, SETTINGS) as house:
        assert house.dump() == before


async def test_a_snapshot_and_the_rest_of_the_log_equal_the_whole_log(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir, SETTINGS) as house:
        await live_through(house)
        await house.client.post("/v1/admin/jobs/snapshot/run")
        await live_through(house, first=100)
        before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed, SETTINGS) as house:
        (stored,) = house.select("SELECT seq FROM snapshots")
        assert 0 < stored["seq"] < house.service.learning.seq
        assert house.dump() == before


async def test_feedback_and_answers_go_on_after_a_kill(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir, SETTINGS) as house:
        answer = await house.answered()
        await house.quiet()
        killed = house.killed(tmp_path / "killed")
    async with running(killed, SETTINGS) as house:
        before = await learner_of(house)
        assert (await house.thumb(answer["id"])).status_code == 202
        after = await learner_of(house)
        assert after["feedback_events"] == before["feedback_events"] + 1
        assert after["observations"] > before["observations"]
        again = house.dump(), house.killed(tmp_path / "again")
    async with running(again[1], SETTINGS) as house:
        assert house.dump() == again[0]


async def test_an_idempotency_key_holds_after_a_kill(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir) as house:
        answer = await house.answered()
        body = {"inference_id": answer["id"], "metric_name": "thumbs", "value": True}
        first = await house.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": "k"})
        killed = house.killed(tmp_path / "killed")
    async with running(killed) as house:
        again = await house.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()) == (202, first.json())
        assert (await learner_of(house))["feedback_events"] == 1


async def test_an_orderly_end_takes_a_snapshot_of_all(data_dir: Path) -> None:
    async with running(data_dir) as house:
        await live_through(house, 3)
        seq, before = house.service.learning.seq, house.dump()
    assert select(data_dir, "SELECT seq FROM snapshots") == [{"seq": seq}]
    async with running(data_dir) as house:
        assert house.dump() == before


async def test_a_request_under_way_at_the_end_is_stored(data_dir: Path) -> None:
    async with running(data_dir) as house:
        gate = house.upstream.gates["small"] = asyncio.Event()
        asking = asyncio.create_task(house.ask(model="small"))
        await house.upstream.was_asked.wait()
        gate.set()
        reply = await asking
    assert select(data_dir, "SELECT id, status FROM decisions") == [{"id": reply.json()["id"], "status": "answered"}]


async def test_a_damaged_snapshot_is_refused_and_the_whole_log_is_read(data_dir: Path) -> None:
    async with running(data_dir) as house:
        await live_through(house, 3)
        before = house.dump()
    with closing(sqlite3.connect(data_dir / "headrace.db")) as connection, connection:
        connection.execute("UPDATE snapshots SET body = x'00'")
    async with running(data_dir) as house:
        assert house.dump() == before


async def test_feedback_that_is_committed_with_the_end_of_its_request_is_learned_as_it_is_recovered(
    data_dir: Path, tmp_path: Path
) -> None:
    async with running(data_dir) as house:
        gate = asyncio.Event()
        house.upstream.pieces["small"] = ["Forty", gate, "-two"]
        async with Watcher(house.app, {"stream": True, "model": "small"}) as watcher:
            await watcher.start()
            await watcher.piece()
            inference_id = watcher.headers["x-headrace-decision-id"]
            row = FeedbackRow(
                id="fb-1", inference_id=inference_id, metric="thumbs", value=True, reward=1.0, received_at=1.0
            )
            same = Entry("objective", "api", 1.0, house.service.objectives.current.model_dump())
            with closing(sqlite3.connect(data_dir / "headrace.db", isolation_level=None)) as holder:
                # While somebody else holds the database, both queue up behind a third: one transaction takes them.
                holder.execute("BEGIN IMMEDIATE")
                first = asyncio.create_task(house.service.journal.append(same))
                await asyncio.sleep(0)
                early = asyncio.create_task(house.service.journal.append(Entry("feedback", "fb-1", 1.0, rows=(row,))))
                gate.set()
                await watcher.rest()
                await watcher.leave()
                holder.execute("ROLLBACK")
            await asyncio.gather(first, early)
        await house.quiet()
        assert [e["kind"] for e in house.select("SELECT kind FROM events ORDER BY seq")][-2:] == ["feedback", "request"]
        assert (await learner_of(house))["observations"] == 1
        before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed) as house:
        assert house.dump() == before


@pytest.mark.parametrize("end", ["answered", "failed", "cancelled"])
@pytest.mark.parametrize("is_between", [True, False], ids=["snapshot between", "whole log"])
async def test_feedback_while_an_answer_streamed_survives_a_kill_with_what_it_taught(
    data_dir: Path, tmp_path: Path, end: End, is_between: bool
) -> None:
    async with running(data_dir, SETTINGS) as house:
        at_first = (await learner_of(house))["observations"]
        async with streaming(house, end) as inference_id:
            await house.thumb(inference_id, value=True)
            await house.thumb(inference_id, value=False)
            if is_between:
                await house.client.post("/v1/admin/jobs/snapshot/run")
        await house.thumb(inference_id, value=True)
        before = await learner_of(house), house.dump()
        killed = house.killed(tmp_path / "killed")
    assert before[0]["observations"] == at_first + (3 if end == "answered" else 0)
    async with running(killed, SETTINGS) as house:
        assert len(house.select("SELECT 1 FROM snapshots")) == is_between
        assert (await learner_of(house), house.dump()) == before


# -- a database that cannot be used -----------------------------------------------------------------------------------


async def test_a_second_service_on_the_same_database_is_refused_and_changes_nothing(house: House) -> None:
    await house.answered()
    async with house.unchanged():
        with pytest.raises(DatabaseHeld, match="in use by process"):
            async with running(house.data_dir):
                pass


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "headrace.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (data_dir / "headrace.db").read_bytes()
    with pytest.raises(NewerDatabase, match=r"9999.*newer version.*Nothing was changed"):
        async with running(data_dir):
            pass
    assert (data_dir / "headrace.db").read_bytes() == before


async def test_a_file_in_place_of_the_data_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(StorageUnavailable, match=r"data.*HEADRACE_DATA_DIR"):
        async with running(tmp_path / "data"):
            pass
    assert (tmp_path / "data").read_text() == "not a directory"


async def test_a_data_directory_that_nobody_can_write_is_refused_with_its_name() -> None:
    with pytest.raises(StorageUnavailable, match=r"/proc/headrace.*HEADRACE_DATA_DIR"):
        async with running(Path("/proc/headrace")):
            pass


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(data_dir: Path) -> None:
    (data_dir / "headrace.db").write_bytes(b"a letter to a friend" * 500)
    with pytest.raises(StorageUnavailable, match=r"headrace\.db"):
        async with running(data_dir):
            pass
    assert (data_dir / "headrace.db").read_bytes() == b"a letter to a friend" * 500


async def test_after_a_change_of_the_embedding_the_service_starts_and_keeps_its_accounts(data_dir: Path) -> None:
    async with running(data_dir) as house:
        await live_through(house, 3)
        spent = await house.get("/v1/admin/spend")
    async with running(data_dir, embedder=HashEmbedding(size=64)) as house:
        kept = await house.get("/v1/admin/spend")
        # What was learned of other features is forgotten, and what exploration had earned with it.
        for told in (kept, spent):
            told["exploration"].pop("allowance_usd")
        assert kept == spent
        assert (await learner_of(house))["feedback_events"] == 3
        assert (await house.answered())["id"]


async def test_a_snapshot_with_another_checksum_is_refused_and_the_whole_log_is_read(data_dir: Path) -> None:
    async with running(data_dir, SETTINGS) as house:
        await house.answered()
        await house.service.learning.settled()
        await house.service.jobs.run("snapshot")
        row = await repository.latest_snapshot(house.service.engine)
        assert row is not None
        row.checksum = "0" * 64
        await repository.add_snapshot(house.service.engine, row)
        learning = Learning(start_state(house.service.settings, HashEmbedding(size=32)), house.service.engine)
        assert await learning.recover() == row.seq


async def test_learning_waits_for_a_database_that_cannot_be_read_for_a_while(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OSError("the disk is away"), OSError("the disk is away")])
    get_decision = repository.get_decision

    async def unreliable(*arguments: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await get_decision(*arguments)

    async with running(data_dir, SETTINGS) as house:
        answer = await house.answered()
        await house.quiet()
        before = (await learner_of(house))["observations"]
        row = FeedbackRow(
            id="late", inference_id=answer["id"], metric="thumbs", value=True, reward=1.0, received_at=0.0
        )
        monkeypatch.setattr("app.learning.REMEMBERED", 0)
        await house.answered()  # and with that the first inference is no longer in memory
        await house.quiet()
        monkeypatch.setattr("app.learning.READ_AGAIN_S", 0.0)
        monkeypatch.setattr(repository, "get_decision", unreliable)
        await house.service.journal.append(Entry("feedback", "late", 0.0, rows=(row,)))
        await house.quiet()
        assert (await learner_of(house))["observations"] > before
        assert next(failures, None) is None
