"""Every kind of feedback, through the whole service: what is stored, what is learned, and what is refused."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from openai import AsyncOpenAI

from app.seals import FILE, Seals
from learner.answers import Answer
from tests.app.harness import Gone, House, Upstream, on_a_port, running, settings_of, streaming

METRICS = {
    "resolved": {"type": "boolean", "reward_map": {"true": 0.8, "false": 0.1}},
    "fit": {"type": "float"},
    "verdict": {"type": "categorical", "reward_map": {"good": 1.0, "underpowered": 0.25, "failed": 0.0}},
}
SETTINGS = settings_of(metrics=METRICS, exploration={"max_share": 0.5, "max_usd_per_day": 5.0})
DAY_S = 86_400


@pytest.fixture
async def rated(data_dir: Path, upstream: Upstream) -> AsyncIterator[House]:
    """A service with three declared metrics."""
    async with running(data_dir, SETTINGS, upstream=upstream) as house:
        yield house


async def post(house: House, body: Any, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await house.client.post("/v1/feedback", json=body, headers=headers)


async def say(house: House, inference_id: str, metric: str, value: Any, **more: Any) -> None:
    body = {"inference_id": inference_id, "metric_name": metric, "value": value, **more}
    reply = await post(house, body)
    assert reply.status_code == 202, reply.text
    await house.quiet()


async def learner_of(house: House) -> dict[str, Any]:
    return await house.get("/v1/admin/learner")


async def quality(house: House, model: str = "small") -> float:
    found: float = (await learner_of(house))["models"][model]["quality"]
    return found


async def after(house: House, *said: tuple[str, Any]) -> float:
    """Say several things of one new answer of `small`; returns how far that moved the belief in it."""
    answer = await house.answered(model="small")
    await house.quiet()
    before = await quality(house)
    for metric, value in said:
        await say(house, answer["id"], metric, value)
    return await quality(house) - before


# -- metrics ----------------------------------------------------------------------------------------------------------


async def test_a_declared_metric_is_worth_what_the_configuration_says(rated: House) -> None:
    worth = [
        ("resolved", True, 0.8), ("resolved", False, 0.1), ("fit", 0.3, 0.3), ("fit", 1, 1.0), ("verdict", "good", 1.0),
        ("verdict", "underpowered", 0.25), ("verdict", "failed", 0.0),
    ]  # fmt: skip
    for metric, value, reward in worth:
        moved = await after(rated, (metric, value))
        assert (moved > 0.0) == (reward > 0.6), (metric, value)
    rewards = rated.select("SELECT reward FROM feedback ORDER BY event_seq")
    assert [row["reward"] for row in rewards] == [reward for _, _, reward in worth]


async def test_a_wrong_value_of_a_declared_metric_is_refused_and_changes_nothing(rated: House) -> None:
    answer = await rated.answered()
    wrong = [
        ("resolved", "true", "true or false"), ("resolved", 1, "true or false"), ("fit", 1.2, "0 to 1"),
        ("fit", "high", "0 to 1"), ("verdict", "fine", "good, underpowered, failed"), ("verdict", 1, "good"),
    ]  # fmt: skip
    async with rated.unchanged():
        for metric, value, wanted in wrong:
            reply = await post(rated, {"inference_id": answer["id"], "metric_name": metric, "value": value})
            assert reply.status_code == 422
            assert wanted in reply.json()["error"]["message"]


async def test_a_true_that_is_worth_little_is_not_taken_for_praise(open_house: Callable[..., Any]) -> None:
    worth = {"clicked": {"type": "boolean", "reward_map": {"true": 0.4, "false": 0.3}}}
    house = await open_house(settings_of("small", metrics=worth))
    assert await after(house, ("clicked", True)) < 0.0


async def test_the_stronger_metric_stands_and_every_metric_is_an_event(rated: House) -> None:
    low = await after(rated, ("resolved", False), ("thumbs", True), ("rating", 1.0))
    assert low < 0.0
    assert (await learner_of(rated))["feedback_events"] == 3


async def test_a_corrected_metric_is_learned_in_place_of_its_earlier_value(rated: House) -> None:
    assert await after(rated, ("resolved", False), ("thumbs", True), ("resolved", True)) > 0.0
    assert (await learner_of(rated))["feedback_events"] == 2


# -- comments ---------------------------------------------------------------------------------------------------------


async def test_a_comment_teaches_nothing_unless_that_is_wanted(house: House) -> None:
    assert await after(house, ("comment", "wonderful, thank you!")) == 0.0


async def test_a_clear_comment_counts_as_a_thumb_where_it_is_wanted_and_its_text_is_not_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    polar = {"wonderful": 1.0, "awful": 0.0, "I see": None}
    scored = replace(house.service.feedback, sentiment=polar.__getitem__)
    object.__setattr__(house.service, "feedback", scored)
    assert await after(house, ("comment", "wonderful")) > 0.0
    assert await after(house, ("comment", "awful")) < 0.0
    assert await after(house, ("comment", "I see")) == 0.0
    assert await after(house, ("comment", "wonderful"), ("thumbs", False)) < 0.0
    assert {row["value"] for row in house.select("SELECT value FROM feedback WHERE metric = 'comment'")} == {None}


async def test_a_comment_on_an_episode_is_read_once_and_off_the_event_loop(house: House) -> None:
    await episode(house, "trip", 3)
    readers: list[threading.Thread] = []

    def friendly(_: str) -> float:
        readers.append(threading.current_thread())
        return 1.0

    object.__setattr__(house.service, "feedback", replace(house.service.feedback, sentiment=friendly))
    assert (await post(house, about("trip", "comment", "wonderful"))).status_code == 202
    assert house.select("SELECT reward FROM feedback") == [{"reward": 1.0}] * 3
    (reader,) = readers
    assert reader is not threading.main_thread()


# -- demonstrations ---------------------------------------------------------------------------------------------------


def answering(**said: str) -> dict[str, Any]:
    return {model: f"The answer is {text}." for model, text in said.items()}


async def demonstrated(house: House, question: str = "What is 6 times 7?") -> dict[str, Any]:
    """Have `small` say 41, and be told that it should have been 42."""
    house.upstream.answers = answering(small="41", middle="42", large="42")
    answer = await house.answered(question, model="small")
    await say(house, answer["id"], "demonstration", "42")
    return answer


async def test_a_demonstration_that_differs_speaks_against_the_answer_and_an_equal_one_for_it(house: House) -> None:
    house.upstream.answers = answering(small="41")
    assert await after(house, ("demonstration", "It is 42.")) < 0.0
    assert await after(house, ("demonstration", {"role": "assistant", "content": "**41**"})) > 0.0


async def test_a_demonstration_labels_every_model_that_answered(rated: House) -> None:
    rated.upstream.answers = answering(small="41", middle="42", large="41")
    for n in range(40):
        answer = await rated.answered(f"What is {n} times 7?")
        await rated.quiet()
        asked = {row["model"] for row in rated.select("SELECT model FROM calls WHERE inference_id = ?", answer["id"])}
        if asked == {"small", "middle", "large"}:
            break
    before = (await learner_of(rated))["models"]
    await say(rated, answer["id"], "demonstration", "42")
    now = (await learner_of(rated))["models"]
    moved = {model: now[model]["quality"] - before[model]["quality"] for model in now}
    assert moved["middle"] > 0.0
    assert moved["small"] < 0.0
    assert moved["large"] < 0.0


async def test_what_cannot_be_compared_teaches_nothing_and_the_same_text_does(house: House) -> None:
    essay = "Tulips came from the mountains of Central Asia, and the Ottomans grew them before Holland knew of them."
    house.upstream.answers = {"small": essay}
    assert await after(house, ("demonstration", essay.replace("Holland", "Europe"))) == 0.0
    assert await after(house, ("demonstration", essay.replace(" ", "\n"))) > 0.0


async def evidence(house: House, question: str, **body: Any) -> Any:
    answer = await house.answered(question, model="small", **body)
    (row,) = house.select("SELECT evidence FROM calls WHERE inference_id = ?", answer["id"])
    return row["evidence"]


async def test_later_answers_to_a_near_duplicate_are_held_against_it(house: House) -> None:
    await demonstrated(house)
    assert '"reference":-1.0' in await evidence(house, "What is 6 times 7?")
    house.upstream.answers = answering(small="42")
    assert '"reference":1.0' in await evidence(house, "what is  6 times 7 ?")
    assert "reference" not in await evidence(house, "What is 6 times 8?")
    assert "reference" not in await evidence(house, "Which metal melts first?")
    house.upstream.answers = {"small": "I would rather not say what I think about that, for many good reasons."}
    assert "reference" not in await evidence(house, "What is 6 times 7?")


async def test_an_answer_that_misses_the_reference_is_believed_less_and_one_that_meets_it_more(house: House) -> None:
    async def confidence(said: str) -> float:
        house.upstream.answers = answering(small=said)
        reply = await house.ask("What is 6 times 7?", router={"allow": ["small"]})
        return float(reply.headers["x-headrace-confidence"])

    before = await confidence("41")
    await demonstrated(house)
    assert await confidence("41") < before - 0.2
    assert await confidence("42") > before + 0.2


async def test_no_text_of_a_demonstration_is_kept_without_content(house: House) -> None:
    answer = await house.answered(model="small")
    await say(house, answer["id"], "demonstration", "Quetzalcoatlus")
    await house.client.post("/v1/admin/jobs/snapshot/run")
    (row,) = house.select("SELECT value, seal FROM feedback")
    assert row["value"] is None
    assert row["seal"].startswith("short:")
    assert all(b"uetzalcoatlus" not in file.read_bytes().lower() for file in house.data_dir.glob("headrace.db*"))
    assert b"uetzalcoatlus" not in house.dump().lower()


async def test_what_a_request_said_is_stored_only_as_a_keyed_hash(house: House) -> None:
    answer = await house.answered()
    raw = orjson.dumps({"inference_id": answer["id"], "metric_name": "comment", "value": "yes"})
    key = hashlib.sha256(raw).hexdigest()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    first = await house.client.post("/v1/feedback", content=raw, headers=headers)
    assert (await house.client.post("/v1/feedback", content=raw, headers=headers)).json() == first.json()
    assert (await house.client.post("/v1/feedback", content=raw + b" ", headers=headers)).status_code == 409
    (row,) = house.select("SELECT key, body_hash FROM idempotency_keys")
    seals = Seals.open(house.data_dir)
    assert (row["key"], row["body_hash"]) == (seals.whole(f":{key}".encode()), seals.whole(raw))
    assert all(key.encode() not in file.read_bytes() for file in house.data_dir.glob("headrace.db*"))


async def test_with_content_a_demonstration_is_read_with_its_question(open_house: Callable[..., Any]) -> None:
    question = "Which city is the capital of France?\nA. Lyon\nB. Paris\nC. Nice"
    house = await open_house(settings_of("small", storage={"content": True}))
    house.upstream.answers = answering(small="B")
    answer = await house.answered(question, model="small")
    before = await quality(house)
    await say(house, answer["id"], "demonstration", "Paris")
    assert await quality(house) > before
    assert house.select("SELECT value FROM feedback") == [{"value": '"Paris"'}]


async def test_a_demonstration_without_text_is_refused(house: House) -> None:
    answer = await house.answered()
    wrong: list[Any] = ["", "  ", 5, None, True, [], {"role": "assistant"}, {"content": ""}, [{"type": "image_url"}]]
    async with house.unchanged():
        for value in wrong:
            reply = await post(house, {"inference_id": answer["id"], "metric_name": "demonstration", "value": value})
            assert reply.status_code == 422, value
            assert "text of the answer" in reply.json()["error"]["message"]


@pytest.mark.parametrize("is_between", [True, False], ids=["snapshot between", "whole log"])
async def test_demonstrations_episodes_and_metrics_survive_a_kill_bit_for_bit(
    data_dir: Path, tmp_path: Path, is_between: bool
) -> None:
    async with running(data_dir, SETTINGS) as house:
        await demonstrated(house)
        for n in range(6):
            answer = await house.answered(f"What is {n} times 7?", router={"tags": {"episode": f"e{n % 2}"}})
            await house.quiet()
            await say(house, answer["id"], "demonstration", str(7 * n))
            await say(house, answer["id"], "verdict", "underpowered")
            if n == 3 and is_between:
                await house.client.post("/v1/admin/jobs/snapshot/run")
        assert (await post(house, about("e0", "resolved", False))).status_code == 202
        async with streaming(house) as inference_id:
            await say(house, inference_id, "demonstration", "Forty-two")
        await house.quiet()
        before, killed = (await learner_of(house), house.dump()), house.killed(tmp_path / "killed")
    async with running(killed, SETTINGS) as house:
        assert (await learner_of(house), house.dump()) == before


async def test_a_lost_key_of_the_seals_is_not_taken_for_a_wrong_answer(data_dir: Path) -> None:
    async with running(data_dir) as house:
        house.upstream.answers = answering(small="42")
        answer = await house.answered(model="small")
        await house.quiet()
    (data_dir / FILE).unlink()
    async with running(data_dir) as house:
        before = await quality(house)
        await say(house, answer["id"], "demonstration", "42")
        assert await quality(house) == before


def test_the_key_of_the_seals_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, again = Seals.open(tmp_path / "new"), Seals.open(tmp_path / "new")
    assert (tmp_path / "new" / FILE).stat().st_mode & 0o777 == 0o600
    assert first.query("What is 6 times 7?") == again.query("what is 6  times 7")
    assert Seals.open(tmp_path / "other").query("6 7") != first.query("6 7")
    number = Answer("number", "42")
    assert first.answer(number, "It is 42.") == again.answer(number, "42")
    assert first.answer(number, "42") != first.answer(Answer("number", "41"), "42")


# -- streamed and cascaded answers ------------------------------------------------------------------------------------


async def test_feedback_of_every_kind_while_an_answer_streams_is_learned_when_it_is_whole(rated: House) -> None:
    before = await quality(rated)
    async with streaming(rated) as inference_id:  # it will say "Forty-two"
        await say(rated, inference_id, "verdict", "failed")
        await say(rated, inference_id, "demonstration", "forty-two")
        assert await quality(rated) == before
    assert await quality(rated) > before


async def test_feedback_on_a_cascaded_answer_is_about_the_model_that_answered(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(objective={"kind": "quality"}))
    house.upstream.answers = answering(small="41", middle="42", large="42")
    answer = await house.answered("What is 6 times 7?")
    await house.quiet()
    assert len({row["model"] for row in house.select("SELECT model FROM calls")}) > 1
    before = await quality(house, answer["model"])
    await say(house, answer["id"], "rating", 0.0)
    assert await quality(house, answer["model"]) < before


# -- lateness ---------------------------------------------------------------------------------------------------------


def later(house: House, days: float) -> None:
    """Let the service's feedback take place some days later."""
    clock = house.service.feedback.clock
    object.__setattr__(house.service, "feedback", replace(house.service.feedback, clock=lambda: clock() + days * DAY_S))


async def test_feedback_is_taken_for_thirty_days_and_then_refused_with_the_reason(house: House) -> None:
    answer = await house.answered()
    later(house, 29.9)
    assert (await house.thumb(answer["id"])).status_code == 202
    later(house, 0.2)
    async with house.unchanged():
        reply = await house.thumb(answer["id"], value=False)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "feedback_too_late")
    for words in (answer["id"], "30.1 days ago", "30 days", "feedback.window_days"):
        assert words in reply.json()["error"]["message"]


async def test_the_window_is_the_operators(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(feedback={"window_days": 0.5}))
    answer = await house.answered()
    later(house, 0.6)
    assert (await house.thumb(answer["id"])).status_code == 422


async def test_one_late_item_keeps_a_whole_list_out(house: House) -> None:
    old = await house.answered()
    later(house, 31)
    async with house.unchanged():
        reply = await post(house, [{"inference_id": old["id"], "metric_name": "thumbs", "value": True}] * 2)
    assert reply.status_code == 422
    assert "item 0" in reply.json()["error"]["message"]


async def test_what_was_accepted_in_time_is_answered_the_same_when_it_is_repeated_too_late(house: House) -> None:
    answer = await house.answered()
    body = {"inference_id": answer["id"], "metric_name": "thumbs", "value": True}
    first = await post(house, body, key="k")
    later(house, 31)
    async with house.unchanged():
        again = await post(house, body, key="k")
        other = await post(house, body | {"value": False}, key="k")
    assert (again.status_code, again.json()) == (202, first.json())
    assert other.status_code == 409


# -- episodes ---------------------------------------------------------------------------------------------------------


def about(episode: str, metric: str = "thumbs", value: Any = True, **more: Any) -> dict[str, Any]:
    return {"metric_name": metric, "value": value, "tags": {"episode": episode}, **more}


async def episode(house: House, name: str, n: int, **body: Any) -> list[str]:
    tags = {"tags": {"episode": name}}
    ids = [(await house.answered(f"What is {i} times 7?", model="small", router=tags, **body))["id"] for i in range(n)]
    await house.quiet()
    return ids


async def test_feedback_on_an_episode_is_shared_by_its_answers_and_is_one_event(house: House) -> None:
    ids = await episode(house, "trip", 4, user="ann")
    await episode(house, "other", 1)
    before = await quality(house)
    reply = await post(house, about("trip", value=False, source="crm"))
    assert reply.status_code == 202
    rows = house.select("SELECT * FROM feedback ORDER BY event_seq")
    assert [row["inference_id"] for row in rows] == ids
    told = {(row["episode"], row["share"], row["user"], row["source"]) for row in rows}
    assert told == {("trip", 0.25, "ann", "crm")}
    assert all(row["id"].startswith(reply.json()["feedback_id"]) for row in rows)
    assert (await learner_of(house))["feedback_events"] == 1
    assert await quality(house) < before


async def test_a_later_value_for_an_episode_corrects_the_earlier_one(house: House) -> None:
    await episode(house, "trip", 3)
    before = await quality(house)
    await post(house, about("trip", value=False))
    await post(house, about("trip", value=True))
    assert (await learner_of(house))["feedback_events"] == 1
    assert await quality(house) > before


async def test_an_inference_id_beside_the_tag_is_about_that_answer_alone(house: House) -> None:
    ids = await episode(house, "trip", 3)
    await post(house, about("trip", inference_id=ids[1]))
    assert house.select("SELECT inference_id, episode, share FROM feedback") == [
        {"inference_id": ids[1], "episode": None, "share": None}
    ]


async def test_a_list_may_hold_answers_and_episodes_and_is_stored_whole_or_not_at_all(house: House) -> None:
    ids = await episode(house, "trip", 2)
    item = {"inference_id": ids[0], "metric_name": "rating", "value": 0.5}
    async with house.unchanged():
        reply = await post(house, [item, about("trip"), about("unheard-of")])
    assert reply.status_code == 404
    assert "item 2" in reply.json()["error"]["message"]
    reply = await post(house, [item, about("trip")])
    assert len(reply.json()["feedback_ids"]) == 2
    assert house.counts()["feedback"] == 3


async def test_wrong_feedback_on_an_episode_is_refused_and_changes_nothing(house: House) -> None:
    wrong: list[tuple[dict[str, Any], int, tuple[str, ...]]] = [
        (about("unheard-of"), 404, ("unheard-of", "router.tags")),
        (about("trip", "demonstration", "42"), 422, ("one answer", "inference_id")),
        (about("trip", "rating", 7), 422, ("rating", "0 to 1")),
        (about(""), 422, ("inference_id", "episode")),
        ({"metric_name": "thumbs", "value": True, "tags": {"page": "home"}}, 422, ("inference_id", "episode")),
        ({"metric_name": "thumbs", "value": True, "inference_id": None}, 422, ("inference_id", "episode")),
    ]
    await episode(house, "trip", 1)
    async with house.unchanged():
        for body, status, words in wrong:
            reply = await post(house, body)
            assert reply.status_code == status, reply.text
            assert all(word in reply.json()["error"]["message"] for word in words)


async def test_an_episode_too_long_to_be_rated_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.feedback.MOST_ANSWERS", 3)
    await episode(house, "trip", 2)
    async with house.unchanged():
        reply = await post(house, [about("trip"), about("trip", "rating", 0.5)])
    assert reply.status_code == 422
    assert "item 1" in reply.json()["error"]["message"]


async def test_an_answer_that_failed_or_came_too_long_ago_has_no_part_in_its_episode(house: House) -> None:
    await episode(house, "trip", 2)
    house.upstream.answers = dict.fromkeys(("small", "middle", "large"), Gone())
    await house.ask(router={"tags": {"episode": "trip"}})
    await post(house, about("trip"))
    assert house.select("SELECT share FROM feedback") == [{"share": 0.5}] * 2
    later(house, 31)
    async with house.unchanged():
        assert (await post(house, about("trip"))).status_code == 404


# -- the official client ----------------------------------------------------------------------------------------------


async def test_a_client_tags_an_episode_and_gives_feedback_by_the_id_of_the_answer(rated: House) -> None:
    async with on_a_port(rated.app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        tags = {"router": {"tags": {"episode": "chat-7"}}}
        message: Any = {"role": "user", "content": "What is 6 times 7?"}
        plain = await client.chat.completions.create(model="auto", messages=[message], extra_body=tags)
        chunks = await client.chat.completions.create(model="small", messages=[message], stream=True, extra_body=tags)
        streamed = {chunk.id async for chunk in chunks}.pop()
        await asyncio.gather(*(
            client.post("/feedback", cast_to=httpx.Response, body=body)
            for body in (
                {"inference_id": plain.id, "metric_name": "verdict", "value": "good"},
                {"inference_id": streamed, "metric_name": "demonstration", "value": "42"},
                about("chat-7", "resolved", True),
            )
        ))  # fmt: skip
    await rated.quiet()
    assert (await learner_of(rated))["feedback_events"] == 3
    shares = rated.select("SELECT share FROM feedback WHERE episode = 'chat-7'")
    assert shares == [{"share": 0.5}, {"share": 0.5}]
