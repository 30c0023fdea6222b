"""What the tests of judges share: an upstream that judges as it is told, a service that asks it, and cases."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from app.judges.judge import Case, Given
from app.providers.base import Completion
from app.providers.completion import read_completion
from learner.answers import extract
from learner.embedding import HashEmbedding
from tests.app.harness import PRICES, House, entry, settings_of
from tests.app.providers.conftest import http_server

INPUT_TOKENS, OUTPUT_TOKENS = 200, 20
JUDGE_USD = (INPUT_TOKENS * 0.1 + OUTPUT_TOKENS * 0.4) / 1e6
KEY = "sk-judge-1234"
GOOD = '{"score": 0.9, "reason": "right"}'


class Judge:
    """An OpenAI-compatible upstream that says what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.says: str | Callable[[str], str] = GOOD
        self.logprobs: Any = None
        self.status = 200
        self.body: bytes | None = None
        self.content_type = "application/json"
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.was_asked = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        self.asked.append(asked)
        self.keys.append(request.headers.get("Authorization"))
        self.was_asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.body is not None:
            return web.Response(body=self.body, status=self.status, content_type=self.content_type)
        said = self.says if isinstance(self.says, str) else self.says(asked["messages"][-1]["content"])
        return web.json_response(completion_body(said, self.logprobs), status=self.status)

    @property
    def prompts(self) -> list[str]:
        return [asked["messages"][-1]["content"] for asked in self.asked]


def completion_body(said: str, logprobs: Any = None) -> dict[str, Any]:
    usage = {
        "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }  # fmt: skip
    message = {"role": "assistant", "content": said}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
    return {"id": "j", "object": "chat.completion", "created": 1, "model": "j", "choices": [choice], "usage": usage}


def reply(said: str, logprobs: Any = None) -> Completion:
    """What a judge's model said, as the judge gets it."""
    return read_completion(completion_body(said, logprobs), request={"messages": []}, latency_s=0.0)


def given(text: str, query: str = "What is 6 times 7?", *, step: int = 0, model: str = "small") -> Given:
    return Given(step, model, text, extract(text, query))


def case_of(answer: str = "42", query: str = "What is 6 times 7?", *, rival: str | None = None, **changes: Any) -> Case:
    """A case of the answer of step 1, with a rival of step 0 where one is given."""
    told: dict[str, Any] = {
        "query": query,
        "answer": given(answer, query, step=1),
        "rival": None if rival is None else given(rival, query, step=0, model="middle"),
        "models": frozenset({"small"} if rival is None else {"small", "middle"}),
        "category": "",
        "conversation": {"messages": [{"role": "user", "content": query}]},
        "gives_logprobs": False,
        "embed": HashEmbedding(size=64).embed,
    }
    return Case(**(told | changes))


def sections(prompt: str) -> list[str]:
    """Split a judge's prompt at its markers, as the judge is told to read it; the instructions come first."""
    found = re.search(r"=====[0-9a-f]{16}=====", prompt)
    assert found is not None
    _, *told = prompt.split(found.group())
    return [prompt.partition(f"\n{found.group()}\n")[0], *told[1:]]


@asynccontextmanager
async def in_court(
    judge: Judge, open_house: Callable[..., Any], judges: Sequence[Mapping[str, Any]], **settings: Any
) -> AsyncIterator[House]:
    """Run a service with these judges; their model, and all others where judges call them, is the given upstream."""
    async with http_server(judge.answer) as url:
        of_judge = entry(
            "judge-a", base_url=url, routable=False, api_key_env="JUDGE_KEY", upstream_model="judge-large",
            price={"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4},
        )  # fmt: skip
        pool = [entry(model, base_url=url, **settings.pop(model, {})) for model in PRICES]
        given = {"timeouts": {"upstream_s": 5.0}, **settings}
        yield await open_house(settings_of(*pool, of_judge, judges=judges, **given), environ={"JUDGE_KEY": KEY})


def judge_calls(house: House) -> list[dict[str, Any]]:
    return house.select("SELECT * FROM calls WHERE purpose = 'judge'")


def scores(house: House) -> dict[int, float]:
    """What was stored, by step."""
    return {row["step"]: row["score"] for row in house.select("SELECT step, score FROM judge_scores")}


def scores_by_model(house: House) -> dict[str, float]:
    """What was stored, by the model whose answer it is about."""
    told = house.select(
        "SELECT model, score FROM judge_scores s JOIN calls c ON c.inference_id = s.inference_id AND c.step = s.step "
        "WHERE c.purpose = 'answer'"
    )
    return {row["model"]: row["score"] for row in told}
