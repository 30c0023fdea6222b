"""Categories of queries: where a query lies, how familiar that place is, and how new categories come to be.

A category is a centroid in the space of unwhitened principal components. The fast classifier is a softmax over the
cosine to the centroids (inspired by EMAFusion's embedding classifier, arXiv 2504.10681). Familiarity is the best
cosine. Queries far from every centroid gather around provisional ones; a provisional centroid that keeps recurring
becomes a category of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learner.types import FloatArray

SHARPNESS = 8.0
FAMILIAR_COSINE = 0.45
MAX_CATEGORIES = 40
MAX_PROVISIONAL = 8
RECURRENCES = 60.0
PATIENCE = 0.998


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Immutable set of categories; `grow` returns a new one.

    Args:
        names: One per category, length K.
        centroids: Unit vectors, shape (K, p).
        scale: Standard deviation of each principal component, shape (p,): undoes the whitening.
        provisional: Unnormalised sums of unfamiliar queries, shape (u, p).
        recurrences: Discounted number of queries in each sum, shape (u,).
    """

    names: tuple[str, ...]
    centroids: FloatArray
    scale: FloatArray
    provisional: FloatArray
    recurrences: FloatArray

    @classmethod
    def from_centroids(cls, names: list[str], centroids: FloatArray, scale: FloatArray) -> Taxonomy:
        """Build a taxonomy without provisional categories."""
        empty = np.zeros((0, centroids.shape[1]))
        return cls(tuple(names), directions(centroids), scale, empty, np.zeros(0))

    def place(self, components: FloatArray) -> tuple[FloatArray, float]:
        """Return category probabilities, shape (K,), summing to 1, and familiarity in [0, 1].

        Args:
            components: Whitened principal components of a query, shape (p,).
        """
        cosine = self.centroids @ directions(components * self.scale)
        best = float(cosine.max())
        weight = np.exp(SHARPNESS * (cosine - best))
        return weight / weight.sum(), min(max(best, 0.0), 1.0)

    def grow(self, components: FloatArray, familiarity: float) -> Taxonomy:
        """Let one query count towards a new category where it is unfamiliar; returns the taxonomy after it.

        Args:
            components: Whitened principal components of the query, shape (p,).
            familiarity: As `place` gave it.
        """
        if familiarity >= FAMILIAR_COSINE or len(self.names) >= MAX_CATEGORIES:
            return self
        direction = directions(components * self.scale)
        provisional, recurrences = self._gather(direction)
        ripe = int(recurrences.argmax())
        if recurrences[ripe] < RECURRENCES:
            return Taxonomy(self.names, self.centroids, self.scale, provisional, recurrences)
        return self._promote(provisional, recurrences, ripe)

    def _gather(self, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        sums, counts = self.provisional * PATIENCE, self.recurrences * PATIENCE
        cosine = directions(sums).dot(direction).tolist()
        if cosine and max(cosine) >= FAMILIAR_COSINE:
            nearest = cosine.index(max(cosine))
            sums[nearest] += direction
            counts[nearest] += 1.0
            return sums, counts
        if len(sums) < MAX_PROVISIONAL:
            return np.vstack([sums, direction]), np.append(counts, 1.0)
        weakest = int(counts.argmin())
        sums[weakest], counts[weakest] = direction, 1.0
        return sums, counts

    def _promote(self, provisional: FloatArray, recurrences: FloatArray, ripe: int) -> Taxonomy:
        centroid = directions(provisional[ripe])
        # Named by its neighbour, not by its words: words are content, and content may not be kept.
        near = self.names[int((self.centroids @ centroid).argmax())].split("~")[0]
        others = np.delete(np.arange(len(recurrences)), ripe)
        return Taxonomy(
            names=(*self.names, f"{near}~{len(self.names)}"),
            centroids=np.vstack([self.centroids, centroid]),
            scale=self.scale,
            provisional=provisional[others],
            recurrences=recurrences[others],
        )


def directions(vectors: FloatArray) -> FloatArray:
    """Scale vectors to unit length along the last axis; zero stays zero."""
    length = np.sqrt(np.add.reduce(vectors * vectors, -1, keepdims=True))
    scaled: FloatArray = vectors / np.maximum(length, 1e-12)
    return scaled
