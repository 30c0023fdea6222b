"""Whether an answer speaks about what was asked: the likeness of both in the service's own embedding.

It costs no upstream call and tells little where every answer keeps to the subject, more where answers are free: on
recorded conversations its rank correlation with a panel's rating lies between 0.2 and 0.5, on exam questions near 0.
How much it counts is left to the stacker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Mean and spread over recorded answers of eight words and more in the static embedding; only the scale hangs on them.
USUAL_COSINE = 0.77
SPREAD = 0.15
MOST = 3.0
LEAST_WORDS = 8


def is_comparable(answer: str) -> bool:
    """Tell whether an answer has words enough to be about anything; a letter or a number is not like its question."""
    return len(answer.split(maxsplit=LEAST_WORDS)) >= LEAST_WORDS


def relevance(query: NDArray[np.float32], answer: NDArray[np.float32]) -> dict[str, float]:
    """Compare an answer with its query.

    Args:
        query: Embedding of the query, a unit vector, or zero for a text without tokens.
        answer: Embedding of the answer, likewise.

    Returns:
        The signal `relevance`, the cosine in usual spreads around its usual value, clipped to ±3, beside the indicator
        that it is there; nothing where either text has no meaning.
    """
    if not (query.any() and answer.any()):
        return {}
    value = (float(query @ answer) - USUAL_COSINE) / SPREAD
    return {"relevance": min(max(value, -MOST), MOST), "relevance_seen": 1.0}
