"""The judge `llm`: one model grades one answer by the rubric of its kind of task."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.judges.judge import Case, Opinion, Prompt
from app.judges.prompts import VERDICT, score_in, with_data
from app.judges.rubrics import rubric
from app.providers.base import Completion

INSTRUCTIONS = f"You grade answers of language models.\n{{rubric}}\n{VERDICT}"


@dataclass(frozen=True, slots=True)
class LlmJudge:
    """Asks a model for a score; see `Judge`."""

    id: str
    model: str
    timeout_s: float | None = None

    def prompts(self, case: Case) -> Sequence[Prompt]:
        """Ask for the score of the answer."""
        asked = with_data(
            INSTRUCTIONS.format(rubric=rubric(case.category)), QUESTION=case.query, ANSWER=case.answer.text
        )
        return [Prompt(self.model, (case.query, case.answer.text), [{"role": "user", "content": asked}])]

    def opinion(self, case: Case, replies: Sequence[Completion]) -> Opinion | None:
        """Read the score."""
        score = score_in(replies[0].text, case.query, case.answer.text)
        return None if score is None else {case.answer.step: score}
