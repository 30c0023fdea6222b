"""A chat request: OpenAI's body, looked at only where routing needs it, and the service's `router` object.

`parse_chat` runs on every request, so nothing is converted or copied: the body goes upstream as it came, and the
upstream judges the fields that are its own.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, ValidationInfo, field_validator

from app.errors import BadRequest, refusal
from app.problems import located, problems_in, shown
from app.schemas.base import Many, Name, PositiveUsd, Strict, Tags, UnitInterval, parse_json

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def _checked_cascade(value: Any) -> Any:
    if value in ("auto", "off") or (type(value) is int and value >= 1):
        return value
    raise ValueError("should be 'auto', 'off', or the greatest number of attempts, 1 or more")


def _checked_messages(messages: Any) -> Any:
    if not isinstance(messages, list) or not messages:
        raise ValueError("should be a list of at least one message")
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise located([((position,), message, "should be an object with role and content")])
        if message.get("role") not in ROLES:
            raise located([((position, "role"), message.get("role"), f"should be one of {', '.join(ROLES)}")])
        if not isinstance(content := message.get("content"), str):
            _check_parts(position, content)
    return messages


def _check_parts(position: int, content: Any) -> None:
    if content is None:
        return
    if not isinstance(content, list):
        raise located([((position, "content"), content, "should be a string, a list of parts, or null")])
    for place, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise located([((position, "content", place), part, "should be an object with a type, such as text")])


def _default_of(shape: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Read null as absent, as OpenAI's API does."""
    field = shape.model_fields[info.field_name or ""]
    return field.get_default(call_default_factory=True) if value is None and not field.is_required() else value


Cascade = Annotated[
    Literal["auto", "off"] | int,
    PlainValidator(_checked_cascade, json_schema_input_type=Literal["auto", "off"] | Annotated[int, Field(ge=1)]),
]
"""`auto`, `off`, or the greatest number of models to try."""

Messages = Annotated[
    list[dict[str, Any]], PlainValidator(_checked_messages, json_schema_input_type=list[dict[str, Any]])
]


class RouterOptions(Strict):
    """What a client may say about the routing of one request."""

    cost_quality: UnitInterval | None = None
    """0 for quality, 1 for cost; the configured objective where none is given."""
    max_cost_usd: PositiveUsd | None = None
    """The most that this request may cause to be spent."""
    fusion: Literal["vote", "best", "synthesize"] | None = None
    """Ask several models at once and fuse their answers: by agreement, by judges, or by a model that merges them."""
    decompose: bool = False
    """Split a compound request into parts, route each by itself, and merge their answers."""
    min_quality: UnitInterval | None = None
    """Models and chains of models expected below this are not chosen."""
    allow: Annotated[Many[Name], Field(min_length=1, max_length=100)] = ("*",)
    """Globs on model ids: only these."""
    deny: Annotated[Many[Name], Field(max_length=100)] = ()
    """Globs on model ids: none of these."""
    cascade: Cascade = "auto"
    explore: bool | None = None
    """False: the best-known choice only."""
    session_id: Name | None = None
    tags: Tags = Field(default_factory=dict)
    dry_run: bool = False
    """True: the decision only, no model called."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any, info: ValidationInfo) -> Any:
        return _default_of(cls, value, info)


class ChatRequest(BaseModel):
    """What routing reads of a chat request; all other fields are kept as they are."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    model: Name = "auto"
    """`auto`, `auto:cheap`, `auto:balanced`, `auto:best`, or the id of a model of the pool."""
    messages: Messages
    stream: bool = False
    user: str | None = None
    response_format: dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    router: RouterOptions = Field(default_factory=RouterOptions)

    @field_validator("model", "stream", "n", "router", mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any, info: ValidationInfo) -> Any:
        return _default_of(cls, value, info)


def parse_chat(raw: bytes) -> tuple[ChatRequest, dict[str, Any]]:
    """Read and check the body of a chat request.

    Args:
        raw: The body as it came.

    Returns:
        The request, and the body as the client sent it, `router` included.

    Raises:
        BadRequest: The body is empty, no JSON object, or a field has a wrong type or value.
    """
    body = parse_json(raw, BadRequest)
    if not isinstance(body, dict):
        raise BadRequest(f"The body is {shown(body)}; send a JSON object with model and messages")
    try:
        return ChatRequest.model_validate(body), body
    except ValidationError as err:
        # Only the router object refuses unknown fields.
        found = problems_in(err.errors(include_url=False), body, lambda _: RouterOptions.model_fields)
        raise refusal(BadRequest, found) from err
