"""`/v1/admin/…`: the pool, what was learned, what was spent, the objective and the jobs."""

from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.learning_state import learning_state
from app.schemas.admin import ModelList, ModelView
from app.schemas.pool import ModelEntry, ModelPatch
from app.service import Service
from app.storage import repository
from app.storage.tables import ModelRow

router = APIRouter(prefix="/v1/admin", tags=["admin"])


def view_of(row: ModelRow, service: Service) -> ModelView:
    """Return a model of the pool with its state of life."""
    arms = {arm.id: arm.state for arm in service.learning.view.arms}
    is_down = row.id in service.pool.unavailable()
    state = row.state if row.retired_at else ("quarantined" if is_down else arms.get(row.id, row.state))
    known = {"state": state, "source": row.source, "registered_at": row.registered_at}
    return ModelView.model_validate(row.entry | known)


@router.get("/models")
async def list_models(service: ServiceDep, _: KeyDep) -> ModelList:
    """List the pool."""
    return ModelList(data=tuple(view_of(service.pool.row(model), service) for model in service.pool.ids()))


@router.post("/models", status_code=201)
async def register_model(entry: ModelEntry, service: ServiceDep, _: KeyDep) -> ModelView:
    """Register a model: it is explored within the budget and taken up if it is worth it."""
    row = await service.pool.register(entry, service.router.clock())
    await service.learning.settled()
    return view_of(row, service)


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
    """Retire a model: it gets no new requests, its history stays."""
    row = await service.pool.retire(model, service.router.clock())
    await service.learning.settled()
    return view_of(row, service)


@router.get("/learner")
async def show_learner(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show what has been learned."""
    await service.learning.settled()
    counted = await repository.count_feedback(service.engine)
    said = learning_state(service.learning, service.router.clock())
    return service.learning.report() | {"state": said.state, "reason": said.reason, "feedback_events": counted}


@router.get("/spend")
async def show_spend(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show what was spent, in all and by model: requests plus background is the total."""
    total = service.journal.spend.total
    rows = await repository.spend_totals(service.engine)
    return {
        "total_usd": total.total_usd,
        "requests_usd": total.requests_usd,
        "background_usd": total.background_usd,
        "exploration_usd": total.exploration_usd,
        "judges_usd": total.judges_usd,
        "calls": total.calls,
        "rows": [
            {"model": r.model, "account": r.account, "purpose": r.purpose, "usd": r.usd, "calls": r.calls} for r in rows
        ],
    }


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
