"""Savings, end to end: controls are drawn, answer alone, and what they cost is held against everything else."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from app.cli import app
from app.storage.batch import Entry
from app.storage.tables import CallRow
from learner.savings import Group, Sums, savings
from tests.app.harness import Gone, House, entry, on_a_port, settings_of

# Rich, so that the dear control is drawn as often as the cheap one.
BUDGET = {"kind": "budget", "usd_per_request": 0.2}
SHARE = 0.1


def controlled(*models: Any, **sections: Any) -> Any:
    return settings_of(*models, **({"control": {"share": SHARE}, "objective": BUDGET} | sections))


async def busy(house: House, n: int, *, rated: float = 0.5, seed: int = 0, **body: Any) -> None:
    """Ask n questions; some of the answers get a thumb, up for four of five."""
    rng = np.random.default_rng(seed)
    for at in range(n):
        answer = await house.answered(f"What is {at} times 7?", **body)
        if rng.random() < rated:
            await house.thumb(answer["id"], bool(rng.random() < 0.8))
    await house.quiet()


def decisions(house: House, where: str = "1") -> list[dict[str, Any]]:
    return house.select(f"SELECT * FROM decisions WHERE {where} ORDER BY created_at")


async def test_a_control_answers_alone_and_is_told_from_all_others(open_house: Callable[..., Any]) -> None:
    judge = {"id": "strict", "kind": "llm", "model": "judge-a", "always": True}
    models = ["small", "middle", "large", entry("judge-a", routable=False)]
    house = await open_house(controlled(*models, judges=[judge], feedback={"probe_share": 1.0}))
    house.upstream.answers["judge-a"] = '{"score": 0.7, "reason": "fair"}'
    await busy(house, 60)
    controls, others = decisions(house, "control IS NOT NULL"), decisions(house, "control IS NULL")
    assert {row["control"] for row in controls} == {"best", "cheapest"}
    assert {(row["control"], row["arm"]) for row in controls} == {("best", "large"), ("cheapest", "small")}
    for row in controls:
        assert (row["stage"], row["explored"], row["attempts"], row["status"]) == ("explore", 1, 1, "answered")
        calls = house.select("SELECT * FROM calls WHERE inference_id = ?", row["id"])
        assert [(call["model"], call["purpose"], call["explored_share"]) for call in calls] == [
            (row["arm"], "answer", 0.0)
        ]
        chances = json.loads(row["probabilities"])
        assert row["propensity"] == pytest.approx(chances[row["arm"]])
        assert row[f"{row['control']}_chance"] <= row["propensity"] + 1e-12
    assert any(row["attempts"] > 1 for row in others)


async def test_a_control_is_learned_from_like_any_other_answer_and_replayed(
    open_house: Callable[..., Any], tmp_path: Path
) -> None:
    house = await open_house(controlled())
    await busy(house, 60)
    assert decisions(house, "control IS NOT NULL")
    killed, state = house.killed(tmp_path / "killed"), house.dump()
    again = await open_house(controlled(), data_dir=killed)
    assert again.dump() == state


@pytest.mark.parametrize(
    "body",
    [
        {"model": "small"},
        {"model": "auto:cheap"},
        {"model": "auto:best"},
        {"router": {"cost_quality": 0.5}},
        {"router": {"explore": False}},
        {"router": {"fusion": "vote"}},
        {"router": {"allow": ["middle"]}},
    ],
)
async def test_requests_that_say_who_shall_answer_are_no_controls(
    open_house: Callable[..., Any], body: dict[str, Any]
) -> None:
    house = await open_house(controlled(control={"share": 0.1}))
    await busy(house, 3, rated=0.0)
    await house.answered(**body)
    await house.quiet()
    last = decisions(house)[-1]
    assert (last["control"], last["best_chance"], last["cheapest_chance"]) == (None, 0.0, 0.0)


async def test_a_decision_without_an_answer_says_that_it_would_be_a_control(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    await busy(house, 2)
    body = {"messages": [{"role": "user", "content": "What is 6 times 7?"}]}
    told = [(await house.client.post("/v1/route", json=body)).json() for _ in range(60)]
    controls = [each for each in told if each["control"] is not None]
    assert controls
    assert all(each["reason"].startswith("drawn to measure savings") and not each["may_escalate"] for each in controls)


async def test_a_share_of_nothing_measures_nothing_and_says_so(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled(control={"share": 0.0}))
    await busy(house, 20)
    found = await house.get("/v1/admin/savings")
    assert (found["requests"], found["auto"]["requests"], found["control"]) == (20, 0, {"share": 0.0, "requests": 0})
    for against in found["against"].values():
        assert (against["n"], against["enough"], against["saved_usd_per_request"]["estimate"]) == (0, False, None)
        assert against["reason"]


async def test_a_control_whose_model_fails_is_answered_by_another_and_stays_a_control(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(controlled())
    await busy(house, 10)
    house.upstream.answers["small"] = Gone("http_error", 400)
    await busy(house, 60)
    fallen = decisions(house, "control = 'cheapest' AND stage = 'fallback'")
    assert fallen
    assert all(row["arm"] == "small" != row["answer_model"] and row["status"] == "answered" for row in fallen)
    assert (await house.get("/v1/admin/savings"))["against"]["cheapest"]["n"] >= len(fallen)


async def test_a_streamed_control_passes_through_at_once(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    for at in range(40):
        reply = await house.ask(f"What is {at} times 7?", stream=True)
        assert reply.status_code == 200
    await house.quiet()
    controls = decisions(house, "control IS NOT NULL")
    assert controls
    assert all(row["attempts"] == 1 and row["streamed"] and row["confidence"] is not None for row in controls)


async def test_the_database_sums_what_a_plain_calculation_sums(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    await busy(house, 60, rated=0.0)
    rows = decisions(house)
    said: dict[str, float | bool] = {}
    for at, row in enumerate(rows[::2]):
        thumb = {"inference_id": row["id"], "metric_name": "thumbs", "value": at % 3 > 0}
        rating = thumb | {"metric_name": "rating", "value": (at % 10) / 10}
        # Of both the rating stands.
        given = [thumb] if at % 2 else [rating, thumb]
        said[row["id"]] = given[0]["value"]
        assert (await house.client.post("/v1/feedback", json=given)).status_code == 202
    await house.quiet()
    found = await house.get("/v1/admin/savings")

    spent = house.select("SELECT inference_id AS id, sum(cost_usd) AS usd FROM calls GROUP BY 1")
    usd = {row["id"]: row["usd"] for row in spent}
    compared = [row for row in rows if row["best_chance"] + row["cheapest_chance"] > 0.0]
    rated = sum(row["id"] in said for row in compared) / len(compared)
    rates, pressed = house.service.learning.thumbs()

    def quality(row: Mapping[str, Any]) -> float:
        p, value = row["confidence"], said.get(row["id"])
        if isinstance(value, bool):
            return float(p + pressed / rated * rates[row["category"]].rectifiers(p)[value])
        return float(p if value is None else p + (value - p) / rated)

    def group(told: list[dict[str, Any]], chances: list[float]) -> Group:
        costs, values, at = np.array([usd[r["id"]] for r in told]), np.array([*map(quality, told)]), np.array(chances)
        return Group(Sums.of(costs, at), Sums.of(values, at), sum(row["id"] in said for row in told))

    for name, control in (("best_single", "best"), ("cheapest", "cheapest")):
        chance = f"{control}_chance"
        ours = [row for row in compared if row["control"] is None and row[chance] > 0.0]
        theirs = [row for row in compared if row["control"] == control]
        expected = savings(
            group(ours, [1.0 - row["best_chance"] - row["cheapest_chance"] for row in ours]),
            group(theirs, [row[chance] for row in theirs]),
        )
        against = found["against"][name]
        assert (against["n"], against["rated"]) == (len(theirs), expected.control.rated)
        for figure, interval in (
            ("saved_usd_per_request", expected.saved_usd),
            ("saved_total_usd", expected.saved_total_usd),
            ("quality_points", expected.quality_points),
        ):
            told = (interval.estimate, interval.low, interval.high)
            assert tuple(against[figure].values()) == pytest.approx(told, rel=1e-6)
    assert any("shadow" in row["purpose"] for row in house.select("SELECT purpose FROM calls"))


async def test_quizzes_are_borne_by_all_requests_alike_and_by_no_control(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    await busy(house, 40)
    before = await house.get("/v1/admin/savings")
    now, of = house.service.router.clock(), decisions(house)[0]["id"]
    quiz = CallRow(
        inference_id=of, step=9, model="middle", purpose="quiz", outcome="ok", account="background",
        cost_usd=0.4, created_at=now,
    )  # fmt: skip
    await house.service.journal.append(Entry(None, of, now, {}, (quiz,)))
    after = await house.get("/v1/admin/savings")
    assert after["auto"]["cost_usd"] == pytest.approx(before["auto"]["cost_usd"] + 0.4 / 40)
    for name in ("best_single", "cheapest"):
        costs, were = after["against"][name]["cost_usd"], before["against"][name]["cost_usd"]
        assert costs == {"auto": pytest.approx(were["auto"] + 0.4 / 40), "control": were["control"]}


async def test_only_the_period_counts(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    await busy(house, 30)
    before = await house.get("/v1/admin/savings?until=2020-01-01")
    assert before["requests"] == 0
    assert before["period"]["until"] - before["period"]["since"] == 30 * 86_400
    rows = decisions(house)
    middle = (rows[9]["created_at"] + rows[10]["created_at"]) / 2
    since = await house.get(f"/v1/admin/savings?since={middle!r}")
    assert since["requests"] == len(rows) - 10


@pytest.mark.parametrize(
    ("query", "named"), [("since=yesterday", "since"), ("since=2026-01-02&until=2026-01-01", "not before until")]
)
async def test_a_period_that_is_none_is_refused(house: House, query: str, named: str) -> None:
    reply = await house.client.get(f"/v1/admin/savings?{query}")
    assert reply.status_code == 422
    assert named in reply.json()["error"]["message"]


@pytest.fixture
def plain_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # a command has told it to write to the runner's standard error


@pytest.mark.usefixtures("plain_logging")
async def test_the_command_shows_a_table_and_json(open_house: Callable[..., Any]) -> None:
    house = await open_house(controlled())
    await busy(house, 30)
    async with on_a_port(house.app) as url:
        plain = await asyncio.to_thread(CliRunner().invoke, app, ["savings", "--url", url])
        told = await asyncio.to_thread(CliRunner().invoke, app, ["savings", "--url", url, "--json"])
        wrong = await asyncio.to_thread(CliRunner().invoke, app, ["savings", "--url", url, "--since", "soon"])
    assert plain.exit_code == told.exit_code == 0
    assert "best_single" in plain.stdout
    assert "from 30 on an interval says something" in plain.stdout
    assert json.loads(told.stdout)["requests"] == 30
    assert wrong.exit_code == 1
    assert "since" in wrong.stderr
