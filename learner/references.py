"""References: demonstrated answers, kept without their text, against which later answers are held.

Whoever says what an answer should have been has said it for every later query of the same meaning too. Neither the
query nor the answer is kept: a reference is the direction of the query's reduced embedding and two *seals*, keyed
hashes that tell whether two texts are equal and nothing else. One seal is of the answer's normal form, the other of
what the query hangs on: queries that are alike in all words but one number are no duplicates.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from learner.types import Demonstrated, FloatArray

REMEMBERED_REFERENCES = 1_000
NEAR_DUPLICATE = 0.98
UNSURE = "?"

# Queries come from anybody, so every pattern is linear; and each alternative begins with a letter, which is several
# times as fast.
_SHOWS_CODE = re.compile(
    r"```|def \w+\(|\((?<=\w\()\w{0,40}\)|\n[ \t]{0,40}return\b|\{[ \t]{0,8}$|\}[ \t]{0,8}$|;[ \t]{0,8}$", re.MULTILINE
)
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_QUOTED = re.compile(r"'(?<!\w')[^'\n]{1,200}'(?!\w)|\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|`[^`\n]{1,200}`")
_OPTION = re.compile(r"\n[ \t]{0,8}\(?[a-j][).:][ \t]{1,8}(\S.*)")
_PUNCTUATION = str.maketrans(dict.fromkeys("?,.;:!()", " "))
_TURNING = """not no nor never none without except least most true false correct incorrect maximum minimum max min
largest smallest highest lowest more less greater fewer first last before after"""
_TURNING_WORDS = frozenset(_TURNING.split())


@dataclass(frozen=True, slots=True)
class Reference:
    """A demonstrated answer.

    Args:
        query: Seal of what the query hangs on.
        answer: Seal of the answer.
        direction: Of the query's whitened components, a unit vector of shape (24,).
    """

    query: str
    answer: str
    direction: FloatArray


@dataclass(slots=True)
class References:
    """The newest 1,000 references, by the inference that was demonstrated."""

    kept: OrderedDict[str, Reference] = field(default_factory=OrderedDict)
    _view: ReferencesView | None = None

    def demonstrate(self, event: Demonstrated, components: FloatArray) -> None:
        """Remember a demonstrated answer for near duplicates of its query (whitened components: shape (24,))."""
        served = event.served
        if served.query_seal is not None:
            self.keep(served.inference_id, Reference(served.query_seal, event.seal, direction(components)))

    def keep(self, inference_id: str, reference: Reference) -> None:
        """Remember a reference, in place of an earlier one of the same inference."""
        self.kept.pop(inference_id, None)
        self.kept[inference_id] = reference
        while len(self.kept) > REMEMBERED_REFERENCES:
            self.kept.popitem(last=False)
        self._view = None

    def view(self) -> ReferencesView:
        """Return an immutable copy for readers; the same one until a reference is kept."""
        if self._view is None:
            by_query: dict[str, tuple[Reference, ...]] = {}
            for reference in self.kept.values():
                by_query[reference.query] = (*by_query.get(reference.query, ()), reference)
            self._view = ReferencesView(by_query)
        return self._view


@dataclass(frozen=True, slots=True)
class ReferencesView:
    """References by the seal of what their query hangs on, oldest first."""

    by_query: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict)

    def find(self, query: str, components: FloatArray) -> str | None:
        """Return the seal of the answer to the nearest near duplicate, the newest of equally near ones.

        Args:
            query: Seal of what the query hangs on.
            components: Its whitened components, shape (24,).
        """
        alike = self.by_query.get(query)
        if alike is None:
            return None
        towards = direction(components)
        cosine, at = max((float(reference.direction @ towards), at) for at, reference in enumerate(alike))
        return alike[at].answer if cosine >= NEAR_DUPLICATE else None


def direction(components: FloatArray) -> FloatArray:
    """Scale whitened components to length 1; zeros stay zeros."""
    length = float(np.sqrt(components @ components))
    return components / length if length > 0.0 else components


def hangs_on(query: str) -> str:
    """Return what a near duplicate of a query must share to the letter.

    Those are its numbers, quoted texts and options, and the words that turn a meaning round; of a query with code, all.
    """
    if _SHOWS_CODE.search(query):
        return " ".join(query.split())
    text = query.lower()
    turning = sorted(_TURNING_WORDS.intersection(text.translate(_PUNCTUATION).split()))
    negations = str(text.count("n't") + text.count("n’t"))
    kept = _NUMBER.findall(text), _QUOTED.findall(text), _OPTION.findall(text), turning, [negations]
    return "\n".join(" ".join(part) for part in kept)


def agrees(reference: str, answer: str | None) -> bool | None:
    """Tell whether an answer is the reference, by their seals; None where that cannot be told.

    A seal is `kind:` and the hash, of which the first four letters name the key it was made with. Answers of different
    kinds, free texts that differ, and hashes of different keys cannot be compared; nor can a reference be missed that
    was read without its question, which the mark `?` at its end says.
    """
    if answer is None:
        return None
    if reference.rstrip(UNSURE) == answer:
        return True
    kind, _, told = reference.partition(":")
    other_kind, _, other = answer.partition(":")
    is_comparable = kind == other_kind != "free" and told[:4] == other[:4] and not reference.endswith(UNSURE)
    return False if is_comparable else None
