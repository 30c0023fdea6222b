"""What to show of the spend: of which days, and by what."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from app.schemas.base import Strict

SpendBy = Literal["model", "key", "day", "purpose"]


def _day(text: str) -> str:
    try:
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueError("should be a day, YYYY-MM-DD, such as 2026-01-31")


Day = Annotated[str, AfterValidator(_day)]
"""A day (UTC)."""


class SpendQuery(Strict):
    """The parameters of `GET /v1/admin/spend`."""

    since: Day | None = None
    """The first day (UTC) that counts; all where it is left out."""
    until: Day | None = None
    """The last day (UTC) that counts."""
    by: SpendBy | None = None
    """What `rows` are by; by model, account and purpose together where it is left out."""

    @model_validator(mode="after")
    def _in_order(self) -> "SpendQuery":
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError(f"since ({self.since}) should not be after until ({self.until})")
        return self
