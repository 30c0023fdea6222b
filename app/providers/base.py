"""What a provider is: something that answers one chat request by calling one model.

The caller names an `Endpoint`, hands over an OpenAI request body, and gets a `Completion`, a stream of chunks, or a
`CallFailed` that says enough to choose what happens next: try again, ask another model, or tell the client.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from app.streaming import Chunk

Outcome = Literal["http_error", "timeout", "unreachable", "garbage", "cancelled"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one model of the pool is called, under which name, and at what price.

    Raises:
        ValueError: `base_url` is no http(s) address or holds credentials, or no header can carry `api_key`.
    """

    model_id: str
    base_url: str
    upstream_model: str
    api_key: str | None = field(repr=False)
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    chat_url: str = field(init=False, repr=False)
    """The address that answers chat requests; a query in `base_url` is kept."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        shown = self.base_url.rpartition("@")[2].partition("?")[0]
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url of model {self.model_id!r} is {shown!r}: write it like https://host/v1")
        if "@" in parts.netloc:
            raise ValueError(
                f"base_url of model {self.model_id!r} ({shown!r}) holds credentials: take them out, put the key into "
                "an environment variable and name that variable in api_key_env"
            )
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError(
                f"the API key of model {self.model_id!r} holds a line break or a character outside ASCII: "
                "mend the variable that its api_key_env names"
            )

        chat = parts._replace(path=parts.path.rstrip("/") + "/chat/completions", fragment="")
        object.__setattr__(self, "chat_url", chat.geturl())

    @property
    def address(self) -> str:
        """The address without its query, where some upstreams take keys: fit for logs."""
        return urlsplit(self.chat_url)._replace(query="").geturl()

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of one call in US dollars."""
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True)
class Completion:
    """One model's whole answer, and what the service needs to know of it."""

    body: dict[str, Any]
    """The OpenAI `chat.completion` object as the upstream gave it."""
    text: str
    """Content of choice 0; empty where the model only called tools or refused."""
    finish_reason: str | None
    input_tokens: int
    output_tokens: int
    is_estimated: bool
    """The upstream did not count the tokens; they are estimated from the number of characters."""
    logprobs: tuple[float, ...]
    """Log-probabilities of the tokens of choice 0, in nats; empty where the upstream gave none."""
    has_tool_calls: bool
    latency_s: float

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's `usage` object: the upstream's details, and counts in any case."""
        counts = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }
        details = self.body.get("usage")
        return {**details, **counts} if isinstance(details, dict) else counts


class CallFailed(Exception):
    """One call to one model brought no answer.

    The message names the model, the address (without credentials), what happened, and how to mend it. It quotes nothing
    that the upstream wrote, which may repeat the prompt: that is in `upstream_error`, meant for the client.
    """

    def __init__(
        self,
        outcome: Outcome,
        message: str,
        *,
        status_code: int | None = None,
        upstream_error: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        latency_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.message = message
        self.status_code = status_code
        self.upstream_error = upstream_error
        self.retry_after_s = retry_after_s
        self.latency_s = latency_s

    @property
    def client_fault(self) -> bool:
        """Whether the request itself was refused, so that the client must mend it.

        A 404 counts only where the upstream explains it and does not mean the model: else it is a wrong `base_url` or
        `upstream_model`, which only the operator can mend.
        """
        if self.status_code != 404:
            return self.status_code in (400, 413, 422)
        return self.upstream_error is not None and self.upstream_error.get("code") != "model_not_found"


class Provider(Protocol):
    """Calls models. One instance serves the whole process; it is safe for concurrent calls."""

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        """Ask for a whole answer.

        Args:
            endpoint: The model to call; its upstream name replaces the body's `model`.
            body: The client's chat request without the extensions of this service. `stream` is ignored.
            timeout_s: Seconds for the whole call.

        Raises:
            CallFailed: There is no answer.
        """
        ...

    def stream(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer in chunks; the last ones carry `usage` where the upstream counts tokens.

        Every chunk has `choices`, a list of objects with a `delta` object. Closing the generator (use
        `contextlib.aclosing`) closes the connection to the upstream at once.

        Args:
            endpoint: The model to call; its upstream name replaces the body's `model`.
            body: The client's chat request without the extensions of this service.
            timeout_s: Seconds to the first byte, and from each byte to the next.

        Raises:
            CallFailed: There is no answer, or it breaks off.
        """
        ...

    async def close(self) -> None:
        """End all calls and refuse further ones."""
        ...
