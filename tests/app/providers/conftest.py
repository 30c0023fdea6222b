import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from app.providers import OpenAICompatibleProvider

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http_server(handler: Handler) -> AsyncIterator[str]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        return await handler(request)

    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[str]:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Start an upstream that answers by the given handler, and return its base_url."""
    async with AsyncExitStack() as stack:
        yield lambda handler: stack.enter_async_context(http_server(handler))


@pytest.fixture
async def serve_bytes() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Start an upstream that answers every request with these bytes and hangs up, and return its base_url."""
    async with AsyncExitStack() as stack:
        yield lambda answer: stack.enter_async_context(raw_server(answer))


@pytest.fixture
async def provider() -> AsyncIterator[OpenAICompatibleProvider]:
    opened = OpenAICompatibleProvider()
    yield opened
    await opened.close()
