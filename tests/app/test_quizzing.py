import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.quizzing import MOST_AT_ONCE
from app.sample import MOST, MOST_BYTES_EACH
from learner.arrivals import QUIZ_SIZE
from tests.app.harness import PRICES, Gone, House, Upstream, entry, running, settings_of

SHARE = 0.5
PRICE = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}
CALL_USD = 3e-4


def equal(model: str, **changes: Any) -> dict[str, Any]:
    return entry(model, price=PRICE, prior_quality=None, **changes)


def pool(**sections: Any) -> Any:
    """Three models of one price; the first answer always stands, so that exploration is what costs more."""
    given: dict[str, Any] = {
        "objective": {"kind": "tradeoff", "usd_per_point": 1e-6},
        "exploration": {"max_share": SHARE, "max_usd_per_day": 5.0},
    }
    return settings_of(*(equal(model) for model in PRICES), **given | sections)


def right(prompt: str) -> str:
    """The right answer to `What is A times B?`."""
    words = prompt.rstrip("?").split()
    return str(int(words[2]) * int(words[4]))


def wrong(prompt: str) -> str:
    return str(int(right(prompt)) + 1 + len(prompt) % 3)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(answers=dict.fromkeys([*PRICES, "new", "other", "third"], right))


async def ask_many(house: House, n: int, *, first: int = 0, **body: Any) -> None:
    for at in range(first, first + n):
        await house.answered(f"What is {at} times {at + 7}?", **body)


async def register(house: House, model: str = "new", **changes: Any) -> dict[str, Any]:
    reply = await house.client.post("/v1/admin/models", json=equal(model, **changes))
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def onboarding(house: House, model: str = "new") -> dict[str, Any]:
    await house.quiet()
    return await house.get(f"/v1/admin/models/{model}/onboarding")


def questions(house: House, model: str = "new") -> list[dict[str, Any]]:
    return house.select("SELECT * FROM calls WHERE purpose = 'quiz' AND model = ? ORDER BY id", model)


async def test_a_model_that_arrives_is_asked_recent_queries_beside_known_answers(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(pool())
    await ask_many(house, 60)
    before = house.select("SELECT id FROM decisions")
    await register(house)
    await ask_many(house, 40, first=100, router={"deny": ["new"]})
    told = await onboarding(house)
    asked = questions(house)
    assert len(asked) == told["progress"]["quiz"]["asked"] == told["progress"]["quiz"]["answered"] > 3
    assert {(row["account"], row["explored_share"], row["outcome"]) for row in asked} == {("background", 1, "ok")}
    assert len({row["inference_id"] for row in asked}) == len(asked)
    assert {row["inference_id"] for row in asked} <= {row["id"] for row in before}
    # It gave the answer that is known, which is how its own is judged.
    for row in asked:
        groups = house.select("SELECT answer_group FROM calls WHERE inference_id = ?", row["inference_id"])
        assert {group["answer_group"] for group in groups} == {0}
    assert told["spend_usd"]["quiz"] == pytest.approx(len(asked) * CALL_USD)


async def test_what_a_quiz_costs_is_in_the_backgrounds_account_and_in_no_answer(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(pool())
    await ask_many(house, 60)
    await register(house)
    await ask_many(house, 40, first=100)
    await house.quiet()
    spend = await house.get("/v1/admin/spend")
    assert spend["total_usd"] == pytest.approx(len(house.upstream.asked) * CALL_USD)
    assert spend["requests_usd"] + spend["background_usd"] == pytest.approx(spend["total_usd"])
    (quiz,) = (row for row in spend["rows"] if row["purpose"] == "quiz")
    assert (quiz["model"], quiz["account"]) == ("new", "background")
    assert house.service.background.asking == set()


async def test_a_quiz_ends_with_its_last_question_or_a_clear_verdict(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool(exploration={"max_share": 1.0, "max_usd_per_day": 5.0}))
    await ask_many(house, 60)
    await register(house)
    await ask_many(house, 150, first=100)
    told = await onboarding(house)
    assert told["progress"]["quiz"]["is_over"], told
    assert len(questions(house)) <= QUIZ_SIZE
    assert house.service.learning.exploring.held_usd == pytest.approx(0.0)


async def test_a_weak_model_is_parked_with_the_reason_and_asked_no_further(open_house: Callable[..., Any]) -> None:
    models = [equal(model) | {"prior_quality": 0.9} for model in PRICES]
    house = await open_house(
        settings_of(*models, objective={"kind": "tradeoff", "usd_per_point": 1e-6}, exploration={"max_share": 1.0})
    )
    house.upstream.answers["new"] = wrong
    await ask_many(house, 100)
    await register(house)
    await ask_many(house, 60, first=200)
    told = await onboarding(house)
    assert (told["state"], told["verdict"]["decision"]) == ("parked", "parked")
    shown = await house.get("/v1/admin/models/new")
    learner = (await house.get("/v1/admin/learner"))["models"]["new"]
    assert told["verdict"]["reason"] == shown["reason"] == learner["reason"]
    assert "better at no higher price" in shown["reason"]
    assert any(f"{model} is better" in shown["reason"] for model in PRICES)
    assert len(questions(house)) < QUIZ_SIZE
    assert "parked" in told["progress"]["quiz"]["reason"]
    low, high = told["interval"]
    assert low <= told["quality"] <= high


async def test_no_request_without_exploration_becomes_a_question(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    await ask_many(house, 30, router={"explore": False})
    await register(house)
    await ask_many(house, 30, first=100, router={"explore": False})
    await house.quiet()
    assert questions(house) == []
    assert not house.service.router.quizzing.sample.exchanges


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        ({"deny": ["ne*"]}, {}),
        ({"allow": ["small", "middle", "large"]}, {}),
        ({}, {"context_tokens": 1}),
    ],
)
async def test_a_question_stays_within_the_limits_of_its_request(
    open_house: Callable[..., Any], limits: dict[str, Any], changes: dict[str, Any]
) -> None:
    house = await open_house(pool())
    await ask_many(house, 50, router=limits)
    await register(house, **changes)
    await ask_many(house, 20, first=100, router=limits)
    await house.quiet()
    assert "new" not in house.upstream.models


async def test_a_question_that_wants_json_goes_to_no_model_that_lacks_it(open_house: Callable[..., Any]) -> None:
    models = [equal(model, capabilities=["json"]) for model in PRICES]
    house = await open_house(settings_of(*models, objective={"kind": "tradeoff", "usd_per_point": 1e-6}))
    house.upstream.answers |= dict.fromkeys(PRICES, '{"answer": 42}')
    for at in range(40):
        await house.answered(f"What is {at} times 7?", response_format={"type": "json_object"})
    await register(house, capabilities=["tools"])
    await ask_many(house, 5, first=100, router={"deny": ["new"]}, response_format={"type": "json_object"})
    await house.quiet()
    assert house.service.router.quizzing.sample.exchanges
    assert questions(house) == []


async def test_a_model_that_is_not_routable_gets_no_quiz_until_it_is(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    await ask_many(house, 60)
    told = await register(house, routable=False)
    assert (told["plan"]["quiz"]["questions"], told["plan"]["queries_to_fair_share"]) == (0, None)
    assert "not routable" in told["plan"]["reason"]
    await ask_many(house, 20, first=100)
    await house.quiet()
    assert "new" not in house.upstream.models
    await house.client.patch("/v1/admin/models/new", json={"routable": True})
    await ask_many(house, 20, first=200, router={"deny": ["new"]})
    await house.quiet()
    assert questions(house)


async def test_answers_that_cannot_be_compared_are_no_questions(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    house.upstream.answers = dict.fromkeys([*PRICES, "new"], "A tale of many words that nobody could compare.")
    for at in range(40):
        await house.answered(f"Tell a story about ship number {at}.")
    await register(house)
    await house.quiet()
    assert questions(house) == []
    assert "compared" in (await onboarding(house))["progress"]["quiz"]["reason"]


async def test_a_model_retired_during_its_quiz_is_said_to_be_retired(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    await ask_many(house, 60)
    await register(house)
    await ask_many(house, 10, first=100, router={"deny": ["new"]})
    assert 0 < (await onboarding(house))["progress"]["quiz"]["asked"] < QUIZ_SIZE
    await house.client.delete("/v1/admin/models/new")
    quiz = (await onboarding(house))["progress"]["quiz"]
    assert (quiz["is_over"], quiz["reason"]) == (True, "the model is retired: it is asked nothing more")


# -- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "exploration", [{"max_share": 0.0, "max_usd_per_day": 5.0}, {"max_share": SHARE, "max_usd_per_day": 0.0}]
)
async def test_without_an_allowance_there_is_no_quiz(
    open_house: Callable[..., Any], exploration: dict[str, float]
) -> None:
    house = await open_house(pool(exploration=exploration))
    await ask_many(house, 30)
    plan = (await register(house))["plan"]
    await ask_many(house, 30, first=100)
    await house.quiet()
    assert questions(house) == []
    assert plan["queries_to_fair_share"] is None
    assert "exploration" in plan["reason"]


async def test_models_that_arrive_together_overdraw_nothing_and_share_fairly(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool(exploration={"max_share": 0.2, "max_usd_per_day": 5.0}))
    await ask_many(house, 40)
    newcomers = ["new", "other", "third"]
    await asyncio.gather(*(register(house, model) for model in newcomers))
    for at in range(0, 120, 20):
        texts = [f"What is {at + i} times {at + 3}?" for i in range(20)]
        await asyncio.gather(*(house.answered(text, router={"deny": newcomers}) for text in texts))
        await ask_many(house, 2, first=500 + at)
        spend = await house.get("/v1/admin/spend")
        assert spend["exploration_usd"] <= 0.2 * spend["total_usd"]
    await house.quiet()
    spend = await house.get("/v1/admin/spend")
    assert spend["exploration_usd"] <= 0.2 * spend["total_usd"]
    asked = Counter({model: len(questions(house, model)) for model in newcomers})
    assert min(asked.values()) >= 2
    assert max(asked.values()) - min(asked.values()) <= 2
    # Comparisons had their part too.
    assert house.select("SELECT 1 FROM calls WHERE purpose = 'shadow'")


async def test_the_days_cap_holds_while_answers_are_awaited(open_house: Callable[..., Any]) -> None:
    cap_usd = 5.5 * CALL_USD
    house = await open_house(pool(exploration={"max_share": 1.0, "max_usd_per_day": cap_usd}))
    gate = house.upstream.gates["new"] = asyncio.Event()
    await ask_many(house, 40, router={"explore": False})
    await ask_many(house, 12, first=60, router={"deny": ["large"]})
    await register(house)
    await ask_many(house, 20, first=100, router={"deny": ["new"]})
    gate.set()
    await ask_many(house, 20, first=200, router={"deny": ["new"]})
    await house.quiet()
    assert (await house.get("/v1/admin/spend"))["exploration_usd"] <= cap_usd


async def test_a_quiz_goes_on_when_the_allowance_returns(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool(exploration={"max_share": 0.1, "max_usd_per_day": 5.0}))
    await ask_many(house, 30)
    await register(house)
    await house.quiet()
    counts = []
    for at in range(4):
        await ask_many(house, 25, first=100 + 25 * at, router={"deny": ["new"]})
        await house.quiet()
        counts.append(len(questions(house)))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


async def test_no_question_is_asked_twice_of_one_model_and_no_comparison_repeats_one(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(pool())
    await ask_many(house, 30)
    await register(house)
    await asyncio.gather(*(house.answered(f"What is {at} times 3?") for at in range(60)))
    await house.quiet()
    answered = house.select(
        "SELECT inference_id, count(*) AS n FROM calls WHERE model = 'new' AND purpose != 'judge' GROUP BY 1"
    )
    assert {row["n"] for row in answered} == {1}


# -- failures, restarts -----------------------------------------------------------------------------------------------


async def test_an_upstream_that_fails_is_left_alone_and_its_questions_cost_nothing(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(pool())
    house.upstream.answers["new"] = Gone("unreachable")
    await ask_many(house, 60)
    await register(house)
    await ask_many(house, 20, first=100, router={"deny": ["new"]})
    told = await onboarding(house)
    assert told["state"] == "quarantined"
    assert told["progress"]["quiz"]["answered"] == 0
    assert 3 <= told["progress"]["quiz"]["asked"] <= 6
    assert told["spend_usd"]["quiz"] == 0.0
    assert "fails" in told["progress"]["quiz"]["reason"]


async def test_replaying_the_log_gives_the_same_state_in_the_middle_of_a_quiz(data_dir: Path, tmp_path: Path) -> None:
    upstream = Upstream(answers=dict.fromkeys([*PRICES, "new"], right))
    async with running(data_dir, pool(), upstream=upstream) as house:
        await ask_many(house, 60)
        await register(house)
        await ask_many(house, 15, first=100)
        told = await onboarding(house)
        assert told["progress"]["quiz"]["asked"] > 0
        before, killed = house.dump(), house.killed(tmp_path / "killed")
    async with running(killed, pool(), upstream=upstream) as house:
        assert house.dump() == before
        again = await onboarding(house)
        for name in ("state", "verdict", "spend_usd", "interval", "requests_since_arrival", "share", "arrived_at"):
            assert again[name] == told[name], name
        assert again["progress"]["quiz"]["asked"] == told["progress"]["quiz"]["asked"]
        assert not house.service.router.quizzing.sample.exchanges


async def test_a_quiz_goes_on_after_a_restart_and_is_no_longer_for_it(data_dir: Path) -> None:
    settings = pool(exploration={"max_share": 1.0, "max_usd_per_day": 5.0})
    upstream = Upstream(answers=dict.fromkeys([*PRICES, "new"], right))
    async with running(data_dir, settings, upstream=upstream) as house:
        await ask_many(house, 20)
        await register(house)
        await ask_many(house, 4, first=100, router={"deny": ["new"]})
        await house.quiet()
        first = len(questions(house))
    async with running(data_dir, settings, upstream=upstream) as house:
        await ask_many(house, 60, first=200, router={"cascade": 3})
        await house.quiet()
        assert first < len(questions(house)) <= QUIZ_SIZE


async def test_no_further_question_delays_the_end(data_dir: Path) -> None:
    gate = asyncio.Event()
    upstream = Upstream(answers=dict.fromkeys([*PRICES, "new"], right), gates={"new": gate})
    async with running(data_dir, pool(exploration={"max_share": 1.0}), upstream=upstream) as house:
        await ask_many(house, 60)
        await register(house)
        for _ in range(300):
            await asyncio.sleep(0)
        under_way = upstream.models.count("new")
        asyncio.get_running_loop().call_soon(gate.set)
    assert 1 <= under_way <= MOST_AT_ONCE
    assert upstream.models.count("new") == under_way


async def test_a_model_of_the_file_that_joins_a_pool_with_a_history_arrives(data_dir: Path) -> None:
    async with running(data_dir, settings_of("small", "large")) as house:
        assert house.service.learning.view.arrivals == {}
    async with running(data_dir, settings_of("small", "large", "middle")) as house:
        assert list(house.service.learning.view.arrivals) == ["middle"]


# -- the sample -------------------------------------------------------------------------------------------------------


async def test_the_sample_is_bounded_in_number_and_in_bytes(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    sample = house.service.router.quizzing.sample
    house.upstream.answers = dict.fromkeys(PRICES, "The answer is 42")
    await house.answered("What is 6 times 7? " + "x" * MOST_BYTES_EACH)
    assert not sample.exchanges
    await house.answered("What is 6 times 7? " + "x" * (MOST_BYTES_EACH // 2))
    assert len(sample.exchanges) == 1
    assert sample.bytes >= MOST_BYTES_EACH // 2
    for exchange in list(sample.exchanges.values()):
        for at in range(MOST + 200):
            exchange.id = f"copy-{at}"
            sample.take(exchange)
    assert len(sample.exchanges) < MOST
    assert sample.bytes <= 4 * 2**20
    assert sample.bytes == sum(sample.sizes.values())
    assert f"copy-{MOST + 199}" in sample.exchanges


async def test_pinned_streamed_and_image_requests(open_house: Callable[..., Any]) -> None:
    house = await open_house(pool())
    sample = house.service.router.quizzing.sample
    await house.answered("What is 6 times 7?", model="small")
    image = [{"type": "text", "text": "What is 6 times 7?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    house.upstream.answers = dict.fromkeys(PRICES, "42")
    await house.answered(image)
    await house.answered("What is 6 times 7?", router={"cascade": "off"})
    assert not sample.exchanges
    reply = await house.ask("What is 6 times 7?", stream=True)
    assert reply.status_code == 200
    await house.quiet()
    assert len(sample.exchanges) == 1
