"""Calls any server that speaks OpenAI's chat API, over one pool of kept-alive connections."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson

from app.providers.base import Completion, Endpoint
from app.providers.completion import NotACompletion, chunks_of, read_completion
from app.providers.sse import ChunkReader
from app.providers.upstream_call import UpstreamCall
from app.streaming import Chunk

LIMIT_BYTES = 32 * 2**20
DRAIN_S = 0.05


class OpenAICompatibleProvider:
    """A `Provider` for OpenAI-compatible servers. Follows no redirect, keeps no cookie, and reads at most 32 MiB."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def complete(self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float) -> Completion:
        """Ask for a whole answer; see `Provider.complete`."""
        call = UpstreamCall(endpoint, timeout_s)
        payload = {key: value for key, value in body.items() if key not in ("stream", "stream_options")}
        async with self._answer(call, endpoint, payload, aiohttp.ClientTimeout(total=timeout_s)) as response:
            answer = await _json_answer(call, response)
            return read_completion(answer, request=body, latency_s=call.latency_s)

    async def stream(
        self, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float
    ) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer in chunks; see `Provider.stream`. A server that does not stream is replayed in chunks."""
        call = UpstreamCall(endpoint, timeout_s)
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        payload = {**body, "stream": True, "stream_options": options}
        timeout = aiohttp.ClientTimeout(total=None, connect=timeout_s, sock_read=timeout_s)
        async with self._answer(call, endpoint, payload, timeout) as response:
            if response.content_type == "application/json":
                answer = await _json_answer(call, response)
                for chunk in chunks_of(read_completion(answer, request=body, latency_s=call.latency_s)):
                    yield chunk
                return
            reader = ChunkReader(limit_bytes=LIMIT_BYTES)
            while not reader.is_done and (piece := await response.content.readany()):
                for chunk in reader.feed(piece):
                    yield _accepted(call, chunk)
            for chunk in reader.end():
                yield _accepted(call, chunk)
            await _drain(response)

    async def close(self) -> None:
        """End all calls and refuse further ones."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _answer(
        self, call: UpstreamCall, endpoint: Endpoint, payload: Mapping[str, Any], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request and hold its answer open; an answer not read to its end is cut off on leaving.

        Raises:
            CallFailed: whatever went wrong, here or while the answer was read.
        """
        try:
            response = await self._post(call, endpoint, payload, timeout)
            try:
                if response.status >= 300:
                    raw = await _limited_bytes(response)
                    raise call.refused(response.status, raw, response.headers.get("Retry-After"))
                yield response
            finally:
                response.release()
        except TimeoutError as err:
            raise call.timed_out() from err
        except NotACompletion as err:
            raise call.garbage(str(err)) from err
        except aiohttp.ClientResponseError:
            # Not chained: this error holds the request's headers, and with them the key.
            raise call.garbage("is no HTTP") from None
        except (aiohttp.ClientError, OSError) as err:
            raise (call.cancelled() if self._is_closed else call.unreachable(err)) from err

    async def _post(
        self, call: UpstreamCall, endpoint: Endpoint, payload: Mapping[str, Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        return await self._open_session(call).post(
            endpoint.chat_url,
            data=orjson.dumps({**payload, "model": endpoint.upstream_model}),
            headers={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else None,
            allow_redirects=False,
            timeout=timeout,
        )

    def _open_session(self, call: UpstreamCall) -> aiohttp.ClientSession:
        if self._is_closed:
            raise call.cancelled()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: calls that hang at one upstream must not use up the connections to the others.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", "User-Agent": "headrace"},
            )
        return self._session


async def _json_answer(call: UpstreamCall, response: aiohttp.ClientResponse) -> object:
    raw = await _limited_bytes(response)
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError as err:
        raise NotACompletion(f"is {response.content_type} of {len(raw)} bytes that is no JSON") from err
    return _accepted(call, answer) if isinstance(answer, dict) else answer


def _accepted(call: UpstreamCall, answer: dict[str, Any]) -> dict[str, Any]:
    failure = call.error_in_answer(answer)
    if failure is not None:
        raise failure
    return answer


async def _limited_bytes(response: aiohttp.ClientResponse) -> bytes:
    pieces = bytearray()
    while piece := await response.content.readany():
        pieces += piece
        if len(pieces) > LIMIT_BYTES:
            raise NotACompletion(f"is larger than {LIMIT_BYTES} bytes")
    return bytes(pieces)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Wait a moment for the end of a finished stream, without which its connection cannot be used again."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_S):
            while await response.content.readany():
                pass
