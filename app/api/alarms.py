"""`/v1/admin/alarms`: the alarms that the learner has raised."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.alerts import described
from app.api.deps import KeyDep, ServiceDep
from app.storage import repository

router = APIRouter(prefix="/v1/admin/alarms", tags=["admin"])

MOST = 1_000


@router.get("")
async def list_alarms(
    service: ServiceDep, _: KeyDep, limit: Annotated[int, Query(ge=1, le=MOST)] = 100
) -> dict[str, Any]:
    """List the latest alarms, newest first, and when the webhook was told of each."""
    rows = await repository.alarms_since(service.engine, 0.0, limit)
    return {"object": "list", "data": [described(row) | {"delivered_at": row.delivered_at} for row in rows]}
