"""The judge `self`: the model that answered says whether its answer is true.

P(True) of Kadavath et al. 2022 (arXiv:2207.05221, section 3.1): models shown their own answer know fairly well whether
it is right. Where the model gives log-probabilities, the score is the probability of its word; else its word is all.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.judges.judge import Case, Opinion, Prompt
from app.judges.prompts import with_data
from app.providers.base import Completion

INSTRUCTIONS = """You were asked a question and proposed an answer. Check it.
Is the proposed answer true, and all that was asked? Reply with one word and nothing else: True or False"""
LOGPROBS = {"logprobs": True, "top_logprobs": 5}
WORDS = {"true": 1.0, "false": 0.0}
MOST_TOKENS = 8


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Asks whoever answered; see `Judge`."""

    id: str
    timeout_s: float | None = None

    def prompts(self, case: Case) -> Sequence[Prompt]:
        """Ask the model that answered whether its answer is true."""
        asked = with_data(INSTRUCTIONS, QUESTION=case.query, PROPOSED_ANSWER=case.answer.text)
        prompt = Prompt(
            case.answer.model,
            (case.answer.model, case.query, case.answer.text),
            [{"role": "user", "content": asked}],
            output_tokens=1,
            most_tokens=MOST_TOKENS,
            options=LOGPROBS if case.gives_logprobs else {},
        )
        return [prompt]

    def opinion(self, case: Case, replies: Sequence[Completion]) -> Opinion | None:
        """Read the probability of its word, or the word alone."""
        said = WORDS.get(_word(replies[0].text))
        if said is None:
            return None
        mass = dict.fromkeys(WORDS, 0.0)
        for word, probability in _first_words(replies[0]):
            mass[word] += probability
        total = sum(mass.values())
        return {case.answer.step: mass["true"] / total if total > 0.0 else said}


def _word(text: object) -> str:
    return text.strip(" \n\t.*\"'`").lower() if isinstance(text, str) else ""


def _first_words(reply: Completion) -> Iterator[tuple[str, float]]:
    """Yield the probabilities of the words that the reply might have begun with, as far as it gives them."""
    logprobs = reply.body["choices"][0].get("logprobs")
    tokens = _objects(logprobs.get("content") if isinstance(logprobs, dict) else None)
    for each in _objects(tokens[0].get("top_logprobs")) if tokens else ():
        logprob = each.get("logprob")
        if _word(each.get("token")) in WORDS and isinstance(logprob, int | float):
            yield _word(each["token"]), math.exp(min(float(logprob), 0.0))


def _objects(items: object) -> list[Mapping[str, Any]]:
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
