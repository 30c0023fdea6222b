"""The life of an arm: registered → exploring → active, or parked; draining and retired are the operator's words.

An arm explores until the evidence on it is worth `ENOUGH` observations. It is parked where even the upper end of its
interval is worth less than another arm's lower end at no lower price: it keeps its history, costs nothing, and is
looked at again when the other arm fades or prices change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from learner.pool import Arm, ArmState
from learner.quality import interval
from learner.types import FloatArray

ENOUGH = 25.0


def next_states(arms: Sequence[Arm], means: FloatArray, counts: FloatArray, costs_usd: FloatArray) -> list[Arm]:
    """Return the arms with the states that the evidence gives them.

    Args:
        arms: The pool.
        means: Quality of each arm, shape (m,).
        counts: Observations behind it, shape (m,).
        costs_usd: Mean cost of a call, shape (m,).
    """
    intervals = [interval(float(q), float(n)) for q, n in zip(means, counts, strict=True)]
    judged = []
    for i, arm in enumerate(arms):
        rivals = [
            j for j, other in enumerate(arms)
            if j != i and other.is_routable and other.state == "active" and costs_usd[j] <= costs_usd[i]
        ]  # fmt: skip
        is_beaten = any(intervals[i][1] < intervals[j][0] for j in rivals)
        judged.append(replace(arm, state=_state(arm, float(counts[i]), is_beaten)))
    return judged


def _state(arm: Arm, count: float, is_beaten: bool) -> ArmState:
    if arm.state not in ("registered", "exploring", "active", "parked"):
        return arm.state
    if count < ENOUGH:
        return "exploring" if arm.state == "registered" else arm.state
    return "parked" if is_beaten else "active"
