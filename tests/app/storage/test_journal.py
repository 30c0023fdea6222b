import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage import repository
from app.storage.batch import Entry
from app.storage.engine import database_file
from app.storage.errors import KeyConflict, NotStored
from app.storage.journal import Journal
from app.storage.tables import CallRow, DecisionRow, FeedbackRow, JudgeScoreRow

Make = Callable[..., Any]

INCOMPLETE: dict[str, Any] = {"id": "inf-1", "arm": "small"}


def request(number: int, *rows: Any) -> Entry:
    return Entry("request", f"inf-{number}", float(number), {"number": number}, rows)


async def test_events_are_numbered_from_one_without_a_gap(journal: Journal) -> None:
    assert [await journal.append(request(n)) for n in range(3)] == [1, 2, 3]


async def test_numbers_go_on_where_the_last_journal_ended(engine: AsyncEngine, journal: Journal) -> None:
    await journal.append(request(0))
    await journal.close()
    second = Journal(engine)
    await second.open()
    assert await second.append(request(1)) == 2
    await second.close()


async def test_concurrent_entries_share_transactions_and_keep_their_order(engine: AsyncEngine) -> None:
    groups: list[list[tuple[int, Entry]]] = []
    journal = Journal(engine, groups.append)
    await journal.open()
    seqs = await asyncio.gather(*(journal.append(request(n)) for n in range(200)))
    await journal.close()
    committed = [pair for group in groups for pair in group]
    assert seqs == list(range(1, 201))
    assert [seq for seq, _ in committed] == seqs
    assert [entry.body["number"] for _, entry in committed] == list(range(200))
    assert len(groups) < 20
    assert [event.body["number"] for event in await repository.events_after(engine, 0, 1000)] == list(range(200))


async def test_an_entry_is_on_disk_and_told_to_the_learner_before_its_waiter_goes_on(
    engine: AsyncEngine, url: URL
) -> None:
    told: list[tuple[int, Entry]] = []
    journal = Journal(engine, told.extend)
    await journal.open()
    await journal.append(request(7))
    with closing(sqlite3.connect(str(database_file(url)))) as other:
        assert other.execute("SELECT seq, ref FROM events").fetchall() == [(1, "inf-7")]
    assert [(seq, entry.ref) for seq, entry in told] == [(1, "inf-7")]
    await journal.close()


async def test_an_entry_without_a_kind_stores_its_rows_and_no_event(
    engine: AsyncEngine, journal: Journal, decision: Make
) -> None:
    assert await journal.append(Entry(None, "inf-1", 0.0, rows=(decision(),))) is None
    assert await repository.last_seq(engine) == 0
    stored = await repository.get_decision(engine, "inf-1")
    assert stored is not None
    assert stored.status == "open"


async def test_a_decision_given_again_replaces_the_opened_one(
    engine: AsyncEngine, journal: Journal, decision: Make
) -> None:
    await journal.append(Entry(None, "inf-1", 0.0, rows=(decision(),)))
    await journal.append(request(1, decision(status="answered", answer_model="large", attempts=2)))
    stored = await repository.get_decision(engine, "inf-1")
    assert stored is not None
    assert (stored.status, stored.answer_model, stored.attempts) == ("answered", "large", 2)
    assert stored.probabilities == {"small": 0.75, "large": 0.25}
    assert stored.context == b"\x00\x00\x80?"


async def test_calls_scores_and_feedback_learn_the_number_of_their_event(
    engine: AsyncEngine, journal: Journal, call: Make, score: Make, feedback: Make
) -> None:
    await journal.append(request(0))
    await journal.append(Entry("comparison", "inf-1", 0.0, rows=(call(), score(), feedback())))
    calls: list[CallRow] = await repository.calls_of(engine, "inf-1")
    scores: list[JudgeScoreRow] = await repository.judge_scores_of(engine, "inf-1")
    (rated,) = await repository.feedback_until(engine, "inf-1", 2)
    assert [calls[0].event_seq, scores[0].event_seq, rated.event_seq] == [2, 2, 2]


@pytest.mark.parametrize(
    "faults",
    [
        {"body": {"quality": float("nan")}},
        {"body": {"not": object()}},
        {"rows": (FeedbackRow(id="taken", inference_id="inf-1", metric="thumbs", received_at=0.0),)},
        {"rows": (DecisionRow(**INCOMPLETE),)},
    ],
)
async def test_a_faulty_entry_does_not_harm_its_neighbours(
    faults: dict[str, Any], engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    await journal.append(Entry("feedback", "taken", 0.0, rows=(feedback("taken"),)))
    faulty = Entry("request", "faulty", 0.0, **faults)
    results = await asyncio.gather(
        journal.append(request(1)), journal.append(faulty), journal.append(request(2)), return_exceptions=True
    )
    assert results[0] == 2
    assert isinstance(results[1], NotStored)
    assert "'faulty'" in results[1].message
    assert results[2] == 3
    assert [event.ref for event in await repository.events_after(engine, 0, 10)] == ["taken", "inf-1", "inf-2"]


async def test_nothing_of_a_faulty_entry_is_stored_or_spent(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make
) -> None:
    with pytest.raises(NotStored):
        await journal.append(Entry("request", "inf-1", 0.0, {"bad": float("inf")}, (decision(), call())))
    assert await repository.get_decision(engine, "inf-1") is None
    assert await repository.calls_of(engine, "inf-1") == []
    assert journal.spend.total.calls == 0


async def test_an_error_does_not_quote_what_was_to_be_stored(journal: Journal, decision: Make) -> None:
    with pytest.raises(NotStored) as caught:
        await journal.append(request(1, decision(prompt="my secret", created_at=None)))
    assert "my secret" not in str(caught.value)
    assert "my secret" not in str(caught.value.__cause__)


async def test_a_waiter_that_goes_away_takes_nothing_back(engine: AsyncEngine, journal: Journal) -> None:
    leaving = asyncio.create_task(journal.append(request(0)))
    staying = asyncio.create_task(journal.append(request(1)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 2
    assert await journal.append(request(2)) == 3
    assert [event.ref for event in await repository.events_after(engine, 0, 10)] == ["inf-0", "inf-1", "inf-2"]


async def test_a_learner_that_fails_does_not_stop_the_journal(engine: AsyncEngine) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: list[tuple[int, Entry]]) -> None:
        raise ValueError("no")

    journal = Journal(engine, fail)
    await journal.open()
    assert [await journal.append(request(0)), await journal.append(request(1))] == [1, 2]
    await journal.close()
    assert [str(context["exception"]) for context in reported] == ["no", "no"]


async def test_closing_stores_what_waits_and_refuses_what_comes_later(engine: AsyncEngine) -> None:
    journal = Journal(engine)
    await journal.open()
    waiting = [asyncio.create_task(journal.append(request(n))) for n in range(50)]
    await asyncio.sleep(0)
    await journal.close()
    assert await asyncio.gather(*waiting) == list(range(1, 51))
    with pytest.raises(NotStored, match="not open"):
        await journal.append(request(50))


async def test_spend_survives_the_journal(engine: AsyncEngine, journal: Journal, call: Make) -> None:
    await journal.append(request(1, call(cost_usd=0.25), call(cost_usd=0.5, account="background", purpose="shadow")))
    second = Journal(engine)
    await second.open()
    assert second.spend.total == journal.spend.total
    assert (second.spend.total.requests_usd, second.spend.total.background_usd) == (0.25, 0.5)
    assert second.spend.on("2023-11-15").total_usd == 0.75
    await second.close()


async def give(journal: Journal, *rows: FeedbackRow, key: str | None = "key", body_hash: str = "a") -> dict[str, Any]:
    response = {"feedback_ids": [row.id for row in rows]}
    return await journal.append_feedback(rows, key=key, body_hash=body_hash, response=response, at=0.0)


async def test_the_same_key_and_body_again_gets_the_same_answer_and_counts_once(
    engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    first = await give(journal, feedback("fb-1"))
    assert await give(journal, feedback("fb-2")) == first == {"feedback_ids": ["fb-1"]}
    assert await repository.last_seq(engine) == 1


async def test_equal_keys_in_flight_count_once(engine: AsyncEngine, journal: Journal, feedback: Make) -> None:
    answers = await asyncio.gather(*(give(journal, feedback(f"fb-{n}")) for n in range(20)))
    assert answers == [{"feedback_ids": ["fb-0"]}] * 20
    assert [event.ref for event in await repository.events_after(engine, 0, 10)] == ["fb-0"]


@pytest.mark.parametrize("in_flight", [True, False])
async def test_a_key_with_another_body_is_a_conflict(
    in_flight: bool, engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    first = give(journal, feedback("fb-1"))
    second = give(journal, feedback("fb-2"), body_hash="b")
    if in_flight:
        results = list(await asyncio.gather(first, second, return_exceptions=True))
    else:
        results = [await first, *await asyncio.gather(second, return_exceptions=True)]
    assert results[0] == {"feedback_ids": ["fb-1"]}
    assert isinstance(results[1], KeyConflict)
    assert await repository.count_feedback(engine) == 1


async def test_feedback_without_a_key_counts_each_time(engine: AsyncEngine, journal: Journal, feedback: Make) -> None:
    await give(journal, feedback("fb-1"), key=None)
    assert await give(journal, feedback("fb-2"), key=None) == {"feedback_ids": ["fb-2"]}
    assert await repository.last_seq(engine) == 2


async def test_a_list_of_feedback_is_stored_whole_or_not_at_all(
    engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    with pytest.raises(NotStored):
        await give(journal, feedback("fb-1"), feedback("fb-2", inference_id=None))
    assert await repository.last_seq(engine) == 0
    assert await repository.idempotency_keys(engine, ["key"]) == {}


async def test_a_key_whose_first_use_failed_serves_the_next_in_the_same_group(
    engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    results = await asyncio.gather(
        give(journal, feedback("fb-1", metric=None)),
        give(journal, feedback("fb-2"), body_hash="b"),
        return_exceptions=True,
    )
    assert isinstance(results[0], NotStored)
    assert results[1] == {"feedback_ids": ["fb-2"]}
    assert (await repository.idempotency_keys(engine, ["key"]))["key"].body_hash == "b"


async def test_a_killed_process_loses_nothing_that_was_acknowledged(
    engine: AsyncEngine, journal: Journal, tmp_path: Path, url: URL
) -> None:
    for number in range(5):
        await journal.append(request(number))
    file = database_file(url)
    assert file is not None
    for part in (file, file.with_name(file.name + "-wal")):
        (tmp_path / part.name.replace("headrace", "copy")).write_bytes(part.read_bytes())
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM events").fetchone() == (5,)
