"""What the administrator is told of a model's life: what it is promised when it arrives, and how far it has come."""

from typing import Any

from app.pool import DRAINING
from app.sample import MOST, MOST_BYTES
from app.schemas.admin import CapsPlan, ModelView, Plan, PriorPlan, QuizPlan
from app.service import Service
from app.storage.tables import ModelRow
from learner.arrivals import QUIZ_LEAST, Arrival, fair_share
from learner.onboarding import ENOUGH
from learner.pool import SERVING, Arm, ArmState
from learner.promise import Promise, promised

QUERIES = (
    f"up to {MOST} of the newest requests ({MOST_BYTES // 2**20} MB), in memory only, whatever is stored; none whose "
    "router.explore is false, and each within its own limits"
)
VERDICTS: tuple[ArmState, ...] = ("active", "parked")


def view_of(row: ModelRow, service: Service) -> ModelView:
    """Return a model of the pool with its state of life."""
    arm = next((arm for arm in service.learning.view.arms if arm.id == row.id), None)
    known = {
        "state": _state(row, arm, service),
        "source": row.source,
        "registered_at": row.registered_at,
        "reason": arm.reason if arm is not None else "",
    }
    return ModelView.model_validate(row.entry | known)


def _state(row: ModelRow, arm: Arm | None, service: Service) -> str:
    if row.retired_at is not None or row.state == DRAINING:
        return row.state
    if row.id in service.pool.unavailable():
        return "quarantined"
    return arm.state if arm is not None else row.state


def plan_of(model: str, service: Service) -> Plan:
    """Say what a model that arrives is promised."""
    promise, row = _promise(model, service), service.pool.row(model)
    learned, caps = service.learning.report()["models"][model], service.settings.exploration
    has_prior = row.entry["prior_quality"] is not None
    source = "prior_quality" if has_prior else "its price among those of the pool, and the pool's mean"
    return Plan(
        quiz=QuizPlan(questions=promise.questions, expected_usd=promise.quiz_usd, queries=QUERIES),
        caps=CapsPlan(max_share=caps.max_share, max_usd_per_day=caps.max_usd_per_day),
        prior=PriorPlan(quality=learned["quality"], interval=tuple(learned["interval"]), source=source),
        fair_share=promise.fair_share,
        queries_to_fair_share=promise.queries_to_fair_share,
        reason=promise.reason,
    )


def _promise(model: str, service: Service) -> Promise:
    quizzing = service.router.quizzing
    return promised(service.learning.view, model, quizzing.contexts, quizzing.caps)


def progress_of(model: str, service: Service) -> dict[str, Any]:
    """Describe how far a model has come: quiz, evidence, spend, verdict and share of the traffic.

    Raises:
        ModelNotFound: there never was such a model.
    """
    row, view = service.pool.history(model), service.learning.view
    report, arm = service.learning.report(), view.arms[view.index(model)]
    learned, arrival, promise = report["models"][model], view.arrivals.get(model), _promise(model, service)
    verdict = arm.state if arm.state in VERDICTS else None
    return {
        "id": model,
        "state": _state(row, arm, service),
        "registered_at": row.registered_at,
        "arrived_at": arrival.at_s if arrival else None,
        "progress": {
            "quiz": _quiz(arm, arrival, service),
            "observations": learned["observations"],
            "enough": ENOUGH,
        },
        "spend_usd": _spend(arrival),
        "quality": learned["quality"],
        "interval": learned["interval"],
        "verdict": {"decision": verdict, "reason": arm.reason},
        "requests_since_arrival": report["requests"] - arrival.request if arrival else None,
        "fair_share": fair_share(view.arms),
        "share": learned["share"],
        "queries_to_fair_share": {
            "reached": arrival.fair_after if arrival else None,
            "estimated": promise.queries_to_fair_share,
            "reason": promise.reason,
        },
    }


def _quiz(arm: Arm, arrival: Arrival | None, service: Service) -> dict[str, Any]:
    if arrival is None:
        why = "it was in the first pool, whose models are compared with each other"
        return {"of": 0, "asked": 0, "answered": 0, "is_over": True, "reason": why}
    is_over = not arm.is_routable or arrival.is_over(arm.state)
    reason = _over(arm, arrival) if is_over else _waiting(arm, service)
    told = {"of": arrival.size, "asked": arrival.asked, "answered": arrival.answered}
    return {**told, "is_over": is_over, "reason": reason}


def _over(arm: Arm, arrival: Arrival) -> str:
    if arrival.asked >= arrival.size:
        return "all its questions were asked"
    if arm.state not in SERVING:
        return f"the model is {arm.state}: it is asked nothing more"
    if not arm.is_routable:
        return "it is not routable: no request is routed to it"
    if arrival.fair_after is not None and arm.state != "parked":
        return "it has had its fair share of the traffic, which teaches more"
    return f"the verdict is clear: {arm.state}" + (
        f" after {QUIZ_LEAST} answers and more" if arm.state == "active" else ""
    )


def _waiting(arm: Arm, service: Service) -> str:
    if arm.id in service.pool.unavailable():
        return "its upstream fails just now"
    return service.router.quizzing.waits_for(arm.id)


def _spend(arrival: Arrival | None) -> dict[str, float] | None:
    """Return what finding out about a model has cost since it arrived; None for one of the first pool."""
    if arrival is None:
        return None
    spent = {"quiz": arrival.quiz_usd, "shadow": arrival.shadow_usd, "live": arrival.live_usd}
    return {**spent, "total": sum(spent.values())}
