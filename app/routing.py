"""One request's whole story: decide, call, judge, stop or go on, store, answer.

Nothing is learned here: the story ends in the journal, and what it teaches is folded in later. The decision and all its
calls are durable before the first byte of the answer leaves, so that no feedback can come too early.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.background import Background
from app.budgets import Budgets
from app.decompose import decompose, part_body
from app.errors import AppError, BadRequest, Unavailable
from app.exchange import Exchange
from app.failures import nobody_answered, rejected
from app.fusion import fuse, with_panel
from app.hearing import Hearing
from app.learning import Learning
from app.pool import Pool
from app.probing import Probing
from app.providers.base import CallFailed, Completion, Provider
from app.quizzing import Quizzing
from app.requests import (
    input_chars,
    is_controllable,
    is_routed,
    limits_of,
    query_of,
    refuse_impossible,
    upstream_body,
)
from app.schemas.base import EPISODE
from app.schemas.chat import ChatRequest
from app.seals import Seals
from app.settings import Decomposition
from app.storage.journal import Journal
from app.storage.tables import CallRow, Purpose
from learner.errors import NoEligibleArm
from learner.features import Features, components_of
from learner.policy import Ask, Stop, View
from learner.types import ANSWERING, Context, Decision, Limits


@dataclass(frozen=True, slots=True)
class Router:
    """What routing needs; built once, by `app.main`.

    Args:
        features: Turns queries into contexts.
        learning: Gives the present view.
        journal: Stores what happened.
        pool: The models and their breaker.
        providers: By the `provider` of a model's entry.
        judging: The judges that call upstreams.
        background: Comparisons that no client waits for.
        probing: Probes, likewise.
        quizzing: Quizzes of new models, likewise.
        rng: Draws the first arm; the propensity is stored.
        clock: Seconds since 1970.
        timeout_s: Seconds for one upstream call.
        keep_content: Store prompts and answers.
        objective: Names the kind of objective that rules a key.
        budgets: What the keys may spend.
        seals: Compare with demonstrated answers.
        decomposition: How compound requests are split.
        control_share: Share of the requests that a control answers, in [0, 1].
    """

    features: Features
    learning: Learning
    journal: Journal
    pool: Pool
    providers: dict[str, Provider]
    hearing: Hearing
    background: Background
    probing: Probing
    quizzing: Quizzing
    rng: np.random.Generator
    clock: Callable[[], float]
    timeout_s: float
    keep_content: bool
    objective: Callable[[str | None], str]
    budgets: Budgets
    seals: Seals
    decomposition: Decomposition
    control_share: float

    @property
    def view(self) -> View:
        """What is believed now."""
        return self.learning.view

    def begin(
        self,
        request: ChatRequest,
        body: dict[str, object],
        *,
        user: str | None,
        key_id: str | None,
        policy: str | None = None,
    ) -> Exchange:
        """Decide who answers first; nothing is called yet. A part is decided by the `policy` of its parent.

        Raises:
            ModelNotFound: the request names a model that is not in the pool.
            BadRequest: no model of the pool may answer it.
            Unavailable: models could, and all of them fail just now.
        """
        started = time.perf_counter()
        query = query_of(body)
        refuse_impossible(request, query)
        view = self._drawn(request.model, policy)
        context = replace(self.features.context(query, view.taxonomy), input_chars=input_chars(body))
        query_seal = self.seals.query(query.text)
        down = self.pool.unavailable()
        at = self.clock()
        allowed = limits_of(request, query, context.input_chars, down)
        limits = replace(
            allowed,
            account=key_id, explore=allowed.explore and view.freeze is None,
            explore_usd=self.budgets.left_usd(key_id, at),
            control_share=self.control_share if is_controllable(request) and policy is None else 0.0,
        )  # fmt: skip
        decision = self._decide(view, request.model, context, limits, at)
        if decision.control is not None:
            # It answers alone: no second model, no judge, no comparison, no probe.
            limits = replace(limits, depth=1, explore=False)
        exchange = Exchange(
            request=request, body=body, query=query, context=context, limits=limits, decision=decision,
            user=request.user or user, key_id=key_id, at=at, objective=self.objective(key_id),
            embed=self.features.embed, started=started, seals=self.seals, query_seal=query_seal,
            reference=view.references.find(query_seal, components_of(context)), learning=self.learning.state,
        )  # fmt: skip
        self._prepare(exchange)
        return exchange

    def _prepare(self, exchange: Exchange) -> None:
        """Say how much a composed answer may cost, and who makes it."""
        options, at = exchange.request.router, exchange.at
        if not options.fusion and not options.decompose:
            return
        limits = (options.max_cost_usd, self.decomposition.max_cost_usd if options.decompose else None)
        exchange.limit_usd = min(self.budgets.left_usd(exchange.key_id, at), *(usd for usd in limits if usd), math.inf)
        if options.fusion:
            with_panel(exchange, self.view_of(exchange))
        else:
            exchange.composing_usd = exchange.decision.costs_usd.get(exchange.decision.arm, 0.0)

    def view_of(self, exchange: Exchange) -> View:
        """What is believed now, under the version of the policy that decided a request."""
        return self.learning.view.under(exchange.decision.policy_version)

    def _drawn(self, model: str, policy: str | None) -> View:
        view = self.learning.view
        if policy is not None:
            return view.under(policy)
        return view.drawn(self.rng) if is_routed(model) else view

    def _decide(self, view: View, model: str, context: Context, limits: Limits, at: float) -> Decision:
        reserved_usd = self.learning.reserved_usd(at)
        if not is_routed(model):
            self.pool.entry(model)
            return pinned(model, view, context, view.price(limits))
        try:
            return view.decide(context, limits, self.rng, reserved_usd=reserved_usd)
        except NoEligibleArm as err:
            try:
                limits = replace(limits, unavailable=frozenset())
                return view.decide(context, limits, self.rng, reserved_usd=reserved_usd)
            except NoEligibleArm:
                kind: type[AppError] = BadRequest if view.arms else Unavailable
                raise kind(f"{str(err).capitalize()}; change the router object, or the pool", param="router") from err

    async def complete(self, exchange: Exchange) -> Completion:
        """Answer a request: returns the completion whose answer it is, with everything about it stored.

        Raises:
            BadRequest: an upstream refused the request itself.
            BudgetExceeded: the key has reached its budget; nothing is stored.
            UpstreamFailed: no model answered.
        """
        with self.charged(exchange):
            return await self._complete(exchange)

    def hold(self, exchange: Exchange) -> None:
        """Hold what a decision's exploration is expected to cost; to be called before anybody else can decide."""
        if exchange.is_explored:
            self.learning.exploring.hold("request", exchange.paid_by, exchange.decision.explored_usd)

    def settle(self, exchange: Exchange) -> None:
        """Hold what a request's exploration has really cost, until that is learned."""
        self.learning.exploring.settle("request", exchange.id, exchange.explored_usd)

    @contextmanager
    def charged(self, exchange: Exchange) -> Iterator[None]:
        """Count a request, and hold it against its key's budget, while it is under way; charge it at its end.

        Raises:
            BudgetExceeded: on entering, where the budget is reached.
        """
        try:
            with (
                self.background.requests.request(),
                self.budgets.charged(
                    exchange.key_id, exchange.at, expected_usd=exchange.expected_usd, cost_usd=lambda: exchange.cost_usd
                ),
            ):
                yield
        finally:
            self.settle(exchange)

    async def _complete(self, exchange: Exchange) -> Completion:
        try:
            await self._converse(exchange)
        except asyncio.CancelledError:
            self.background.keep(self.journal.append_all(
                exchange.entries("cancelled", keep_content=self.keep_content, account="background")
            ))  # fmt: skip
            raise
        except AppError:
            # In no response's usage, so in the background's account.
            entries = exchange.entries("failed", keep_content=self.keep_content, account="background")
            await self.journal.append_all(entries)
            raise
        await self.journal.append_all(exchange.entries("answered", keep_content=self.keep_content))
        for answered in (exchange, *exchange.parts):
            self.afterwards(answered)
        assert exchange.answered_step is not None  # _converse returns only with an answer
        return exchange.completions[exchange.answered_step]

    def afterwards(self, exchange: Exchange) -> None:
        """Start what may be learned from an answer in the background, now that it is on its way."""
        self.quizzing.take(exchange)
        self.background.compare(exchange)
        self.probing.draw(exchange)

    async def _converse(self, exchange: Exchange) -> None:
        """Call arms until the policy stops."""
        arm = await self._composed(exchange)
        while arm is not None:
            done = await self.call(exchange, arm)
            if done is None:
                arm = self.next_after_failure(exchange)
                continue
            arm = await self._judged_step(exchange, done)

    async def _composed(self, exchange: Exchange) -> str | None:
        """Make one answer of several where the request wants that; returns whom to ask first where there is none."""
        if exchange.decision.panel:
            return None if await fuse(self, exchange) else self.next_after_failure(exchange)
        if exchange.request.router.decompose:
            if await decompose(self, exchange, self.decomposition):
                return None
            exchange.spent_on_parts()
        return exchange.decision.arm

    def part_of(self, exchange: Exchange, text: str, *, limit_usd: float) -> Exchange:
        """Begin a part of a request: a query of its own, with a decision of its own."""
        left = {"max_cost_usd": limit_usd} if math.isfinite(limit_usd) else {}
        # One answer of an episode is one, in however many parts it was made.
        tags = {name: value for name, value in exchange.request.router.tags.items() if name != EPISODE}
        options = exchange.request.router.model_copy(update={"decompose": False, "tags": tags, **left})
        request = exchange.request.model_copy(update={"router": options, "stream": False})
        part = self.begin(
            request,
            part_body(exchange.body, text),
            user=exchange.user,
            key_id=exchange.key_id,
            policy=exchange.decision.policy_version,
        )
        part.parent_id = exchange.id
        self.hold(part)
        return part

    async def answer_part(self, part: Exchange) -> None:
        """Have a part answered; it has no `answered_step` afterwards where nobody could."""
        # Its calls tell how it failed; the merger answers it.
        with suppress(AppError):
            await self._converse(part)

    async def judge(self, exchange: Exchange, row: CallRow) -> None:
        """Let the judges whose opinion is worth its price see an answer."""
        if self.hearing.has_judges:
            await self.hearing.hear(exchange, row)

    async def _judged_step(self, exchange: Exchange, row: CallRow) -> str | None:
        """Let judges see a new answer, then stop (None) or name the next arm."""
        if exchange.decision.stage == "pinned":
            exchange.answered_step, exchange.confidence = row.step, exchange.decision.qualities.get(row.model)
            return None
        step = self._step(exchange)
        if self.hearing.has_judges and exchange.limits.depth != 1:
            await self.hearing.hear(exchange, row)
            step = self._step(exchange)
        if isinstance(step, Ask):
            return step.arm
        exchange.answered_step, exchange.confidence = step.step, step.confidence
        return None

    def _step(self, exchange: Exchange) -> Stop | Ask:
        return self.view_of(exchange).next_step(exchange.context, exchange.limits, exchange.calls, exchange.judged)

    async def call(
        self,
        exchange: Exchange,
        arm: str,
        *,
        purpose: Purpose = "answer",
        body: Mapping[str, Any] | None = None,
        expected_usd: float | None = None,
    ) -> CallRow | None:
        """Call one arm; None where it failed, which is recorded.

        Args:
            exchange: The request.
            arm: Whom to call.
            purpose: What for.
            body: What it is sent, where that is not the request itself.
            expected_usd: What it is expected to cost then.

        Raises:
            BadRequest: the upstream refused the request itself, so that no other model is tried.
        """
        endpoint = self.pool.endpoint(arm)
        self.pool.breaker.tries(arm, time.monotonic())
        began = time.perf_counter()
        try:
            done = await self.provider_of(arm).complete(
                endpoint, upstream_body(body or exchange.body), timeout_s=self.timeout_s
            )
        except CallFailed as err:
            self.note_failure(exchange, arm, err, purpose)
            return None
        except asyncio.CancelledError:
            usd = exchange.decision.costs_usd.get(arm, 0.0) if expected_usd is None else expected_usd
            self.note_cancelled(exchange, arm, time.perf_counter() - began, purpose, usd)
            raise
        finally:
            exchange.upstream_s += time.perf_counter() - began
        self.pool.breaker.succeeded(arm)
        cost_usd = endpoint.cost_usd(done.input_tokens, done.output_tokens)
        return exchange.succeeded(arm, done, cost_usd, purpose=purpose)

    def provider_of(self, arm: str) -> Provider:
        """Return the provider that calls a model."""
        return self.providers["fake" if self.pool.is_fake(arm) else "openai"]

    def note_failure(self, exchange: Exchange, arm: str, error: CallFailed, purpose: Purpose = "answer") -> None:
        """Record a failed call.

        Raises:
            BadRequest: the upstream refused the request itself.
        """
        exchange.failed(arm, error, purpose=purpose)
        if error.client_fault and exchange.decision.stage == "pinned":
            raise rejected(error) from error
        if error.client_fault:
            # It refused this request, so it is up.
            self.pool.breaker.succeeded(arm)
        else:
            self.pool.breaker.failed(arm, time.monotonic())

    def note_cancelled(
        self, exchange: Exchange, arm: str, seconds: float, purpose: Purpose, expected_usd: float
    ) -> None:
        """Record a call whose client went away, at its expected cost: the upstream may bill it all the same."""
        error = CallFailed("cancelled", "the client went away", latency_s=seconds)
        exchange.failed(arm, error, purpose=purpose, cost_usd=expected_usd)

    def next_after_failure(self, exchange: Exchange) -> str | None:
        """Choose who answers in place of an arm that failed; None where an earlier answer stands.

        Raises:
            UpstreamFailed: there is nobody left.
        """
        exchange.has_fallen_back = True
        failed = {row.model for row in exchange.rows if row.outcome != "ok" and row.purpose in ANSWERING}
        exchange.limits = replace(exchange.limits, unavailable=exchange.limits.unavailable | failed, explore=False)
        if any(row.outcome == "ok" and row.purpose == "answer" for row in exchange.rows):
            step = self._step(exchange)
            if isinstance(step, Ask):
                return step.arm
            exchange.answered_step, exchange.confidence = step.step, step.confidence
            return None
        if exchange.decision.stage != "pinned":
            try:
                return self.view_of(exchange).decide(exchange.context, exchange.limits, self.rng).arm
            except NoEligibleArm:
                pass
        raise nobody_answered(exchange)


def pinned(model: str, view: View, context: Context, lambda_: float) -> Decision:
    """Return the decision of a client that named the model."""
    # A model that was registered a moment ago may not have reached the learner yet.
    known = model in view.positions
    costs_usd = {model: float(view.cost.predict(context)[view.index(model)])} if known else {}
    qualities = {model: float(view.quality.mean(context)[view.index(model)])} if known else {}
    return Decision(
        arm=model, probabilities={model: 1.0}, propensity=1.0, scores={}, qualities=qualities, costs_usd=costs_usd,
        lambda_=lambda_, stage="pinned", explored_share=None, policy_version=view.parameters.name, category="",
    )  # fmt: skip
