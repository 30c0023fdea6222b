r"""Normal forms: one key for every spelling of an answer.

`answers` finds the stretch of a reply that states its answer; this module decides how that stretch is spelled. A number
becomes one decimal (`1,234.50`, `\frac12`, `50 %`, `15 * (2/3) = 10`), data becomes JSON with sorted keys, code becomes
its syntax tree, and a phrase loses case, punctuation and articles. Every function returns "" for what it cannot read.
Inputs come from unknown models, so every pattern is linear, every size is bounded and nothing is executed.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable
from hashlib import blake2b

NUMBER_CHARS = 160
LITERAL_CHARS = 4_000
KEY_CHARS = 120
UNREADABLE = (ValueError, SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError)

_PLAIN = re.compile(r"([-+\u2212]?)\s?[$€£¥]?\s?(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?\s?%?")
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_ROOT = re.compile(r"(?:\\sqrt|√)\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(\d+|\w))")
_STYLED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathit|operatorname|boxed|mbox)\s*\{([^{}]*)\}")
_UNSEEN = re.compile(r"\\(?:left|right|displaystyle|quad|[,;!:>()\[\] ])|\^\{?\\circ\}?|[$°]")
_SYMBOLS = (
    ("\\times", "*"),
    ("\\cdot", "*"),
    ("\\div", "/"),
    ("\\pi", "pi"),
    ("\\%", "%"),
    ("\\approx", "≈"),
    ("\\infty", "infinity"),
)
_SIGNS = str.maketrans({"\u00d7": "*", "·": "*", "÷": "/", "π": "pi", "\u2212": "-", "\u2013": "-", "{": "(", "}": ")"})
_JOINED = re.compile(r"(?<=[\d)])\s*(?=\(|sqrt|pi)|(?<=[\d)])\s+x\s+(?=\d)|(?<=pi)(?=sqrt|\()|(?<=\))(?=\d)")
_ARITHMETIC = re.compile(r"(?:[\d.\s()+*/^%-]|sqrt|pi|(?<=\d)[eE](?=[-+]?\d))+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_QUANTITY = re.compile(r"(?<![\w.^:/])-?\d+(?:\.\d+)?(?:/\d+)?(?![\d:])")
_BEFORE = re.compile(
    r"(?:\b(?:is|are|was|be|equals?|about|approximately|around|roughly|exactly|nearly|almost|over|under|least|most|of|to|at|has|have|only"
    r"|costs?|total|by|than|the|for|in)|[=:≈~$€£¥])\s*",
    re.IGNORECASE,
)
_NOT_UNIT = re.compile(
    r"[=+*<>_√\\(]|(?<![A-Za-z])[/^]|sqrt|\bpi\b|\b[xyznki]\b|^[xyznkabcrti]\b"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\\\|\\([^\\'\"abfnrtvxuUN0-7\n])")
_GLUED = re.compile(r"(?<=[\d.])(?=and|else|for|i[fns]|or|not)")
_LITERAL = re.compile(r"[\[{('\"]|[bBrRuU]{1,2}['\"]|[-+]?[\d.][\d._eE+-]*$|(?:True|False|None|set\(\))$")
_FORMULA = re.compile(r"[\d=+^\\<>]")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}


def number(text: str) -> str:
    r"""Return the decimal that `text` states, without currency, percent sign or unit, or "".

    A formula is evaluated (`\frac{3}{4}`, `2\sqrt{3}`, `1.2 \times 10^{-3}`), of an equation the last side counts, and
    a phrase counts if it holds one quantity (`about 14 boxes`). Twelve significant digits decide.
    """
    if len(text) > NUMBER_CHARS:
        return ""
    if plain := _plain(text.strip()):
        return plain
    formula = unlatex(text)
    return _sides(formula) or _quantity(formula)


def literal(text: str) -> object:
    """Read a Python literal; raise one of `UNREADABLE` if it is none.

    Raises:
        ValueError: `text` is longer than `LITERAL_CHARS` or no literal; other `UNREADABLE` errors likewise.
    """
    if len(text) > LITERAL_CHARS or not _LITERAL.match(text):
        raise ValueError(f"no literal of at most {LITERAL_CHARS} characters: {text[:80]!r}")
    return ast.literal_eval(_escaped(text))


def document(value: object) -> str:
    """Return data (JSON, or the containers of Python literals) with sorted keys and canonical numbers.

    Raises:
        RecursionError: the data are nested too deeply.
    """
    return _compact(_document(value))


def code(source: str) -> str:
    """Return a digest of the syntax tree where `source` is Python, else of its text with white space folded."""
    try:
        tree = ast.dump(ast.parse(_GLUED.sub(" ", _escaped(source))))
    except UNREADABLE:
        tree = " ".join(source.split())
    return _digest(tree) if tree else ""


def phrase(text: str) -> str:
    """Return `text` without case, punctuation and articles; a formula keeps its signs and loses its spaces."""
    lowered = unlatex(text).lower().strip(" \t\n.,;:!?*_`\"'")
    if _FORMULA.search(lowered):
        return _compact("".join(lowered.replace("*", "").split()))
    words = "".join(c if c.isalnum() or c in "-/&%$" else " " for c in lowered)
    return _compact(" ".join(_ARTICLE.sub(" ", words).split()) or " ".join(words.split()))


def unlatex(text: str) -> str:
    r"""Return `text` with LaTeX fractions, roots, symbols and spacing written as plain arithmetic."""
    if "\\" in text or "$" in text or "°" in text:
        text = _STYLED.sub(r" \1", text.replace("\\\\", "\\").replace("{,}", ","))
        for sign, plain in _SYMBOLS:
            text = text.replace(sign, plain)
        text = _UNSEEN.sub("", text)
        for _ in range(2):  # a root inside a fraction, or a fraction inside a root
            text = _FRACTION.sub(_as_quotient, _ROOT.sub(_as_root, text))
    elif "√" in text:
        text = _ROOT.sub(_as_root, text)
    return text.translate(_SIGNS)


def _as_quotient(match: re.Match[str]) -> str:
    above, below = match[1] or match[2] or "", match[3] or match[4] or ""
    mixed = match.string[: match.start()].rstrip()[-1:].isdigit() and above.isdigit() and below.isdigit()
    return f"+{above}/{below}" if mixed else f"(({above})/({below}))"


def _as_root(match: re.Match[str]) -> str:
    return f"sqrt({match[1] or match[2] or match[3] or ''})"


def _plain(text: str) -> str:
    match = _PLAIN.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return ""
    whole = (match[2] or "").replace(",", "").lstrip("0") or "0"
    part = (match[3] or "").rstrip("0").rstrip(".")
    sign = "-" if match[1] in ("-", "\u2212") and (whole, part) != ("0", "") else ""
    return f"{sign}{whole}" if not part else _decimal(float(f"{sign}{whole}{part}"))


def _decimal(value: float) -> str:
    """Spell a finite number; whole numbers exactly, others to twelve significant digits."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return repr(value)
    rounded = float(f"{value:.12g}")
    return str(int(rounded)) if rounded.is_integer() and abs(rounded) < 1e15 else f"{rounded:.12g}"


def _sides(formula: str) -> str:
    """Evaluate a formula; of an equation the last side, of an approximation the exact side where it is a number."""
    exact, _, rounded = formula.partition("≈")
    for side in (exact, rounded):
        single = not any(mark in side for mark in (";", " and ", ", "))
        if value := _evaluated(side.rpartition("=")[2] if single else side):
            return value
    return ""


def _evaluated(formula: str) -> str:
    formula = _THOUSANDS.sub("", formula).strip().rstrip(".%").strip()
    if not formula or not _ARITHMETIC.fullmatch(_JOINED.sub("*", formula)):
        return ""
    try:
        return _decimal(_value(ast.parse(_JOINED.sub("*", formula).replace("^", "**"), mode="eval").body))
    except UNREADABLE:
        return ""


def _value(node: ast.expr) -> float:
    """Evaluate a parsed arithmetic expression in floats, so that no power can grow without bound."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left), _value(right))
        case ast.Name(id="pi"):
            return math.pi
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return math.sqrt(_value(argument))
    raise ValueError(f"not arithmetic: {ast.dump(node)[:80]}")


def _quantity(text: str) -> str:
    """Return the only quantity of a phrase, if what stands before and after it are words and a unit."""
    text = _THOUSANDS.sub("", text)
    found = list(_QUANTITY.finditer(text))
    if len(found) != 1:
        return ""
    before, after = text[: found[0].start()], text[found[0].end() :]
    introduced = not before.strip(" \t\n*_(\"'$€£¥~") or _ends_with_introduction(before)
    return _evaluated(found[0][0]) if introduced and not _NOT_UNIT.search(after) else ""


def _ends_with_introduction(before: str) -> bool:
    return any(match.end() == len(before) for match in _BEFORE.finditer(before))


def _document(value: object) -> str:
    match value:
        case bool() | None | str():
            return json.dumps(value)
        case int() | float():
            return _decimal(value)
        case list():
            return f"[{','.join(map(_document, value))}]"
        case tuple():
            return f"({','.join(map(_document, value))})"
        case set():
            return f"{{{','.join(sorted(map(_document, value)))}}}"
        case dict():
            return f"{{{','.join(sorted(f'{_document(k)}:{_document(v)}' for k, v in value.items()))}}}"
    return repr(value)


def _escaped(source: str) -> str:
    r"""Double the backslashes that escape nothing, as Python reads them anyway, so that parsing raises no warning."""
    return _ESCAPE.sub(lambda m: m[0] if m[1] is None else f"\\\\{m[1]}", source) if "\\" in source else source


def _compact(key: str) -> str:
    return key if len(key) <= KEY_CHARS else _digest(key)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
