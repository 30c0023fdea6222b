"""Reading an upstream's answer: from a parsed body to a `Completion`, with token counts in any case."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from app.providers.base import Completion
from app.streaming import Chunk, replay_chunks

CHARS_PER_TOKEN = 4


class NotACompletion(ValueError):
    """What the upstream sent is no chat completion; the text says what is missing."""


def read_completion(body: object, *, request: Mapping[str, Any], latency_s: float) -> Completion:
    """Check an OpenAI `chat.completion` object and take from it what the service needs.

    Args:
        body: The parsed answer.
        request: The request that it answers; its length stands in for a missing count of input tokens.
        latency_s: Seconds from sending the request to having the whole answer.

    Raises:
        NotACompletion: There is no choice, or one has no message.
    """
    if not isinstance(body, dict):
        raise NotACompletion("is no JSON object")
    choice = _checked_choices(body)[0]
    message = choice["message"]
    counts = _token_counts(body.get("usage"))
    input_tokens, output_tokens = counts or (_request_tokens(request), _tokens(_message_chars(message)))
    return Completion(
        body=body,
        text=text_of(message.get("content")),
        finish_reason=choice.get("finish_reason"),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        is_estimated=counts is None,
        logprobs=_logprobs(choice.get("logprobs")),
        has_tool_calls=bool(message.get("tool_calls") or message.get("function_call")),
        latency_s=latency_s,
    )


def text_of(content: object) -> str:
    """Return the plain text of a message's content, which is a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def chunks_of(completion: Completion) -> Iterator[Chunk]:
    """Turn a completion into the chunks that its upstream would have streamed, with any `usage` in the last one."""
    body = completion.body
    inference_id, model, created = body.get("id") or "", body.get("model") or "", body.get("created") or 0
    yield from replay_chunks(body, inference_id=inference_id, model=model, created=created)
    if not completion.is_estimated:
        head = {"id": inference_id, "object": "chat.completion.chunk", "created": created, "model": model}
        yield {**head, "choices": [], "usage": completion.usage}


def _checked_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotACompletion("is JSON without choices")
    if not all(isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices):
        raise NotACompletion("is JSON with a choice that has no message")
    return choices


def _token_counts(usage: object) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    match usage.get("prompt_tokens"), usage.get("completion_tokens"):
        case int(input_tokens), int(output_tokens) if min(input_tokens, output_tokens) >= 0:
            return input_tokens, output_tokens
    return None


def _logprobs(logprobs: object) -> tuple[float, ...]:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = [token.get("logprob") for token in tokens or [] if isinstance(token, dict)]
    return tuple(float(logprob) for logprob in found if isinstance(logprob, int | float))


def _tokens(chars: int) -> int:
    return math.ceil(chars / CHARS_PER_TOKEN)


def _request_tokens(request: Mapping[str, Any]) -> int:
    tools = request.get("tools")
    return _tokens(sum(map(_message_chars, request["messages"])) + (len(orjson.dumps(tools)) if tools else 0))


def _message_chars(message: Mapping[str, Any]) -> int:
    calls = message.get("tool_calls")
    texts = text_of(message.get("content")), message.get("refusal") or "", message.get("reasoning_content") or ""
    return sum(map(len, texts)) + (len(orjson.dumps(calls)) if calls else 0)
