import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from app.demo.upstream import Upstream, last_user_text, serving
from app.demo.worlds import World


async def ask(upstream: Upstream, model: str, prompt: str, **extra: Any) -> tuple[int, str]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]} | extra
    url = f"{upstream.base_url}/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
        return reply.status, await reply.text()


async def test_an_answer_is_the_recorded_one_and_is_billed_at_its_price(make_world: Callable[..., World]) -> None:
    async with serving(make_world()) as upstream:
        status, text = await ask(upstream, "large", "What is question 3?")
    data = json.loads(text)
    assert (status, data["model"], data["choices"][0]["message"]["content"]) == (200, "large", "large says 3")
    assert data["usage"] == {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18}
    assert upstream.bill.usd == pytest.approx({"large": (13 * 2.0 + 5 * 8.0) / 1e6})


async def test_the_bill_is_the_sum_over_all_calls(make_world: Callable[..., World]) -> None:
    async with serving(make_world()) as upstream:
        for model in ("small", "large", "small"):
            await ask(upstream, model, "What is question 0?")
    assert upstream.bill.calls == {"small": 2, "large": 1}
    assert upstream.bill.total_usd == pytest.approx((2 * (10 * 0.1 + 5 * 0.2) + 10 * 2.0 + 5 * 8.0) / 1e6)


async def test_a_prompt_without_a_record_is_a_404_that_costs_nothing(make_world: Callable[..., World]) -> None:
    async with serving(make_world()) as upstream:
        status, text = await ask(upstream, "large", "Who are you?")
    assert status == 404
    assert "only its recorded prompts" in json.loads(text)["error"]["message"]
    assert (upstream.bill.total_usd, upstream.bill.unknown) == (0, 1)


async def test_a_stream_carries_the_same_text_and_usage(make_world: Callable[..., World]) -> None:
    async with serving(make_world()) as upstream:
        extra = {"stream": True, "stream_options": {"include_usage": True}}
        _, text = await ask(upstream, "large", "What is question 3?", **extra)
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events[:-1]]
    pieces = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert ("".join(pieces), events[-1]) == ("large says 3", "[DONE]")
    assert chunks[-1]["usage"]["prompt_tokens"] == 13


async def test_the_models_are_listed(make_world: Callable[..., World]) -> None:
    async with (
        serving(make_world()) as upstream,
        aiohttp.ClientSession() as session,
        session.get(f"{upstream.base_url}/models") as reply,
    ):
        data = await reply.json()
    assert [model["id"] for model in data["data"]] == ["small", "middle", "large"]


def test_the_prompt_is_the_last_user_message_whatever_its_form() -> None:
    parts = [{"type": "text", "text": "second"}, {"type": "text", "text": "line"}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "no"},
    ]
    assert last_user_text(list(messages)) == "second\nline"
    assert last_user_text([]) == ""
