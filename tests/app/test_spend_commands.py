"""`headrace spend` says what the endpoint says, as a table or as JSON."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from app.cli import app
from app.spend_commands import standing
from tests.app.harness import PRICES, House, entry, on_a_port, settings_of

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def spend(open_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Command]:
    """`headrace spend` of a service that has answered, and compared."""
    for name in os.environ:
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}
    models = [entry(m, price=price, prior_quality=None) for m in PRICES]
    thrifty = {"kind": "tradeoff", "usd_per_point": 1e-6}
    explored = {"max_share": 0.5, "max_usd_per_day": 5.0}
    house: House = await open_house(settings_of(*models, objective=thrifty, exploration=explored))
    for at in range(25):
        await house.answered(f"What is {at} times 7?")
    await house.quiet()
    async with on_a_port(house.app) as url:
        yield lambda *arguments: asyncio.to_thread(CliRunner().invoke, app, ["spend", *arguments, "--url", url])
    structlog.reset_defaults()


async def test_the_spend_is_shown_as_a_table_with_the_caps_and_as_json(spend: Command) -> None:
    table = (await spend()).stdout
    told = json.loads((await spend("--json", "--by", "purpose")).stdout)
    assert {row["purpose"] for row in told["rows"]} >= {"answer"}
    assert told["exploration"]["usd"] > 0.0
    for word in ("small", "all", "exploration_usd", f"{told['total_usd']:.6g}", "cap 50 %", "of 5 USD", "of 1,000"):
        assert word in table
    empty = json.loads((await spend("--until", "2001-01-01", "--json")).stdout)
    assert (empty["until"], empty["total_usd"], empty["rows"]) == ("2001-01-01", 0.0, [])
    assert "(none)" in (await spend("--by", "key")).stdout


async def test_what_cannot_be_shown_is_refused_with_the_reason(spend: Command) -> None:
    for arguments, word in ((("--by", "user"), "'model', 'key', 'day' or 'purpose'"), (("--since", "x"), "YYYY-MM-DD")):
        result = await spend(*arguments)
        assert result.exit_code == 1
        assert word in result.stderr.replace("\n", " ")


def test_the_standing_says_nothing_of_quality_where_there_was_no_request() -> None:
    caps = {"share": 0.0, "max_share": 0.1, "today_usd": 0.0, "max_usd_per_day": 5.0}
    said = standing({"usd": 0.0, "quality_per_1000_requests": None, "allowance_usd": 0.25, "caps": caps})
    assert said == (
        "Exploration cost 0 USD. In all it is 0 % of the spend (cap 10 %), today 0 of 5 USD; 0.25 USD may be spent now."
    )
