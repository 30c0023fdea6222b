import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.harness import COST_USD, Gone, House, entry, running, settings_of

# -- models -----------------------------------------------------------------------------------------------------------


async def test_a_model_is_registered_and_answers_at_once(house: House) -> None:
    reply = await house.client.post("/v1/admin/models", json=entry("new", prior_quality=None))
    assert reply.status_code == 201
    told = reply.json()
    assert (told["id"], told["source"]) == ("new", "api")
    assert told["state"] in ("registered", "exploring")
    assert (await house.answered(model="new"))["model"] == "new"
    assert "new" in (await house.get("/v1/admin/learner"))["models"]
    assert "new" in {model["id"] for model in (await house.get("/v1/models"))["data"]}


async def test_the_pool_is_listed_in_the_form_of_its_models(house: House) -> None:
    listed = await house.get("/v1/admin/models")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["small", "middle", "large"]
    assert listed["data"][0] == await house.get("/v1/admin/models/small")
    assert listed["data"][0].keys() == entry("small").keys() | {
        "api_key_env", "upstream_model", "context_tokens", "capabilities", "routable", "state", "source",
        "registered_at", "reason",
    }  # fmt: skip


async def test_the_openapi_document_names_the_form_of_the_pool(house: House) -> None:
    paths = (await house.get("/openapi.json"))["paths"]

    def form(path: str, method: str, status: str = "200") -> str:
        schema = paths[path][method]["responses"][status]["content"]["application/json"]["schema"]
        return str(schema["$ref"]).rpartition("/")[2]

    assert form("/v1/admin/models", "get") == "ModelList"
    assert form("/v1/admin/models", "post", "201") == "RegisteredModel"
    one = "/v1/admin/models/{model}"
    assert {form(one, method) for method in ("get", "patch", "delete")} == {"ModelView"}


async def test_a_model_with_a_slash_in_its_id_can_be_administered(house: House) -> None:
    await house.client.post("/v1/admin/models", json=entry("org/new"))
    assert (await house.get("/v1/admin/models/org/new"))["id"] == "org/new"
    assert (await house.client.delete("/v1/admin/models/org/new")).json()["state"] == "retired"


async def test_a_model_registered_by_the_api_survives_a_restart_and_one_that_left_the_file_does_not(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, settings_of("small", "large")) as house:
        await house.client.post("/v1/admin/models", json=entry("new"))
    async with running(tmp_path, settings_of("small")) as house:
        assert {model["id"] for model in (await house.get("/v1/admin/models"))["data"]} == {"small", "new"}
        assert (await house.get("/v1/admin/learner"))["models"]["large"]["state"] == "retired"


async def test_a_patched_price_is_in_force_at_once(house: House) -> None:
    price = {"input_usd_per_mtok": 1000.0, "output_usd_per_mtok": 0.0}
    reply = await house.client.patch("/v1/admin/models/small", json={"price": price})
    assert reply.json()["price"] == price
    assert (await house.answered(model="small"))["usage"]["cost"] == pytest.approx(0.1)


async def test_the_file_wins_over_a_patch_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.client.patch("/v1/admin/models/small", json={"context_tokens": 10})
    async with running(tmp_path) as house:
        assert (await house.get("/v1/admin/models/small"))["context_tokens"] == 128_000


async def test_a_retired_model_gets_no_requests_and_keeps_its_history(house: House) -> None:
    answer = await house.answered(model="small")
    assert (await house.client.delete("/v1/admin/models/small")).json()["state"] == "retired"
    for _ in range(5):
        assert (await house.answered())["model"] != "small"
    await house.quiet()
    assert house.upstream.models.count("small") == 1
    assert (await house.thumb(answer["id"])).status_code == 202
    assert (await house.client.get("/v1/admin/models/small")).status_code == 404


async def test_a_model_of_the_file_that_was_retired_comes_back_with_the_file(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.client.delete("/v1/admin/models/small")
    async with running(tmp_path) as house:
        assert (await house.answered(model="small"))["model"] == "small"


async def test_a_model_that_is_not_routable_answers_by_name_only(house: House) -> None:
    await house.client.patch("/v1/admin/models/large", json={"routable": False})
    for _ in range(5):
        await house.answered()
    await house.quiet()
    assert "large" not in house.upstream.models
    assert (await house.answered(model="large"))["model"] == "large"


async def test_a_model_whose_upstream_fails_is_quarantined(house: House) -> None:
    house.upstream.answers["small"] = Gone("unreachable")
    for _ in range(3):
        await house.ask(model="small")
    assert (await house.get("/v1/admin/models/small"))["state"] == "quarantined"
    house.upstream.answers["small"] = "back again"
    await house.answered(model="small")
    assert (await house.get("/v1/admin/models/small"))["state"] != "quarantined"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": None}, ("price",)),
        ({"price": {"input_usd_per_mtok": 1.0}}, ("price.output_usd_per_mtok", "missing")),
        ({"price": {"input_usd_per_mtok": -1.0, "output_usd_per_mtok": 1.0}}, ("price.input_usd_per_mtok", "-1", "0")),
        ({"price": {"input_usd_per_mtok": "1", "output_usd_per_mtok": 1.0}}, ("price.input_usd_per_mtok", '"1"')),
        ({"id": "auto:x"}, ("id", "auto:x", "choose another")),
        ({"provider": "anthropic"}, ("provider", "anthropic", "openai")),
        ({"base_url": None}, ("base_url", "missing")),
        ({"base_url": "ftp://host"}, ("base_url", "ftp://host", "http://")),
        ({"api_key_env": "sk-12345"}, ("api_key_env", "environment variable")),
        ({"prior_quality": 64}, ("prior_quality", "64", "1")),
        ({"context_tokens": 0}, ("context_tokens", "0")),
        ({"capabilities": ["telepathy"]}, ("capabilities", "telepathy", "tools")),
        ({"pirce": 1}, ("pirce", "unknown")),
    ],
)
async def test_a_malformed_model_is_a_422_that_names_the_field_and_changes_nothing(
    house: House, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/models", json=entry("new") | change)
    assert reply.status_code == 422, reply.text
    for word in words:
        assert word in reply.json()["error"]["message"]
    assert "sk-12345" not in reply.text


async def test_a_model_without_a_price_is_a_422_that_says_so_and_changes_nothing(house: House) -> None:
    body = entry("new")
    del body["price"]
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/models", json=body)
    assert reply.status_code == 422
    assert "price" in reply.json()["error"]["message"]
    assert "missing" in reply.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"5", b"[]"])
async def test_a_body_that_is_no_model_is_a_422(house: House, body: bytes) -> None:
    async with house.unchanged():
        headers = {"Content-Type": "application/json"}
        reply = await house.client.post("/v1/admin/models", content=body, headers=headers)
    assert reply.status_code == 422
    assert reply.json()["error"]["message"]


async def test_an_oversized_admin_body_is_a_413(house: House) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/models", json=entry("new", upstream_model="x" * 21 * 2**20))
    assert reply.status_code == 413


async def test_a_model_that_is_served_already_is_a_409_and_changes_nothing(house: House) -> None:
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/models", json=entry("small"))
    assert reply.status_code == 409
    assert "'small'" in reply.json()["error"]["message"]
    assert "PATCH" in reply.json()["error"]["message"]


async def test_two_registrations_of_one_id_at_once_make_one_model(house: House) -> None:
    async def register() -> int:
        return (await house.client.post("/v1/admin/models", json=entry("new"))).status_code

    assert sorted(await asyncio.gather(register(), register())) == [201, 409]


async def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(open_house: Callable[..., Any]) -> None:
    house = await open_house(environ={"BROKEN_KEY": "sk-broken\n"})
    async with house.unchanged():
        reply = await house.client.post("/v1/admin/models", json=entry("new", api_key_env="BROKEN_KEY"))
    assert reply.status_code == 422
    assert "api_key_env" in reply.json()["error"]["message"]
    assert "sk-broken" not in reply.text


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PATCH", {"routable": False}), ("DELETE", None)]
)  # fmt: skip
async def test_an_unknown_model_is_a_404_that_names_the_known_ones(house: House, method: str, body: Any) -> None:
    async with house.unchanged():
        reply = await house.client.request(method, "/v1/admin/models/none", json=body)
    assert reply.status_code == 404
    for word in ("none", "small", "large"):
        assert word in reply.json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"id": "other"}, {"price": {}}, {"context_tokens": "many"}, {"prior_quality": 2}])
async def test_a_malformed_patch_is_a_422_and_changes_nothing(house: House, body: Any) -> None:
    async with house.unchanged():
        reply = await house.client.patch("/v1/admin/models/small", json=body)
    assert reply.status_code == 422
    assert reply.json()["error"]["message"]


# -- objective --------------------------------------------------------------------------------------------------------


async def test_a_changed_objective_is_in_force_at_once_and_survives_a_restart(tmp_path: Path) -> None:
    wanted = {"kind": "tradeoff", "usd_per_point": 0.005}
    async with running(tmp_path) as house:
        assert (await house.client.patch("/v1/admin/objective", json={"usd_per_point": 0.005})).json() == wanted
        assert (await house.get("/v1/admin/learner"))["lambda"] == pytest.approx(2.0)
    async with running(tmp_path) as house:
        assert await house.get("/v1/admin/objective") == wanted
        assert (await house.get("/v1/admin/learner"))["lambda"] == pytest.approx(2.0)


async def test_a_file_that_says_something_new_wins_over_the_changed_objective(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.client.patch("/v1/admin/objective", json={"usd_per_point": 0.005})
    async with running(tmp_path, settings_of(objective={"kind": "quality"})) as house:
        assert await house.get("/v1/admin/objective") == {"kind": "quality"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "speed"}, ("kind", "speed", "budget")),
        ({"kind": "budget"}, ("usd_per_request", "missing")),
        ({"kind": "budget", "usd_per_request": 0}, ("usd_per_request", "0")),
        ({"kind": "quality_floor", "quality": 72}, ("quality", "72", "1")),
        ({"usd_per_pont": 1.0}, ("usd_per_pont", "unknown")),
        ({"usd_per_point": "cheap"}, ("usd_per_point", "cheap")),
    ],
)
async def test_a_malformed_objective_is_a_422_that_names_the_field_and_changes_nothing(
    house: House, body: Any, words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await house.client.patch("/v1/admin/objective", json=body)
    assert reply.status_code == 422, reply.text
    for word in words:
        assert word in reply.json()["error"]["message"]


# -- what was learned and spent ---------------------------------------------------------------------------------------


async def test_the_learner_tells_what_the_contract_names(house: House) -> None:
    await house.answered()
    told = await house.get("/v1/admin/learner")
    assert told["state"] == "on"
    assert {"reason", "feedback_events", "observations", "lambda", "policy", "judges", "thresholds", "drift"} <= set(
        told
    )
    for model in told["models"].values():
        assert {"state", "quality", "interval", "cost_usd", "share"} <= set(model)
        low, high = model["interval"]
        assert 0.0 <= low <= model["quality"] <= high <= 1.0
    for judge in told["judges"].values():
        assert {"weight", "ece", "n"} <= set(judge)


async def test_spend_is_what_the_upstreams_billed_and_its_parts_make_the_whole(house: House) -> None:
    costs = [(await house.answered(f"What is {n} times 7?"))["usage"]["cost"] for n in range(10)]
    await house.quiet()
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == pytest.approx(sum(costs))
    assert spend["total_usd"] == pytest.approx(spend["requests_usd"] + spend["background_usd"])
    assert spend["total_usd"] == pytest.approx(sum(COST_USD[model] for model in house.upstream.models))
    assert sum(row["usd"] for row in spend["rows"]) == pytest.approx(spend["total_usd"])
    assert spend["calls"] == len(house.upstream.asked)


async def test_spend_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.answered()
        await house.quiet()
        before = await house.get("/v1/admin/spend")
    async with running(tmp_path) as house:
        after = await house.get("/v1/admin/spend")
        assert after["rows"] == before["rows"]
        assert after["total_usd"] == pytest.approx(before["total_usd"])
