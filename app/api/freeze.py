"""`/v1/admin/policies/freeze` and `…/unfreeze`: learn nothing from now on, and again."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.learning_state import learning_state
from app.service import Service
from app.storage.batch import Entry

router = APIRouter(prefix="/v1/admin/policies", tags=["policies"])

WAIT_S = 5.0


@router.post("/freeze")
async def freeze(service: ServiceDep, key: KeyDep) -> dict[str, Any]:
    """Learn and explore nothing until it is taken back; feedback is stored, and money kept, all the same."""
    return await _set(service, key, is_frozen=True)


@router.post("/unfreeze")
async def unfreeze(service: ServiceDep, key: KeyDep) -> dict[str, Any]:
    """Learn again, and first what came meanwhile."""
    return await _set(service, key, is_frozen=False)


async def _settled(service: Service) -> None:
    """Wait until all is learned, for some seconds: what came during a long freeze takes its time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            await service.learning.settled()


async def _set(service: Service, key: str | None, *, is_frozen: bool) -> dict[str, Any]:
    """Log the change, unless that is how it is already, and say how it is once it is in force."""
    learning, now = service.learning, service.router.clock()
    await _settled(service)
    if (learning.view.freeze is not None) != is_frozen:
        await service.journal.append(Entry("freeze", key or "", now, {"frozen": is_frozen, "by": key}))
        await _settled(service)
    said, since = learning_state(learning, now), learning.view.freeze
    return {
        "state": said.state,
        "reason": said.reason,
        "since": None if since is None else since.since_s,
        "by": None if since is None else since.by,
    }
