"""`/model/new` and `/model/info`: LiteLLM's way to add a model and to list the pool, for scripts made for it."""

from typing import Any

from fastapi import APIRouter

from app.api.admin import registered
from app.api.deps import BodyDep, KeyDep, ServiceDep
from app.errors import Unprocessable
from app.onboarding import view_of
from app.schemas.base import parse_json
from app.schemas.litellm import ignored_in, info_of, read_entry

router = APIRouter(prefix="/model", tags=["litellm"])


@router.post("/new")
async def new_model(raw: BodyDep, service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Register a model as `POST /v1/admin/models` does; what LiteLLM knows and this service does not is named."""
    body = parse_json(raw, Unprocessable)
    model = await registered(read_entry(body), service)
    told = {"model_id": model.id, "ignored": ignored_in(body), "plan": model.plan.model_dump(mode="json")}
    return info_of(model) | told


@router.get("/info")
async def model_info(service: ServiceDep, _: KeyDep, litellm_model_id: str | None = None) -> dict[str, Any]:
    """List the pool in LiteLLM's form, or one model of it."""
    rows = service.pool.rows() if litellm_model_id is None else [service.pool.row(litellm_model_id)]
    return {"data": [info_of(view_of(row, service)) for row in rows]}
