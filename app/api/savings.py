"""`/v1/admin/savings`: what the service saves, measured on the requests that a control answered."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.errors import Unprocessable
from app.savings import savings_in
from app.storage.savings import Period

router = APIRouter(prefix="/v1/admin", tags=["admin"])

USUAL = timedelta(days=30)
FIRST_YEAR, LAST_YEAR = 1971, 9998


@router.get("/savings")
async def show_savings(
    service: ServiceDep, _: KeyDep, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Any]:
    """Show quality and cost against the best single model and the cheapest, with 95 % intervals.

    Args:
        service: The service.
        since: ISO 8601, or seconds since 1970; thirty days before `until` where none is given. UTC without a zone.
        until: The same; now where none is given.
    """
    for name, time in (("since", since), ("until", until)):
        if time is not None and not FIRST_YEAR <= time.year <= LAST_YEAR:
            wanted = f"send a time of the years {FIRST_YEAR} to {LAST_YEAR}"
            raise Unprocessable(f"{name} is {time.isoformat()}; {wanted}", param=name)
    now = datetime.fromtimestamp(service.router.clock(), UTC)
    end = in_utc(until or now)
    start = in_utc(since or end - USUAL)
    if start >= end:
        raise Unprocessable(
            f"since is {start.isoformat()}, which is not before until ({end.isoformat()}); send an earlier one",
            param="since",
        )
    period = Period(start.timestamp(), end.timestamp())
    return await savings_in(service.engine, service.learning, period, share=service.router.control_share)


def in_utc(time: datetime) -> datetime:
    """Return a time with its zone, UTC where it has none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
