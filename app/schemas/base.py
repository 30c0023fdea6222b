"""What all wire shapes share: strictness, the ranges of their numbers, and reading JSON."""

from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.errors import AppError

Item = TypeVar("Item")

Many = Annotated[tuple[Item, ...], Field(strict=False)]
"""A list of items; strictness would refuse the list that JSON and YAML give for a tuple."""

UnitInterval = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""

PositiveUsd = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""US dollars, more than 0."""

NonNegativeUsd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""US dollars, 0 or more."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("should have no NUL character (U+0000)")
    return text


NoNul = AfterValidator(_without_nul)

Name = Annotated[str, Field(min_length=1, max_length=200), NoNul]
"""A short text that names something."""

Tags = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64), NoNul], Annotated[str, Field(max_length=512), NoNul]],
    Field(max_length=16),
]
"""Labels of a request or a feedback; the bounds are those of OpenAI's `metadata`."""


EPISODE = "episode"
"""The tag that joins the requests of one task, and by which feedback on the whole of it finds them."""


class Strict(BaseModel):
    """A shape that never changes, accepts no unknown field and converts no type."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )


def parse_json(raw: bytes, kind: type[AppError]) -> Any:
    """Read a JSON body.

    Args:
        raw: The body as it came.
        kind: The error to raise, by the path's contract 400 or 422.

    Raises:
        AppError: The body is empty or is not valid JSON.
    """
    if not raw.strip():
        raise kind("The body is empty; send a JSON object", code="invalid_json")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as err:
        raise kind(f"The body is not valid JSON: {err}", code="invalid_json") from err
