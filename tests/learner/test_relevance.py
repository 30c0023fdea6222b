"""Whether an answer speaks about what was asked."""

import numpy as np
import pytest

from learner.embedding import HashEmbedding
from learner.relevance import LEAST_WORDS, MOST, SPREAD, USUAL_COSINE, is_comparable, relevance

EMBED = HashEmbedding().embed
RIVER = EMBED("Why does the river carry so much water in spring?")


def test_an_answer_about_the_question_is_more_relevant_than_another() -> None:
    near = relevance(RIVER, EMBED("In spring the river does carry so much water since the snow melts."))
    far = relevance(RIVER, EMBED("Three eggs, a pinch of salt, and flour until the dough is firm."))
    assert near["relevance"] > far["relevance"]
    assert near["relevance_seen"] == far["relevance_seen"] == 1.0


def test_the_usual_cosine_tells_nothing_and_no_cosine_tells_too_much() -> None:
    usual = np.array([USUAL_COSINE, np.sqrt(1.0 - USUAL_COSINE**2)], dtype=np.float32)
    asked = np.array([1.0, 0.0], dtype=np.float32)
    assert relevance(asked, usual)["relevance"] == pytest.approx(0.0, abs=1e-6)
    assert relevance(asked, asked)["relevance"] == pytest.approx((1.0 - USUAL_COSINE) / SPREAD)
    assert relevance(asked, -asked)["relevance"] == -MOST


def test_a_text_without_tokens_has_no_relevance() -> None:
    assert relevance(RIVER, EMBED("")) == relevance(EMBED("?!"), RIVER) == {}


def test_a_letter_or_a_number_is_not_like_its_question() -> None:
    assert not is_comparable("The answer is (B).")
    assert is_comparable("word " * LEAST_WORDS)
