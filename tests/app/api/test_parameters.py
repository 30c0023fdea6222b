"""Query parameters of the administration: what an endpoint does not know is refused, wherever it is."""

from typing import Any

import pytest

from tests.app.harness import House

HOLES = {"{model}": "small", "{version}": "1", "{id}": "none", "{name}": "snapshot"}


def endpoints(house: House) -> list[tuple[str, str]]:
    """Return method and path of every endpoint of the administration, with something in each hole."""
    paths: dict[str, dict[str, Any]] = house.app.openapi()["paths"]
    found = [
        (method, path) for path, own in paths.items() if path.startswith(("/v1/admin", "/model/")) for method in own
    ]
    filled = []
    for method, path in found:
        for hole, value in HOLES.items():
            path = path.replace(hole, value)
        filled.append((method, path))
    return filled


async def test_no_endpoint_of_the_administration_takes_an_unknown_parameter(house: House) -> None:
    everywhere = endpoints(house)
    assert len(everywhere) > 20
    async with house.unchanged():
        for method, path in everywhere:
            reply = await house.client.request(method, f"{path}?sinse=2020-01-01")
            assert reply.status_code == 422, (method, path, reply.text)
            error = reply.json()["error"]
            assert error["param"] == "sinse", (method, path)
            assert error["message"].startswith("sinse: is unknown"), (method, path)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("spend?sinse=2020-01-01", "did you mean since?"),
        ("savings?untill=2020-01-01", "did you mean until?"),
        ("alarms?limt=5", "did you mean limit?"),
        ("alarms?model=small", "the known ones are limit"),
        ("policies/diff?befor=1&after=1", "did you mean before?"),
        ("learner?model=small", "leave it out"),
        ("savings?a=1&b=2", "b: is unknown"),
    ],
)
async def test_a_misspelt_parameter_is_told_with_the_one_that_was_meant(house: House, query: str, said: str) -> None:
    reply = await house.client.get(f"/v1/admin/{query}")
    assert reply.status_code == 422
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "query",
    [
        "spend?by=model&since=2020-01-01",
        "savings?since=2020-01-01&until=2021-01-01",
        "alarms?limit=1",
        "policies/diff?before=1&after=1",
    ],
)
async def test_what_is_known_is_taken(house: House, query: str) -> None:
    assert (await house.client.get(f"/v1/admin/{query}")).status_code == 200


async def test_elsewhere_clients_may_send_parameters_of_their_own(house: House) -> None:
    assert (await house.client.get("/v1/models?api-version=2026-01-01")).status_code == 200
    assert (await house.client.get("/healthz?from=probe")).status_code == 200
