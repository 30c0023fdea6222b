"""How much free texts say the same: the last resort where answers cannot be compared by their final answer.

Two texts of one meaning lie close together in the embedding, and an answer unlike all others is more often a bad
one. How much that tells is left to the stacker, which learns a weight for it as for any other signal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# Answers to one question differ by about this much in the static embedding; only the scale of the signal hangs on it.
USUAL_DISTANCE = 0.07
MOST = 2.0
READ_CHARS = 4_000


def likeness(answer: NDArray[np.float32], others: Iterable[NDArray[np.float32]]) -> float:
    """Compare an answer with the one that is most like it.

    Args:
        answer: Embedding of the answer, a unit vector.
        others: Embeddings of the other answers, at least one.

    Returns:
        Log-ratio of the usual distance to theirs, clipped to ±2: 0 for answers as far apart as usual, above for nearer.
    """
    distance = 1.0 - max(float(answer @ other) for other in others)
    return min(max(math.log(USUAL_DISTANCE / max(distance, 1e-6)), -MOST), MOST)
