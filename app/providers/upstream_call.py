"""One call to one upstream: when it began, and how each of its failures reads.

Messages name the variable or setting that mends the failure. They never hold what the upstream wrote, nor the API key:
an upstream may echo both.
"""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from app.providers.base import CallFailed, Endpoint, Outcome

# Shorter ones are the dummies that local servers take; blotting those out would mangle ordinary words.
SHORTEST_SECRET_CHARS = 8


class UpstreamCall:
    """A call under way to `endpoint`, which may take `timeout_s` seconds."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._started_s = time.perf_counter()

    @property
    def latency_s(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._started_s

    def timed_out(self) -> CallFailed:
        """Report that the upstream took longer than it may."""
        what = f"kept the service waiting for longer than {self._timeout_s:g} s"
        return self._failed("timeout", what, mend="raise timeouts.upstream_s, or look why it is slow")

    def unreachable(self, err: Exception) -> CallFailed:
        """Report that no connection was made, or that it broke."""
        reason = (err.strerror if isinstance(err, OSError) else None) or type(err).__name__
        mend = "check that it runs and that base_url names it"
        return self._failed("unreachable", f"could not be reached, or hung up ({reason})", mend=mend)

    def garbage(self, what: str) -> CallFailed:
        """Report that what came is no chat completion; `what` says why, as in "is JSON without choices"."""
        what = f"sent something that is no chat completion: it {what}"
        return self._failed("garbage", what, mend="check that base_url is an OpenAI-compatible API")

    def cancelled(self) -> CallFailed:
        """Report that the call ended because this service is stopping."""
        return self._failed(
            "cancelled", "was not waited for: this service is stopping", mend="ask again after its start"
        )

    def refused(self, status_code: int, raw: bytes, retry_after: str | None) -> CallFailed:
        """Report that the upstream answered with another status than success."""
        return self._http_error(status_code, _parsed(raw), retry_after_s(retry_after))

    def error_in_answer(self, answer: Mapping[str, Any]) -> CallFailed | None:
        """Report the error, if any, that some upstreams send with status 200 or as a chunk of a stream."""
        if not answer.get("error"):
            return None
        code = answer["error"].get("code") if isinstance(answer["error"], dict) else None
        is_status = isinstance(code, int) and 400 <= code < 600
        return self._http_error(code if is_status else None, answer, None)

    def _http_error(self, status_code: int | None, answer: object, retry_after: float | None) -> CallFailed:
        error = openai_error(_without_secret(self._endpoint.api_key, answer))
        code = error and (error["code"] or error["type"])
        what = f"answered {status_code or 'an error'}" + (f" ({str(code)[:60]})" if code else "")
        return self._failed(
            "http_error",
            what,
            mend=_mend_of(status_code),
            status_code=status_code,
            upstream_error=error,
            retry_after_s=retry_after,
        )

    def _failed(self, outcome: Outcome, what: str, *, mend: str, **facts: Any) -> CallFailed:
        message = f"model {self._endpoint.model_id!r} at {self._endpoint.address} {what}; {mend}"
        return CallFailed(outcome, message, latency_s=self.latency_s, **facts)


def openai_error(answer: object) -> dict[str, Any] | None:
    """Find OpenAI's error object in an error answer, also where a server wraps or flattens it; None if there is none.

    Returns:
        `message`, `type`, `param` and `code`.
    """
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    error = answer.get("error", answer)
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return None
    blank = {"message": "", "type": "upstream_error", "param": None, "code": None}
    return {key: error.get(key) or default for key, default in blank.items()}


def retry_after_s(header: str | None) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date (RFC 9110, section 10.2.3); None if it is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _parsed(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _without_secret(secret: str | None, value: Any) -> Any:
    if secret is None or len(secret) < SHORTEST_SECRET_CHARS:
        return value
    if isinstance(value, str):
        return value.replace(secret, "***")
    if isinstance(value, list):
        return [_without_secret(secret, item) for item in value]
    if isinstance(value, dict):
        return {key: _without_secret(secret, item) for key, item in value.items()}
    return value


def _mend_of(status_code: int | None) -> str:
    match status_code:
        case 401 | 403:
            return "check the variable that api_key_env names"
        case 404 | 405:
            return "check base_url and upstream_model"
        case 429:
            return "call it less often, or ask its provider for a higher limit"
        case 400 | 413 | 422:
            return "mend the request as the upstream's error says"
        case int() if 300 <= status_code < 400:
            return "redirects are not followed: set base_url to the final address"
        case _:
            return "try again, or look into its log"
