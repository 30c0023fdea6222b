"""The application: endpoints, error rendering, and a service that lives as long as it does."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import Depends, FastAPI

from app.api import (
    admin,
    alarms,
    chat,
    dashboard,
    evaluate,
    feedback,
    freeze,
    health,
    keys,
    litellm,
    policies,
    savings,
    spend,
)
from app.api.deps import only_known_parameters
from app.api.gate import Gate
from app.errors import install_handlers
from app.service import Service

ABOUT = """An OpenAI-compatible API that answers every request from the cheapest models that answer it well, and learns
from every thumb. Use any OpenAI client with `model: "auto"`."""


def create_app(opened: Callable[[], AbstractAsyncContextManager[Service]]) -> FastAPI:
    """Build the application around a service that is opened with it.

    Args:
        opened: Opens the service, as `open_service` does with its arguments bound.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened() as service:
            app.state.service = service
            yield

    app = FastAPI(title="Headrace", version="0.1.0", description=ABOUT, lifespan=lifespan)
    app.add_middleware(Gate, keys=lambda: app.state.service.keys)
    for part in (chat, feedback, health, dashboard):
        app.include_router(part.router)
    # Other clients may send what they like; whoever administers is told what is misspelt.
    for part in (admin, spend, keys, policies, freeze, evaluate, alarms, savings, litellm):
        app.include_router(part.router, dependencies=[Depends(only_known_parameters)])
    install_handlers(app)
    return app
