"""`/v1/admin/spend`: what was spent, and what of it exploration cost, by model, key and day."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.deps import KeyDep, ServiceDep
from app.schemas.spend import SpendBy, SpendQuery
from app.service import Service
from app.storage import repository
from app.storage.spend import NOTHING, Spend, SpendLedger, day_of

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.get("/spend")
async def show_spend(query: Annotated[SpendQuery, Query()], service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show what was spent: requests plus background is the total, which is what the upstreams billed."""
    spend = service.journal.spend
    if query.since or query.until:
        spend = await repository.spend_ledger(service.engine, since=query.since, until=query.until)
    return {
        **amounts(spend.total),
        "since": query.since,
        "until": query.until,
        "exploration": {
            "usd": spend.total.exploration_usd,
            "quality": spend.total.explored_quality,
            "quality_per_1000_requests": per_1000(spend.total),
            **now(service),
            **{f"by_{name}": explored(name, spend) for name in ("model", "key", "day")},
        },
        "rows": plain(spend) if query.by is None else [{query.by: n} | amounts(s) for n, s in by(query.by, spend)],
    }


def now(service: Service) -> dict[str, Any]:
    """Return how exploration stands against its caps at this moment."""
    learning, spend, at = service.learning, service.journal.spend, time.time()
    configured, total = service.settings.exploration, spend.total
    return {
        "allowance_usd": max(learning.view.allowance_usd - learning.reserved_usd(at), 0.0),
        "caps": {
            "max_share": configured.max_share,
            "max_usd_per_day": configured.max_usd_per_day,
            "share": total.exploration_usd / total.total_usd if total.total_usd else 0.0,
            "today_usd": spend.on(day_of(at)).exploration_usd,
            "held_usd": learning.exploring.held_usd,
        },
    }


def by(name: SpendBy, spend: SpendLedger) -> list[tuple[str | None, Spend]]:
    """Return the spend by model, key (None for none), day or purpose, in their order."""
    if name == "day":
        return sorted(spend.days.items())
    at = {"model": 0, "key": 1, "purpose": 3}[name]
    sums: dict[str, Spend] = {}
    for cell, amount in spend.cells.items():
        sums[cell[at]] = sums.get(cell[at], NOTHING) + amount
    return [(value or None, sums[value]) for value in sorted(sums)]


def amounts(spend: Spend) -> dict[str, Any]:
    """Return a spend's parts by their public names."""
    return {
        "total_usd": spend.total_usd,
        "requests_usd": spend.requests_usd,
        "background_usd": spend.background_usd,
        "exploration_usd": spend.exploration_usd,
        "exploration_quality": spend.explored_quality,
        "judges_usd": spend.judges_usd,
        "calls": spend.calls,
        "requests": spend.requests,
    }


def explored(name: SpendBy, spend: SpendLedger) -> list[dict[str, Any]]:
    """Return what exploration cost, where it cost anything."""
    return [
        {name: value, "usd": own.exploration_usd, "quality": own.explored_quality}
        for value, own in by(name, spend)
        if own.exploration_usd or own.explored_quality
    ]


def plain(spend: SpendLedger) -> list[dict[str, Any]]:
    """Return the spend by model, account and purpose."""
    sums: dict[tuple[str, str, str], Spend] = {}
    for (model, _, account, purpose), amount in spend.cells.items():
        sums[model, account, purpose] = sums.get((model, account, purpose), NOTHING) + amount
    return [
        {"model": model, "account": account, "purpose": purpose, "usd": own.total_usd, "calls": own.calls}
        for (model, account, purpose), own in sorted(sums.items())
    ]


def per_1000(spend: Spend) -> float | None:
    """Return the mean quality given up on 1,000 requests; None where there was none."""
    return 1_000.0 * spend.explored_quality / spend.requests if spend.requests else None
