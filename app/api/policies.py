"""`/v1/admin/policies`: the versions of the policy, which of them serve, and what the operator may do with them."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import KeyDep, ServiceDep
from app.schemas.policies import (
    Difference,
    PolicyDiff,
    PolicyList,
    PolicyVersion,
    PolicyView,
    Promotion,
    RegistryView,
    Rollback,
)
from app.service import Service
from app.storage.tables import PolicyRow
from app.versions import name_of

router = APIRouter(prefix="/v1/admin/policies", tags=["policies"])


def view_of(row: PolicyRow, service: Service) -> PolicyView:
    """Return a version with the share of the requests that it decides, and how it does if it is being compared."""
    name, policies = name_of(row), service.policies
    contest = policies.contest()
    live = {"live": contest} if contest is not None and name in contest["versions"] else {}
    known = row.model_dump() | {"metrics": row.metrics | live}
    return PolicyView.model_validate(known | {"name": name, "share": policies.serving().get(name, 0.0)})


@router.get("")
async def list_policies(service: ServiceDep, _: KeyDep) -> PolicyList:
    """List the versions of the policy, what serves now, and how MLflow's registry is."""
    policies = service.policies
    return PolicyList(
        data=tuple(view_of(row, service) for row in policies.versions),
        serving=policies.serving(),
        contest=policies.contest(),
        registry=RegistryView(**asdict(policies.mirror.standing)),
    )


@router.get("/diff")
async def diff_policies(
    service: ServiceDep,
    _: KeyDep,
    before: Annotated[PolicyVersion, Query(description="Number of a version.")],
    after: Annotated[PolicyVersion, Query(description="Number of another one.")],
) -> PolicyDiff:
    """Say what sets two versions apart."""
    rows = [service.policies.versions.row(version) for version in (before, after)]
    one, other = (row.parameters for row in rows)
    differs = [name for name in one if name != "version" and one[name] != other.get(name)]
    return PolicyDiff(
        before=name_of(rows[0]),
        after=name_of(rows[1]),
        parameters=tuple(Difference(parameter=name, before=one[name], after=other[name]) for name in differs),
        states={name_of(row): row.state for row in rows},
    )


@router.get("/{version}")
async def show_policy(version: PolicyVersion, service: ServiceDep, _: KeyDep) -> PolicyView:
    """Show one version."""
    return view_of(service.policies.versions.row(version), service)


@router.post("/promote")
async def promote_policy(wanted: Promotion, service: ServiceDep, _: KeyDep) -> PolicyView:
    """Take a version through the gate to a canary; with `force` it serves at once, and must stand the comparison."""
    # To its end, also where the client goes away: rows and memory must not drift apart.
    promoted = service.background.keep(service.policies.promote(wanted))
    return view_of(await asyncio.shield(promoted), service)


@router.post("/rollback")
async def roll_back_policy(service: ServiceDep, _: KeyDep, wanted: Rollback | None = None) -> PolicyView:
    """Take back a canary, else the champion; answers with the version that is champion then."""
    champion = service.background.keep(service.policies.rollback((wanted or Rollback()).reason))
    return view_of(await asyncio.shield(champion), service)
