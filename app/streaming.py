"""Chat completions as streams of chunks, and streams as server-sent events.

A finished answer is replayed as chunks (`replay_chunks`). A passed-through answer keeps its chunks, under this
service's name (`relabel`), while a `StreamAccount` gathers them into the completion they amount to: so a stream is
accounted and judged like any other answer, even one that broke off. `sse`, `COMMENT` and `DONE` are the bytes that a
client sees.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, TypeVar

import orjson

Chunk = dict[str, Any]
"""One OpenAI `chat.completion.chunk` object."""

T = TypeVar("T")

COMMENT = b": waiting\n\n"
DONE = b"data: [DONE]\n\n"

_THREE_WORDS = re.compile(r"(?:\s*\S+){1,3}\s*|\s+")
# A stream may repeat these from chunk to chunk; every other text of a delta is a piece of a longer text.
_WHOLE_KEYS = frozenset({"id", "index", "name", "role", "type"})


def sse(data: Mapping[str, Any]) -> bytes:
    """Frame one JSON object as a server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


async def keep_alive(pending: asyncio.Future[T], *, every_s: float) -> AsyncGenerator[bytes, None]:
    """Yield `COMMENT` every `every_s` seconds until `pending` is done; then its result is the caller's to take.

    If the consumer stops earlier, `pending` is cancelled; pass `asyncio.shield(task)` for work that must go on.
    Close the generator explicitly (`contextlib.aclosing`) wherever it may be left before its end.
    """
    try:
        while not (await asyncio.wait({pending}, timeout=every_s))[0]:
            yield COMMENT
    finally:
        pending.cancel()


def replay_chunks(body: Mapping[str, Any], *, inference_id: str, model: str, created: int) -> Iterator[Chunk]:
    """Turn a finished completion into the chunks that a streaming client expects, without its usage.

    Each choice gives its role first, then its content in pieces of three words, its tool calls and whatever else the
    message holds, and its finish reason last. Log-probabilities come whole with the first piece of content.

    Args:
        body: An OpenAI `chat.completion` object.
        inference_id: The `id` of every chunk.
        model: The `model` of every chunk.
        created: Unix time in seconds.
    """
    head = _head(inference_id, model, created)
    for choice in body["choices"]:
        for part in _choice_parts(choice):
            blank = {"index": choice.get("index", 0), "delta": {}, "logprobs": None, "finish_reason": None}
            yield {**head, "choices": [blank | part]}


def relabel(chunk: Chunk, *, inference_id: str, model: str, created: int) -> Chunk:
    """Give an upstream's chunk this service's identity, and take its usage out.

    A chunk whose `choices` are empty carries nothing else: it need not be passed on.
    """
    rest = {key: value for key, value in chunk.items() if key != "usage"}
    return rest | _head(inference_id, model, created)


def usage_chunk(usage: Mapping[str, Any], *, cost_usd: float, inference_id: str, model: str, created: int) -> Chunk:
    """Build the last chunk before `DONE`: no choices, the token counts in `usage`, and the cost of the request."""
    return _head(inference_id, model, created) | {"choices": [], "usage": {**usage, "cost": cost_usd}}


class StreamAccount:
    """Gather the chunks of one upstream stream into the completion that they amount to so far."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {0: _new_choice(0)}
        self._usage: dict[str, Any] | None = None

    def add(self, chunk: Chunk) -> None:
        """Count one chunk in, as it came from the upstream (before `relabel`)."""
        if not self._head:
            self._head = {key: chunk[key] for key in ("id", "created", "model") if key in chunk}
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            index = choice.get("index", 0)
            known = self._choices.setdefault(index, _new_choice(index))
            known["message"] = _merged(known["message"], choice["delta"])
            known["logprobs"] = _merged(known["logprobs"], choice.get("logprobs"))
            known["finish_reason"] = choice.get("finish_reason") or known["finish_reason"]

    @property
    def text(self) -> str:
        """The content of choice 0 so far."""
        content = self._choices[0]["message"].get("content")
        return content if isinstance(content, str) else ""

    @property
    def finish_reason(self) -> str | None:
        """Why choice 0 ended; None while it has not."""
        reason: str | None = self._choices[0]["finish_reason"]
        return reason

    def body(self) -> dict[str, Any]:
        """Return an OpenAI `chat.completion` object; it has `usage` only where the upstream gave it."""
        choices = [_without_call_indices(self._choices[index]) for index in sorted(self._choices)]
        body = {**self._head, "object": "chat.completion", "choices": choices}
        return body if self._usage is None else {**body, "usage": self._usage}


def _head(inference_id: str, model: str, created: int) -> dict[str, Any]:
    return {"id": inference_id, "object": "chat.completion.chunk", "created": created, "model": model}


def _choice_parts(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    message = choice["message"]
    content = message.get("content")
    logprobs = choice.get("logprobs")
    yield {"delta": {"role": message.get("role", "assistant"), "content": "" if isinstance(content, str) else None}}
    for piece in _pieces(content):
        yield {"delta": {"content": piece}, "logprobs": logprobs}
        logprobs = None
    for index, call in enumerate(message.get("tool_calls") or []):
        yield {"delta": {"tool_calls": [{"index": index, **call}]}}
    rest = {key: value for key, value in message.items() if value and key not in ("role", "content", "tool_calls")}
    if rest:
        yield {"delta": rest}
    yield {"finish_reason": choice.get("finish_reason") or "stop", "logprobs": logprobs}


def _pieces(content: Any) -> list[Any]:
    if isinstance(content, str):
        return _THREE_WORDS.findall(content)
    return [content] if content else []


def _new_choice(index: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": None}


def _merged(old: Any, new: Any) -> Any:
    """Join a delta to what came before it: texts and lists grow, objects are merged key by key."""
    if new is None:
        return old
    if isinstance(old, str) and isinstance(new, str):
        return old + new
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged_value(key, old.get(key), value) for key, value in new.items()}
    if isinstance(new, list) and (old is None or isinstance(old, list)):
        return _merged_lists(old or [], new)
    return new


def _merged_value(key: str, old: Any, new: Any) -> Any:
    return (new or old) if key in _WHOLE_KEYS else _merged(old, new)


def _merged_lists(old: list[Any], new: list[Any]) -> list[Any]:
    """Merge items that name their `index` (tool calls) into that item; append all others (log-probabilities)."""
    merged = list(old)
    for item in new:
        place = _place_of(item, merged)
        if place is None:
            merged.append(item)
        else:
            merged[place] = _merged(merged[place], item)
    return merged


def _place_of(item: Any, items: list[Any]) -> int | None:
    index = item.get("index") if isinstance(item, dict) else None
    if index is None:
        return None
    return next((i for i, known in enumerate(items) if isinstance(known, dict) and known.get("index") == index), None)


def _without_call_indices(choice: dict[str, Any]) -> dict[str, Any]:
    calls = choice["message"].get("tool_calls")
    if not calls:
        return choice
    bare = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    return choice | {"message": choice["message"] | {"tool_calls": bare}}
