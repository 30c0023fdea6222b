"""The life of an arm: registered → exploring → active, or parked; draining and retired are the operator's words.

An arm explores until what is known of it is worth `ENOUGH` observations. It is parked where even the upper end of its
interval lies below an active arm's lower end at no higher price, and its prior alone does not say so: it keeps its
history, costs nothing, and is looked at again when the other arm fades or prices change. Those of no use are parked
too, by `learner.outlook`. Why its state is what it is stands beside it in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from learner.pool import Arm, ArmState
from learner.quality import interval, prior_count
from learner.types import FloatArray

ENOUGH = 25.0
LEAST_SEEN = 8.0
JUDGED: frozenset[ArmState] = frozenset({"registered", "exploring", "active", "parked"})


@dataclass(frozen=True, slots=True)
class Standing:
    """An arm as the evidence shows it.

    Args:
        id: The arm.
        low: Lower end of the interval of its quality.
        high: Upper end.
        count: Observations behind it, the prior's among them.
        seen: Those that were made.
        cost_usd: Mean cost of a call.
    """

    id: str
    low: float
    high: float
    count: float
    seen: float
    cost_usd: float

    def beats(self, other: Standing) -> bool:
        """Tell whether this arm is better for certain at no higher price; no arm beats itself."""
        return other.high < self.low and self.cost_usd <= other.cost_usd

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f} at {self.cost_usd:.2g} USD a call"


def next_states(arms: Sequence[Arm], means: FloatArray, counts: FloatArray, costs_usd: FloatArray) -> list[Arm]:
    """Return the arms with the states that the evidence gives them, and why.

    Args:
        arms: The pool.
        means: Quality of each arm, shape (m,).
        counts: Observations behind it, shape (m,).
        costs_usd: Mean cost of a call, shape (m,).
    """
    told = zip(arms, means.tolist(), counts.tolist(), costs_usd.tolist(), strict=True)
    standings = [Standing(arm.id, *interval(q, n), n, n - prior_count(arm), usd) for arm, q, n, usd in told]
    paired = list(zip(arms, standings, strict=True))
    rivals = [each for arm, each in paired if arm.is_routable and arm.state == "active"]
    return [_judged(arm, each, rivals) for arm, each in paired]


def _judged(arm: Arm, standing: Standing, rivals: Sequence[Standing]) -> Arm:
    if arm.state not in JUDGED:
        return arm
    state, reason = verdict(arm.state, standing, rivals)
    return replace(arm, state=state, reason=reason)


def verdict(state: ArmState, standing: Standing, rivals: Sequence[Standing]) -> tuple[ArmState, str]:
    """Return the state that the evidence gives an arm, and why.

    Args:
        state: Its state so far; one of `JUDGED`.
        standing: What is known of it.
        rivals: What is known of the active arms.
    """
    found = f"its quality is {standing} by {standing.count:.0f} observations, its prior among them"
    better = [rival for rival in rivals if rival.beats(standing)]
    if better and standing.seen >= LEAST_SEEN:
        best = max(better, key=lambda rival: (rival.low, -rival.cost_usd, rival.id))
        return "parked", f"{found}; {best.id} is better at no higher price: {best}"
    if standing.count < ENOUGH:
        return "exploring" if state == "registered" else state, f"{found}; {ENOUGH:.0f} are enough for a verdict"
    return "active", f"{found}; no model is better for certain at no higher price"
