"""What would be spent at another price of money: the curve that λ is re-centred on after a jump.

The value of the best plan, V(λ) = max over plans of quality − λ·cost, is convex, and its slope is minus the expected
cost of the best plan (the envelope theorem; Milgrom and Segal, Econometrica 70 (2002) 583). So the expected spend at
any λ follows from two values of the plan, without following the plan's branches. Feedback control then only has to
correct what the beliefs get wrong, not to find its way from afar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from learner.budget import LAMBDA_MAX, LAMBDA_MIN
from learner.cascade import Prospects, first_values

STEP = 0.05
HALVINGS = 16
LEAST_SLACK = 1.01


@dataclass(frozen=True, slots=True)
class Segment:
    """A share of the traffic, in [0, 1], and what is believed of its queries."""

    share: float
    prospects: Prospects


def spend_usd(lambda_: float, segments: Sequence[Segment], kept: Sequence[int]) -> float:
    """Return the expected cost of the best plans at a price of money, USD per request.

    Args:
        lambda_: Quality per USD, > 0.
        segments: The traffic; shares are taken relative to their sum.
        kept: Arms in service.
    """
    low, high = lambda_ * (1.0 - STEP), lambda_ * (1.0 + STEP)
    lost = sum(s.share * (_value(s, low, kept) - _value(s, high, kept)) for s in segments)
    return lost / (high - low) / sum(s.share for s in segments)


def lambda_for(budget_usd: float, segments: Sequence[Segment], kept: Sequence[int]) -> float:
    """Return the least price of money, in quality per USD, at which the expected spend keeps within a budget.

    Where none does, it is the least at which the cheapest arms are asked: beliefs may be too dark, and a λ far beyond
    that would take long to come back. Spend falls as λ rises, in steps: halving the interval between the least and the
    greatest λ, on a logarithmic scale, finds the step that crosses the budget.
    """
    goal = max(budget_usd, LEAST_SLACK * spend_usd(LAMBDA_MAX, segments, kept))
    low, high = math.log(LAMBDA_MIN), math.log(LAMBDA_MAX)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        is_kept = spend_usd(math.exp(middle), segments, kept) <= goal
        low, high = (low, middle) if is_kept else (middle, high)
    return math.exp(high)


def _value(segment: Segment, lambda_: float, kept: Sequence[int]) -> float:
    return float(first_values(replace(segment.prospects, lambda_=lambda_), kept).max())
