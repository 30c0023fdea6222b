"""API keys on the wire: what a new key may do and spend, and how keys are listed."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from app.schemas.base import Many, Name, PositiveUsd, Strict
from app.schemas.objective import Objective

KeyScope = Literal["inference", "feedback", "admin"]
Period = Literal["day", "month", "total"]

ALL_SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)


def _each_once(scopes: tuple[KeyScope, ...]) -> tuple[KeyScope, ...]:
    return tuple(scope for scope in ALL_SCOPES if scope in scopes)


class KeyBudget(Strict):
    """A hard limit on what the requests of a key may cost."""

    usd: PositiveUsd
    """The limit; a request that comes when it is reached is refused with a 429."""
    per: Period
    """A calendar day or month in UTC, or the key's whole life."""


class KeyEntry(Strict):
    """A key to make."""

    name: Name
    """Says whose key it is; need not be unique."""
    scopes: Annotated[Many[KeyScope], Field(min_length=1), AfterValidator(_each_once)] = ("inference", "feedback")
    """`inference`: chat, route and models; `feedback`: feedback; `admin`: administration, metrics and documents."""
    budget: KeyBudget | None = None
    """A hard limit; none where it is left out."""
    objective: Objective | None = None
    """An objective of the key's own, in the form of the configuration's `objective`."""


class KeyView(KeyEntry):
    """A key as it is listed; its secret is stored nowhere."""

    id: str
    """What stands between `sk-hr-` and the secret, and in `key_id` of decisions."""
    created_at: float
    """Seconds since 1970."""
    revoked_at: float | None
    """Seconds since 1970; null while the key is valid."""
    spent_usd: float
    """What its requests have cost in the present period of its budget; without a budget, in all."""


class KeyCreated(KeyView):
    """A new key, with its secret for the only time."""

    key: str
    """`sk-hr-<id>-<secret>`, to be sent as `Authorization: Bearer KEY`."""
    notice: str
    """What to heed now."""


class KeyList(Strict):
    """All keys, revoked ones too, in OpenAI's form of a list."""

    object: Literal["list"] = "list"
    data: Many[KeyView]
