"""Whether what happens now is learned, and if it is not, or hardly, why: said in words, and as a code for metrics."""

from dataclasses import dataclass
from typing import Literal

from app.learning import Learning
from learner.report import MIN_OBSERVATIONS
from learner.types import Freeze

DAY_S = 86_400.0
NO_FEEDBACK_DAYS = 7
MANY_REQUESTS = 1_000
MANY_WAITING = 1_000

Code = Literal[
    "none", "writer_failed", "unreadable", "frozen", "catching_up", "behind", "events_failed", "features_changed",
    "too_little_data", "no_feedback",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LearningState:
    """What is learned now.

    Args:
        state: `on`, also where a reason says that it is little; `frozen` by the operator; `off` where nothing can be.
        code: Why, in one word.
        reason: Why, in words; None where everything is learned.
    """

    state: Literal["on", "frozen", "off"]
    code: Code = "none"
    reason: str | None = None


def learning_state(learning: Learning, now_s: float) -> LearningState:
    """Return what is learned now; of several reasons the weightiest.

    Args:
        learning: The learner.
        now_s: Seconds since 1970.
    """
    if not learning.is_running:
        return LearningState("off", "writer_failed", "the learner has stopped; see the service's log, and restart it")
    if learning.unread is not None:
        return LearningState("off", "unreadable", f"the log cannot be read, and is tried again: {learning.unread}")
    if learning.view.freeze is not None:
        return LearningState("frozen", "frozen", told_of(learning.view.freeze))
    code, reason = _trouble(learning) or _want(learning, now_s) or ("none", None)
    return LearningState("on", code, reason)


def told_of(freeze: Freeze) -> str:
    """Say since when learning is frozen, and by whom."""
    by = "" if freeze.by is None else f" by key {freeze.by}"
    return f"frozen{by} at {freeze.since_s:.0f} (seconds since 1970); `headrace policy unfreeze` ends it"


def _trouble(learning: Learning) -> tuple[Code, str] | None:
    """Return what keeps the learner from learning everything at once."""
    if learning.is_catching_up:
        return "catching_up", "what came while learning was frozen is being learned"
    if learning.behind > MANY_WAITING:
        return "behind", f"{learning.behind} events wait to be learned"
    if learning.failed:
        return "events_failed", f"{learning.failed} events could not be learned since the start; see the service's log"
    return None


def _want(learning: Learning, now_s: float) -> tuple[Code, str] | None:
    """Return what there is too little of to learn from."""
    observations, requests = learning.seen
    if observations < MIN_OBSERVATIONS:
        few = f"{observations} observations are few, {MIN_OBSERVATIONS} make a first picture"
        if learning.of_other_features:
            passed = f"{learning.of_other_features} earlier requests have other features and teach nothing"
            return "features_changed", f"the features have changed: {passed}; {few}"
        return "too_little_data", few
    if learning.last_feedback_at is None:
        return ("no_feedback", f"no feedback yet on {requests} requests") if requests >= MANY_REQUESTS else None
    days = (now_s - learning.last_feedback_at) / DAY_S
    if days >= NO_FEEDBACK_DAYS:
        return "no_feedback", f"no feedback for {days:.0f} days; answers that can be compared still teach"
    return None
