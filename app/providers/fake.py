"""A provider that answers by itself: for tests, for the demonstration, and for trying a configuration without keys."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.providers.base import CallFailed, Completion, Endpoint
from app.providers.completion import chunks_of, read_completion, text_of
from app.streaming import Chunk

Answer = str | CallFailed
Script = Mapping[tuple[str, str], Answer] | Callable[[str, str], Answer | None]


@dataclass(frozen=True, slots=True)
class FakeCall:
    """One call that the fake provider was asked to make."""

    model_id: str
    prompt: str
    body: Mapping[str, Any]


class FakeProvider:
    """A `Provider` whose answer depends on the model and the last user message alone.

    Args:
        script: Answers, or failures to raise, by (model id, prompt): a mapping, or a function of both that may return
            None. What it leaves out is answered "<model id> says: <first 40 characters of the prompt>".
        latency_s: Seconds that each call takes; it times out where that is more than its `timeout_s`.
    """

    def __init__(self, script: Script | None = None, *, latency_s: float = 0.0) -> None:
        self._script = script or {}
        self._latency_s = latency_s
        self.calls: list[FakeCall] = []
        """Every call so far, in order."""

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        """Answer at once, or after `latency_s`; see `Provider.complete`."""
        prompt = last_user_text(body)
        self.calls.append(FakeCall(endpoint.model_id, prompt, body))
        await asyncio.sleep(min(self._latency_s, timeout_s))
        if self._latency_s > timeout_s:
            message = (
                f"model {endpoint.model_id!r} of the fake provider takes {self._latency_s:g} s: allow it more time"
            )
            raise CallFailed("timeout", message, latency_s=timeout_s)
        answer = self._answer(endpoint.model_id, prompt)
        if isinstance(answer, CallFailed):
            raise answer
        choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        head = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 0, "model": endpoint.upstream_model}
        estimate = read_completion({**head, "choices": [choice]}, request=body, latency_s=self._latency_s)
        counted = {**head, "choices": [choice], "usage": estimate.usage}
        return read_completion(counted, request=body, latency_s=self._latency_s)

    async def stream(
        self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float
    ) -> AsyncGenerator[Chunk, None]:
        """Answer in pieces of three words; see `Provider.stream`."""
        completion = await self.complete(endpoint, body, timeout_s=timeout_s)
        for chunk in chunks_of(completion):
            yield chunk

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _answer(self, model_id: str, prompt: str) -> Answer:
        scripted = self._script(model_id, prompt) if callable(self._script) else self._script.get((model_id, prompt))
        return f"{model_id} says: {prompt[:40]}" if scripted is None else scripted


def last_user_text(body: Mapping[str, Any]) -> str:
    """Return the text of the last message of role `user`; empty if there is none."""
    texts = [text_of(message.get("content")) for message in body["messages"] if message.get("role") == "user"]
    return texts[-1] if texts else ""
