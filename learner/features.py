"""Queries to contexts: named cheap features beside a reduced embedding; this module owns their order and version.

The reduction is a whitened PCA fitted once on the embedded examples of the seed taxonomy. It is therefore known before
the first request, the same on every machine with the same embedding file, and never refitted: a context logged a year
ago still means what it meant. Whatever changes the meaning of a feature changes `version`.
"""

from __future__ import annotations

import hashlib
import math
import re
import string
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from learner.embedding import MAX_CHARS, Embedder
from learner.taxonomy import Taxonomy
from learner.types import Context, FloatArray, Query

SCHEMA = 1
REDUCED = 24
REMEMBERED_TEXTS = 256
CHEAP_FEATURES = (
    "bias", "log_chars", "turns", "code", "digits", "question", "options", "tools", "json", "images", "non_latin",
    "unexplained",
)  # fmt: skip
OPTION = re.compile(r"(?m)^\s*\(?([A-J])[).:]\s+\S")
LETTERS, DIGITS = string.ascii_letters.encode(), string.digits.encode()
CODE = re.compile(r"```|\bdef \w+\(|^\s*return\b|[{};]\s*$|\w\(\w*\)", re.MULTILINE)


def cheap_features(query: Query) -> list[float]:
    """Return the named features of a text that need no embedding, in the order of `CHEAP_FEATURES` but the last."""
    text, head = query.text, query.text[:2000]
    chars = max(1, len(text))
    ascii_only = head.encode("ascii", "ignore")
    latin = len(ascii_only) - len(ascii_only.translate(None, LETTERS))
    letters = latin if head.isascii() else sum(map(str.isalpha, head))
    return [
        1.0,
        math.log1p(chars) / 4.0 - 1.5,
        math.log(max(1, query.turns)) / 2.0,
        float(bool(CODE.search(head))),
        10.0 * (len(ascii_only) - len(ascii_only.translate(None, DIGITS))) / min(chars, 2000),
        float("?" in text),
        float(len(OPTION.findall(head)) >= 2),
        float(query.has_tools),
        float(query.wants_json),
        float(query.has_images),
        1.0 - latin / max(1, letters),
    ]


class Features:
    """Turn queries into contexts of one fixed version.

    Args:
        embedder: Gives unit vectors.
        taxonomy_examples: Texts per seed category; fits the reduction and the seed centroids.
    """

    def __init__(self, embedder: Embedder, taxonomy_examples: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        # A query is embedded for its context, and again where an answer is held against it.
        self._embed = lru_cache(maxsize=REMEMBERED_TEXTS)(embedder.embed)
        texts = [text for _, examples in taxonomy_examples for text in examples]
        embedded = np.array([self.embed(text) for text in texts], dtype=np.float64)
        self._mean = embedded.mean(axis=0)
        _, spread, axes = np.linalg.svd(embedded - self._mean, full_matrices=False)
        self._axes = axes[:REDUCED][spread[:REDUCED] > 1e-6 * spread[0]]
        self._scale = spread[: len(self._axes)] / math.sqrt(len(texts))
        digest = hashlib.sha256(repr((SCHEMA, CHEAP_FEATURES, REDUCED, taxonomy_examples)).encode()).hexdigest()[:8]
        self.version = f"{embedder.fingerprint}-{digest}"
        self.size = len(CHEAP_FEATURES) + len(self._axes)
        starts = np.cumsum([0, *(len(examples) for _, examples in taxonomy_examples)])
        reduced = (embedded - self._mean) @ self._axes.T
        centroids = np.array([reduced[a:b].mean(axis=0) for a, b in pairwise(starts)])
        self.seeds = Taxonomy.from_centroids([name for name, _ in taxonomy_examples], centroids, self._scale)

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the embedding of a text, a unit vector that nobody may change."""
        return self._embed(text[:MAX_CHARS])

    def reduce(self, text: str) -> tuple[FloatArray, float]:
        """Return whitened principal components, shape (24,), and the share of the text's variance outside of them."""
        centred = self.embed(text).astype(np.float64) - self._mean
        components = self._axes @ centred
        unexplained = 1.0 - float(components @ components) / max(1e-12, float(centred @ centred))
        return components / self._scale, unexplained

    def context(self, query: Query, taxonomy: Taxonomy) -> Context:
        """Describe one query under a taxonomy."""
        components, unexplained = self.reduce(query.text)
        categories, familiarity = taxonomy.place(components)
        vector = np.concatenate(([*cheap_features(query), unexplained], components / math.sqrt(REDUCED)))
        return Context(self.version, vector, categories, familiarity, len(query.text))


def components_of(context: Context) -> FloatArray:
    """Whitened components of a context, as `Taxonomy` wants them, shape (24,)."""
    return context.vector[len(CHEAP_FEATURES) :] * math.sqrt(REDUCED)
