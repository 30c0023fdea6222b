"""`/healthz`, `/readyz` and `/metrics`."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from app.api.deps import KeyDep, ServiceDep
from app.errors import Unavailable
from app.learning_state import learning_state
from app.storage import repository

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """Tell that the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(service: ServiceDep) -> dict[str, Any]:
    """Tell whether the database, the learner and the pool are ready."""
    try:
        await repository.last_seq(service.engine)
    except SQLAlchemyError as err:
        raise Unavailable("The database does not answer; see the service's log") from err
    return {"status": "ready", "models": len(service.pool.ids()), "events": service.learning.seq}


@router.get("/metrics")
async def metrics(service: ServiceDep, _: KeyDep) -> Response:
    """Return the metrics in Prometheus' text format."""
    report, total = service.learning.report(), service.journal.spend.total
    said = learning_state(service.learning, service.router.clock())
    service.metrics.learns(said.state, said.code)
    policies = service.policies
    service.metrics.policies(
        policies.serving(),
        (policies.contest() or {}).get("gain"),
        is_registry_up=policies.mirror.standing.state == "ok",
    )
    text = service.metrics.render(
        lambda_=report["lambda"],
        observations=report["observations"],
        feedback_events=await repository.count_feedback(service.engine),
        spend={"request": total.requests_usd, "background": total.background_usd},
        models=[(model, row["quality"], row["share"]) for model, row in report["models"].items()],
        honest={model: row["honest"]["mean"] for model, row in report["models"].items() if row["honest"]},
        raters={kind: report["raters"][kind] for kind in ("users", "keys")},
        judges=[(judge, row["weight"], row["ece"]) for judge, row in report["judges"].items()],
    )
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
