"""The control share: now and then the best single model, or the cheapest, answers alone.

What a request would have cost, and been worth, without any of this service is known only where that is tried. So a
small share of the requests is given by lot to the single model that an operator would otherwise have bought, and to the
cheapest; what they cost and are worth is held against all others (`learner.savings`). The chances are known before the
lot is drawn, and the propensities that are stored contain them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learner.pool import SERVING, Arm
from learner.types import Control, Decision, FloatArray, Limits

# A control may be expected to cost no more than this share of what a request may cost, on average over all requests.
MOST_SPEND = 0.02


@dataclass(frozen=True, slots=True)
class Chance:
    """The probability with which a request is given to an arm as a control."""

    control: Control
    arm: str
    probability: float


def chances(
    arms: Sequence[Arm],
    kept: Sequence[int],
    limits: Limits,
    *,
    qualities: FloatArray,
    typical_usd: FloatArray,
    costs_usd: FloatArray,
    request_usd: float,
) -> tuple[Chance, ...]:
    """Return the chance of each control on one request; none where it allows none, or there is nothing to compare.

    Args:
        arms: The pool.
        kept: Positions of the arms that the request's limits allow.
        limits: The request's limits; half of its control share is each control's.
        qualities: Quality of each arm over all queries, shape (m,): whose is the best single model.
        typical_usd: Cost of each arm over all queries, shape (m,): which is the cheapest.
        costs_usd: Expected cost of each arm on this query, shape (m,).
        request_usd: What a request may cost on average: a dear control is drawn so seldom that it keeps within 2 % of
            that.
    """
    if limits.control_share <= 0.0 or not limits.explore:
        return ()
    pool = [i for i, arm in enumerate(arms) if arm.is_routable and arm.state in SERVING]
    if len(pool) < 2:
        return ()
    best, cheapest = pool[int(qualities[pool].argmax())], pool[int(typical_usd[pool].argmin())]
    named: tuple[tuple[Control, int], ...] = (("best", best), ("cheapest", cheapest))
    found = []
    for control, i in named:
        affordable = MOST_SPEND * request_usd / max(float(costs_usd[i]), 1e-12)
        if i in kept and affordable > 0.0:
            found.append(Chance(control, arms[i].id, min(limits.control_share / 2.0, affordable)))
    return tuple(found)


def with_control(decision: Decision, drawn_by: Sequence[Chance], rng: np.random.Generator) -> Decision:
    """Let the lot decide whether a control answers in place of the arm that was drawn; one uniform number.

    P(arm) = (1 − Σ chances) · p(arm) + the chances of the controls that the arm is. A control is an explored choice
    that exploration does not pay for.

    Args:
        decision: The decision without controls.
        drawn_by: The chance of each control.
        rng: Draws.
    """
    if not drawn_by:
        return decision
    rest = 1.0 - sum(chance.probability for chance in drawn_by)
    probabilities = {arm: rest * p for arm, p in decision.probabilities.items()}
    for chance in drawn_by:
        probabilities[chance.arm] += chance.probability
    decided = replace(
        decision,
        probabilities=probabilities,
        propensity=probabilities[decision.arm],
        control_chances={chance.control: chance.probability for chance in drawn_by},
    )
    left = float(rng.random())
    for chance in drawn_by:
        left -= chance.probability
        if left < 0.0:
            return replace(
                decided, arm=chance.arm, propensity=probabilities[chance.arm], control=chance.control,
                stage="explore", explored_share=0.0, explored_quality=None,
            )  # fmt: skip
    return decided
