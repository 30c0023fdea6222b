"""Probes are drawn at random, asked of the best judges in the background, and stored so that replay learns the same."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.app.harness import PRICES, House, entry, running, settings_of
from tests.app.judges.court import Judge
from tests.app.providers.conftest import http_server

Court = Callable[..., Any]


@pytest.fixture
async def court(open_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Court]:
    """Open a service with four judges, of which none is asked within a request, and this share of probes."""
    monkeypatch.setattr("app.hearing.judges_to_explore", lambda *_: [])
    async with AsyncExitStack() as stack:
        judge = Judge()
        url = await stack.enter_async_context(http_server(judge.answer))
        price = {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4}
        grader = entry("judge-a", base_url=url, routable=False, price=price)

        async def opened(share: float, **sections: Any) -> House:
            judges = [{"id": f"j{i}", "kind": "llm", "model": "judge-a"} for i in range(4)]
            given = {
                "judges": judges,
                "feedback": {"probe_share": share},
                "exploration": {"max_share": 1.0},
                "objective": {"kind": "tradeoff", "usd_per_point": 1e-9},
            }
            house: House = await open_house(settings_of(*PRICES, grader, **given | sections))
            return house

        yield opened


async def asked(house: House, n: int, **body: Any) -> list[dict[str, Any]]:
    answers = [await house.answered(f"Say something about {i}", **body) for i in range(n)]
    await house.quiet()
    return answers


def probes(house: House) -> list[dict[str, Any]]:
    return house.select("SELECT ref FROM events WHERE kind = 'probe'")


async def test_every_drawn_answer_is_shown_to_three_judges_on_nobodys_bill(court: Court) -> None:
    house = await court(1.0)
    answers = await asked(house, 12)
    drawn = {row["ref"] for row in probes(house)}
    assert drawn
    assert drawn <= {answer["id"] for answer in answers}
    calls = house.select("SELECT account, explored_share FROM calls WHERE purpose = 'judge'")
    assert len(calls) == 3 * len(drawn)
    assert {(row["account"], row["explored_share"]) for row in calls} == {("background", 1.0)}
    assert len(house.select("SELECT 1 FROM judge_scores")) == 3 * len(drawn)
    spend = await house.get("/v1/admin/spend")
    assert spend["requests_usd"] == pytest.approx(sum(answer["usage"]["cost"] for answer in answers))
    assert house.service.learning.exploring.held_usd == pytest.approx(0.0)


async def test_a_judge_that_was_heard_within_the_request_is_not_asked_again(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await court(1.0)
    monkeypatch.setattr("app.hearing.judges_to_explore", lambda costs_usd, *_: sorted(costs_usd))
    await asked(house, 12)
    heard = house.select("SELECT inference_id, step, judge FROM judge_scores")
    assert heard
    assert len(heard) == len({tuple(row.values()) for row in heard})
    assert not house.select("SELECT 1 FROM calls WHERE purpose = 'judge' AND account = 'background'")


@pytest.mark.parametrize("sections", [{"judges": []}, {"exploration": {"max_share": 0.0}}])
async def test_without_judges_or_an_allowance_nothing_is_probed(court: Court, sections: dict[str, Any]) -> None:
    house = await court(1.0, **sections)
    await asked(house, 8)
    assert not probes(house)


@pytest.mark.parametrize("body", [{"router": {"explore": False}}, {"model": "small"}])
async def test_who_wants_no_exploration_is_not_probed(court: Court, body: dict[str, Any]) -> None:
    house = await court(1.0)
    await asked(house, 8)
    before = len(probes(house))
    await asked(house, 8, **body)
    assert len(probes(house)) == before


async def test_a_share_of_nothing_probes_nothing(court: Court) -> None:
    house = await court(0.0)
    await asked(house, 8)
    assert not probes(house)


async def test_probes_and_thumbs_are_learned_alike_in_recovery(court: Court, tmp_path: Path) -> None:
    house = await court(1.0)
    for i, answer in enumerate(await asked(house, 10)):
        await house.thumb(answer["id"], i % 3 > 0)
    await house.quiet()
    assert probes(house)
    before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed, house.service.settings) as again:
        assert again.dump() == before


@pytest.mark.slow
async def test_one_user_moves_no_quality_by_more_than_a_fiftieth(open_house: Callable[..., Any]) -> None:
    """Sixty users whose thumbs say what is so, then one who sends 500 inverted ones, through the API."""
    house = await open_house(settings_of(*PRICES, exploration={"max_share": 0.0, "max_usd_per_day": 0.0}))
    is_good = {"small": 0.5, "middle": 0.7, "large": 0.9}

    async def rated(i: int, user: str, *, invert: bool) -> None:
        model = list(PRICES)[i % 3]
        answer = await house.answered("Tell me something", model=model, user=user)
        up = (i // 3) % 10 < 10 * is_good[model]
        assert (await house.thumb(answer["id"], up != invert)).status_code == 202

    for i in range(360):
        await rated(i, f"user-{i % 60}", invert=False)
    await house.quiet()
    before = await house.get("/v1/admin/learner")
    for i in range(500):
        await rated(i, "mallory", invert=True)
    await house.quiet()
    after = await house.get("/v1/admin/learner")
    for model in PRICES:
        assert after["models"][model]["quality"] == pytest.approx(before["models"][model]["quality"], abs=0.02)
    assert after["raters"]["users"]["damped"] > 400
    assert after["raters"]["users"]["distrusted"] >= 1
    text = (await house.client.get("/metrics")).text
    assert 'headrace_ratings_damped{by="users"}' in text


async def test_honest_quality_and_the_channel_are_shown(open_house: Callable[..., Any]) -> None:
    house = await open_house()
    for i in range(12):
        answer = await house.answered(f"What is {i} plus 1?", model="small")
        await house.thumb(answer["id"], i % 4 > 0)
    await house.quiet()
    learner = await house.get("/v1/admin/learner")
    honest = learner["models"]["small"]["honest"]
    low, high = honest["interval"]
    assert low <= honest["mean"] <= high
    assert honest["n_labelled"] == pytest.approx(12.0, rel=0.6)
    assert learner["models"]["large"]["honest"] is None
    rates = learner["channel"][learner["categories"][0]]
    assert set(rates) == {"flip_down", "flip_up", "pressed_good", "pressed_bad", "n"}
