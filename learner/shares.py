"""How often something is so of the queries of a category: counts of all and of those, which fade."""

from __future__ import annotations

from learner.types import Context, FloatArray

PRIOR_COUNT = 4.0
GAMMA = 0.998


def note(counts: FloatArray, context: Context, *, is_so: bool) -> None:
    """Count one query, and whether it is so, in place; `counts` has shape (2, k): of all, and of those."""
    counts *= GAMMA
    for row in range(1 + is_so):
        counted = counts[row, : len(context.categories)]
        counted += context.categories


def share(counts: FloatArray) -> FloatArray:
    """Return how often it is so, in (0, 1), shrunk to one half; shape (k,) for counts of shape (2, k)."""
    seen, so = counts
    shrunk: FloatArray = (so + 0.5 * PRIOR_COUNT) / (seen + PRIOR_COUNT)
    return shrunk


def usual(counts: FloatArray, context: Context) -> float:
    """Return how often it is so of such a query, in (0, 1)."""
    return float(share(counts)[: len(context.categories)].dot(context.categories))
