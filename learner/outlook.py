"""What the evidence so far means for the pool: which arms are in service, and which are worth exploring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learner.cascade import Prospects, upsides
from learner.onboarding import next_states
from learner.pool import SERVING, Arm
from learner.types import FloatArray


def looked_around(
    arms: Sequence[Arm], counts: FloatArray, typical: Prospects, doubts: FloatArray | float = 0.0
) -> tuple[list[Arm], FloatArray]:
    """Return the arms in the states that the evidence gives them, and the upside of each, shape (m,).

    Args:
        arms: The pool.
        counts: Observations behind each arm's mean, shape (m,).
        typical: What is believed of a typical query; its qualities are the arms' means.
        doubts: Least standard deviation of each arm's mean, where it is looked at again, shape (m,).
    """
    means = typical.quality
    states = next_states(arms, means, counts, typical.cost_usd)
    kept = [i for i, arm in enumerate(states) if arm.is_routable and arm.state in SERVING]
    deviations = np.maximum(np.sqrt(means * (1.0 - means) / (counts + 1.0)), doubts)
    return states, upsides(typical, deviations, kept)
