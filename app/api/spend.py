"""`/v1/admin/spend`: what was spent, and what of it exploration cost, by model, key and day."""

import time
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.deps import KeyDep, ServiceDep
from app.schemas.spend import SpendQuery
from app.service import Service
from app.storage import repository
from app.storage.spend import Spend, day_of
from app.storage.tables import SpendRow

router = APIRouter(prefix="/v1/admin", tags=["admin"])

COLUMNS = {"model": "model", "key": "key_id", "day": "day", "purpose": "purpose"}


@router.get("/spend")
async def show_spend(query: Annotated[SpendQuery, Query()], service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """Show what was spent: requests plus background is the total, which is what the upstreams billed."""
    days = {"since": query.since, "until": query.until}
    whose = await repository.spend_by(service.engine, ("model", "key_id", "account", "purpose"), **days)
    when = await repository.spend_by(service.engine, ("day", "account", "purpose"), **days)
    total = sum_of(whose)
    return {
        **amounts(total),
        "since": query.since,
        "until": query.until,
        "exploration": {
            "usd": total.exploration_usd,
            "quality": total.explored_quality,
            "quality_per_1000_requests": per_1000(total),
            **now(service),
            "by_model": explored(by("model", whose)),
            "by_key": explored(by("key", whose)),
            "by_day": explored(by("day", when)),
        },
        "rows": plain(whose) if query.by is None else by(query.by, when if query.by == "day" else whose),
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


def sum_of(rows: Iterable[SpendRow]) -> Spend:
    """Add rows up."""
    spend = Spend()
    for row in rows:
        spend = spend.plus(row)
    return spend


def by(name: str, rows: Iterable[SpendRow]) -> list[dict[str, Any]]:
    """Add rows up by one of `COLUMNS`; null stands for no key."""
    sums: dict[str, Spend] = {}
    for row in rows:
        value = getattr(row, COLUMNS[name])
        sums[value] = sums.get(value, Spend()).plus(row)
    return [{name: value or None, **amounts(sums[value])} for value in sorted(sums)]


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


def explored(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what exploration cost, where it cost anything."""
    told = (
        {**dict([next(iter(row.items()))]), "usd": row["exploration_usd"], "quality": row["exploration_quality"]}
        for row in rows
    )
    return [row for row in told if row["usd"] or row["quality"]]


def plain(rows: Iterable[SpendRow]) -> list[dict[str, Any]]:
    """Return the spend by model, account and purpose."""
    sums: dict[tuple[str, str, str], Spend] = {}
    for row in rows:
        cell = (row.model, row.account, row.purpose)
        sums[cell] = sums.get(cell, Spend()).plus(row)
    return [
        {"model": model, "account": account, "purpose": purpose, "usd": spend.total_usd, "calls": spend.calls}
        for (model, account, purpose), spend in sorted(sums.items())
    ]


def per_1000(spend: Spend) -> float | None:
    """Return the mean quality given up on 1,000 requests; None where there was none."""
    return 1_000.0 * spend.explored_quality / spend.requests if spend.requests else None
