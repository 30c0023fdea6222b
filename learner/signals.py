"""What a completion shows of itself, at no cost: format, refusal, truncation, repetition, log-probability.

Each signal is a named number that is 0 where nothing is wrong or nothing is known; where a check does not apply to
every answer, an indicator `…_seen` says that it did. The stacker learns what both mean.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Sequence

REFUSAL = re.compile(
    r"^\s*(i['’]?m (very )?sorry|sorry,|i can(['’]|no)?t (help|assist|answer|provide)|i cannot|as an ai)", re.IGNORECASE
)
FENCED_CODE = re.compile(r"```(python|py|json)\n(.*?)```", re.DOTALL)
LONG_CHARS = 600
PASSAGE_CHARS = 40
MANY_TIMES = 4
USUAL_MEAN, USUAL_LEAST = -0.3, -3.0
LOWEST_MEAN, LOWEST_LEAST = -3.0, -8.0
UNSURE = math.log(0.5)


def signals(
    text: str,
    *,
    finish_reason: str | None,
    wants_json: bool,
    logprobs: Sequence[float],
    has_tool_calls: bool = False,
    states_answer: bool = True,
    contradicts_answer: bool = False,
) -> dict[str, float]:
    """Describe one completion.

    Args:
        text: The answer.
        finish_reason: As the upstream gave it; `length` means that the answer was cut off.
        wants_json: The request asked for a JSON object.
        logprobs: Log-probability of every token, in nats; empty where the upstream gave none.
        has_tool_calls: The answer calls tools, so an empty text is no fault.
        states_answer: It says what its final answer is, as `answers.extract` found; of free text it is not known.
        contradicts_answer: It calls something else its answer too: whoever reads it cannot know which one it means.

    Returns:
        Signals that are not 0, by name.
    """
    code = FENCED_CODE.findall(text[:50_000])
    must_be_json = wants_json and not has_tool_calls
    found = {
        "empty": not text.strip() and not has_tool_calls,
        "truncated": finish_reason == "length",
        "refusal": bool(REFUSAL.match(text[:200])),
        "repetition": is_repetitive(text),
        "unstated": not states_answer and not has_tool_calls,
        "contradictory": contradicts_answer,
        "json_invalid": must_be_json and not is_json(text),
        "json_seen": must_be_json,
        "code_invalid": not all(is_parsable(language, block) for language, block in code),
        "code_seen": bool(code),
    }
    return {name: 1.0 for name, present in found.items() if present} | certainty(logprobs)


def certainty(logprobs: Sequence[float]) -> dict[str, float]:
    """Say how sure a model was of its tokens: on average, of the least sure one, and of how many it was not.

    Returns:
        `logprob` and `logprob_least`, in nats above what is usual; `logprob_unsure`, the share of tokens that it gave
        less than one half; and the indicator. Nothing where there are no log-probabilities.
    """
    if not logprobs:
        return {}
    mean, least = sum(logprobs) / len(logprobs), min(logprobs)
    return {
        "logprob": max(mean, LOWEST_MEAN) - USUAL_MEAN,
        "logprob_least": max(least, LOWEST_LEAST) - USUAL_LEAST,
        "logprob_unsure": sum(logprob < UNSURE for logprob in logprobs) / len(logprobs),
        "logprob_seen": 1.0,
    }


def is_json(text: str) -> bool:
    """Tell whether the whole text is one JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_parsable(language: str, block: str) -> bool:
    """Tell whether a fenced block is what its language allows: Python that parses, or JSON."""
    if language == "json":
        return is_json(block)
    try:
        ast.parse(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_repetitive(text: str) -> bool:
    """Tell whether a long text ends in a passage that it has repeated many times."""
    return len(text) > LONG_CHARS and text.count(text[-PASSAGE_CHARS:]) >= MANY_TIMES
