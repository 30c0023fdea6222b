"""A model of the pool as the configuration file names it and `POST /v1/admin/models` registers it."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import Many, Strict, UnitInterval

_VISIBLE = re.compile(r"[!-~]{1,200}")
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")


def _checked_id(value: str) -> str:
    if not _VISIBLE.fullmatch(value):
        raise ValueError("should be 1 to 200 visible ASCII characters, without spaces")
    if value == "auto" or value.startswith("auto:"):
        raise ValueError("should not be auto or begin with auto: that name asks for routing; choose another")
    if value.endswith("/onboarding"):
        raise ValueError("should not end in /onboarding: at that address the API tells of a model's arrival")
    return value


def _checked_base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or not _VISIBLE.fullmatch(value):
        raise ValueError("should be an http:// or https:// address such as http://127.0.0.1:9000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("should be a bare address; a key belongs in the environment variable that api_key_env names")
    return value.rstrip("/")


def _checked_variable_name(value: str) -> str:
    # A key pasted here by mistake has lower-case letters or dashes, and must not go any further.
    if not _VARIABLE_NAME.fullmatch(value):
        raise ValueError(
            "should be the name of an environment variable, such as OPENAI_API_KEY, never the key itself; "
            "the name has only capital letters, digits and _"
        )
    return value


ModelId = Annotated[str, AfterValidator(_checked_id)]
"""The name of a model in requests, responses and headers; not `auto` and not `auto:…`."""

ContextTokens = Annotated[int, Field(gt=0, le=2**31 - 1)]
# A dollar a token: what is above was meant per million.
UsdPerMtok = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]

Capability = Literal["tools", "json", "vision", "logprobs"]


class Price(Strict):
    """What an upstream bills; an explicit 0 is a price, a missing one is not."""

    input_usd_per_mtok: UsdPerMtok
    """USD per million input tokens."""
    output_usd_per_mtok: UsdPerMtok
    """USD per million output tokens."""


class ModelEntry(Strict):
    """One model: how to call it, what it costs, and what is known about it beforehand."""

    id: ModelId
    provider: Literal["openai", "fake"]
    """`openai` is any OpenAI-compatible server; `fake` answers by itself, for the demo and tests."""
    base_url: Annotated[str, AfterValidator(_checked_base_url)] | None = Field(default=None, validate_default=True)
    """Address of the server, without a trailing slash; required for `openai`."""
    api_key_env: Annotated[str, AfterValidator(_checked_variable_name)] | None = None
    """Name of the environment variable that holds the upstream's key."""
    upstream_model: str = Field(default="", validate_default=True)
    """The name sent upstream; the id where none is given."""
    context_tokens: ContextTokens = 128_000
    """The longest request and answer together."""
    price: Price
    prior_quality: UnitInterval | None = None
    """What a public benchmark or your own evaluation says, 0 to 1."""
    capabilities: Many[Capability] = ()
    routable: bool = True
    """False: only used as a judge or by name."""

    @field_validator("upstream_model")
    @classmethod
    def _defaults_to_the_id(cls, value: str, info: ValidationInfo) -> str:
        return value or info.data.get("id", "")

    @field_validator("base_url")
    @classmethod
    def _openai_has_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("provider") == "openai":
            raise PydanticCustomError("missing", "is missing; add the address of the OpenAI-compatible server")
        return value


class ModelPatch(Strict):
    """A change of what may change while a model serves; what is not given stays as it is."""

    price: Price | None = None
    context_tokens: ContextTokens | None = None
    capabilities: Many[Capability] | None = None
    prior_quality: UnitInterval | None = None
    routable: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self._given():
            raise ValueError(f"should have at least one of {', '.join(type(self).model_fields)}")
        return self

    def applied_to(self, entry: ModelEntry) -> ModelEntry:
        """Return the entry with the given fields changed."""
        return entry.model_copy(update=self._given())

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self if value is not None}
