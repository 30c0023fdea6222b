from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage import repository, windows
from app.storage.batch import Entry
from app.storage.journal import Journal
from app.storage.spend import Spend
from app.storage.tables import FeedbackRow, ModelRow, RecordedRow, SnapshotRow

Make = Callable[..., Any]


async def test_what_is_not_there_is_none_or_empty(engine: AsyncEngine) -> None:
    assert await repository.get_decision(engine, "inf-1") is None
    assert await repository.feedback_until(engine, "inf-1", 10) == ()
    assert await repository.latest_snapshot(engine) is None
    assert await repository.events_after(engine, 0, 10) == []
    assert await repository.last_seq(engine) == 0
    assert (await repository.spend_ledger(engine)).total == Spend()


async def test_a_request_is_replayed_with_its_decision_calls_and_scores(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make, score: Make
) -> None:
    rows = (decision(), call(step=0), call(step=1, model="large", evidence={"length": 0.5}), score())
    await journal.append(Entry("request", "inf-1", 5.0, {"a": 1}, rows))
    (event,) = await repository.events_after(engine, 0, 10)
    assert (event.seq, event.kind, event.ref, event.at, event.body) == (1, "request", "inf-1", 5.0, {"a": 1})
    assert event.decision is not None
    assert event.decision.propensity == 0.75
    assert [(step.model, step.evidence) for step in event.calls] == [("small", {}), ("large", {"length": 0.5})]
    assert [judged.judge for judged in event.judge_scores] == ["format"]
    assert event.feedback is None


async def test_an_event_is_replayed_with_what_was_known_then(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make, score: Make
) -> None:
    await journal.append(Entry("request", "inf-1", 0.0, rows=(decision(), call())))
    await journal.append(Entry("request", "inf-2", 0.0, rows=(decision("inf-2"), call("inf-2"))))
    await journal.append(Entry("comparison", "inf-1", 0.0, rows=(call(purpose="shadow"), score(judge="late"))))
    first, other, second = await repository.events_after(engine, 0, 10)
    assert [len(event.calls) for event in (first, other, second)] == [1, 1, 2]
    assert [len(event.judge_scores) for event in (first, other, second)] == [0, 0, 1]
    assert second.decision == first.decision


async def test_feedback_is_replayed_with_the_inference_it_is_about(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make, feedback: Make
) -> None:
    await journal.append(Entry("request", "inf-1", 0.0, rows=(decision(), call())))
    for row in (feedback("fb-1", value=True), feedback("fb-2", value=False, reward=0.0)):
        await journal.append(Entry("feedback", row.id, 0.0, rows=(row,)))
    await journal.append(Entry("comparison", "inf-1", 0.0, rows=(call(purpose="shadow"),)))
    _, up, down, _ = await repository.events_after(engine, 0, 10)
    assert up.feedback is not None
    assert down.feedback is not None
    assert (up.feedback.value, down.feedback.value, down.feedback.reward) == (True, False, 0.0)
    assert up.decision is not None
    assert up.decision.id == "inf-1"
    assert len(up.calls) == len(down.calls) == 1


async def test_a_quiz_and_other_kinds_are_replayed_without_a_decision(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make
) -> None:
    await journal.append(Entry("comparison", "quiz-1", 0.0, rows=(call("quiz-1", purpose="quiz"),)))
    await journal.append(Entry("model", "inf-1", 0.0, {"state": "active"}, rows=(decision(), call())))
    quiz, model = await repository.events_after(engine, 0, 10)
    assert (quiz.decision, len(quiz.calls)) == (None, 1)
    assert (model.decision, model.calls, model.body) == (None, (), {"state": "active"})


def outcome(query_id: str, model: str, quality: float) -> RecordedRow:
    return RecordedRow(
        query_id=query_id,
        model=model,
        quality=quality,
        cost_usd=0.5,
        input_tokens=10,
        output_tokens=20,
        feature_version="1",
        context=b"",
    )


async def test_a_recorded_query_is_replayed_with_its_own_outcomes_and_costs_nothing(
    engine: AsyncEngine, journal: Journal
) -> None:
    for query_id in ("q-1", "q-2"):
        rows = (outcome(query_id, "small", 0.25), outcome(query_id, "large", 1.0))
        await journal.append(Entry("recorded", query_id, 0.0, rows=rows))
    first, second = await repository.events_after(engine, 0, 10)
    assert [(row.query_id, row.model) for row in first.recorded] == [("q-1", "small"), ("q-1", "large")]
    assert [(row.query_id, row.quality) for row in second.recorded] == [("q-2", 0.25), ("q-2", 1.0)]
    assert (first.decision, first.calls, journal.spend.total.total_usd) == (None, (), 0.0)


async def test_the_events_of_one_kind_are_listed_in_their_order(engine: AsyncEngine, journal: Journal) -> None:
    for entry in (Entry("policy", "0", 0.0), Entry("objective", "1", 0.0), Entry("policy", "2", 0.0)):
        await journal.append(entry)
    assert [event.ref for event in await repository.events_of_kind(engine, "policy")] == ["0", "2"]


async def test_the_log_is_read_in_chunks(engine: AsyncEngine, journal: Journal) -> None:
    for number in range(5):
        await journal.append(Entry("objective", str(number), 0.0))
    chunks = [[event.seq for event in await repository.events_after(engine, seq, 2)] for seq in (0, 2, 4, 5)]
    assert chunks == [[1, 2], [3, 4], [5], []]


async def test_a_correction_comes_later_and_is_not_counted_again(
    engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    rows = [
        feedback("fb-1", value=True),
        feedback("fb-2", metric="rating", value=0.5),
        feedback("fb-3", inference_id="inf-2"),
        feedback("fb-4", value=False),
    ]
    await journal.append_feedback(rows, key=None, body_hash="", response={}, at=0.0)
    given = [(row.id, row.value) for row in await repository.feedback_until(engine, "inf-1", 4)]
    assert given == [("fb-1", True), ("fb-2", 0.5), ("fb-4", False)]
    assert await repository.count_feedback(engine) == 3


def model(model_id: str, **values: Any) -> ModelRow:
    given: dict[str, Any] = {
        "entry": {"price": 1},
        "source": "api",
        "state": "registered",
        "registered_at": 1.0,
        "updated_at": 1.0,
    }
    return ModelRow(id=model_id, **(given | values))


async def test_a_model_stored_again_replaces_the_stored_one(engine: AsyncEngine, journal: Journal) -> None:
    for row in (model("b", registered_at=2.0), model("a"), model("b", registered_at=2.0, state="active")):
        await journal.append(Entry("model", row.id, 0.0, rows=(row,)))
    assert [(row.id, row.state) for row in await repository.list_models(engine)] == [
        ("a", "registered"),
        ("b", "active"),
    ]


async def test_the_three_newest_snapshots_are_kept(engine: AsyncEngine) -> None:
    for seq in (5, 10, 20, 15, 20):
        body = f"state {seq}".encode()
        row = SnapshotRow(seq=seq, created_at=0.0, feature_version="1", schema_version=1, checksum="c", body=body)
        await repository.add_snapshot(engine, row)
    latest = await repository.latest_snapshot(engine)
    assert latest is not None
    assert (latest.seq, latest.body) == (20, b"state 20")
    async with engine.connect() as connection:
        kept = await connection.exec_driver_sql("SELECT seq FROM snapshots ORDER BY seq")
        assert kept.scalars().all() == [10, 15, 20]


async def test_of_older_ones_the_first_of_every_stretch_is_kept_and_four_of_these(engine: AsyncEngine) -> None:
    for seq in (500, *range(9_000, 65_000, 4_000)):
        body = f"state {seq}".encode()
        row = SnapshotRow(seq=seq, created_at=0.0, feature_version="1", schema_version=1, checksum="c", body=body)
        await repository.add_snapshot(engine, row)
    kept = [row.seq for row in await windows.snapshots(engine)]
    assert kept == [33_000, 41_000, 53_000, 57_000, 61_000]
    before = [await windows.snapshot_before(engine, seq) for seq in (33_000, 33_001, 60_000)]
    assert [row and row.seq for row in before] == [None, 33_000, 57_000]


async def test_a_window_begins_with_the_first_of_its_newest_requests(engine: AsyncEngine, journal: Journal) -> None:
    assert await windows.first_request(engine, None, 10) is None
    for at, kind in enumerate(("request", "feedback", "request", "request", "comparison")):
        await journal.append(Entry(kind, f"inf-{at}", float(at)))  # type: ignore[arg-type]  # a kind of event
    assert await windows.first_request(engine, None, 10) == 1
    assert await windows.first_request(engine, None, 2) == 3
    assert await windows.first_request(engine, 2.5, 10) == 4
    assert await windows.first_request(engine, 9.0, 10) is None


async def test_old_content_is_forgotten_and_what_was_learned_from_it_stays(
    engine: AsyncEngine, journal: Journal, decision: Make, feedback: Make
) -> None:
    content = {"prompt": "question", "answer": "reply"}
    rows = (
        decision("old", created_at=1.0, **content),
        decision("new", created_at=3.0, **content),
        feedback("fb-1", inference_id="old", metric="comment", value="too long", reward=0.25, received_at=1.0),
        feedback("fb-2", inference_id="old", metric="thumbs", value=True, received_at=1.0),
        feedback("fb-3", inference_id="new", metric="comment", value="fine", received_at=3.0),
    )
    await journal.append(Entry("request", "old", 0.0, rows=rows))
    await repository.delete_content_before(engine, 2.0)
    old = await repository.get_decision(engine, "old")
    new = await repository.get_decision(engine, "new")
    assert old is not None
    assert new is not None
    assert (old.prompt, old.answer, old.category) == (None, None, "maths")
    assert (new.prompt, new.answer) == ("question", "reply")
    comment, thumb = await repository.feedback_until(engine, "old", 1)
    (kept,) = await repository.feedback_until(engine, "new", 1)
    assert (comment.value, comment.reward) == (None, 0.25)
    assert (thumb.value, kept.value) == (True, "fine")


async def test_old_idempotency_keys_are_forgotten_and_may_be_used_again(
    engine: AsyncEngine, journal: Journal, feedback: Make
) -> None:
    async def give(row: FeedbackRow, key: str, at: float) -> dict[str, Any]:
        return await journal.append_feedback([row], key=key, body_hash=row.id, response={"id": row.id}, at=at)

    await give(feedback("fb-1"), "old", 1.0)
    await give(feedback("fb-2"), "new", 3.0)
    await repository.delete_idempotency_keys_before(engine, 2.0)
    assert set(await repository.idempotency_keys(engine, ["old", "new"])) == {"new"}
    assert await give(feedback("fb-3"), "old", 4.0) == {"id": "fb-3"}
    assert [row.id for row in await repository.feedback_until(engine, "inf-1", 3)] == ["fb-1", "fb-2", "fb-3"]


async def test_a_request_is_replayed_with_the_feedback_that_came_before_it_and_no_other(
    engine: AsyncEngine, journal: Journal, decision: Make, call: Make, feedback: Make
) -> None:
    await journal.append(Entry(None, "inf-1", 0.0, rows=(decision(),)))
    # The ids of feedback are not in the order of its events.
    for row in (feedback("fb-2"), feedback("fb-1", value=False), feedback("fb-3", inference_id="inf-2")):
        await journal.append(Entry("feedback", row.id, 0.0, rows=(row,)))
    await journal.append(Entry("request", "inf-1", 0.0, rows=(decision(), call())))
    await journal.append(Entry("feedback", "fb-4", 0.0, rows=(feedback("fb-4"),)))
    await journal.append(Entry("comparison", "inf-1", 0.0, rows=(call(purpose="shadow"),)))
    replayed = await repository.events_after(engine, 0, 10)
    assert [[row.id for row in event.early] for event in replayed] == [[], [], [], ["fb-2", "fb-1"], [], []]
    (request,) = await repository.events_after(engine, 3, 1)
    assert [row.id for row in request.early] == ["fb-2", "fb-1"]
