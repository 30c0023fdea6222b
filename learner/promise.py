"""What an arm that arrives is promised: a quiz, who pays for it, and how soon a good arm has its fair share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learner.arrivals import Arrival, fair_share
from learner.exploration import LEAST_USD, MARGIN, best_probabilities
from learner.policy import View
from learner.pool import SERVING, Arm, serving
from learner.types import Context, Limits

# The recent share forgets by this factor with every request.
SHARE_GAMMA = 0.99
HOPELESS = 0.005
MOST_CONTEXTS = 32


@dataclass(frozen=True, slots=True)
class Promise:
    """What an arm that arrives may expect.

    Args:
        questions: Size of its quiz.
        left: Questions that are still to be asked.
        quiz_usd: What those are expected to cost; None while nothing is known of the traffic.
        fair_share: Share of the traffic that is taken for fair.
        queries_to_fair_share: Requests from now on until a good arm has that share; None where that cannot be said.
        reason: Why it cannot be said, or what it rests on.
    """

    questions: int
    left: int
    quiz_usd: float | None
    fair_share: float
    queries_to_fair_share: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that exploration may cost: a share of all spend, and USD a day."""

    max_share: float
    max_usd_per_day: float


def promised(view: View, arm_id: str, recent: Sequence[Context], caps: Caps) -> Promise:
    """Say what an arm may expect by its prior, the recent traffic, and the exploration allowance.

    Args:
        view: What is believed.
        arm_id: The arm.
        recent: Features of recent queries; the last ones count.
        caps: The most that exploration may cost.
    """
    index, arrival = view.index(arm_id), view.arrivals.get(arm_id)
    arm, fair = view.arms[index], fair_share(view.arms)
    size = arrival.size if arrival is not None else 0
    left = size - arrival.asked if arrival is not None and not arrival.is_over(arm.state) else 0
    if (nothing := _nothing_promised(arm, arrival)) is not None:
        return Promise(size * arm.is_routable, left * arm.is_routable, 0.0, fair, None, nothing)
    contexts = recent[-MOST_CONTEXTS:]
    if not contexts:
        return Promise(size, left, None, fair, None, "no recent query is known whose answers can be compared")
    usd = float(np.mean([view.cost.predict(context)[index] for context in contexts]))
    waiting, reason = _requests_to_pay(view, left * usd, usd, caps)
    chance = float(np.mean([_chance(view, index, context) for context in contexts]))
    if waiting is not None and chance < HOPELESS:
        waiting, reason = (
            None,
            f"as believed now it would be the most useful for {chance:.1%} of the recent queries",
        )
    queries = None if waiting is None else math.ceil(waiting + _requests_to_show(fair))
    return Promise(size, left, left * usd, fair, queries, reason)


def _nothing_promised(arm: Arm, arrival: Arrival | None) -> str | None:
    """Say why there is nothing to promise to an arm; None where there is."""
    if not arm.is_routable:
        return "it is not routable: no request is routed to it, and it needs no quiz"
    if arm.state not in SERVING:
        return f"it is {arm.state}"
    if arrival is None:
        return "it was in the first pool, whose models are compared with each other"
    return "it has had its fair share" if arrival.fair_after is not None else None


def _requests_to_pay(view: View, quiz_usd: float, usd: float, caps: Caps) -> tuple[float | None, str]:
    """Return how many requests it takes until exploration has paid for the rest of a quiz, and why."""
    earned_usd = MARGIN * caps.max_share * view.request_usd
    if caps.max_share == 0.0 or caps.max_usd_per_day < usd:
        return None, "exploration may not spend what one question costs: see exploration.max_share and max_usd_per_day"
    if earned_usd < LEAST_USD:
        return None, "nothing is known yet of what requests cost, and so of what exploration may spend"
    # Comparisons in the background have a part of the allowance, and so has every quiz under way.
    parts = 1 + sum(_is_open(view, arm, arrival) for arm, arrival in view.arrivals.items())
    missing_usd = max(quiz_usd - view.allowance_usd, 0.0)
    told = f"if its answers show that it is good; a request earns {earned_usd:.2g} USD for exploration"
    return parts * missing_usd / earned_usd, f"{told}, in {parts} parts, and a question costs {usd:.2g} USD"


def _is_open(view: View, arm_id: str, arrival: Arrival) -> bool:
    arm = view.arms[view.index(arm_id)]
    return arm.is_routable and not arrival.is_over(arm.state)


def _requests_to_show(fair: float) -> float:
    """Return how many requests an arm that is always chosen needs until its recent share is fair."""
    return math.log(1.0 - min(fair, 0.99)) / math.log(SHARE_GAMMA)


def _chance(view: View, index: int, context: Context) -> float:
    """Return how probable it is that an arm is the most useful one for a query."""
    belief = view.quality.predict(context)
    kept = sorted({index, *serving(view.arms, Limits())})
    utilities = belief.mean[kept] - view.price(Limits()) * view.cost.predict(context)[kept]
    return float(best_probabilities(utilities, np.sqrt(belief.variance[kept]))[kept.index(index)])
