"""`POST /v1/admin/policies/evaluate`: what another policy would have been worth on the log."""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.errors import NotFound
from app.evaluation import Evaluation
from app.schemas.evaluation import EvaluationRequest
from app.service import Service
from learner.assessment import NEEDS
from learner.evaluation import Estimate
from learner.robust import Kind, Name
from learner.types import Parameters

router = APIRouter(prefix="/v1/admin/policies", tags=["policies"])


@router.post("/evaluate")
async def evaluate_policy(wanted: EvaluationRequest, service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Value a policy on the log, beside the one in force: with intervals, and with what speaks against them."""
    in_force = service.learning.view.parameters
    candidate = await candidate_of(wanted, in_force, service)
    found = await service.evaluator.evaluate(
        candidate, in_force, since=wanted.since, limit=wanted.limit, estimators=tuple(dict.fromkeys(wanted.estimators))
    )
    return told(found)


async def candidate_of(wanted: EvaluationRequest, in_force: Parameters, service: Service) -> Parameters:
    """Return the parameters that a request names.

    Raises:
        NotFound: there never was such a version.
    """
    if wanted.parameters is not None:
        return replace(wanted.parameters.over(in_force), version=in_force.version + 1)
    versions, name = await service.evaluator.versions(in_force), wanted.version or ""
    found = versions.get(name) or versions.get(f"headrace@{name}")
    if found is None:
        known = ", ".join(versions)
        raise NotFound(f"There is no version {name!r} of the policy; there are {known}", param="version")
    return found


def told(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON; what is not known is null."""
    log = found.assessment
    return {
        "candidate": asdict(found.candidate),
        "in_force": {"version": found.in_force.name, "parameters": asdict(found.in_force)},
        "log": {"first_seq": found.first_seq, "last_seq": found.last_seq, "events_folded": found.events},
        "decisions": log.decisions,
        "left_out": found.left_out,
        "labels": log.labels,
        "reproduced_share": log.reproduced,
        "ess": log.support.effective_n if log.support else 0.0,
        "unsupported_share": log.support.unsupported if log.support else 1.0,
        "model_share": log.support.model if log.support else 1.0,
        "clip": log.support.clip if log.support else None,
        "estimators": {name: _estimator(name, found) for name in log.trusted},
        "warnings": list(log.warnings),
        "trust": log.trust,
    }


def _estimator(name: Name, found: Evaluation) -> dict[str, Any]:
    log = found.assessment
    return {
        "candidate": _values(log.estimates.get(name, {})),
        "in_force": _values(log.in_force.get(name, {})),
        "difference": _values(log.gains.get(name, {})),
        "trust": log.trusted[name],
        "needs": NEEDS[name],
    }


def _values(estimates: Mapping[Kind, Estimate]) -> dict[str, Any]:
    return {kind: {field: _finite(v) for field, v in asdict(one).items()} for kind, one in estimates.items()}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
