"""`/v1/admin/…`: the pool, what was learned, the objective and the jobs."""

from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.learning_state import learning_state
from app.onboarding import plan_of, progress_of, view_of
from app.schemas.admin import ModelList, ModelView, RegisteredModel
from app.schemas.pool import ModelEntry, ModelPatch
from app.service import Service
from app.storage import repository

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.get("/models")
async def list_models(service: ServiceDep, _: KeyDep) -> ModelList:
    """List the pool."""
    return ModelList(data=tuple(view_of(row, service) for row in service.pool.rows()))


@router.post("/models", status_code=201)
async def register_model(entry: ModelEntry, service: ServiceDep, _: KeyDep) -> RegisteredModel:
    """Register a model: it is explored within the budget and taken up if it is worth it."""
    return await registered(entry, service)


async def registered(entry: ModelEntry, service: Service) -> RegisteredModel:
    """Register a model, and say what it is promised."""
    row = await service.pool.register(entry, service.router.clock())
    await service.learning.settled()
    service.router.quizzing.look()
    return RegisteredModel.model_validate({**dict(view_of(row, service)), "plan": plan_of(row.id, service)})


# Before the routes of a model: its id may contain slashes.
@router.get("/models/{model:path}/onboarding")
async def show_onboarding(model: str, service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show how far a model has come, and what finding out about it has cost."""
    await service.learning.settled()
    return progress_of(model, service)


@router.get("/models/{model:path}")
async def show_model(model: str, service: ServiceDep, _: KeyDep) -> ModelView:
    """Show one model."""
    return view_of(service.pool.row(model), service)


@router.patch("/models/{model:path}")
async def patch_model(model: str, patch: ModelPatch, service: ServiceDep, _: KeyDep) -> ModelView:
    """Change price, limits or capabilities; in force at once."""
    row = await service.pool.patch(model, patch, service.router.clock())
    await service.learning.settled()
    return view_of(row, service)


@router.delete("/models/{model:path}")
async def retire_model(model: str, service: ServiceDep, _: KeyDep) -> ModelView:
    """Retire a model: it gets no new requests, what is under way ends, and its history stays."""
    return view_of(await service.draining.drain(model), service)


@router.get("/learner")
async def show_learner(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show what has been learned."""
    await service.learning.settled()
    counted = await repository.count_feedback(service.engine)
    said = learning_state(service.learning, service.router.clock())
    return service.learning.report() | {"state": said.state, "reason": said.reason, "feedback_events": counted}


@router.get("/objective")
async def show_objective(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show the objective in force."""
    return service.objectives.current.model_dump()


@router.patch("/objective")
async def patch_objective(change: dict[str, Any], service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Change the objective; in force at once, and after a restart until the file says something new."""
    objective = await service.objectives.patch(change, service.router.clock())
    await service.learning.settled()
    return objective.model_dump()


@router.get("/jobs")
async def list_jobs(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """List the scheduler's jobs with their last results."""
    return {"object": "list", "data": service.jobs.describe()}


@router.post("/jobs/{name}/run")
async def run_job(name: str, service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Run one job now and return its result."""
    return await service.jobs.run(name)
