"""Whether an answer has the form that its request laid down: the schema of `response_format`, the tools' parameters.

A schema is the client's and an answer the model's: neither may hold the service up. So a check is given up after a
number of steps; keywords whose price no such count bounds, regular expressions above all, are taken for met; and no
reference is ever fetched. What cannot be checked gives no signal.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import UnknownType
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from app.providers.completion import text_of

MOST_STEPS = 5_000
MOST_CHARS = 200_000
MOST_CALLS = 8
TAKEN_FOR_MET = ("pattern", "uniqueItems", "unevaluatedItems", "unevaluatedProperties")
TOO_OPEN = ("patternProperties", "$dynamicRef", "$recursiveRef")


class Unchecked(Exception):
    """A check was given up."""


class Effort(FormatChecker):  # type: ignore[misc]  # jsonschema ships no types
    """Counts the steps of one check; jsonschema hands it on to every subschema, as it does what checks formats."""

    def __init__(self) -> None:
        super().__init__(formats=())
        self.steps = 0

    def step(self, value: object, instance: object, schema: Mapping[str, Any]) -> None:
        """Count one keyword, every alternative that it lists, and every part of what it is held against.

        Raises:
            Unchecked: it was too many, or the schema cannot be bounded.
        """
        self.steps += 1 + sum(len(each) for each in (value, instance) if isinstance(each, list | dict))
        if self.steps > MOST_STEPS or any(name in schema for name in TOO_OPEN):
            raise Unchecked


# A schema that is none is found out by using it.
UNCHECKABLE = (
    Unchecked, Unresolvable, UnknownType, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError,
    ValueError,
)  # fmt: skip


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        validator.format_checker.step(value, instance, schema)
        return check(validator, value, instance, schema)

    return counted


def _taken_for_met(*_: object) -> None:
    return None


BoundedValidator = extend(
    Draft202012Validator,
    {name: _counted(check) for name, check in Draft202012Validator.VALIDATORS.items()}
    | dict.fromkeys(TAKEN_FOR_MET, _taken_for_met),
)


def is_valid(value: object, schema: object) -> bool | None:
    """Tell whether a JSON value fits a JSON schema; None where that cannot be told."""
    try:
        validator: Any = BoundedValidator(_bare(schema), registry=Registry(), format_checker=Effort())
        return bool(validator.is_valid(value))
    except UNCHECKABLE:
        return None


def _bare(schema: Any) -> Any:
    """Return a schema without the names of its dialect: jsonschema would leave the bounded validator for it."""
    if isinstance(schema, dict):
        return {name: _bare(value) for name, value in schema.items() if name != "$schema"}
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def format_signals(request: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, float]:
    """Compare an answer with what its request asked for.

    Args:
        request: The chat request.
        message: The message of the answer.

    Returns:
        Signals that are not 0, by name: `schema_invalid` (JSON, but not of the schema), `tool_unknown` and
        `arguments_invalid` (of any of the first eight tool calls), and `schema_seen`, `tools_seen` where there was
        something to check.
    """
    return _schema_signals(request, text_of(message.get("content"))) | _tool_signals(request, message)


def _schema_signals(request: Mapping[str, Any], text: str) -> dict[str, float]:
    asked = request.get("response_format")
    described = asked.get("json_schema") if isinstance(asked, dict) else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if schema is None or len(text) > MOST_CHARS:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # That it is no JSON is another signal.
        return {}
    fits = is_valid(value, schema)
    return {} if fits is None else _named(schema_invalid=not fits, schema_seen=True)


def _tool_signals(request: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, float]:
    calls = list(islice(_tool_calls(message), MOST_CALLS))
    if not calls:
        return {}
    tools = dict(_tools(request))
    return _named(
        tool_unknown=any(name not in tools for name, _ in calls),
        arguments_invalid=any(_is_wrong(arguments, tools[name]) for name, arguments in calls if name in tools),
        tools_seen=True,
    )


def _tools(request: Mapping[str, Any]) -> Iterator[tuple[object, object]]:
    """Yield name and schema of every function that may be called, also in the older form."""
    offered = [tool.get("function") for tool in _objects(request.get("tools"))]
    for function in _objects([*offered, *_objects(request.get("functions"))]):
        yield str(function.get("name")), function.get("parameters")


def _tool_calls(message: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield name and arguments of every function that is called."""
    called = [call.get("function") for call in _objects(message.get("tool_calls"))]
    for function in _objects([*called, message.get("function_call")]):
        yield str(function.get("name")), function.get("arguments")


def _objects(items: object) -> list[dict[str, Any]]:
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []


def _is_wrong(arguments: object, schema: object) -> bool:
    if not isinstance(arguments, str) or len(arguments) > MOST_CHARS:
        return not isinstance(arguments, str)
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return True
    return not isinstance(value, dict) or (schema is not None and is_valid(value, schema) is False)


def _named(**found: bool) -> dict[str, float]:
    return {name: 1.0 for name, present in found.items() if present}
