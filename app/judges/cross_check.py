"""The judge `cross`: another model answers the query by itself, and its answer is compared with the one given.

It never sees the answer, so nothing in the answer can speak to it, and one reply serves all answers to the same query.
Final answers are compared where there are any, else meanings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.judges.judge import Case, Opinion, Prompt
from app.providers.base import Completion
from learner.answers import extract, same
from learner.estimators import sigmoid
from learner.likeness import READ_CHARS, likeness

AGREES, DIFFERS = 0.9, 0.1
CHARS_PER_TOKEN = 4
MOST_TOKENS = 2_048


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """Asks a model for its own answer; see `Judge`."""

    id: str
    model: str
    timeout_s: float | None = None

    def prompts(self, case: Case) -> Sequence[Prompt]:
        """Ask the query again; nothing where that model has answered it already."""
        if self.model in case.models:
            return []
        asked = case.conversation
        most = asked.get("max_completion_tokens") or asked.get("max_tokens")
        prompt = Prompt(
            self.model,
            (repr(asked["messages"]), repr(asked.get("response_format"))),
            asked["messages"],
            output_tokens=len(case.answer.text) // CHARS_PER_TOKEN + 1,
            most_tokens=most if isinstance(most, int) else MOST_TOKENS,
            options={"response_format": asked["response_format"]} if asked.get("response_format") else {},
        )
        return [prompt]

    def opinion(self, case: Case, replies: Sequence[Completion]) -> Opinion | None:
        """Compare the two answers; None where the one cannot be compared with the other."""
        own, given = extract(replies[0].text, case.query), case.answer.final
        if own.kind == given.kind == "free":
            alike = likeness(case.embed(case.answer.text[:READ_CHARS]), [case.embed(replies[0].text[:READ_CHARS])])
            return {case.answer.step: sigmoid(alike)} if replies[0].text.strip() else None
        if "free" in (own.kind, given.kind):
            return None
        return {case.answer.step: AGREES if same(own, given) else DIFFERS}
