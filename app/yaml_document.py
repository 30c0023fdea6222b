"""Read YAML and remember on which line every value stands, so that an error can point at it.

Scalars follow YAML 1.2's core schema: `6e-4` is a number, `off` and `2026-01-31` are text. `${VAR}` in a value is
replaced by the environment variable before the value gets its type, and after the structure is fixed, so a variable
can become a number but never a further key.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.problems import Loc, Problem, shown

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# YAML would end a value at the brace of a ${VAR} inside {…}: while YAML reads, private characters stand for the braces.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([A-Za-z_][A-Za-z0-9_]*){_CLOSE}")
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class Unreadable(Exception):
    """The text is not YAML.

    Args:
        line: Where, from 1.
        message: What is wrong there.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(slots=True)
class Document:
    """What a YAML text says, and where."""

    environ: Mapping[str, str]
    """The variables that `${VAR}` may name."""
    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    """Line of each value, from 1: the line of its key, else of itself."""
    written: dict[Loc, str] = field(default_factory=dict)
    """Values with variables as they are written in the file."""
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the text itself: unset variables, keys written twice."""

    def line_of(self, loc: Loc) -> int:
        """Return the line of a value, or of the nearest one around it."""
        return next((self.lines[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in self.lines), 1)

    def read(self, node: yaml.Node, loc: Loc, around: tuple[yaml.Node, ...] = ()) -> Any:
        """Return the value of a node, and note where everything in it stands."""
        if not node.tag.startswith("tag:yaml.org,2002:"):
            return self._refuse(loc, "", f"has the tag {node.tag}; write a plain value")
        if node in around:
            return self._refuse(loc, "", "contains itself; write the value out in place of the alias")
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*loc, key), (*around, node)) for key, value in self._entries(node, loc)}
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*loc, place), (*around, node)) for place, item in self._items(node, loc)]
        return self._scalar(node, loc)

    def _entries(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[str, yaml.Node]]:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(loc, "", f"has a key on line {line} that is no plain text; write a name")
                continue
            key = _unmarked(key_node.value)
            self.lines[*loc, key] = line
            if key in first_lines:
                self._refuse((*loc, key), "", f"is written twice, first on line {first_lines[key]}; keep one")
            first_lines.setdefault(key, line)
            yield key, value_node

    def _items(self, node: yaml.SequenceNode, loc: Loc) -> Iterator[tuple[int, yaml.Node]]:
        for place, item in enumerate(node.value):
            self.lines[*loc, place] = item.start_mark.line + 1
            yield place, item

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        text = self._interpolated(_unmarked(node.value), loc)
        return text if isinstance(node, yaml.ScalarNode) and node.style else _typed(text)

    def _interpolated(self, text: str, loc: Loc) -> str:
        if "${" not in text:
            return text
        self.written[loc] = text
        for name in _VARIABLE.findall(text):
            if not self.environ.get(name):
                self._refuse(loc, shown(text), f"names the environment variable {name}, which is not set; set it")
        if "${" in _VARIABLE.sub("", text):
            self._refuse(loc, shown(text), "has a ${ that begins no variable; write ${NAME}")
        return _VARIABLE.sub(lambda match: self.environ.get(match[1]) or match[0], text)

    def _refuse(self, loc: Loc, value: str, wanted: str) -> None:
        self.problems.append(Problem(loc, value, wanted))


def read_document(text: str, environ: Mapping[str, str]) -> Document:
    """Read YAML text; an empty one is an empty mapping.

    Args:
        text: The content of the file.
        environ: The variables that `${VAR}` may name.

    Raises:
        Unreadable: The text is not one YAML document.
    """
    document = Document(environ)
    try:
        root = yaml.compose(_VARIABLE.sub(rf"{_OPEN}\1{_CLOSE}", text), Loader=yaml.SafeLoader)
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        reason = getattr(err, "problem", None) or getattr(err, "reason", None) or "cannot be read"
        raise Unreadable(mark.line + 1 if mark else 1, f"is not valid YAML: {reason}") from err
    document.data = {} if root is None else document.read(root, ())
    return document


def _unmarked(text: str) -> str:
    return _MARKED.sub(r"${\1}", text)


def _typed(text: str) -> Any:
    """Give an unquoted scalar its type by YAML 1.2's core schema."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
