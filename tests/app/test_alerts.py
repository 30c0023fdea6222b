"""Alarms reach the database, the metrics and the webhook, each once, whatever happens to the service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from app import alerts
from app.settings import Settings
from tests.app import harness
from tests.app.harness import House, running, settings_of
from tests.app.providers.conftest import http_server

ALARM = {
    "kind": "cost", "model": "small", "category": "maths", "direction": "up", "size": 1.5, "observation": 30,
}  # fmt: skip


class Operator:
    """A webhook that keeps what it was told, and refuses as often as it is told to."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.refusals = 0
        self.url = ""

    async def __call__(self, request: web.Request) -> web.Response:
        if self.refusals > 0:
            self.refusals -= 1
            return web.Response(status=503)
        self.told.append(await request.json())
        return web.Response()


@pytest.fixture
async def operator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    monkeypatch.setattr(alerts, "PAUSES_S", (0.01, 0.01))
    found = Operator()
    async with http_server(found) as address:
        found.url = f"{address}/hook/secret-token"
        yield found


def settings_for(operator: Operator) -> Settings:
    return settings_of(alerts={"webhook_url": operator.url})


def raised(house: House, alarm_id: str, **changes: Any) -> None:
    house.service.alerts.take(alarm_id, {**ALARM, "at": house.service.router.clock(), **changes})


async def test_an_alarm_is_stored_counted_and_told(open_house: Callable[..., Any], operator: Operator) -> None:
    house = await open_house(settings_for(operator))
    raised(house, "7.0")
    raised(house, "9.0", category=None, kind="quality", direction="down", size=-0.8)
    await house.service.alerts.told()
    first, second = operator.told
    assert {name: first[name] for name in ALARM} == ALARM
    assert first["text"] == "Headrace: cost of small in maths went up by 1.5 standard deviations"
    assert (second["id"], second["category"]) == ("9.0", None)
    listed = (await house.get("/v1/admin/alarms"))["data"]
    assert [row["id"] for row in listed] == ["9.0", "7.0"]
    assert all(row["delivered_at"] for row in listed)
    assert len((await house.get("/v1/admin/alarms?limit=1"))["data"]) == 1
    text = (await house.client.get("/metrics")).text
    assert 'headrace_drift_alarms_total{kind="cost",model="small"} 1.0' in text


async def test_the_same_alarm_again_is_told_once(data_dir: Path, operator: Operator) -> None:
    for _ in range(2):
        async with running(data_dir, settings_for(operator)) as house:
            raised(house, "7.0")
            raised(house, "7.0")
            await house.service.alerts.told()
            assert len(house.select("SELECT 1 FROM alarms")) == 1
    assert len(operator.told) == 1


async def test_a_webhook_is_tried_three_times_and_its_failure_counted(
    open_house: Callable[..., Any], operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    house = await open_house(settings_for(operator))
    operator.refusals = 2
    raised(house, "7.0")
    await house.service.alerts.told()
    assert len(operator.told) == 1
    operator.refusals = 5
    raised(house, "8.0")
    await house.service.alerts.told()
    assert len(operator.told) == 1
    assert "headrace_webhook_failures_total 5.0" in (await house.client.get("/metrics")).text
    assert "secret-token" not in "".join(capsys.readouterr())


async def test_what_was_not_told_before_a_stop_is_told_after_it_as_long_as_it_is_news(
    data_dir: Path, operator: Operator
) -> None:
    operator.refusals = 6
    async with running(data_dir, settings_for(operator)) as house:
        raised(house, "7.0")
        raised(house, "8.0", at=house.service.router.clock() - 2 * alerts.NEWS_S)
        await house.service.alerts.told()
        assert len(house.select("SELECT 1 FROM alarms WHERE delivered_at IS NULL")) == 2
    operator.refusals = 0
    async with running(data_dir, settings_for(operator)) as house:
        async with asyncio.timeout(5.0):
            while not operator.told:
                await asyncio.sleep(0.01)
        await house.quiet()
    assert [alarm["id"] for alarm in operator.told] == ["7.0"]


async def test_a_webhook_that_nobody_runs_harms_nothing(
    open_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "PAUSES_S", ())
    house = await open_house(settings_of(alerts={"webhook_url": "http://127.0.0.1:9/nobody"}))
    raised(house, "7.0")
    assert (await house.ask()).status_code == 200
    await house.service.alerts.told()
    assert (await house.get("/v1/admin/alarms"))["data"][0]["delivered_at"] is None


async def test_without_a_webhook_alarms_are_kept_all_the_same(house: House) -> None:
    raised(house, "7.0")
    await house.service.alerts.told()
    assert (await house.get("/v1/admin/alarms"))["data"][0]["model"] == "small"


@pytest.mark.parametrize("url", ["ftp://host/x", "https://", "hook", "http://:80", "http://host:99999/"])
def test_a_webhook_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="http://"):
        settings_of(alerts={"webhook_url": url})


async def test_a_model_that_gets_wordy_behind_its_name_reaches_the_webhook_once(
    data_dir: Path, tmp_path: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(data_dir, settings_for(operator)) as house:
        for at in range(210):
            monkeypatch.setitem(harness.USAGE, "completion_tokens", (50 if at < 160 else 400) + at % 5)
            await house.answered(f"What is {at} times 7?", model="small")
        await house.quiet()
        await house.service.alerts.told()
        drift = (await house.get("/v1/admin/learner"))["drift"]
        assert [(one["kind"], one["model"], one["direction"]) for one in drift] == [("cost", "small", "up")]
        assert len(operator.told) == 1
        killed = house.killed(tmp_path / "killed")
    async with running(killed, settings_for(operator)) as house:
        await house.service.alerts.told()
        assert (await house.get("/v1/admin/learner"))["drift"] == drift
        assert len((await house.get("/v1/admin/alarms"))["data"]) == 1
    assert len(operator.told) == 1
