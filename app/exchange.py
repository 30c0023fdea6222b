"""One request under way: its decision, its calls, its answers, and the rows that will tell of it.

An exchange is filled by `routing` (or by a stream) and then written to the journal once. It holds content in memory
only; rows get prompt and answer where the configuration says so.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from uuid_utils import uuid7

from app.formats import format_signals
from app.providers.base import CallFailed, Completion
from app.providers.completion import text_of
from app.replay import pack_context
from app.requests import prompt_of
from app.schemas.base import EPISODE
from app.schemas.chat import ChatRequest
from app.seals import Seals
from app.storage.batch import Entry
from app.storage.tables import Account, CallRow, DecisionRow, JudgeScoreRow, Purpose, Status
from learner.answers import NOTHING, Answer, extract, same
from learner.likeness import READ_CHARS, likeness
from learner.references import agrees
from learner.relevance import is_comparable, relevance
from learner.signals import signals
from learner.types import ANSWERING, Call, Context, Decision, JudgeScore, Limits, Query

Composed = Literal["vote", "best", "synthesize", "decompose"]
"""How one answer was made of several."""

ASKED = -1
# Calls that no client waits for, and that exploration pays for whole.
UNASKED: frozenset[Purpose] = frozenset({"shadow", "quiz"})


def new_inference_id() -> str:
    """Return a fresh id, ordered in time, in the form that OpenAI's clients know."""
    return f"chatcmpl-{uuid7().hex}"


@dataclass(slots=True)
class Exchange:
    """Everything about one request that is not yet in the log."""

    request: ChatRequest
    body: Mapping[str, Any]
    query: Query
    context: Context
    limits: Limits
    decision: Decision
    user: str | None
    key_id: str | None
    at: float
    objective: str
    embed: Callable[[str], NDArray[np.float32]]
    seals: Seals
    query_seal: str
    reference: str | None
    learning: str = "on"
    started: float = field(default_factory=time.perf_counter)
    id: str = field(default_factory=new_inference_id)
    rows: list[CallRow] = field(default_factory=list)
    scores: list[JudgeScoreRow] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    completions: dict[int, Completion] = field(default_factory=dict)
    meanings: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    upstream_s: float = 0.0
    answered_step: int | None = None
    confidence: float | None = None
    has_fallen_back: bool = False
    streamed: bool = False
    under_way: int = 0
    composed: Composed | None = None
    parts: list["Exchange"] = field(default_factory=list)
    parent_id: str | None = None
    limit_usd: float = math.inf
    composing_usd: float = 0.0

    @property
    def paid_by(self) -> str:
        """The inference whose `cost_usd` this one's belongs to: a part's is its parent's."""
        return self.parent_id or self.id

    @property
    def explored_usd(self) -> float:
        """What exploration has added to what the request costs, parts included; comparisons are told of apart."""
        own = sum(row.cost_usd * (row.explored_share or 0.0) for row in self.rows if row.purpose not in UNASKED)
        return own + sum(part.explored_usd for part in self.parts)

    # -- calls ----------------------------------------------------------------------------------------------------

    def succeeded(self, model: str, done: Completion, cost_usd: float, *, purpose: Purpose = "answer") -> CallRow:
        """Record a call that was answered: its answer joins the group of an equal one, if there is any."""
        step = self._next_step()
        message = done.body["choices"][0]["message"]
        text = text_of(message.get("content"))
        found = extract(text, prompt_of(self.body)) if purpose != "plan" else NOTHING
        row = self._row(model, step, purpose)
        row.input_tokens, row.output_tokens, row.cost_usd = done.input_tokens, done.output_tokens, cost_usd
        row.latency_s = done.latency_s
        if row.explored_share is not None and purpose == "answer":
            # Only an answer gives up quality: a call that failed is not what the user gets.
            row.explored_quality = self.decision.explored_quality
        row.answer_group = self._group(found)
        row.evidence = signals(
            done.text,
            finish_reason=done.finish_reason,
            wants_json=self.query.wants_json,
            logprobs=done.logprobs,
            has_tool_calls=done.has_tool_calls,
            states_answer=found.is_stated,
            contradicts_answer=found.is_contradicted,
        )
        self._hold_against_reference(row, found, done.text)
        self.answers[step], self.completions[step] = found, done
        row.evidence |= format_signals(self.body, message) | self._relevance(step)
        self.rows.append(row)
        if found.kind == "free" and purpose in ANSWERING:
            self._compare_meanings()
        return row

    def meaning(self, step: int) -> NDArray[np.float32]:
        """Return the embedding of an answer; that of the query for the step `ASKED`."""
        if step not in self.meanings:
            text = self.completions[step].text if step != ASKED else prompt_of(self.body)
            self.meanings[step] = self.embed(text[:READ_CHARS])
        return self.meanings[step]

    def _relevance(self, step: int) -> dict[str, float]:
        is_long = is_comparable(self.completions[step].text)
        return relevance(self.meaning(ASKED), self.meaning(step)) if is_long else {}

    def _hold_against_reference(self, row: CallRow, found: Answer, text: str) -> None:
        """Seal an answer, and note whether it is the one demonstrated for a near duplicate of the query."""
        if not text.strip():
            return
        row.seal = self.seals.answer(found, text)
        agreed = agrees(self.reference, row.seal) if self.reference is not None else None
        if agreed is not None:
            row.evidence["reference"] = 1.0 if agreed else -1.0

    def _compare_meanings(self) -> None:
        """Say of every free answer that is not stored yet how much it is like the one nearest to it."""
        answers = [row for row in self.rows if row.purpose in ANSWERING and row.step in self.answers]
        free = [row for row in answers if self.answers[row.step].kind == "free"]
        if len(free) < 2:
            return
        for row in free:
            if row.event_seq is None:
                others = [self.meaning(other.step) for other in free if other is not row]
                row.evidence = {**row.evidence, "likeness": likeness(self.meaning(row.step), others)}

    def failed(self, model: str, error: CallFailed, *, purpose: Purpose = "answer", cost_usd: float = 0.0) -> CallRow:
        """Record a call that brought no answer."""
        row = self._row(model, self._next_step(), purpose)
        row.outcome, row.status_code, row.latency_s = error.outcome, error.status_code, error.latency_s
        row.cost_usd = cost_usd
        self.rows.append(row)
        return row

    def _row(self, model: str, step: int, purpose: Purpose) -> CallRow:
        return CallRow(
            inference_id=self.id, step=step, model=model, purpose=purpose, outcome="ok",
            account="background" if purpose in UNASKED else "request",
            explored_share=self._explored_share(purpose), key_id=self.key_id, created_at=self.at,
        )  # fmt: skip

    def _explored_share(self, purpose: Purpose) -> float | None:
        if purpose in UNASKED:
            return 1.0
        is_first = all(row.purpose not in ("answer", "synthesis") for row in self.rows)
        return self.decision.explored_share if purpose == "answer" and is_first else None

    def _next_step(self) -> int:
        return sum(row.purpose != "judge" for row in self.rows)

    def _group(self, found: Answer) -> int | None:
        """Index of the group of equal answers; None for an answer that cannot be compared."""
        for row in self.rows:
            if row.answer_group is not None and same(self.answers[row.step], found):
                return row.answer_group
        if not found.key or found.kind == "free":
            return None
        return 1 + max((row.answer_group for row in self.rows if row.answer_group is not None), default=-1)

    # -- what the policy sees -------------------------------------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls as the learner sees them."""
        return tuple(
            Call(
                arm=row.model, step=row.step, purpose=row.purpose, outcome=row.outcome,
                output_tokens=row.output_tokens, cost_usd=row.cost_usd, group=row.answer_group,
                explored_share=row.explored_share, evidence=row.evidence,
            )
            for row in self.rows
        )  # fmt: skip

    @property
    def judged(self) -> tuple[JudgeScore, ...]:
        """The judges' scores as the learner sees them."""
        return tuple(JudgeScore(score.judge, score.step, score.score) for score in self.scores)

    @property
    def is_explored(self) -> bool:
        """Whether the first arm was drawn to find out, not because it looked best."""
        return self.decision.explored

    @property
    def attempts(self) -> int:
        """Calls made to answer, failed ones, one that still streams and those of the parts included."""
        own = sum(row.purpose in ("answer", "synthesis") for row in self.rows)
        return own + self.under_way + sum(part.attempts for part in self.parts)

    @property
    def cost_usd(self) -> float:
        """What the request has cost so far, judges and parts included; comparisons are not the request's."""
        return self.own_usd + sum(part.cost_usd for part in self.parts)

    @property
    def own_usd(self) -> float:
        """What the request itself has cost; the cost of a part stands in the part's own decision."""
        return sum(row.cost_usd for row in self.rows if row.purpose not in UNASKED)

    @property
    def left_usd(self) -> float:
        """What a composed answer may still cost."""
        return self.limit_usd - self.cost_usd

    def spent_on_parts(self) -> None:
        """Take what parts have cost off the request's limit, since their answers are not used."""
        most = self.limits.max_cost_usd
        if most is not None:
            self.limits = replace(self.limits, max_cost_usd=most - sum(part.cost_usd for part in self.parts))

    @property
    def expected_usd(self) -> float:
        """What its first call, or its panel with all that makes one answer of several, is expected to cost."""
        asked = self.decision.panel or (self.decision.arm,)
        return sum(self.decision.costs_usd.get(arm, 0.0) for arm in asked) + self.composing_usd

    @property
    def answer_model(self) -> str | None:
        """The model whose answer is returned."""
        given = (r for r in self.rows if r.step == self.answered_step and r.purpose in ("answer", "synthesis"))
        return next((row.model for row in given), None)

    @property
    def stage(self) -> str:
        """What decided, for the response's header."""
        if self.decision.stage == "pinned":
            return "pinned"
        if self.composed is not None:
            return self.composed
        if self.has_fallen_back:
            return "fallback"
        asked = sum(row.purpose == "answer" for row in self.rows) + self.under_way
        return "cascade" if asked > 1 else self.decision.stage

    @property
    def overhead_ms(self) -> float:
        """Milliseconds so far that were not spent waiting for an upstream."""
        return max(0.0, (time.perf_counter() - self.started - self.upstream_s) * 1e3)

    # -- rows -----------------------------------------------------------------------------------------------------

    def entries(self, status: Status, *, keep_content: bool, account: Account = "request") -> list[Entry]:
        """Return the events that tell of the whole request, those of its parts first."""
        parts = [
            part.entry(
                "answered" if part.answered_step is not None else "failed" if status == "answered" else status,
                keep_content=keep_content, account=account,
            )
            for part in self.parts
        ]  # fmt: skip
        return [*parts, self.entry(status, keep_content=keep_content, account=account)]

    def entry(self, status: Status, *, keep_content: bool, account: Account = "request") -> Entry:
        """Return the event that tells of the whole request."""
        for row in self.rows:
            row.account = account
        decision = self.decision_row(status, keep_content=keep_content)
        return Entry("request", self.id, self.at, {}, (decision, *self.rows, *self.scores))

    def decision_row(self, status: Status, *, keep_content: bool) -> DecisionRow:
        """Return the decision as a row."""
        decision, options = self.decision, self.request.router
        answer = self.completions.get(self.answered_step) if self.answered_step is not None else None
        return DecisionRow(
            id=self.id,
            parent_id=self.parent_id,
            created_at=self.at,
            user=self.user,
            key_id=self.key_id,
            session_id=options.session_id,
            tags=dict(options.tags),
            episode=options.tags.get(EPISODE),
            query_seal=self.query_seal,
            requested_model=self.request.model,
            objective=self.objective,
            stage=self.stage,
            arm=decision.arm,
            answer_model=self.answer_model,
            attempts=self.attempts,
            explored=self.is_explored,
            propensity=decision.propensity,
            probabilities=dict(decision.probabilities),
            control=decision.control,
            best_chance=decision.control_chances.get("best", 0.0),
            cheapest_chance=decision.control_chances.get("cheapest", 0.0),
            scores=dict(decision.scores),
            lambda_=decision.lambda_,
            policy_version=decision.policy_version,
            feature_version=self.context.version,
            context=pack_context(self.context),
            category=decision.category,
            confidence=self.confidence,
            cost_usd=self.own_usd,
            overhead_ms=self.overhead_ms,
            streamed=self.streamed,
            status=status,
            prompt=prompt_of(self.body) if keep_content else None,
            answer=answer.text if keep_content and answer is not None else None,
        )
