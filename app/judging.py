"""Asking the judges that are configured: what an opinion would cost, and what it says.

A judge asks models of the pool. Each of its calls is a call like any other; what it says that does not parse is
missing, not a score of a half; one whose upstream fails again and again is left alone for a while. What a judge was
told lately is remembered, and costs nothing then.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, OpenAIError

from app.exchange import Exchange
from app.judges.cross_check import CrossCheck
from app.judges.judge import Case, Given, Judge, Prompt
from app.judges.llm import LlmJudge
from app.judges.pairwise import PairwiseJudge
from app.judges.replies import Replies
from app.judges.self_check import SelfCheck
from app.pool import Breaker, Pool
from app.providers.base import Completion, Endpoint
from app.providers.completion import read_completion, text_of
from app.requests import prompt_of
from app.settings import JudgeEntry, SelfJudgeEntry
from app.storage.tables import CallRow, JudgeScoreRow, Outcome
from learner.answers import same

# What the client raises, and what reading a reply of another shape does.
FAILURES = (OpenAIError, ValueError, TypeError, AttributeError, RecursionError, TimeoutError)
CHARS_PER_TOKEN = 4
KINDS: Mapping[str, Callable[[str, str, float | None], Judge]] = {
    "llm": LlmJudge,
    "pairwise": PairwiseJudge,
    "cross": CrossCheck,
}


def judge_of(entry: JudgeEntry) -> Judge:
    """Return the judge that an entry of the configuration describes."""
    if isinstance(entry, SelfJudgeEntry):
        return SelfCheck(entry.id, entry.timeout_s)
    return KINDS[entry.kind](entry.id, entry.model, entry.timeout_s)


class Judging:
    """Asks the configured judges.

    Args:
        judges: The judges of the configuration. `always` holds the ids of those that are asked about every answer,
            whatever their opinion is worth.
        pool: The models.
        timeout_s: Seconds that one reply may take, where a judge says nothing else.
    """

    def __init__(self, judges: Sequence[JudgeEntry], pool: Pool, *, timeout_s: float) -> None:
        self._judges = {entry.id: judge_of(entry) for entry in judges}
        self.always = tuple(entry.id for entry in judges if entry.always)
        self._pool = pool
        self._timeout_s = timeout_s
        self._replies = Replies()
        self._breaker = Breaker()
        self._clients: dict[tuple[str, str | None], AsyncOpenAI] = {}

    @property
    def has_judges(self) -> bool:
        """Whether any judge is configured."""
        return bool(self._judges)

    def costs_usd(self, exchange: Exchange, step: int) -> dict[str, float]:
        """Return the expected price of an opinion on the answer of a step, of every judge that may have one now."""
        case = self._case(exchange, step)
        if case is None:
            return {}
        down = self._breaker.unavailable(time.monotonic())
        asked = {judge.id: judge.prompts(case) for judge in self._judges.values() if judge.id not in down}
        return {
            judge: sum(self._expected_usd(judge, prompt) for prompt in prompts)
            for judge, prompts in asked.items()
            if prompts and all(map(self._may_ask, prompts))
        }

    async def ask(
        self, judges: Sequence[str], exchange: Exchange, step: int, *, explored: bool = False
    ) -> list[JudgeScoreRow]:
        """Ask several judges about the answer of a step at once, and record their calls in the exchange.

        Args:
            judges: Some of those that `costs_usd` names.
            exchange: The request.
            step: Whose answer; an opinion may score another one too.
            explored: They are asked to learn what they are worth.

        Returns:
            The scores; a judge that fails, or says nothing usable, gives none.
        """
        case = self._case(exchange, step)
        if case is None:
            return []
        found = await asyncio.gather(
            *(self._scores(self._judges[judge], case, exchange, explored=explored) for judge in judges)
        )
        return [score for scores in found for score in scores]

    def _case(self, exchange: Exchange, step: int) -> Case | None:
        """Collect what judges may know of an answer; None where they cannot see all that was asked or answered."""
        answers = [
            Given(row.step, row.model, exchange.completions[row.step].text, exchange.answers[row.step])
            for row in exchange.rows
            if row.purpose in ("answer", "synthesis") and row.outcome == "ok"
        ]
        answer = next(each for each in answers if each.step == step)
        query = prompt_of(exchange.body)
        if exchange.query.has_images or not (query.strip() and answer.text.strip()):
            return None
        return Case(
            query=query, answer=answer, rival=rival_of(answer, answers),
            models=frozenset(each.model for each in answers), category=exchange.decision.category,
            conversation=exchange.body,
            gives_logprobs=self._gives_logprobs(answer.model), embed=exchange.embed,
        )  # fmt: skip

    def _gives_logprobs(self, model: str) -> bool:
        return model in self._pool.ids() and "logprobs" in self._pool.entry(model).capabilities

    def _may_ask(self, prompt: Prompt) -> bool:
        """Tell whether a prompt's model is served by an upstream and can read it."""
        if prompt.model not in self._pool.ids() or self._pool.is_fake(prompt.model):
            return False
        return input_tokens(prompt) + prompt.most_tokens <= self._pool.entry(prompt.model).context_tokens

    def _expected_usd(self, judge: str, prompt: Prompt) -> float:
        if self._replies.get(judge, prompt) is not None:
            return 0.0
        return self._pool.endpoint(prompt.model).cost_usd(input_tokens(prompt), prompt.output_tokens)

    async def _scores(self, judge: Judge, case: Case, exchange: Exchange, *, explored: bool) -> list[JudgeScoreRow]:
        """Return what one judge says; an earlier opinion of it on the same answers gives way."""
        prompts = judge.prompts(case)
        replies = await asyncio.gather(
            *(self._reply(judge, prompt, case, exchange, explored=explored) for prompt in prompts)
        )
        usable = [reply for reply in replies if reply is not None]
        opinion = judge.opinion(case, usable) if len(usable) == len(prompts) else None
        if not opinion:
            return []
        exchange.scores[:] = [s for s in exchange.scores if s.judge != judge.id or s.step not in opinion]
        return [
            JudgeScoreRow(inference_id=exchange.id, step=step, judge=judge.id, score=score, created_at=exchange.at)
            for step, score in opinion.items()
        ]

    async def _reply(
        self, judge: Judge, prompt: Prompt, case: Case, exchange: Exchange, *, explored: bool
    ) -> Completion | None:
        known = self._replies.get(judge.id, prompt)
        if known is not None:
            return known
        # Recorded before it is made, at its expected cost: so it is accounted too if the client goes away meanwhile.
        call = CallRow(
            inference_id=exchange.id, step=case.answer.step, model=prompt.model, purpose="judge", outcome="cancelled",
            account="request", created_at=exchange.at, cost_usd=self._expected_usd(judge.id, prompt),
            explored_share=1.0 if explored else None, key_id=exchange.key_id,
        )  # fmt: skip
        exchange.rows.append(call)
        reply = await self._call(judge, prompt, call)
        if reply is not None:
            self._replies.keep(judge.id, prompt, reply)
        return reply

    async def _call(self, judge: Judge, prompt: Prompt, call: CallRow) -> Completion | None:
        """Make a call and complete its record; None where it fails."""
        endpoint = self._pool.endpoint(prompt.model)
        started = time.monotonic()
        self._breaker.tries(judge.id, started)
        try:
            reply = await self._create(endpoint, prompt, judge.timeout_s or self._timeout_s)
        except FAILURES as err:
            call.outcome, call.status_code = failure(err)
            call.cost_usd = 0.0
            self._breaker.failed(judge.id, time.monotonic())
            return None
        finally:
            call.latency_s = time.monotonic() - started
        call.outcome = "ok"
        call.input_tokens, call.output_tokens = reply.input_tokens, reply.output_tokens
        call.cost_usd = endpoint.cost_usd(call.input_tokens, call.output_tokens)
        self._breaker.succeeded(judge.id)
        return reply

    async def _create(self, endpoint: Endpoint, prompt: Prompt, timeout_s: float) -> Completion:
        # To make a client takes a while, which is not the upstream's.
        client = self._client(endpoint)
        async with asyncio.timeout(timeout_s):
            reply = await client.chat.completions.create(
                model=endpoint.upstream_model,
                messages=list(prompt.messages),  # type: ignore[arg-type]  # a client's messages go on as they came
                temperature=0.0,
                max_tokens=prompt.most_tokens,
                extra_body=dict(prompt.options) or None,
            )
        return read_completion(reply.model_dump(warnings=False), request={"messages": []}, latency_s=0.0)

    def _client(self, endpoint: Endpoint) -> AsyncOpenAI:
        key = (endpoint.base_url, endpoint.api_key)
        if key not in self._clients:
            self._clients[key] = AsyncOpenAI(
                base_url=endpoint.base_url, api_key=endpoint.api_key or "none", timeout=None, max_retries=0
            )
        return self._clients[key]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()


def rival_of(answer: Given, answers: Sequence[Given]) -> Given | None:
    """Return an answer that differs, of those that most models gave the latest; None where all say the same."""
    others = [each for each in answers if not is_same(each, answer)]
    support = Counter({each.step: sum(is_same(each, other) for other in others) for each in others})
    return max(others, key=lambda each: (support[each.step], each.step), default=None)


def is_same(a: Given, b: Given) -> bool:
    """Tell whether two answers say the same, to the letter or by their final answers."""
    return a.text == b.text or same(a.final, b.final)


def input_tokens(prompt: Prompt) -> int:
    """Estimate the length of a prompt."""
    return sum(len(text_of(message.get("content"))) for message in prompt.messages) // CHARS_PER_TOKEN


def failure(error: Exception) -> tuple[Outcome, int | None]:
    """Name the way in which a call failed, with its status where there was one."""
    if isinstance(error, APITimeoutError | TimeoutError):
        return "timeout", None
    if isinstance(error, APIConnectionError):
        return "unreachable", None
    if isinstance(error, APIStatusError):
        return "http_error", error.status_code
    return "garbage", None
