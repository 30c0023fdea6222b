import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.providers.base import Completion, Endpoint
from app.providers.fake import last_user_text
from tests.app.harness import COST_USD, PRICES, Gone, House, Upstream, entry, settings_of

SHARE = 0.5
THRIFTY = {"kind": "tradeoff", "usd_per_point": 1e-6}


class HeldComparisons(Upstream):
    """Answers every question once at once; who is asked the same again waits for `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.held = 0

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        if last_user_text(body) in {call.prompt for call in self.asked}:
            self.held += 1
            await self.release.wait()
        return await super().complete(endpoint, body, timeout_s=timeout_s)


@pytest.fixture
def settings() -> Any:
    """Three models of one price, so that comparisons are cheap; the first answer always stands."""
    models = [
        entry(m, price={"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}, prior_quality=None) for m in PRICES
    ]
    return settings_of(*models, objective=THRIFTY, exploration={"max_share": SHARE, "max_usd_per_day": 5.0})


async def spend_of(house: House) -> dict[str, Any]:
    await house.quiet()
    return await house.get("/v1/admin/spend")


async def ask_many(house: House, n: int, **body: Any) -> list[dict[str, Any]]:
    return [await house.answered(f"What is {at} times 7?", **body) for at in range(n)]


async def test_comparisons_happen_and_stay_within_their_share(open_house: Callable[..., Any], settings: Any) -> None:
    house = await open_house(settings)
    await ask_many(house, 60)
    spend = await spend_of(house)
    assert house.select("SELECT 1 FROM events WHERE kind = 'comparison'")
    assert 0.0 < spend["background_usd"] <= spend["exploration_usd"] <= SHARE * spend["total_usd"]


async def test_fifty_requests_at_once_do_not_overdraw_the_allowance_together(
    open_house: Callable[..., Any], settings: Any
) -> None:
    held = HeldComparisons()
    house = await open_house(settings, upstream=held)
    held.release.set()
    await ask_many(house, 30, router={"explore": False})
    before = await spend_of(house)
    allowed = SHARE * before["total_usd"] - before["exploration_usd"]
    assert allowed > 0.0
    held.release.clear()
    answers = await asyncio.gather(*(house.answered(f"What is {n} plus 7?") for n in range(50)))
    assert held.held > 0
    assert house.service.learning.exploring.held_usd > 0.0
    held.release.set()
    after = await spend_of(house)
    earned = SHARE * sum(answer["usage"]["cost"] for answer in answers)
    assert after["exploration_usd"] <= SHARE * after["total_usd"]
    assert after["background_usd"] - before["background_usd"] <= (allowed + earned) / (1.0 - SHARE)
    assert house.service.learning.exploring.held_usd == pytest.approx(0.0)


async def test_a_request_without_exploration_causes_no_comparison(
    open_house: Callable[..., Any], settings: Any
) -> None:
    house = await open_house(settings)
    answers = await ask_many(house, 60, router={"explore": False})
    spend = await spend_of(house)
    assert (spend["background_usd"], spend["exploration_usd"]) == (0.0, 0.0)
    assert spend["total_usd"] == pytest.approx(sum(answer["usage"]["cost"] for answer in answers))


@pytest.mark.parametrize(
    "exploration", [{"max_share": 0.0, "max_usd_per_day": 5.0}, {"max_share": SHARE, "max_usd_per_day": 0.0}]
)
async def test_without_an_allowance_nothing_is_explored(
    open_house: Callable[..., Any], settings: Any, exploration: dict[str, float]
) -> None:
    models = [model.model_dump(mode="json") for model in settings.models]
    house = await open_house(settings_of(*models, objective=THRIFTY, exploration=exploration))
    await ask_many(house, 40)
    spend = await spend_of(house)
    assert (spend["background_usd"], spend["exploration_usd"]) == (0.0, 0.0)


async def test_a_pinned_request_causes_no_comparison(open_house: Callable[..., Any], settings: Any) -> None:
    house = await open_house(settings)
    await ask_many(house, 40, model="small")
    assert (await spend_of(house))["background_usd"] == 0.0


@pytest.mark.parametrize("limits", [{"deny": ["large"]}, {"allow": ["small", "middle"]}])
async def test_a_model_that_the_request_rules_out_gets_no_copy_of_it(
    open_house: Callable[..., Any], settings: Any, limits: dict[str, list[str]]
) -> None:
    house = await open_house(settings)
    await ask_many(house, 60, router=limits)
    await house.quiet()
    assert "large" not in house.upstream.models


async def test_a_model_whose_context_is_too_small_is_not_compared(
    open_house: Callable[..., Any], settings: Any
) -> None:
    models = [model.model_dump(mode="json") for model in settings.models]
    models[2]["context_tokens"] = 1
    house = await open_house(settings_of(*models, objective=THRIFTY, exploration={"max_share": SHARE}))
    await ask_many(house, 60)
    await house.quiet()
    assert "large" not in house.upstream.models


async def test_what_a_comparison_costs_is_in_no_answer(open_house: Callable[..., Any], settings: Any) -> None:
    house = await open_house(settings)
    answers = await ask_many(house, 60)
    spend = await spend_of(house)
    assert spend["requests_usd"] == pytest.approx(sum(answer["usage"]["cost"] for answer in answers))
    shadows = house.select("SELECT model, account, cost_usd, explored_share FROM calls WHERE purpose = 'shadow'")
    assert spend["background_usd"] == pytest.approx(sum(row["cost_usd"] for row in shadows))
    assert {(row["account"], row["explored_share"]) for row in shadows} == {("background", 1)}


async def test_a_comparison_that_fails_is_accounted_and_harms_nobody(
    open_house: Callable[..., Any], settings: Any
) -> None:
    house = await open_house(settings)
    held: set[str] = set()

    def only_the_first(prompt: str) -> Any:
        is_first = prompt not in held
        held.add(prompt)
        return "42" if is_first else Gone("unreachable")

    house.upstream.answers = dict.fromkeys(PRICES, only_the_first)
    answers = await ask_many(house, 60)
    spend = await spend_of(house)
    assert all(answer["choices"][0]["message"]["content"] == "42" for answer in answers)
    failed = house.select("SELECT outcome, cost_usd FROM calls WHERE purpose = 'shadow'")
    assert failed
    assert {(row["outcome"], row["cost_usd"]) for row in failed} == {("unreachable", 0.0)}
    assert spend["background_usd"] == 0.0


async def test_comparisons_teach(open_house: Callable[..., Any], settings: Any) -> None:
    house = await open_house(settings)
    house.upstream.answers = {"small": "42", "middle": "42", "large": "43"}
    await ask_many(house, 60)
    await house.quiet()
    learner = await house.get("/v1/admin/learner")
    assert learner["feedback_events"] == 0
    assert learner["observations"] > 0
    assert learner["models"]["large"]["quality"] < learner["models"]["small"]["quality"]


async def test_work_in_the_background_is_finished_before_the_end(open_house: Callable[..., Any]) -> None:
    house = await open_house()
    finished = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        finished.set()

    house.service.background.keep(work())
    await house.service.background.drain()
    assert finished.is_set()


def test_the_prices_of_the_scripted_models_are_those_of_the_harness() -> None:
    assert COST_USD["middle"] == pytest.approx(3e-4)
