r"""Where a reply states its answer: JSON documents, `\boxed{}`, "the answer is ...", blocks of code, last quantities.

Text in, spans of text out; what a span means is decided in `answers`. Models phrase the same thing in many ways, so the
patterns follow the conventions of exams, LaTeX and Markdown, and nothing here knows a model or a data set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

SPAN_CHARS = 300
MENTIONS = 6

_OBJECT = re.compile(r'\{\s*["}]')
_FIELD = re.compile(r'nswer"\s*:\s*("(?:[^"\\]|\\.)*"|[^\s"][^\n]*)', re.DOTALL)
_LANGUAGE = re.compile(r"\A[\w+#.-]*[ \t]*\n")
_MARKER = re.compile(r"answer\b[^\n.:=>]{0,80}?(?:[:=>\n]|\b(?:is|be)\b)[\s*_:=]*", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"\W{0,4}(?:as follows|below|above|that|because|helpful|(?:in)?correct|wrong|right|unclear"
    r"|not (?:provided|listed|given|available|clear|among|in))\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bSt)(?<!\bMrs)(?<!\bProf)[.!?](?=\s|$)"
    r"|,?\s(?:because|since)\b|</|\n"
)
_MENTIONED = re.compile(
    r"(?:\b(?:[Oo]ption|[Cc]hoice)\s+|[(\[*{])([A-Z])(?![\w'\u2019])"
    r"|(?<!\w)\(([a-z])\)|^\s*([A-Z])[.):]|(?<![\w'\u2019-])([B-HJ-Z])(?![\w'\u2019])",
    re.MULTILINE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_INLINE = re.compile(r"`([^`\n]{1,300})`")
_QUANTITY = re.compile(r"[-\u2212]?[$€£¥]?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def prose(reply: str) -> str:
    """Return a reply without its fenced blocks."""
    return "\n".join(reply.split("```")[::2]).strip() if "```" in reply else reply


def blocks(reply: str) -> list[str]:
    """Return the contents of the fenced blocks, without the name of the language."""
    return [_LANGUAGE.sub("", block, count=1).strip() for block in reply.split("```")[1::2]]


def documents(reply: str) -> Iterator[str]:
    """Yield what may be a JSON document and either ends the reply or makes up most of it."""
    sources = [reply, *reversed(blocks(reply))]
    if (match := _OBJECT.search(reply)) is not None:
        sources.append(reply[match.start() : reply.rfind("}") + 1])
    for source in sources:
        if is_data(source) and (2 * len(source) > len(reply) or source in reply[-len(source) - 10 :]):
            yield source


def is_data(source: str) -> bool:
    """Tell whether a block begins as JSON does."""
    return source.startswith(("{", "["))


def broken_field(reply: str) -> str:
    """Return the last field whose name ends in "answer" of a JSON text that does not parse, or ""."""
    match = _FIELD.match(reply, reply.rfind('nswer"'))
    if match is None:
        return ""
    try:
        return str(json.loads(match[1], strict=False)) if match[1].startswith('"') else match[1].rstrip("`}, ")
    except ValueError:
        return match[1].strip('"')


def statements(text: str) -> Iterator[str]:
    r"""Yield the spans that are called the answer: `\boxed{}`, `#### 42`, "the answer is ...", the last one first."""
    if (at := text.rfind("\\boxed{")) >= 0:
        yield _braced(text[at + 7 : at + 7 + SPAN_CHARS])
    line = last_line(text)
    if line.startswith("####"):
        yield line.strip("# ")
    for at in _mentions(text):
        marker = _MARKER.match(text, at)
        if marker is not None and not _NO_ANSWER.match(text, marker.end()):
            yield _SENTENCE_END.split(text[marker.end() : marker.end() + SPAN_CHARS], maxsplit=1)[0]


def last_letters(text: str) -> Iterator[str]:
    """Yield the option letters of the ending, the last one first; a bare A or I is rather a word."""
    for match in reversed(list(_MENTIONED.finditer(text[-SPAN_CHARS:]))):
        yield match[match.lastindex or 0].upper()


def last_quoted(text: str) -> list[str]:
    """Return what stands in backticks on the last line, the last one first."""
    return _INLINE.findall(last_line(text)[-SPAN_CHARS:])[::-1]


def last_quantities(text: str) -> list[str]:
    """Return the last line, its last bold span and its last quantity."""
    line = last_line(text)[-SPAN_CHARS:]
    return [line, *_BOLD.findall(line)[-1:], *_QUANTITY.findall(line)[-1:]]


def last_line(text: str) -> str:
    """Return the last line."""
    return text[text.rfind("\n") + 1 :]


def _mentions(text: str) -> Iterator[int]:
    """Yield where the word "answer" stands, from the end, a bounded number of times."""
    end = len(text)
    for _ in range(MENTIONS):
        end = max(text.rfind("nswer", 0, end), text.rfind("NSWER", 0, end))
        if end < 1:
            return
        yield end - 1


def _braced(text: str) -> str:
    """Return `text` up to the brace that closes it."""
    depth = 1
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:position]
    return ""
