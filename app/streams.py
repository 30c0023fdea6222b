"""Streamed answers: held until judged where the decision can escalate, passed through at once where it cannot.

A held answer is an ordinary one, replayed in chunks when it stands; comments keep the connection alive meanwhile. A
passed-through answer leaves chunk by chunk; its decision is durable before the first one, its calls once it has ended,
also where it ends because the client went away, which closes the upstream.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from app.errors import AppError, UpstreamFailed, error_body
from app.exchange import Exchange
from app.providers.base import CallFailed, Completion
from app.providers.completion import NotACompletion, read_completion
from app.requests import upstream_body
from app.routing import Router
from app.storage.batch import Entry
from app.storage.tables import Account, Status
from app.streaming import DONE, Chunk, StreamAccount, keep_alive, relabel, replay_chunks, sse, usage_chunk

KEEP_ALIVE_S = 10.0
CERTAIN = 1e-9


def may_escalate(exchange: Exchange) -> bool:
    """Tell whether further arms may be asked after the first: only then must its answer be held back."""
    decision = exchange.decision
    if decision.panel or exchange.request.router.decompose:
        return True
    if decision.stage == "pinned" or exchange.limits.depth == 1 or len(decision.probabilities) < 2:
        return False
    alone = decision.qualities[decision.arm] - decision.lambda_ * decision.costs_usd[decision.arm]
    return decision.scores[decision.arm] > alone + CERTAIN


def final_chunks(exchange: Exchange, done: Completion) -> list[bytes]:
    """Return the end of every stream: usage with the cost of the whole request, then the end mark."""
    chunk = usage_chunk(
        done.usage, cost_usd=exchange.cost_usd, inference_id=exchange.id, model=exchange.answer_model or "",
        created=int(exchange.at),
    )  # fmt: skip
    return [sse(chunk), DONE]


async def held(exchange: Exchange, answer: asyncio.Task[Completion]) -> AsyncIterator[bytes]:
    """Stream an answer that is still being decided on: comments until it stands, then the answer in chunks.

    A client that goes away cancels the task, and with it the upstream call.
    """
    async with aclosing(keep_alive(answer, every_s=KEEP_ALIVE_S)) as waiting:
        async for comment in waiting:
            yield comment
    try:
        done = answer.result()
    except AppError as err:
        yield sse(error_body(err))
        return
    model = exchange.answer_model or ""
    for chunk in replay_chunks(done.body, inference_id=exchange.id, model=model, created=int(exchange.at)):
        yield sse(chunk)
    for piece in final_chunks(exchange, done):
        yield piece


class PassThrough:
    """One stream that cannot escalate: from the upstream to the client without delay.

    `open` finds an upstream that answers, or raises before anything was sent; `on_answered` is called when the whole
    answer has gone out.
    """

    def __init__(self, router: Router, exchange: Exchange, on_answered: Callable[[], object]) -> None:
        self._router = router
        self._on_answered = on_answered
        self._exchange = exchange
        self._account = StreamAccount()
        self._arm = exchange.decision.arm
        self._began = 0.0
        self._chunks: AsyncGenerator[Chunk, None] | None = None
        self._first: Chunk | None = None

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Make the decision durable, wait for the first chunk, from another arm where one fails, and return the stream.

        Raises:
            BudgetExceeded: the key has reached its budget; nothing is stored.
            AppError: nobody answers; the failure is stored.
        """
        stream = self._stream()
        await anext(stream)
        return stream

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        with self._router.charged(self._exchange):
            await self._open()
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    yield piece

    async def _open(self) -> None:
        exchange, router = self._exchange, self._router
        exchange.streamed = True
        opened = exchange.decision_row("open", keep_content=False)
        await router.journal.append(Entry(None, exchange.id, exchange.at, {}, (opened,)))
        try:
            while self._first is None:
                await self._connect()
        except AppError:
            entry = exchange.entry("failed", keep_content=router.keep_content, account="background")
            await router.journal.append(entry)
            raise
        except asyncio.CancelledError:
            usd = exchange.decision.costs_usd.get(self._arm, 0.0)
            router.note_cancelled(exchange, self._arm, time.perf_counter() - self._began, "answer", usd)
            self._store("cancelled", "background")
            raise

    async def _connect(self) -> None:
        router, exchange = self._router, self._exchange
        self._began = time.perf_counter()
        endpoint = router.pool.endpoint(self._arm)
        router.pool.breaker.tries(self._arm, time.monotonic())
        self._chunks = router.provider_of(self._arm).stream(
            endpoint, upstream_body(exchange.body), timeout_s=router.timeout_s
        )
        try:
            self._first = await anext(self._chunks)
        except (CallFailed, StopAsyncIteration) as err:
            exchange.upstream_s += time.perf_counter() - self._began
            failed = err if isinstance(err, CallFailed) else CallFailed("garbage", "the stream was empty")
            router.note_failure(exchange, self._arm, failed)
            self._arm = router.next_after_failure(exchange) or self._arm
        else:
            exchange.upstream_s += time.perf_counter() - self._began
            exchange.under_way = 1

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the stream as the client gets it, and account it however it ends."""
        try:
            async for chunk in self._relayed():
                yield chunk
        except CallFailed as err:
            self._finish("failed", "background", err)
            self._router.pool.breaker.failed(self._arm, time.monotonic())
            yield sse(error_body(UpstreamFailed(f"The stream of {self._arm} broke off: {err.message}")))
        except (asyncio.CancelledError, GeneratorExit):
            self._finish("cancelled", "background", CallFailed("cancelled", "the client went away"))
            raise
        else:
            done = self._finish("answered", "request", None)
            self._on_answered()
            for piece in final_chunks(self._exchange, done):
                yield piece

    async def _relayed(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        assert self._chunks is not None  # open() came first
        assert self._first is not None
        async with aclosing(self._chunks) as chunks:
            # Taken by open(): a stream that has begun is closed and accounted also where nobody ever reads it.
            yield b""
            chunk: Chunk | None = self._first
            while chunk is not None:
                self._account.add(chunk)
                if chunk["choices"]:
                    named = relabel(chunk, inference_id=exchange.id, model=self._arm, created=int(exchange.at))
                    yield sse(named)
                chunk = await anext(chunks, None)

    def _finish(self, status: Status, account: Account, error: CallFailed | None) -> Completion:
        """Account what came, whole or not, and store it."""
        exchange, router = self._exchange, self._router
        latency_s = time.perf_counter() - self._began
        exchange.under_way = 0
        try:
            done = read_completion(self._account.body(), request=exchange.body, latency_s=latency_s)
        except NotACompletion as err:
            raise CallFailed("garbage", str(err), latency_s=latency_s) from err
        cost_usd = router.pool.endpoint(self._arm).cost_usd(done.input_tokens, done.output_tokens)
        if error is None:
            router.pool.breaker.succeeded(self._arm)
            row = exchange.succeeded(self._arm, done, cost_usd)
            exchange.answered_step = row.step
            exchange.confidence = exchange.decision.qualities.get(self._arm)
        else:
            row = exchange.failed(self._arm, error, cost_usd=cost_usd)
            row.input_tokens, row.output_tokens = done.input_tokens, done.output_tokens
        self._store(status, account)
        return done

    def _store(self, status: Status, account: Account) -> None:
        # The client must not wait for the disk, and a cancelled request must not take its record with it.
        router = self._router
        entry = self._exchange.entry(status, keep_content=router.keep_content, account=account)
        router.background.keep(router.journal.append(entry))
        if status == "answered":
            router.afterwards(self._exchange)
