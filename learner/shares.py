"""How often something is so of the queries of a category: counts of all and of those, which fade."""

from __future__ import annotations

from learner.types import Context, FloatArray

# A category leans on all queries, and these on one half.
PRIOR_COUNT = 4.0
POOL_PRIOR_COUNT = 2.0
GAMMA = 0.998


def note(counts: FloatArray, context: Context, *, is_so: bool) -> None:
    """Count one query, and whether it is so, in place; `counts` has shape (2, k): of all, and of those."""
    counts *= GAMMA
    for row in range(1 + is_so):
        counted = counts[row, : len(context.categories)]
        counted += context.categories


def usual(counts: FloatArray) -> float:
    """Return how often it is so of all queries, in (0, 1), shrunk to one half."""
    seen, so = counts.sum(axis=1).tolist()
    return float((so + 0.5 * POOL_PRIOR_COUNT) / (seen + POOL_PRIOR_COUNT))


def share(counts: FloatArray) -> FloatArray:
    """Return how often it is so in each category, in (0, 1), shrunk to what is usual; shape (k,) for (2, k)."""
    seen, so = counts
    shrunk: FloatArray = (so + PRIOR_COUNT * usual(counts)) / (seen + PRIOR_COUNT)
    return shrunk


def expected(counts: FloatArray, context: Context) -> float:
    """Return how often it is so of such a query, in (0, 1)."""
    return float(share(counts)[: len(context.categories)].dot(context.categories))
