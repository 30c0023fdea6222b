from typing import Any

import httpx
import pytest

from tests.app.harness import House, bearer, running


def body(**changes: Any) -> dict[str, Any]:
    params = {
        "model": "openai/new-upstream",
        "api_base": "http://127.0.0.1:9/v1",
        "api_key": "os.environ/NEW_KEY",
        "input_cost_per_token": 1.5e-7,
        "output_cost_per_token": 6e-7,
    }
    info = {"max_input_tokens": 64_000, "supports_function_calling": True, "supports_vision": False}
    return {"model_name": "new", "litellm_params": params, "model_info": info} | changes


def with_params(**changes: Any) -> dict[str, Any]:
    given = body()
    params = {**given["litellm_params"], **changes}
    return {**given, "litellm_params": {name: value for name, value in params.items() if value != "left out"}}


async def new(house: House, given: Any) -> httpx.Response:
    return await house.client.post("/model/new", json=given)


async def test_a_model_is_added_in_litellms_words(house: House) -> None:
    reply = await new(house, body())
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert (told["model_name"], told["model_id"], told["ignored"]) == ("new", "new", [])
    assert told["plan"]["quiz"]["questions"] == 30
    entry = await house.get("/v1/admin/models/new")
    assert entry["price"] == {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": 0.6}
    assert (entry["upstream_model"], entry["api_key_env"]) == ("new-upstream", "NEW_KEY")
    assert (entry["context_tokens"], entry["capabilities"]) == (64_000, ["tools"])
    assert (await house.answered(model="new"))["model"] == "new"


async def test_prices_may_stand_in_model_info_and_what_is_not_kept_is_named(house: House) -> None:
    given = with_params(input_cost_per_token="left out", rpm=6)
    given["model_info"] |= {"input_cost_per_token": 0, "base_model": "x"}
    told = (await new(house, given | {"team": "a"})).json()
    assert told["ignored"] == ["litellm_params.rpm", "model_info.base_model", "team"]
    assert (await house.get("/v1/admin/models/new"))["price"]["input_usd_per_mtok"] == 0.0


@pytest.mark.parametrize(
    ("model", "sent"),
    [("openai/a/b", "a/b"), ("hosted_vllm/meta/llama", "meta/llama"), ("meta/llama", "meta/llama"), ("plain", "plain")],
)
async def test_litellms_provider_is_no_part_of_the_name_sent_upstream(house: House, model: str, sent: str) -> None:
    await new(house, with_params(model=model))
    assert (await house.get("/v1/admin/models/new"))["upstream_model"] == sent


async def test_a_key_in_clear_is_refused_and_not_repeated(house: House) -> None:
    async with house.unchanged():
        for key in ("sk-verysecret", "os.environ/sk-verysecret", 7):
            reply = await new(house, with_params(api_key=key))
            assert reply.status_code == 422
            assert "litellm_params.api_key" in reply.json()["error"]["message"]
            assert "environment variable" in reply.json()["error"]["message"]
            assert "verysecret" not in reply.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], ("JSON object",)),
        ({}, ("model_name", "missing")),
        (body(litellm_params=5), ("litellm_params", "object")),
        (body(model_info=[]), ("model_info", "object")),
        (body(model_name="auto"), ("model_name", "auto")),
        (body(model_name=5), ("model_name", "5")),
        (with_params(model="left out"), ("litellm_params.model",)),
        (with_params(model="azure/gpt"), ("litellm_params.model", "azure", "openai/NAME")),
        (with_params(api_base="left out"), ("litellm_params.api_base", "missing")),
        (with_params(api_base="ftp://x"), ("litellm_params.api_base", "ftp://x", "http://")),
        (with_params(input_cost_per_token="left out"), ("litellm_params.input_cost_per_token", "missing")),
        (with_params(input_cost_per_token="1"), ("litellm_params.input_cost_per_token", "number")),
        (with_params(output_cost_per_token=-1), ("output_cost_per_token", "0")),
        (body(model_info={"max_input_tokens": 0}), ("model_info.max_input_tokens", "0")),
    ],
)
async def test_a_body_that_describes_no_model_is_a_422_that_names_the_field_and_changes_nothing(
    house: House, given: Any, words: tuple[str, ...]
) -> None:
    async with house.unchanged():
        reply = await new(house, given)
    assert reply.status_code == 422, reply.text
    for word in words:
        assert word in reply.json()["error"]["message"]


async def test_a_model_that_is_served_already_is_a_409(house: House) -> None:
    assert (await new(house, body(model_name="small"))).status_code == 409


async def test_the_pool_is_listed_in_litellms_form_without_keys(house: House) -> None:
    await new(house, body())
    listed = (await house.get("/model/info"))["data"]
    assert [model["model_name"] for model in listed] == ["small", "middle", "large", "new"]
    one = (await house.get("/model/info?litellm_model_id=new"))["data"]
    assert one == listed[-1:]
    assert one[0]["litellm_params"]["input_cost_per_token"] == pytest.approx(1.5e-7)
    assert one[0]["litellm_params"]["model"] == "openai/new-upstream"
    assert "api_key" not in str(one)
    assert "NEW_KEY" not in str(one)
    assert one[0]["model_info"]["db_model"] is True
    assert listed[0]["model_info"]["db_model"] is False
    assert (await house.client.get("/model/info?litellm_model_id=none")).status_code == 404


async def test_the_aliases_need_the_scope_admin(data_dir: Any) -> None:
    async with running(data_dir, admin_key="boss") as house:
        made = (await house.client.post("/v1/admin/keys", json={"name": "app"})).json()
        headers = bearer(made["key"])
        assert (await house.client.get("/model/info", headers=headers)).status_code == 403
        assert (await house.client.post("/model/new", json=body(), headers=headers)).status_code == 403
        assert (await house.client.get("/model/info", headers={"Authorization": ""})).status_code == 401
        assert (await house.client.get("/model/info")).status_code == 200
