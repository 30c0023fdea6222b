"""Say what is wrong with an input: where it stands, what was given, what it should be.

A problem is born in a schema (pydantic finds it), told in plain English here, and ends in an error body
(`app.errors`) or on a line of `headrace config check` (`app.config_file`). No secret leaves this file: values
of fields that are named like one, and text that looks like one, are hidden.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Loc = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the root."""

SHOWN_CHARACTERS = 80

_HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"(?:^|[_-])(?:key|secret|token|password|authorization)(?:$|[_-])", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]+|\bAIza[\w-]+|\bBearer\s+\S+"
    r"|(?<=://)\S+(?=@)"
    r"|(?:(?<=key=)|(?<=token=)|(?<=secret=)|(?<=password=))[^&\s]+",
    re.IGNORECASE,
)
_PLAIN_WORDS = {
    r"^\w+ should": "should",
    r"a valid dictionary(?: or (?:instance of \w+|object to extract fields from))?": "an object",
    r"a valid (?:list|tuple)": "a list",
    r"a valid string": "a string",
    r"a valid integer": "a whole number",
    r"a valid number": "a number",
    r"a valid boolean": "true or false",
    r" after validation, not \d+": "",
    r"^Input is not a valid path.*": "should be the path of a file",
    r"^Field required": "is missing; add it",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input."""

    loc: Loc
    """Where the value stands; empty for the whole input."""
    value: str
    """What was given, as `shown`; empty where nothing was."""
    wanted: str
    """What the value should be, as the rest of a sentence that begins with the value."""

    @property
    def path(self) -> str:
        """Write the place as people do, `models[0].price`."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{shown(part)[1:-1]}" for part in self.loc)
        return "".join(parts).removeprefix(".")

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.path, f"{self.value} {self.wanted}".lstrip())))


def shown(value: object, *, name: str | int = "") -> str:
    """Write a value for a message: as JSON, at most 80 characters, never a secret or a whole object.

    Args:
        value: A value as JSON or YAML gives it.
        name: The name of its field, which may tell that it is a secret.
    """
    if _SECRET_NAME.search(str(name)):
        return _HIDDEN
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    # JSON may hold half a surrogate pair, which cannot be sent back as UTF-8.
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
    text = _SECRET_TEXT.sub(_HIDDEN, text)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def located(found: Iterable[tuple[Loc, object, str]]) -> ValidationError:
    """Build the error of a validator that looks through a value by itself and knows the places.

    Args:
        found: Place below the validated value, value there, and what it should be; at least one.

    Returns:
        The error to raise in the validator: pydantic puts its own place in front of each.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError("located", "{wanted}", {"wanted": wanted}), loc=loc, input=value)
        for loc, value, wanted in found
    ]
    return ValidationError.from_exception_data("value", details)


def _no_names(_: Loc) -> Collection[str]:
    return ()


def problems_in(
    errors: Iterable[ErrorDetails], data: object, known: Callable[[Loc], Collection[str]] = _no_names
) -> list[Problem]:
    """Tell the errors of pydantic as problems.

    Args:
        errors: What `ValidationError.errors()` gives.
        data: The input that was validated, as JSON or YAML gave it.
        known: The names allowed at the place of an unknown one, for a suggestion; the place as pydantic gives it.
    """
    return [_problem(error, data, known) for error in errors]


def _problem(error: ErrorDetails, data: object, known: Callable[[Loc], Collection[str]]) -> Problem:
    loc, value = _without_branches(error["loc"], data), error["input"]
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        tag = error["ctx"]["discriminator"].strip("'")
        loc, value = (*loc, tag), value.get(tag)
    if error["type"] == "extra_forbidden":
        return Problem(loc, "", unknown(str(loc[-1]), known(error["loc"])))
    is_absent = error["type"] in {"missing", "union_tag_not_found"}
    return Problem(loc, "" if is_absent else shown(value, name=loc[-1] if loc else ""), _wanted(error))


def _wanted(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "union_tag_invalid":
        return f"should be one of {error['ctx']['expected_tags']}"
    text = "is missing; add it" if error["type"] == "union_tag_not_found" else error["msg"]
    for pattern, words in _PLAIN_WORDS.items():
        text = re.sub(pattern, words, text)
    return text


def unknown(name: str, known: Collection[str]) -> str:
    """Mend an unknown name: the one that was meant, else the ones there are."""
    if close := get_close_matches(name, known, n=1):
        return f"is unknown; did you mean {close[0]}?"
    return f"is unknown; the known ones are {', '.join(known)}" if known else "is unknown; leave it out"


def _without_branches(loc: Loc, data: object) -> Loc:
    """Drop the parts that pydantic adds for the branch of a union or the key of a mapping: the data have none such."""
    kept: list[str | int] = []
    for part in loc[:-1]:
        if _has(data, part):
            kept.append(part)
            data = data[part]  # type: ignore[index]  # `_has` has just looked
    return (*kept, *(part for part in loc[-1:] if part != "[key]" or _has(data, part)))


def _has(data: object, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, Sequence) and isinstance(part, int) and part < len(data)
