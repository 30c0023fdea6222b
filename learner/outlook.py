"""What the evidence so far means for the pool: which arms are in service, and which are worth exploring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learner.cascade import OPTIMISM, Prospects, upsides
from learner.onboarding import next_states
from learner.pool import SERVING, Arm
from learner.quality import GAMMA
from learner.types import FloatArray

OFTEN, SELDOM, SETTLED = 50, 250, 1_000
USELESS_UPSIDE = 1e-9
LEAST_VARIANCE = 1e-4
UNUSED_SHARE = 0.01
# Observations for which one is remembered.
LASTING = 1.0 / (1.0 - GAMMA)


def is_due(request: int) -> bool:
    """Tell whether to look around after this request: often at first, seldom once beliefs have settled."""
    return request % (OFTEN if request <= SETTLED else SELDOM) == 0


def looked_around(
    arms: Sequence[Arm],
    counts: FloatArray,
    shares: FloatArray,
    typical: Prospects,
    doubts: FloatArray | float = 0.0,
) -> tuple[list[Arm], FloatArray]:
    """Return the arms in the states that the evidence gives them, and what comparing each is worth, shape (m,).

    An arm that nobody uses, and that no plan would use were it as good as can be hoped, is parked too: at the present
    price of money its answers are worth less than they cost, or than others' do.

    Args:
        arms: The pool.
        counts: Observations behind each arm's mean, shape (m,).
        shares: Share of the recent requests of each arm, shape (m,).
        typical: What is believed of a typical query; its qualities are the arms' means.
        doubts: Least standard deviation of each arm's mean, where it is looked at again, shape (m,).
    """
    means = typical.quality
    states = next_states(arms, means, counts, typical.cost_usd)
    kept = [i for i, arm in enumerate(states) if arm.is_routable and arm.state in SERVING]
    deviations = np.maximum(np.sqrt(means * (1.0 - means) / (counts + 1.0)), doubts)
    gains, informed = upsides(typical, deviations, kept)
    hoped = np.minimum(means + OPTIMISM * deviations, 1.0)
    for i in kept:
        if states[i].state == "active" and gains[i] <= USELESS_UPSIDE and shares[i] < UNUSED_SHARE:
            states[i] = _useless(states[i], float(hoped[i]), typical.lambda_)
    return states, np.where(is_worth_asking(typical, deviations, informed), gains, 0.0)


def is_worth_asking(typical: Prospects, deviations: FloatArray, informed: FloatArray) -> NDArray[np.bool_]:
    """Tell of which arms one more answer teaches more than it costs, shape (m,).

    Beside n observations, one more gives 1 / n of what certainty would, for as many answers as it is remembered.

    Args:
        typical: What is believed of a typical query.
        deviations: Standard deviation of each arm's mean, shape (m,).
        informed: What the best plan would gain per request were each arm's quality known, shape (m,).
    """
    means = typical.quality
    share = np.minimum(deviations**2 / np.maximum(means * (1.0 - means), LEAST_VARIANCE), 1.0)
    pays: NDArray[np.bool_] = informed * share * LASTING >= typical.lambda_ * typical.cost_usd
    return pays & (informed > USELESS_UPSIDE)


def _useless(arm: Arm, hoped: float, lambda_: float) -> Arm:
    found = arm.reason.partition(";")[0]
    worth = f"while a dollar must buy {lambda_:.3g} of quality"
    return replace(arm, state="parked", reason=f"{found}; even at {hoped:.2f} no plan would use it {worth}")
