"""Re-tuning: which parameters of the policy would have done best on the comparisons that were logged?

A comparison is a query that many arms answered. Any policy can be replayed on it exactly as far as its arms go, without
a single upstream call: the answers are there, and the label of each is its probability to be good as the learner sees
it now. Candidates differ in how deep they cascade and how much a further call must gain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from learner.policy import Ask, View
from learner.pool import SERVING
from learner.types import Call, Limits, Parameters, Served

LEAST_COMPARISONS = 30
LEAST_ARMS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """Parameters with their mean utility (quality minus λ times cost) on the log, against those in force.

    `gain` is the mean paired difference and `low` the lower end of its 95 % interval.
    """

    parameters: Parameters
    utility: float
    gain: float
    low: float
    comparisons: int


def candidates(now: Parameters) -> list[Parameters]:
    """Return the neighbours of the parameters in force that are worth trying."""
    return [
        replace(now, version=now.version + 1, depth=depth, margin=margin)
        for depth in (1, 2, 3, 4)
        for margin in (0.0, 0.002, 0.005, 0.01)
        if (depth, margin) != (now.depth, now.margin)
    ]


def retune(view: View, served: Sequence[Served]) -> Candidate | None:
    """Find the best candidate on the logged comparisons; None where there are too few of them.

    Args:
        view: What is believed now.
        served: Logged inferences; those with fewer than three answered arms are passed over.
    """
    serving = {arm.id for arm in view.arms if arm.is_routable and arm.state in SERVING}
    usable = [s for s in served if len({c.arm for c in s.calls if c.outcome == "ok"} & serving) >= LEAST_ARMS]
    if len(usable) < LEAST_COMPARISONS:
        return None
    base = utilities(view, usable)
    scored = [(p, utilities(replace(view, parameters=p), usable)) for p in candidates(view.parameters)]
    best, values = max(scored, key=lambda pair: float(pair[1].mean()))
    difference = values - base
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    gain = float(difference.mean())
    return Candidate(best, float(values.mean()), gain, gain - 1.96 * error, len(usable))


def utilities(view: View, served: Iterable[Served]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the utility of a view's policy on each comparison, shape (n,)."""
    return np.array([_utility(view, one) for one in served])


def _utility(view: View, served: Served) -> float:
    """Play the policy on recorded answers: quality as all answers together show it, minus λ times what it called."""
    recorded = {c.arm: c for c in served.calls if c.outcome == "ok" and c.purpose != "judge"}
    truth = view.answered(served.context, served.calls, served.scores)
    good = {view.arms[arm].id: float(p) for arm, p in zip(truth.arms, truth.right, strict=True)}
    limits = Limits(allow=tuple(recorded), explore=False)
    decision = view.decide(served.context, limits, np.random.default_rng(0))
    asked: list[Call] = []
    step: Ask | object = Ask(decision.arm, 0.0)
    while isinstance(step, Ask):
        asked.append(replace(recorded[step.arm], step=len(asked)))
        step = view.next_step(served.context, limits, asked, ())
    answer = asked[getattr(step, "step", 0)].arm
    return good[answer] - view.lambda_ * sum(call.cost_usd for call in asked)
