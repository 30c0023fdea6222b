"""Load the configuration file: YAML in, `Settings` out, or every problem of the file at once.

Every problem is one line, `FILE:LINE: key.path: what, the value, how to mend`, in the order of the file. The values
of environment variables never appear: where `${VAR}` gave a wrong value, the message shows `${VAR}`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import ConfigError
from app.problems import Loc, Problem, problems_in, shown
from app.settings import Settings, contradictions
from app.yaml_document import Document, Unreadable, read_document


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the configuration file.

    Args:
        path: The file.
        environ: The variables that `${VAR}` may name.

    Raises:
        ConfigError: The file cannot be read, or anything in it is wrong; all problems at once.
    """
    try:
        document = read_document(_text(path), environ)
    except Unreadable as err:
        raise ConfigError([f"{path}:{err.line}: {err.message}"]) from err
    try:
        settings, found = Settings.model_validate(document.data), []
    except ValidationError as err:
        settings = None
        found = problems_in(err.errors(include_url=False), document.data, partial(_known_names, schema()))
    told = _told(document, [*found, *_contradictions(document.data)])
    if settings is None or told:
        raise ConfigError([f"{path}:{line}: {problem}" for line, problem in told])
    return settings


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as err:
        raise ConfigError([f"{path}: there is no such file; name one by --config or HEADRACE_CONFIG"]) from err
    except OSError as err:
        raise ConfigError([f"{path}: cannot be read: {err.strerror}"]) from err
    except UnicodeDecodeError as err:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {err.start}); save it as UTF-8"]) from err


def _told(document: Document, found: Iterable[Problem]) -> list[tuple[int, Problem]]:
    """Order the problems by line; one in the text itself hides those that follow from it."""
    unread = {problem.loc for problem in document.problems}
    consequent = (_as_written(document, problem) for problem in found if problem.loc not in unread)
    # The same contradiction may be found in the data and, where all fields are valid, by the settings.
    problems = dict.fromkeys([*document.problems, *consequent])
    return sorted(((document.line_of(each.loc), each) for each in problems), key=lambda pair: (pair[0], pair[1].path))


def _as_written(document: Document, problem: Problem) -> Problem:
    written = document.written.get(problem.loc)
    return replace(problem, value=shown(written)) if written and problem.value else problem


def _contradictions(data: Any) -> list[Problem]:
    models, judges = _section(data, "models"), _section(data, "judges")
    splitting = data.get("decompose") if isinstance(data, dict) else None
    found = contradictions(
        [model.get("id") for model in models],
        [(judge.get("id"), judge.get("model")) for judge in judges],
        {role: splitting.get(role) for role in ("planner", "merger")} if isinstance(splitting, dict) else {},
    )
    return [Problem(loc, shown(value), wanted) for loc, value, wanted in found]


def _section(data: Any, name: str) -> list[dict[str, Any]]:
    items = data.get(name) if isinstance(data, dict) else None
    return [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []


def _known_names(whole: dict[str, Any], loc: Loc) -> Collection[str]:
    """Return the names that the schema allows beside an unknown one; `loc` as pydantic gives it."""
    node = whole
    for part in loc[:-1]:
        node = _inside(_resolved(node, whole), part)
    names: dict[str, Any] = _resolved(node, whole).get("properties", {})
    return names


def _inside(node: dict[str, Any], part: str | int) -> dict[str, Any]:
    branches = node.get("discriminator", {}).get("mapping", {})
    if part in branches:
        return {"$ref": branches[part]}
    inner: dict[str, Any] = node.get("items") or node.get("properties", {}).get(part) or node["additionalProperties"]
    return inner


def _resolved(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    branch: dict[str, Any] = next((each for each in node.get("anyOf", ()) if each.get("type") != "null"), node)
    return whole["$defs"][branch["$ref"].rpartition("/")[2]] if "$ref" in branch else branch
