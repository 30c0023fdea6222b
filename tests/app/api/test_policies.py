"""`/v1/admin/policies` and `headrace policy`: what is shown, and what is refused with what reason."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from app.cli import app
from app.registry import Registry, store_of
from tests.app.harness import House, on_a_port


@pytest.fixture(autouse=True)
def _quiet_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(self: Registry, wanted: bytes) -> dict[str, str]:
        store_of(self._data_dir).touch()
        return {}

    monkeypatch.setattr(Registry, "_ask", asked)


async def refused(house: House, body: Any, status: int = 422, path: str = "promote") -> str:
    async with house.unchanged():
        reply = await house.client.post(f"/v1/admin/policies/{path}", json=body)
    assert reply.status_code == status, reply.text
    message: str = reply.json()["error"]["message"]
    return message


async def test_a_new_service_has_one_version_that_serves_alone(house: House) -> None:
    found = await house.get("/v1/admin/policies")
    (row,) = found["data"]
    assert (row["version"], row["name"], row["state"], row["share"]) == (1, "headrace@1", "champion", 1.0)
    assert (row["origin"], row["mlflow_version"]) == ("initial", None)
    assert row["parameters"]["depth"] == 3
    assert (found["serving"], found["contest"]) == ({"headrace@1": 1.0}, None)
    assert found["registry"]["state"] == "ok"


@pytest.mark.parametrize(
    ("parameters", "field", "limit"),
    [
        ({"depth": 0}, "depth", "1"),
        ({"depth": 6}, "depth", "5"),
        ({"depth": 2.5}, "depth", "whole number"),
        ({"margin": -0.1}, "margin", "0"),
        ({"margin": 1.1}, "margin", "1"),
        ({"sharpness": 2.1}, "sharpness", "2"),
        ({"shadow_arms": 9}, "shadow_arms", "8"),
        ({"version": 9}, "version", ""),
        ({"dept": 2}, "dept", ""),
    ],
)
async def test_parameters_out_of_range_are_refused_by_name(
    house: House, parameters: dict[str, Any], field: str, limit: str
) -> None:
    message = await refused(house, {"parameters": parameters})
    assert f"parameters.{field}" in message
    assert limit in message


@pytest.mark.parametrize("body", [{}, {"version": 1, "parameters": {"depth": 2}}, {"force": True}])
async def test_a_promotion_names_either_parameters_or_a_version(house: House, body: dict[str, Any]) -> None:
    assert "either parameters or version" in await refused(house, body)


async def test_an_unknown_version_is_a_404_that_says_where_they_are_listed(house: House) -> None:
    assert "/v1/admin/policies lists all" in await refused(house, {"version": 7}, 404)
    for path in ("7", "diff?before=1&after=7"):
        reply = await house.client.get(f"/v1/admin/policies/{path}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert (await house.client.get("/v1/admin/policies/newest")).status_code == 422


async def test_the_champion_cannot_be_promoted(house: House) -> None:
    for force in (False, True):
        assert "headrace@1 serves already" in await refused(house, {"version": 1, "force": force}, 409)


async def test_a_rollback_takes_a_reason_of_some_length(house: House) -> None:
    assert "reason" in await refused(house, {"reason": ""}, path="rollback")
    assert "reason" in await refused(house, {"reason": "x" * 501}, path="rollback")


async def test_what_is_left_out_stays_as_it_is_and_a_difference_shows_what_changed(house: House) -> None:
    await house.client.post("/v1/admin/policies/promote", json={"parameters": {"margin": 0.01}, "force": True})
    body = {"parameters": {"depth": 2, "sharpness": 0.5}, "force": True}
    made = (await house.client.post("/v1/admin/policies/promote", json=body)).json()
    assert made["parameters"] == {"version": 3, "depth": 2, "margin": 0.01, "sharpness": 0.5, "shadow_arms": 3}
    diff = await house.get("/v1/admin/policies/diff?before=1&after=3")
    assert diff["parameters"] == [
        {"parameter": "depth", "before": 3.0, "after": 2.0},
        {"parameter": "margin", "before": 0.002, "after": 0.01},
        {"parameter": "sharpness", "before": 1.0, "after": 0.5},
    ]
    assert diff["states"] == {"headrace@1": "hold_back", "headrace@3": "champion"}


async def test_the_policies_need_the_scope_admin(house: House) -> None:
    await house.key("root", scopes=["admin"])
    for method, path in (("GET", ""), ("GET", "/1"), ("POST", "/promote"), ("POST", "/rollback")):
        assert (await house.client.request(method, f"/v1/admin/policies{path}")).status_code == 401


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
async def url(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("COLUMNS", "200")
    async with on_a_port(house.app) as address:
        monkeypatch.setenv("HEADRACE_URL", address)
        yield address
    structlog.reset_defaults()  # the commands have told it to write to the runner's standard error


async def command(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, ["policy", *arguments])


async def test_the_commands_promote_show_compare_and_roll_back(house: House, url: str) -> None:
    made = await command("promote", "--parameters", '{"depth": 1}', "--force", "--json")
    assert json.loads(made.stdout)["state"] == "champion"
    listed = await command("list")
    for word in ("champion", "hold_back", "90%", "10%", "depth=1", "forced past the gate", "MLflow's registry is ok"):
        assert word in listed.stdout
    assert json.loads((await command("list", "--json")).stdout)["serving"].keys() == {"headrace@1", "headrace@2"}
    assert json.loads((await command("show", "2")).stdout)["parameters"]["depth"] == 1
    assert "depth" in (await command("diff", "1", "2")).stdout
    rolled = await command("rollback", "--reason", "a try", "--json")
    assert (json.loads(rolled.stdout)["version"], rolled.exit_code) == (1, 0)
    assert (await house.get("/v1/admin/policies/2"))["reason"] == "a try"


async def test_a_refusal_ends_the_command_with_its_message(house: House, url: str) -> None:
    gated = await command("promote", "--parameters", '{"depth": 1}')
    assert gated.exit_code == 1
    assert "The gate refuses headrace@2" in gated.stderr
    unread = await command("promote", "--parameters", "depth=1")
    assert "is not JSON" in unread.stderr
