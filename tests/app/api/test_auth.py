from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.app.harness import House

KEY = "correct horse battery"
GUARDED = [
    ("POST", "/v1/chat/completions"), ("POST", "/v1/route"), ("POST", "/v1/feedback"), ("GET", "/v1/models"),
    ("GET", "/v1/admin/models"), ("POST", "/v1/admin/models"), ("GET", "/v1/admin/models/small"),
    ("PATCH", "/v1/admin/models/small"), ("DELETE", "/v1/admin/models/small"), ("GET", "/v1/admin/learner"),
    ("GET", "/v1/admin/spend"), ("GET", "/v1/admin/objective"), ("PATCH", "/v1/admin/objective"),
    ("GET", "/v1/admin/jobs"), ("POST", "/v1/admin/jobs/snapshot/run"), ("GET", "/metrics"),
]  # fmt: skip


@pytest.fixture
async def guarded(open_house: Callable[..., Any]) -> Any:
    return await open_house(admin_key=KEY)


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_the_right_key_nothing_is_told_and_nothing_is_done(
    guarded: House, method: str, path: str
) -> None:
    headers = {"Authorization": "Bearer wrong"}
    async with guarded.unchanged():
        reply = await guarded.client.request(method, path, json={"kind": "quality"}, headers=headers)
    assert reply.status_code == 401
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert "Authorization: Bearer" in error["message"]
    assert KEY not in reply.text
    assert guarded.upstream.asked == []


async def test_what_only_resembles_the_key_is_refused(guarded: House) -> None:
    for sent in (
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer  {KEY}",
        KEY,
        f"Basic {KEY}",
    ):
        reply = await guarded.client.get("/v1/admin/learner", headers={"Authorization": sent})
        assert reply.status_code == 401, sent


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback", "/v1/admin/models"])
async def test_without_a_key_a_malformed_body_is_a_401_as_well(guarded: House, path: str) -> None:
    reply = await guarded.client.post(
        path, content=b"{", headers={"Authorization": "", "Content-Type": "application/json"}
    )
    assert reply.status_code == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
async def test_without_a_key_no_large_body_is_read(guarded: House, path: str) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(21):
            read += 2**20
            yield bytes(2**20)

    reply = await guarded.client.post(path, content=endless(), headers={"Authorization": ""})
    assert reply.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_key(guarded: House, path: str) -> None:
    assert (await guarded.client.get(path, headers={"Authorization": ""})).status_code == 200


async def test_the_right_key_opens_everything(guarded: House) -> None:
    assert (await guarded.answered())["id"]
    for method, path in GUARDED:
        if method == "GET":
            assert (await guarded.client.request(method, path)).status_code == 200


async def test_a_decision_names_the_key_that_asked(guarded: House) -> None:
    await guarded.answered()
    assert guarded.select("SELECT key_id FROM decisions") == [{"key_id": "bootstrap"}]


async def test_without_any_key_the_service_is_open(house: House) -> None:
    assert (await house.client.get("/v1/admin/learner")).status_code == 200
    reply = await house.client.get("/v1/models", headers={"Authorization": "Bearer whatever"})
    assert reply.status_code == 200


async def test_the_key_stands_in_no_file_of_the_data_directory(guarded: House) -> None:
    await guarded.answered()
    await guarded.quiet()
    assert all(KEY.encode() not in file.read_bytes() for file in guarded.data_dir.rglob("*") if file.is_file())
