r"""The final answer of a completion, and when two answers are the same.

Agreement between models is evidence about all of them, but only between answers, not between the texts that carry
them. A reply is searched for the most explicit statement of its answer (`replies` knows where): a field of a JSON
object, a `\boxed{}`, "the answer is (B)"; then a block of code, a last option letter or quantity if the question asks
for one, and a short reply as a whole. What was found is brought into a normal form by `canonical`. A reply without any
of these is free text: its key is empty, and only a comparison of meaning can tell whether it agrees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from learner import canonical, replies

Kind = Literal["choice", "number", "json", "code", "short", "free"]

TAIL_CHARS = 20_000
SHORT_CHARS = 80
# A whole reply of a few words is an answer; a longer one is a sentence, which two models never put the same way.
SHORT_WORDS = 4

_OPTION_STYLES = {
    first: re.compile(rf"([{letters}])(?<![^\s(\[*].)\{mark}[\s*]+(?=\S)")
    for letters in ("A-Z", "a-z")
    for mark in (".", ")", ":", "]")
    for first in (f"{letters[0]}{mark}",)
}
_CODE_LINE = re.compile(r"\n[ \t]*(?:def|class|assert|import|from|function|public|#include)\b[^\n]*[(;{=.<]")
_ASKS_QUANTITY = re.compile(
    r"\b(?:[Hh]ow (?:many|much|long|far|old|fast|tall|big)|(?:[Cc]alcul|[Ee]valu)ate|[Cc]ompute|[Ss]olve|[Dd]etermine"
    r"|[Ff]ind|[Ww]hat (?:is|was|are|will be|percentage|fraction|number))\b"
)
# A reply wholly in brackets speaks about an answer ("[no output]") and is none, unless it is a list.
_NOTE = re.compile(r"\[[A-Za-z][^\[\],'\"]* [^\[\],'\"]*\]")
_EXPLAINS = re.compile(r"reason|expla|rationale|thought|thinking|step|analysis|confiden|justif|comment", re.IGNORECASE)
_LETTER = re.compile(
    r"\W{0,8}(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\b\W{1,4})?([A-Za-z])(?![\w'\u2019])(?!\s+(?!is\b)[a-z])"
)
_LETTERS = re.compile(r"\W{0,4}[A-Z](?:\W{0,4}(?:,|&|\band\b)\W{0,4}[A-Z]\b){1,25}\W{0,4}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer of one reply: what it is and its canonical form; an empty key means that none was found.

    `is_stated` tells an answer that the reply calls its answer from one that it merely ends with, and `is_contradicted`
    one beside which the reply calls another one its answer too. Neither is a part of what the answer is: a stated
    answer may equal one that is not.
    """

    kind: Kind
    key: str
    is_stated: bool = field(default=True, compare=False)
    is_contradicted: bool = field(default=False, compare=False)


NOTHING = Answer("free", "", is_stated=False)


def extract(text: str, prompt: str = "", *, wants_json: bool = False) -> Answer:
    """Find the final answer that a completion states.

    Args:
        text: The completion; of a long one the last 20,000 characters are read.
        prompt: The question, which tells whether there are options to choose from and whether spelling matters.
        wants_json: The client asked for JSON, so that nothing but JSON counts.

    Returns:
        The answer; kind "free" with an empty key if the reply states none.
    """
    reply = text[-TAIL_CHARS:].rpartition("</think>")[2].strip()
    if _NOTE.fullmatch(reply):
        return NOTHING
    question = _Question(prompt[-TAIL_CHARS:])
    found = _from_data(reply, question)
    if wants_json:
        return found if found and found.key else Answer("json", "", is_stated=False)
    return found or _from_prose(reply, question)


def same(a: Answer, b: Answer) -> bool:
    """Tell whether two answers to one question are equal; free answers and missing ones never are."""
    return bool(a.key) and a.kind != "free" and a == b


def groups(answers: Sequence[Answer]) -> tuple[int, ...]:
    """Number the distinct answers in order of appearance, one index per answer; each free answer is its own group."""
    indices: dict[Answer | int, int] = {}
    return tuple(
        indices.setdefault(answer if same(answer, answer) else position, len(indices))
        for position, answer in enumerate(answers)
    )


class _Question:
    """What a prompt says about the form of the answer, read when it is needed."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt

    @cached_property
    def options(self) -> dict[str, str]:
        """Text of each option by letter, of the longest list that counts A, B, ...; of equal ones the last."""
        runs = [_run(self._prompt, style) for first, style in _OPTION_STYLES.items() if first in self._prompt]
        best = max(runs, key=len, default=[])
        ends = [match.start() for match in best[1:]] + [len(self._prompt)]
        return {
            match[1].upper(): self._prompt[match.end() : end].partition("\n")[0].strip(" (*[")
            for match, end in zip(best, ends, strict=False)
        }

    @cached_property
    def is_exact(self) -> bool:
        """Whether case and punctuation matter, as they do in what a program puts out."""
        text = self._prompt
        shows_code = "```" in text or "print(" in text or _CODE_LINE.search(f"\n{text}") is not None
        return shows_code and not self.options

    @cached_property
    def asks_quantity(self) -> bool:
        """Whether a number is a likely answer."""
        return not self.options and _ASKS_QUANTITY.search(self._prompt) is not None


def _run(prompt: str, style: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the last list of options in one style that counts up from A, or nothing if it ends there."""
    run: list[re.Match[str]] = []
    listed: list[re.Match[str]] = []
    for match in style.finditer(prompt):
        if match[1] in "Aa":
            run = [match]
        elif run and ord(match[1]) == ord(run[-1][1]) + 1:
            run.append(match)
            listed = run
    return listed


def _from_data(reply: str, question: _Question) -> Answer | None:
    """Read the answer of a JSON reply, also of a broken one that still has a field named so; None if it is no JSON."""
    if not replies.is_data(reply) and "```" not in reply and '"' not in reply:
        return None
    for source in replies.documents(reply):
        try:
            return _from_document(json.loads(source, strict=False), question)
        except canonical.UNREADABLE:
            continue
    field = replies.broken_field(reply)
    return _classified(field, question) if field else None


def _from_document(value: object, question: _Question) -> Answer:
    """Reduce a JSON document to the field that is the answer, if explanations leave one or one is named so."""
    if isinstance(value, dict):
        told = {name: field for name, field in value.items() if not _EXPLAINS.search(name)} or value
        named = [field for name, field in told.items() if name.lower().endswith("answer")]
        if named or len(told) == 1:
            return _from_value(named[-1] if named else next(iter(told.values())), question)
    return Answer("json", canonical.document(value))


def _from_value(value: object, question: _Question) -> Answer:
    if isinstance(value, str):
        return _spelled(value) if question.is_exact else _classified(value, question)
    if isinstance(value, list | dict) or question.is_exact:
        return _from_literal(value)
    return _classified(str(value), question) if value is not None else NOTHING


def _from_prose(reply: str, question: _Question) -> Answer:
    prose = replies.prose(reply)
    answer = next((found for found in _candidates(reply, prose, question) if found.key), NOTHING)
    return replace(answer, is_contradicted=True) if _contradicts(prose, answer, question) else answer


def _contradicts(prose: str, answer: Answer, question: _Question) -> bool:
    """Tell whether other options or numbers are called the answer too; words may put the same answer in two ways."""
    spans = replies.statements(prose)
    if answer.kind == "choice":
        return any(_letter(span, question.options) not in ("", answer.key) for span in spans)
    return answer.kind == "number" and any(canonical.number(span) not in ("", answer.key) for span in spans)


def _candidates(reply: str, prose: str, question: _Question) -> Iterator[Answer]:
    """Yield what may be the answer, the most explicit statement first."""
    # A reply that is nothing but its answer need not call it so.
    is_brief = len(prose) <= SHORT_CHARS and len(prose.split()) <= SHORT_WORDS
    if question.options:
        yield from (Answer("choice", _letter(span, question.options)) for span in replies.statements(prose))
        ending = (letter for letter in replies.last_letters(prose) if letter in question.options)
        yield from (Answer("choice", letter, is_brief) for letter in ending)
    yield from (_classified(span, question) for span in replies.statements(prose))
    if question.is_exact:
        yield from map(_literal, replies.last_quoted(prose))
    yield _from_blocks(replies.blocks(reply), question)
    if question.asks_quantity:
        ending = (canonical.number(span) for span in replies.last_quantities(prose))
        yield from (Answer("number", number, is_brief) for number in ending)
    if is_brief or (question.is_exact and len(prose) <= SHORT_CHARS):
        yield _classified(prose, question)


def _classified(span: str, question: _Question) -> Answer:
    """Bring the text of an answer into its normal form."""
    span = span.strip("`*_ \t\n")
    if question.is_exact:
        return _spelled(span) if span else NOTHING
    if letter := _letter(span, question.options):
        return Answer("choice", letter)
    if value := canonical.number(span):
        return Answer("number", value)
    if replies.is_data(span) and (data := _literal(span)).key:
        return data
    return Answer("short", canonical.phrase(span)) if len(span) <= SHORT_CHARS else NOTHING


def _spelled(text: str) -> Answer:
    """Read a Python literal, also as the right side of an assertion; other text is the string of its characters."""
    found = _literal(text.strip()) if text else NOTHING
    if not found.key and "==" in text:
        found = _literal(text.rpartition("==")[2].strip())
    return found if found.key or len(text) > replies.SPAN_CHARS else _from_literal(text)


def _literal(text: str) -> Answer:
    """Read a Python literal; a number or truth value in quotes counts as itself, since models quote these at will."""
    try:
        value = canonical.literal(text)
    except canonical.UNREADABLE:
        return NOTHING
    bare = _literal(value) if isinstance(value, str) and value[:1] not in ("'", '"', "[", "(", "{") else NOTHING
    return bare if bare.key else _from_literal(value)


def _from_literal(value: object) -> Answer:
    kind: Kind = "json" if isinstance(value, list | tuple | dict | set) else "short"
    if isinstance(value, int | float) and not isinstance(value, bool):
        kind = "number"
    return Answer(kind, canonical.document(value))


def _letter(span: str, options: dict[str, str]) -> str:
    """Return the option that a span names by letter or by its text; without a list, a capital that stands alone."""
    text = canonical.unlatex(span) if "\\" in span else span
    if options and _LETTERS.fullmatch(text):
        return ",".join(sorted(set(re.findall(r"\b[A-Z]\b", text)) & options.keys()))
    match = _LETTER.match(text)
    if match is not None and (letter := match[1].upper()) in (options or match[1]):
        rest = text[match.end() :]
        if not any(map(str.isalnum, rest)) or (match[1].isupper() and (options or rest.startswith((")", "]")))):
            return letter
    return _option_saying(span, options) if options else ""


def _option_saying(span: str, options: dict[str, str]) -> str:
    wanted = canonical.number(span) or canonical.phrase(span[: replies.SPAN_CHARS])
    says = (letter for letter, text in options.items() if wanted in (canonical.number(text), canonical.phrase(text)))
    return next(says, "") if wanted else ""


def _from_blocks(blocks: list[str], question: _Question) -> Answer:
    """Return the longest fenced block as code, or as a value if it is one short line."""
    block = max((block for block in blocks if not replies.is_data(block)), key=len, default="")
    if "\n" in block or len(block) > SHORT_CHARS:
        return Answer("code", canonical.code(block))
    return _classified(block, question) if block else NOTHING
