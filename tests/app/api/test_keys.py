import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from app.api.gate import OPEN_PATHS
from tests.app.harness import COST_USD, House, bearer, running

KEY = "correct horse battery"
TOKEN = re.compile(r"sk-hr-([0-9a-f]{16})-([0-9a-f]{64})")
DOCUMENTS = {"/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"}


@pytest.fixture
async def guarded(open_house: Callable[..., Any]) -> Any:
    return await open_house(admin_key=KEY)


async def send(house: House, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
    return await house.client.request(method, path, json=body, headers=bearer(token))


async def ask_as(house: House, token: str, **body: Any) -> httpx.Response:
    asked = {"messages": [{"role": "user", "content": "What is 6 times 7?"}], "model": "small"} | body
    return await send(house, "POST", "/v1/chat/completions", token, asked)


# -- what a key is ----------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_only_its_hash_is_stored(guarded: House) -> None:
    made = await guarded.key("app")
    found = TOKEN.fullmatch(made["key"])
    assert found is not None
    assert found[1] == made["id"]
    (row,) = guarded.select("SELECT * FROM api_keys")
    assert row["secret_sha256"] == hashlib.sha256(found[2].encode()).hexdigest()
    assert "stored nowhere" in made["notice"]
    listed = await guarded.client.get("/v1/admin/keys")
    assert listed.json()["data"] == [{name: value for name, value in made.items() if name not in ("key", "notice")}]


async def test_the_secret_stands_in_no_file_no_later_answer_and_no_log(
    guarded: House, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = await guarded.key("app", scopes=["inference", "feedback", "admin"])
    secret = made["key"].rpartition("-")[2]
    replies = [
        await ask_as(guarded, made["key"]),
        await ask_as(guarded, made["key"], model="none"),
        await ask_as(guarded, made["key"] + "0"),
        await send(guarded, "GET", "/v1/admin/keys", made["key"]),
        await send(guarded, "GET", "/metrics", made["key"]),
        await send(guarded, "POST", "/v1/admin/keys", KEY, {"name": "x", "scopes": [made["key"]]}),
        await send(guarded, "DELETE", f"/v1/admin/keys/{made['key']}", KEY),
        await send(guarded, "DELETE", f"/v1/admin/keys/{made['id']}", made["key"]),
        await ask_as(guarded, made["key"]),
    ]
    assert [reply.status_code for reply in replies] == [200, 404, 401, 200, 200, 422, 404, 200, 401]
    await guarded.quiet()
    for reply in replies:
        assert secret not in reply.text + str(reply.headers)
    told = capfd.readouterr()
    assert secret not in told.out + told.err + caplog.text
    assert all(secret.encode() not in file.read_bytes() for file in guarded.data_dir.rglob("*") if file.is_file())


async def test_two_keys_of_one_name_are_two_keys(guarded: House) -> None:
    first, second = await guarded.key("app"), await guarded.key("app")
    assert first["id"] != second["id"]
    assert first["key"].rpartition("-")[2] != second["key"].rpartition("-")[2]


async def test_a_key_is_listed_with_all_that_was_asked_for(guarded: House) -> None:
    asked: dict[str, Any] = {
        "name": "app", "scopes": ["feedback"], "budget": {"usd": 2.5, "per": "month"},
        "objective": {"kind": "quality_floor", "quality": 0.7},
    }  # fmt: skip
    made = await guarded.key(**asked)
    (listed,) = (await guarded.get("/v1/admin/keys"))["data"]
    assert listed == asked | {
        "id": made["id"], "created_at": made["created_at"], "revoked_at": None, "spent_usd": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param", "word"),
    [
        ({}, "name", "missing"),
        ({"name": "x", "scopes": []}, "scopes", "at least 1"),
        ({"name": "x", "scopes": ["root"]}, "scopes[0]", "'admin'"),
        ({"name": "x", "budget": {"usd": -1.0, "per": "day"}}, "budget.usd", "greater than 0"),
        ({"name": "x", "budget": {"usd": 1.0, "per": "week"}}, "budget.per", "'month'"),
        ({"name": "x", "objective": {"kind": "budget"}}, "objective.usd_per_request", "missing"),
        ({"name": "x", "objective": {"kind": "cheap"}}, "objective.kind", "'tradeoff'"),
        ({"name": "x", "admin": True}, "admin", "unknown"),
    ],
)
async def test_a_malformed_key_is_a_422_that_names_the_field(
    guarded: House, body: dict[str, Any], param: str, word: str
) -> None:
    async with guarded.unchanged():
        reply = await guarded.client.post("/v1/admin/keys", json=body)
    assert reply.status_code == 422
    error = reply.json()["error"]
    assert error["param"] == param
    assert word in error["message"]


# -- who gets in ------------------------------------------------------------------------------------------------------


async def test_a_key_answers_and_its_decisions_name_it(guarded: House) -> None:
    made = await guarded.key()
    answer = (await ask_as(guarded, made["key"])).json()
    body = {"inference_id": answer["id"], "metric_name": "thumbs", "value": True}
    assert (await send(guarded, "POST", "/v1/feedback", made["key"], body)).status_code == 202
    assert guarded.select("SELECT key_id FROM decisions") == [{"key_id": made["id"]}]
    assert guarded.select("SELECT user FROM feedback") == [{"user": made["id"]}]


async def test_what_only_resembles_a_key_is_refused(guarded: House) -> None:
    first, second = (await guarded.key())["key"], (await guarded.key())["key"]
    mixed = first[: len("sk-hr-") + 16] + second[len("sk-hr-") + 16 :]
    for token in (first[:-1], first + "0", first.upper(), first.removeprefix("sk-hr-"), mixed, f" {first}", ""):
        assert (await ask_as(guarded, token)).status_code == 401, token
    assert guarded.upstream.asked == []


async def test_a_bootstrap_key_of_any_letters_opens_the_service(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="Schlüssel 🔑")
    assert (await house.client.get("/v1/admin/keys")).status_code == 200
    assert (await send(house, "GET", "/v1/admin/keys", "Schlüssel")).status_code == 401


def requests_of(house: House) -> list[tuple[str, str]]:
    """Return method and path of everything that the application answers, placeholders filled in."""
    found = []
    for path, methods in house.app.openapi()["paths"].items():
        found += [(method.upper(), re.sub(r"\{.*?\}", "unheard-of", path)) for method in methods]
    plain = [route for route in house.app.routes if isinstance(route, APIRoute) and not route.include_in_schema]
    assert plain == []
    return [*found, *(("GET", path) for path in DOCUMENTS)]


def scope_needed(path: str) -> str | None:
    if path in OPEN_PATHS:
        return None
    if path.startswith(("/v1/admin", "/model/")) or path == "/metrics" or path in DOCUMENTS:
        return "admin"
    return "feedback" if path == "/v1/feedback" else "inference"


async def test_every_path_opens_to_the_keys_of_its_scope_and_to_no_others(guarded: House) -> None:
    keys = {scope: await guarded.key(scopes=[scope]) for scope in ("inference", "feedback", "admin")}
    requests = requests_of(guarded)
    assert {scope_needed(path) for _, path in requests} == {None, *keys}
    for method, path in requests:
        for scope, key in keys.items():
            reply = await send(guarded, method, path, key["key"], {})
            is_refused = scope_needed(path) not in (None, scope)
            assert (reply.status_code == 403) == is_refused, (method, path, scope, reply.status_code)
            assert reply.status_code != 401


async def test_a_key_without_the_scope_is_told_which_one_is_lacking(guarded: House) -> None:
    made = await guarded.key(scopes=["inference", "feedback"])
    async with guarded.unchanged():
        reply = await send(guarded, "POST", "/v1/admin/keys", made["key"], {"name": "more", "scopes": ["admin"]})
    assert reply.status_code == 403
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("permission_error", "insufficient_scope")
    for word in (made["id"], "lacks the scope admin", "inference, feedback"):
        assert word in error["message"]


async def test_a_path_that_is_not_there_stays_a_404_for_who_may_infer(guarded: House) -> None:
    made = await guarded.key()
    assert (await send(guarded, "POST", "/v1/embeddings", made["key"], {})).status_code == 404


@pytest.mark.parametrize("path", ["/v1/admin/keys/", "//v1/admin/keys", "/v1/feedback/../admin/keys", "/V1/admin/keys"])
async def test_no_other_way_of_writing_a_path_leads_to_administration(guarded: House, path: str) -> None:
    made = await guarded.key(scopes=["inference", "feedback"])
    url = httpx.URL("http://headrace").copy_with(raw_path=path.encode())
    reply = await guarded.client.get(url, headers=bearer(made["key"]), follow_redirects=True)
    assert reply.status_code in (403, 404)


# -- revoking ---------------------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_at_once_and_stays_listed(guarded: House) -> None:
    made = await guarded.key()
    assert (await ask_as(guarded, made["key"])).status_code == 200
    revoked = (await guarded.client.delete(f"/v1/admin/keys/{made['id']}")).json()
    assert revoked["revoked_at"] >= made["created_at"]
    reply = await ask_as(guarded, made["key"])
    assert reply.status_code == 401
    assert "revoked" in reply.json()["error"]["message"]
    assert (await guarded.get("/v1/admin/keys"))["data"] == [revoked]
    assert revoked["spent_usd"] == pytest.approx(COST_USD["small"])


async def test_revoking_again_changes_nothing(guarded: House) -> None:
    made = await guarded.key()
    first = await guarded.client.delete(f"/v1/admin/keys/{made['id']}")
    async with guarded.unchanged():
        again = await guarded.client.delete(f"/v1/admin/keys/{made['id']}")
    assert (again.status_code, again.json()) == (200, first.json())


@pytest.mark.parametrize("key_id", ["none", "bootstrap", "0" * 16])
async def test_an_unknown_key_cannot_be_revoked(guarded: House, key_id: str) -> None:
    reply = await guarded.client.delete(f"/v1/admin/keys/{key_id}")
    assert reply.status_code == 404
    assert key_id in reply.json()["error"]["message"]


async def test_keys_survive_a_restart_as_they_were(data_dir: Path) -> None:
    async with running(data_dir, admin_key=KEY) as house:
        kept, gone = await house.key("kept", budget={"usd": 1.0, "per": "day"}), await house.key("gone")
        await house.client.delete(f"/v1/admin/keys/{gone['id']}")
        listed = await house.get("/v1/admin/keys")
    async with running(data_dir, admin_key=KEY) as house:
        assert await house.get("/v1/admin/keys") == listed
        assert (await ask_as(house, kept["key"])).status_code == 200
        assert (await ask_as(house, gone["key"])).status_code == 401


# -- without a bootstrap key ------------------------------------------------------------------------------------------


async def test_the_first_key_closes_an_open_service_and_says_so(house: House) -> None:
    made = await house.key("me", scopes=["admin"])
    assert "from now on every request needs a key" in made["notice"]
    assert (await house.client.get("/v1/models")).status_code == 401
    assert (await send(house, "GET", "/v1/admin/keys", made["key"])).status_code == 200
    second = (await send(house, "POST", "/v1/admin/keys", made["key"], {"name": "app"})).json()
    assert "from now on" not in second["notice"]
    assert (await ask_as(house, second["key"])).status_code == 200


async def test_an_operator_cannot_lock_himself_out_with_his_first_key(house: House) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/keys", json={"name": "app"})
    assert reply.status_code == 409
    assert "first key needs the scope admin" in reply.json()["error"]["message"]
    assert (await house.client.get("/v1/models")).status_code == 200


async def test_the_last_key_with_scope_admin_cannot_be_revoked(house: House) -> None:
    admin = await house.key("me", scopes=["admin"])
    path = f"/v1/admin/keys/{admin['id']}"
    assert (await send(house, "POST", "/v1/admin/keys", admin["key"], {"name": "app"})).status_code == 201
    reply = await send(house, "DELETE", path, admin["key"])
    assert reply.status_code == 409
    assert "last one with the scope admin" in reply.json()["error"]["message"]
    other = (await send(house, "POST", "/v1/admin/keys", admin["key"], {"name": "b", "scopes": ["admin"]})).json()
    assert (await send(house, "DELETE", path, other["key"])).status_code == 200


async def test_of_two_admin_keys_that_revoke_each_other_one_stays(house: House) -> None:
    first = await house.key("a", scopes=["admin"])
    second = (await send(house, "POST", "/v1/admin/keys", first["key"], {"name": "b", "scopes": ["admin"]})).json()
    replies = await asyncio.gather(
        send(house, "DELETE", f"/v1/admin/keys/{second['id']}", first["key"]),
        send(house, "DELETE", f"/v1/admin/keys/{first['id']}", second["key"]),
    )
    assert sorted(reply.status_code for reply in replies) == [200, 409]


async def test_of_two_first_keys_made_at_once_only_an_admin_key_is_made(house: House) -> None:
    replies = await asyncio.gather(
        house.client.post("/v1/admin/keys", json={"name": "app"}),
        house.client.post("/v1/admin/keys", json={"name": "me", "scopes": ["admin"]}),
    )
    assert [reply.status_code for reply in replies] == [409, 201]


async def test_a_stored_key_closes_the_service_after_a_restart(data_dir: Path) -> None:
    async with running(data_dir) as house:
        made = await house.key("me", scopes=["admin"])
    async with running(data_dir) as house:
        assert (await house.client.get("/v1/models")).status_code == 401
        assert (await send(house, "GET", "/v1/admin/keys", made["key"])).status_code == 200


# -- the document -----------------------------------------------------------------------------------------------------


async def test_the_openapi_document_describes_keys(house: House) -> None:
    document = await house.get("/openapi.json")
    made = document["paths"]["/v1/admin/keys"]["post"]["responses"]["201"]["content"]["application/json"]["schema"]
    assert made["$ref"].endswith("/KeyCreated")
    fields = document["components"]["schemas"]["KeyCreated"]["properties"]
    assert all("description" in field or "$ref" in str(field) for field in fields.values())


async def lambda_for(house: House, token: str) -> float:
    body = {"messages": [{"role": "user", "content": "What is 6 times 7?"}]}
    reply = await house.client.post("/v1/route", json=body, headers=bearer(token))
    found = reply.json()["lambda"]
    assert isinstance(found, float)
    return found


async def test_a_key_with_an_objective_of_its_own_has_its_own_price_of_money_over_a_restart(data_dir: Path) -> None:
    async with running(data_dir, admin_key=KEY) as house:
        own = await house.key(objective={"kind": "tradeoff", "usd_per_point": 0.01})
        plain = await house.key()
        await house.quiet()
        assert await lambda_for(house, own["key"]) == pytest.approx(1.0)
        assert await lambda_for(house, plain["key"]) == await lambda_for(house, KEY) != pytest.approx(1.0)
    async with running(data_dir, admin_key=KEY) as house:
        assert await lambda_for(house, own["key"]) == pytest.approx(1.0)


async def test_a_revoked_key_leaves_no_objective_behind(data_dir: Path) -> None:
    async with running(data_dir, admin_key=KEY) as house:
        own = await house.key(objective={"kind": "tradeoff", "usd_per_point": 0.01})
        await house.quiet()
        assert set(house.service.learning.view.lambdas) == {own["id"]}
        await house.client.delete(f"/v1/admin/keys/{own['id']}", headers=bearer(KEY))
        await house.quiet()
        assert not house.service.learning.view.lambdas
