"""One feedback's whole story: check all of it, store it durably, and only then say so."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from uuid_utils import uuid7

from app.errors import Conflict, InferenceNotFound
from app.learning import Learning
from app.schemas.feedback import FeedbackItem, parse_feedback, reward_of
from app.schemas.metrics import Metric
from app.storage.errors import KeyConflict
from app.storage.journal import Journal
from app.storage.repository import CONTENT_METRICS
from app.storage.tables import DecisionRow, FeedbackRow


@dataclass(frozen=True, slots=True)
class Feedback:
    """Takes feedback; what it teaches is folded in after its commit.

    Args:
        learning: Knows the inferences.
        journal: Stores the feedback.
        metrics: Declared metrics, by name.
        clock: Seconds since 1970.
        keep_content: Store comments and demonstrations.
    """

    learning: Learning
    journal: Journal
    metrics: Mapping[str, Metric]
    clock: Callable[[], float]
    keep_content: bool

    async def record(self, raw: bytes, *, idempotency_key: str | None, key_id: str | None) -> dict[str, Any]:
        """Store one feedback or a list of up to 1,000, whole or not at all.

        Args:
            raw: The body as it came.
            idempotency_key: The header, if any; the same key and body again get the same answer.
            key_id: The key that sent it.

        Returns:
            `{"feedback_id": …}`, or `{"feedback_ids": […]}` for a list.

        Raises:
            Unprocessable: an item is malformed, or a value is of the wrong type or range.
            InferenceNotFound: an item names an unknown inference.
            Conflict: the idempotency key was used with another body.
        """
        items = parse_feedback(raw)
        rewards = [reward_of(item, self.metrics, index=i) for i, item in enumerate(items)]
        decisions = [await self._decision(item, i) for i, item in enumerate(items)]
        rows = [
            self._row(item, reward, decision) for item, reward, decision in zip(items, rewards, decisions, strict=True)
        ]
        ids = [row.id for row in rows]
        response: dict[str, Any] = {"feedback_ids": ids} if raw.lstrip().startswith(b"[") else {"feedback_id": ids[0]}
        try:
            return await self.journal.append_feedback(
                rows,
                key=f"{key_id or ''}:{idempotency_key}" if idempotency_key else None,
                body_hash=hashlib.sha256(raw).hexdigest(),
                response=response,
                at=self.clock(),
            )
        except KeyConflict as err:
            told = f"Idempotency-Key {idempotency_key!r} was used before with another body; use a new key"
            raise Conflict(told, code="idempotency_conflict") from err

    async def _decision(self, item: FeedbackItem, index: int) -> DecisionRow:
        decision = (await self.learning.inference(item.inference_id)).decision
        if decision is None:
            raise InferenceNotFound(
                f"item {index}: no inference has the id {item.inference_id!r}; send the id of a response",
                param="inference_id",
            )
        return decision

    def _row(self, item: FeedbackItem, reward: float | None, decision: DecisionRow) -> FeedbackRow:
        is_content = item.metric_name in CONTENT_METRICS
        return FeedbackRow(
            id=f"fb-{uuid7().hex}",
            inference_id=item.inference_id,
            metric=item.metric_name,
            value=None if is_content and not self.keep_content else item.value,
            reward=reward,
            user=decision.user or decision.key_id,
            source=item.source,
            tags=dict(item.tags),
            occurred_at=item.occurred_at.timestamp() if item.occurred_at else None,
            received_at=self.clock(),
        )
