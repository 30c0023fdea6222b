"""What a completion shows of itself, at no cost: format, refusal, truncation, repetition, log-probability.

Each signal is a named number that is 0 where nothing is wrong or nothing is known; the stacker learns what it means.
"""

from __future__ import annotations

import ast
import json
import re

REFUSAL = re.compile(
    r"^\s*(i['’]?m (very )?sorry|sorry,|i can(['’]|no)?t (help|assist|answer|provide)|i cannot|as an ai)", re.IGNORECASE
)
FENCED_PYTHON = re.compile(r"```(?:python|py)\n(.*?)```", re.DOTALL)
LONG_CHARS = 600
PASSAGE_CHARS = 40
MANY_TIMES = 4


def signals(
    text: str,
    *,
    finish_reason: str | None,
    wants_json: bool,
    mean_logprob: float | None,
    has_tool_calls: bool = False,
    states_answer: bool = True,
) -> dict[str, float]:
    """Describe one completion.

    Args:
        text: The answer.
        finish_reason: As the upstream gave it; `length` means that the answer was cut off.
        wants_json: The request asked for a JSON object.
        mean_logprob: Mean log-probability per token, in nats, where the upstream gave it.
        has_tool_calls: The answer calls tools, so an empty text is no fault.
        states_answer: It says what its final answer is, as `answers.extract` found; of free text it is not known.

    Returns:
        Signals that are not 0, by name.
    """
    found = {
        "empty": not text.strip() and not has_tool_calls,
        "truncated": finish_reason == "length",
        "refusal": bool(REFUSAL.match(text[:200])),
        "repetition": is_repetitive(text),
        "unstated": not states_answer and not has_tool_calls,
        "json_invalid": wants_json and not is_json(text),
        "code_invalid": not is_parsable(text),
    }
    named = {name: 1.0 for name, present in found.items() if present}
    if mean_logprob is not None:
        named["logprob"] = max(mean_logprob, -3.0) + 0.3
        named["logprob_seen"] = 1.0
    return named


def is_json(text: str) -> bool:
    """Tell whether the whole text is one JSON value."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_parsable(text: str) -> bool:
    """Tell whether every fenced Python block parses; true where there is none."""
    try:
        for block in FENCED_PYTHON.findall(text[:50_000]):
            ast.parse(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_repetitive(text: str) -> bool:
    """Tell whether a long text ends in a passage that it has repeated many times."""
    return len(text) > LONG_CHARS and text.count(text[-PASSAGE_CHARS:]) >= MANY_TIMES
