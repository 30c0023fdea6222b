from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.app.harness import JSON, House, settings_of

DECLARED = {"resolved": {"type": "boolean", "reward_map": {"true": 1.0, "false": 0.0}}}


@pytest.fixture
async def told(house: House) -> dict[str, Any]:
    """An answer that nobody has rated yet, with everything about it learned."""
    answer = await house.answered()
    await house.quiet()
    return answer


async def post(house: House, body: Any, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await house.client.post("/v1/feedback", json=body, headers=headers)


def item(inference_id: str, metric: str = "thumbs", value: Any = True, **more: Any) -> dict[str, Any]:
    return {"inference_id": inference_id, "metric_name": metric, "value": value, **more}


async def counted(house: House) -> tuple[int, int]:
    learner = await house.get("/v1/admin/learner")
    return learner["feedback_events"], learner["observations"]


async def test_feedback_is_accepted_once_it_is_durable(house: House, told: dict[str, Any]) -> None:
    reply = await post(house, item(told["id"], tags={"page": "home"}, source="web"))
    assert reply.status_code == 202
    (row,) = house.select("SELECT * FROM feedback")
    assert row["id"] == reply.json()["feedback_id"]
    assert (row["inference_id"], row["metric"], row["value"], row["reward"]) == (told["id"], "thumbs", "true", 1.0)
    assert (row["tags"], row["source"]) == ('{"page":"home"}', "web")


async def test_feedback_moves_the_belief_in_the_model_that_answered(house: House) -> None:
    before = (await house.get("/v1/admin/learner"))["models"]["small"]["quality"]
    for _ in range(5):
        answer = await house.answered(model="small")
        await house.thumb(answer["id"], value=False)
    after = (await house.get("/v1/admin/learner"))["models"]["small"]["quality"]
    assert after < before


async def test_every_distinct_value_is_one_event_and_teaches(house: House, told: dict[str, Any]) -> None:
    events, observations = await counted(house)
    await house.thumb(told["id"])
    assert (await counted(house))[0] == events + 1
    assert (await counted(house))[1] > observations


@pytest.mark.parametrize(
    ("metric", "value", "reward"),
    [("thumbs", False, 0.0), ("rating", 0.7, 0.7), ("rating", 1, 1.0), ("comment", "fine", None),
     ("demonstration", "Forty-two.", None)],
)  # fmt: skip
async def test_each_built_in_metric_has_its_reward(
    house: House, told: dict[str, Any], metric: str, value: Any, reward: float | None
) -> None:
    assert (await post(house, item(told["id"], metric, value))).status_code == 202
    assert house.select("SELECT reward FROM feedback") == [{"reward": reward}]


async def test_a_declared_metric_is_accepted(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(metrics=DECLARED))
    answer = await house.answered()
    assert (await post(house, item(answer["id"], "resolved", False))).status_code == 202
    assert house.select("SELECT reward FROM feedback") == [{"reward": 0.0}]


async def test_a_later_value_corrects_and_adds_no_event(house: House, told: dict[str, Any]) -> None:
    await house.thumb(told["id"], value=False)
    events, _ = await counted(house)
    low = (await house.get("/v1/admin/learner"))["models"][told["model"]]["quality"]
    await house.thumb(told["id"], value=True)
    assert (await counted(house))[0] == events
    assert (await house.get("/v1/admin/learner"))["models"][told["model"]]["quality"] > low


async def test_a_corrected_value_counts_as_if_it_had_been_the_first(
    open_house: Callable[..., Any], tmp_path: Any
) -> None:
    straight = await open_house(settings_of("small"), data_dir=tmp_path / "straight")
    corrected = await open_house(settings_of("small"), data_dir=tmp_path / "corrected")
    for house, values in ((straight, [True]), (corrected, [False, True])):
        answer = await house.answered(model="small")
        for value in values:
            await house.thumb(answer["id"], value=value)
    told = [(await house.get("/v1/admin/learner"))["models"]["small"]["quality"] for house in (straight, corrected)]
    assert told[0] == pytest.approx(told[1], abs=0.005)


async def test_a_thumb_belongs_to_the_user_of_the_request(house: House) -> None:
    answer = await house.answered(user="ann")
    await house.thumb(answer["id"])
    assert house.select("SELECT user FROM feedback") == [{"user": "ann"}]


async def test_a_thumb_without_a_user_belongs_to_the_key(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="secret")
    answer = await house.answered()
    await house.thumb(answer["id"])
    assert house.select("SELECT user FROM feedback") == [{"user": "bootstrap"}]


# -- lists ------------------------------------------------------------------------------------------------------------


async def test_a_list_of_a_thousand_is_accepted(house: House, told: dict[str, Any]) -> None:
    reply = await post(house, [item(told["id"], "rating", n / 1000) for n in range(1000)])
    assert reply.status_code == 202
    assert len(set(reply.json()["feedback_ids"])) == 1000
    assert (await counted(house))[0] == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"metric_name": "rating", "value": 7}, ("1", "rating", "7", "0 to 1")),
        ({"metric_name": "thumb", "value": True}, ("1", "thumb", "thumbs")),
        ({"metric_name": 5, "value": True}, ("[1].metric_name", "5", "string")),
        ({"metric_name": "thumbs", "value": True, "vlaue": 1}, ("[1].vlaue", "unknown", "value")),
    ],
)
async def test_a_list_with_one_bad_item_stores_nothing_and_names_it(
    house: House, told: dict[str, Any], bad: dict[str, Any], words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        good = item(told["id"])
        reply = await post(house, [good, {"inference_id": told["id"], **bad}, good], key="k")
    assert reply.status_code == 422
    for word in words:
        assert word in reply.json()["error"]["message"]


async def test_a_list_with_one_unknown_inference_stores_nothing_and_names_it(
    house: House, told: dict[str, Any]
) -> None:
    async with house.unchanged():
        reply = await post(house, [item(told["id"]), item("chatcmpl-none")])
    assert reply.status_code in (404, 422)
    assert "item 1" in reply.json()["error"]["message"]
    assert "chatcmpl-none" in reply.json()["error"]["message"]


# -- the same again ---------------------------------------------------------------------------------------------------


async def test_the_same_key_and_body_again_is_the_same_answer_counted_once(house: House, told: dict[str, Any]) -> None:
    first = await post(house, item(told["id"]), key="k")
    async with house.unchanged():
        again = await post(house, item(told["id"]), key="k")
    assert (again.status_code, again.json()) == (202, first.json())


async def test_the_same_key_with_another_body_is_a_409_and_changes_nothing(house: House, told: dict[str, Any]) -> None:
    await post(house, item(told["id"]), key="k-1")
    async with house.unchanged():
        reply = await post(house, item(told["id"], value=False), key="k-1")
    assert reply.status_code == 409
    error = reply.json()["error"]
    assert error["code"] == "idempotency_conflict"
    assert "k-1" in error["message"]
    assert "new key" in error["message"]


async def test_the_conflict_names_the_key_as_the_client_sent_it(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="secret")
    answer = await house.answered()
    await post(house, item(answer["id"]), key="k-1")
    reply = await post(house, item(answer["id"], value=False), key="k-1")
    assert "'k-1'" in reply.json()["error"]["message"]


# -- what is wrong with it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"inference_id": "chatcmpl-none"}, 404, ("chatcmpl-none", "id of a response")),
        ({"inference_id": 5}, 422, ("inference_id", "5")),
        ({"inference_id": ""}, 422, ("inference_id",)),
        ({"metric_name": "thums"}, 422, ("thums", "thumbs")),
        ({"value": 1}, 422, ("thumbs", "1", "true or false")),
        ({"value": "true"}, 422, ("thumbs", "true or false")),
        ({"value": None}, 422, ("thumbs", "true or false")),
        ({"metric_name": "rating", "value": 1.01}, 422, ("rating", "1.01", "0 to 1")),
        ({"metric_name": "rating", "value": -0.1}, 422, ("rating", "-0.1", "0 to 1")),
        ({"metric_name": "rating", "value": True}, 422, ("rating", "0 to 1")),
        ({"metric_name": "comment", "value": 5}, 422, ("comment", "5", "text")),
        ({"occurred_at": "yesterday"}, 422, ("occurred_at", "yesterday", "ISO 8601")),
        ({"tags": {"a": 1}}, 422, ("tags.a", "1")),
        ({"rating": 1}, 422, ("rating", "unknown")),
    ],
)
async def test_wrong_feedback_is_refused_and_changes_nothing(
    house: House, told: dict[str, Any], change: dict[str, Any], status: int, words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await post(house, item(told["id"]) | change)
    assert reply.status_code == status, reply.text
    for word in words:
        assert word in reply.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"{}"])
async def test_a_body_that_is_no_feedback_is_a_422(house: House, body: bytes) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/feedback", content=body, headers=JSON)
    assert reply.status_code == 422
    assert reply.json()["error"]["message"]


async def test_more_than_a_thousand_items_are_refused(house: House, told: dict[str, Any]) -> None:
    async with house.unchanged():
        reply = await post(house, [item(told["id"])] * 1001)
    assert reply.status_code == 422
    assert "1000" in reply.json()["error"]["message"].replace(",", "")


# -- content ----------------------------------------------------------------------------------------------------------


async def test_a_comment_is_content_and_is_not_kept_unless_wanted(house: House, told: dict[str, Any]) -> None:
    await post(house, item(told["id"], "comment", "wrong about tulips"))
    await post(house, item(told["id"], "demonstration", "All about tulips."))
    assert house.select("SELECT value FROM feedback") == [{"value": None}, {"value": None}]
    assert all(b"tulips" not in file.read_bytes() for file in house.data_dir.glob("headrace.db*"))


async def test_a_comment_is_kept_where_content_is(open_house: Callable[..., Any]) -> None:
    house = await open_house(settings_of(storage={"content": True}))
    answer = await house.answered()
    await post(house, item(answer["id"], "comment", "wrong about tulips"))
    assert house.select("SELECT value FROM feedback") == [{"value": '"wrong about tulips"'}]


async def test_a_nul_character_in_a_name_is_refused(house: House, told: dict[str, Any]) -> None:
    async with house.unchanged():
        reply = await post(house, item(told["id"], source="a\0b"))
        assert reply.status_code == 422
        assert "NUL" in reply.json()["error"]["message"]
        asked = await house.ask(router={"tags": {"episode": "a\0b"}})
        assert asked.status_code == 400
        assert "NUL" in asked.json()["error"]["message"]


async def test_the_openapi_document_tells_the_body_and_the_replies(house: House) -> None:
    told = (await house.get("/openapi.json"))["paths"]["/v1/feedback"]["post"]

    def schema(part: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = part["content"]["application/json"]["schema"]
        return found

    one, many = schema(told["requestBody"])["anyOf"]
    assert one["required"] == ["metric_name", "value"]
    assert (many["items"], many["minItems"], many["maxItems"]) == (one, 1, 1000)
    assert [each["required"] for each in schema(told["responses"]["202"])["anyOf"]] == [
        ["feedback_id"], ["feedback_ids"],
    ]  # fmt: skip
    for status in ("404", "409", "422"):
        error = schema(told["responses"][status])["properties"]["error"]
        assert set(error["properties"]) == {"message", "type", "param", "code"}
