"""Every kind of task has its rubric."""

import pytest

from app.judges.llm import LlmJudge
from app.judges.pairwise import PairwiseJudge
from app.judges.rubrics import CHAT, CODE, EXACT, GENERAL, MATHEMATICS, RUBRICS, SOURCE, WRITING, rubric
from learner.seeds import SEEDS
from tests.app.judges.court import case_of, sections


def test_every_seed_of_the_taxonomy_has_a_rubric_and_every_rubric_a_seed() -> None:
    assert set(RUBRICS) == {seed.name for seed in SEEDS}


def test_a_category_that_grew_from_traffic_has_the_general_rubric() -> None:
    assert rubric("gardening-3") == rubric("") == GENERAL


@pytest.mark.parametrize(
    ("category", "told"),
    [("law", EXACT), ("school-mathematics", MATHEMATICS), ("programming-write", CODE), ("creative-writing", WRITING),
     ("extraction", SOURCE), ("chat-and-advice", CHAT), ("unheard-of", GENERAL)],
)  # fmt: skip
def test_a_judge_is_told_the_rubric_of_the_querys_category(category: str, told: str) -> None:
    for judge in (LlmJudge("j", "m"), PairwiseJudge("j", "m")):
        for prompt in judge.prompts(case_of(rival="41", category=category)):
            assert told in sections(str(prompt.messages[0]["content"]))[0]
