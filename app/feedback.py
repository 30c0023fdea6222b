"""One feedback's whole story: check all of it, store it durably, and only then say so.

What an item is worth is settled here, at its arrival, and stored with it: a reward, or the seal of a demonstrated
answer. Feedback on an episode becomes one row for each of its answers.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uuid_utils import uuid7

from app.errors import AppError, Conflict, InferenceNotFound, Unprocessable
from app.learning import Learning
from app.providers.completion import text_of
from app.schemas.base import EPISODE
from app.schemas.feedback import FeedbackItem, parse_feedback, reward_of
from app.schemas.metrics import Metric
from app.seals import Seals
from app.storage.errors import KeyConflict
from app.storage.journal import Journal
from app.storage.repository import CONTENT_METRICS
from app.storage.tables import DecisionRow, FeedbackRow
from learner.answers import extract
from learner.ratings import DEMONSTRATION

DAY_S = 86_400
MOST_ANSWERS = 5_000
"""Answers that one request may give feedback on; only episodes can make them more than its items."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Takes feedback; what it teaches is folded in after its commit.

    Args:
        learning: Knows the inferences.
        journal: Stores the feedback.
        metrics: Declared metrics, by name.
        clock: Seconds since 1970.
        keep_content: Store comments and demonstrations.
        window_days: How long after an answer feedback on it is accepted.
        seals: Seal demonstrations, bodies and idempotency keys.
        sentiment: Gives the reward of a comment, None where it is not clear; None: comments have no reward.
    """

    learning: Learning
    journal: Journal
    metrics: Mapping[str, Metric]
    clock: Callable[[], float]
    keep_content: bool
    window_days: float
    seals: Seals
    sentiment: Callable[[str], float | None] | None

    async def record(self, raw: bytes, *, idempotency_key: str | None, key_id: str | None) -> dict[str, Any]:
        """Store one feedback or a list of up to 1,000, whole or not at all.

        Args:
            raw: The body as it came.
            idempotency_key: The header, if any; the same key and body again get the same answer.
            key_id: The key that sent it.

        Returns:
            `{"feedback_id": …}`, or `{"feedback_ids": […]}` for a list.

        Raises:
            Unprocessable: an item is malformed or too late, or a value is of the wrong type or range.
            InferenceNotFound: an item names an unknown inference or episode.
            Conflict: the idempotency key was used with another body.
        """
        # A client may make its key of the content, and whoever has the database could try out what that was.
        key = self.seals.whole(f"{key_id or ''}:{idempotency_key}".encode()) if idempotency_key else None
        body_hash = self.seals.whole(raw)
        try:
            return await self._record(raw, key, body_hash)
        except KeyConflict as err:
            told = f"Idempotency-Key {idempotency_key!r} was used before with another body; use a new key"
            raise Conflict(told, code="idempotency_conflict") from err

    async def _record(self, raw: bytes, key: str | None, body_hash: str) -> dict[str, Any]:
        try:
            items = parse_feedback(raw)
            rows = await self._rows(items)
        except AppError:
            # What was accepted once stays accepted, even if it is too late by now.
            if key and (told := await self.journal.reply_to(key, body_hash)) is not None:
                return told
            raise
        ids = [of_item[0].id.partition(".")[0] for of_item in rows]
        response: dict[str, Any] = {"feedback_ids": ids} if raw.lstrip().startswith(b"[") else {"feedback_id": ids[0]}
        flat = [row for of_item in rows for row in of_item]
        return await self.journal.append_feedback(
            flat, key=key, body_hash=body_hash, response=response, at=self.clock()
        )

    async def _rows(self, items: Sequence[FeedbackItem]) -> list[list[FeedbackRow]]:
        """Check every item and return its rows, one for each answer that it is about."""
        rewards = [reward_of(item, self.metrics, index=i) for i, item in enumerate(items)]
        rows: list[list[FeedbackRow]] = []
        count = 0
        for i, (item, reward) in enumerate(zip(items, rewards, strict=True)):
            decisions = await self._decisions(item, i)
            count += len(decisions)
            if count > MOST_ANSWERS:
                told = (
                    f"item {i}: with its episodes the list is about more than {MOST_ANSWERS} answers; send fewer items"
                )
                raise Unprocessable(told, param=f"tags.{EPISODE}")
            rows.append(self._rows_of(item, await self._worth(item, reward), decisions))
        return rows

    async def _worth(self, item: FeedbackItem, reward: float | None) -> float | None:
        """Return the reward of an item; a comment is read off the event loop."""
        if item.metric_name != "comment" or self.sentiment is None:
            return reward
        return await asyncio.to_thread(self.sentiment, item.value)

    async def _decisions(self, item: FeedbackItem, index: int) -> list[DecisionRow]:
        if item.inference_id is None:
            return await self._episode(item, index)
        decision = (await self.learning.inference(item.inference_id)).decision
        if decision is None:
            raise InferenceNotFound(
                f"item {index}: no inference has the id {item.inference_id!r}; send the id of a response",
                param="inference_id",
            )
        days = (self.clock() - decision.created_at) / DAY_S
        if days > self.window_days:
            raise Unprocessable(
                f"item {index}: {item.inference_id!r} was answered {days:.1f} days ago, and feedback is accepted for "
                f"{self.window_days:g} days (feedback.window_days); send it earlier",
                param="inference_id",
                code="feedback_too_late",
            )
        return [decision]

    async def _episode(self, item: FeedbackItem, index: int) -> list[DecisionRow]:
        name = item.tags[EPISODE]
        if item.metric_name == DEMONSTRATION:
            told = f"item {index}: a demonstration is about one answer, not an episode; send its inference_id"
            raise Unprocessable(told, param="inference_id")
        since = self.clock() - self.window_days * DAY_S
        decisions = await self.learning.episode(name, since, MOST_ANSWERS + 1)
        if not decisions:
            raise InferenceNotFound(
                f"item {index}: no inference of the last {self.window_days:g} days has the tag episode {name!r}; "
                "send it with the requests, in router.tags",
                param=f"tags.{EPISODE}",
            )
        return decisions

    def _rows_of(self, item: FeedbackItem, reward: float | None, decisions: Sequence[DecisionRow]) -> list[FeedbackRow]:
        feedback_id = f"fb-{uuid7().hex}"
        if item.inference_id is not None:
            return [self._row(feedback_id, item, reward, decisions[0])]
        rows = [self._row(f"{feedback_id}.{i}", item, reward, decision) for i, decision in enumerate(decisions)]
        for row in rows:
            row.episode, row.share = item.tags[EPISODE], 1.0 / len(rows)
        return rows

    def _row(self, row_id: str, item: FeedbackItem, reward: float | None, decision: DecisionRow) -> FeedbackRow:
        is_content = item.metric_name in CONTENT_METRICS
        return FeedbackRow(
            id=row_id,
            inference_id=decision.id,
            metric=item.metric_name,
            value=None if is_content and not self.keep_content else item.value,
            reward=reward,
            seal=self._seal(item.value, decision.prompt) if item.metric_name == DEMONSTRATION else None,
            user=decision.user or decision.key_id,
            source=item.source,
            tags=dict(item.tags),
            occurred_at=item.occurred_at.timestamp() if item.occurred_at else None,
            received_at=self.clock(),
        )

    def _seal(self, value: Any, prompt: str | None) -> str:
        """Seal a demonstration as its answer would be: read with its question, where that is stored."""
        text = text_of(value["content"] if isinstance(value, dict) else value)
        return self.seals.answer(extract(text, prompt or ""), text, is_sure=prompt is not None)
