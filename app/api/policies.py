"""The policy's versions."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep

router = APIRouter(prefix="/v1/admin/policies", tags=["policies"])


@router.get("")
async def list_policies(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """List the versions of the policy."""
    parameters = service.learning.view.parameters
    return {"object": "list", "data": [{"version": parameters.name, "parameters": asdict(parameters)}]}
