"""The judge `pairwise`: one model says which of two different answers is better, in both orders.

A judge that prefers whatever comes first shows it by contradicting itself when the order is turned; then it has no
opinion. What it says of the one answer is the reverse of what it says of the other, so that both get a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.judges.judge import Case, Opinion, Prompt
from app.judges.prompts import VERDICT, score_in, with_data
from app.judges.rubrics import rubric
from app.providers.base import Completion

INSTRUCTIONS = f"""You compare two answers of language models to one question.
This is how one of them alone would be graded:
{{rubric}}
Your score compares them: 1 where the first answer is surely better, 0 where the second is, 0.5 where neither is.
The order in which they stand tells nothing.
{VERDICT}"""


@dataclass(frozen=True, slots=True)
class PairwiseJudge:
    """Asks a model twice which answer is better; see `Judge`."""

    id: str
    model: str
    timeout_s: float | None = None

    def prompts(self, case: Case) -> Sequence[Prompt]:
        """Ask which is better, in both orders; nothing where there is no other answer."""
        if case.rival is None:
            return []
        answer, rival = case.answer.text, case.rival.text
        return [self._prompt(case, answer, rival), self._prompt(case, rival, answer)]

    def _prompt(self, case: Case, first: str, second: str) -> Prompt:
        instructions = INSTRUCTIONS.format(rubric=rubric(case.category))
        asked = with_data(instructions, QUESTION=case.query, FIRST_ANSWER=first, SECOND_ANSWER=second)
        return Prompt(self.model, (case.query, first, second), [{"role": "user", "content": asked}])

    def opinion(self, case: Case, replies: Sequence[Completion]) -> Opinion | None:
        """Read how probable it is that each answer is the better one; None where the two orders contradict."""
        assert case.rival is not None  # else nothing was asked
        texts = case.query, case.answer.text, case.rival.text
        ahead, behind = (score_in(reply.text, *texts) for reply in replies)
        if ahead is None or behind is None or (ahead - 0.5) * (behind - 0.5) > 0.0:
            return None
        better = 0.5 * (ahead + 1.0 - behind)
        return {case.answer.step: better, case.rival.step: 1.0 - better}
