"""What a body must say of itself, at every endpoint that takes one."""

from typing import Any

import pytest

from tests.app.harness import JSON, House

BODY = b'{"model": "auto", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}'


def that_take_a_body(house: House) -> list[tuple[str, str]]:
    """Return method and path of every endpoint that changes something or asks for an answer."""
    paths: dict[str, dict[str, Any]] = house.app.openapi()["paths"]
    return [(method, path) for path, own in paths.items() for method in own if method in ("post", "put", "patch")]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (None, "Content-Type is missing"),
        ("", "Content-Type is missing"),
        ("text/plain;charset=UTF-8", '"text/plain;charset=UTF-8"'),
        ("application/x-www-form-urlencoded", '"application/x-www-form-urlencoded"'),
        ("multipart/form-data; boundary=json", '"multipart/form-data; boundary=json"'),
        ("text/json", '"text/json"'),
        ("application/jsonl", '"application/jsonl"'),
    ],
)
async def test_a_body_that_does_not_say_it_is_json_is_refused_everywhere_alike(
    house: House, sent: str | None, said: str
) -> None:
    endpoints = that_take_a_body(house)
    assert len(endpoints) > 10
    async with house.unchanged():
        for method, path in endpoints:
            headers = {} if sent is None else {"Content-Type": sent}
            reply = await house.client.request(method, path, content=BODY, headers=headers)
            assert reply.status_code == 400, (method, path)
            error = reply.json()["error"]
            assert (error["type"], error["code"]) == ("invalid_request_error", "unsupported_content_type")
            assert said in error["message"]
            assert "Content-Type: application/json" in error["message"]
    assert house.upstream.asked == []


@pytest.mark.parametrize("sent", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
async def test_json_is_taken_by_whatever_name_it_goes(house: House, sent: str) -> None:
    reply = await house.client.post("/v1/chat/completions", content=BODY, headers={"Content-Type": sent})
    assert reply.status_code == 200, reply.text


async def test_what_has_no_body_needs_no_content_type(house: House) -> None:
    assert (await house.client.post("/v1/admin/policies/freeze")).status_code == 200
    assert (await house.client.post("/v1/feedback", content=b"")).status_code == 422
    assert (await house.client.request("DELETE", "/v1/admin/models/small")).status_code == 200


async def test_a_body_of_unknown_length_is_looked_at_too(house: House) -> None:
    async def pieces() -> Any:
        yield BODY

    assert (await house.client.post("/v1/route", content=pieces(), headers=JSON)).status_code == 200
    assert (await house.client.post("/v1/route", content=pieces())).status_code == 400


async def test_without_a_key_nothing_is_said_of_the_body(house: House) -> None:
    await house.key("root", scopes=["admin"])
    assert (await house.client.post("/v1/admin/keys", content=BODY)).status_code == 401
