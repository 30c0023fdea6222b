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
    seen, prices = counts.tolist(), costs_usd.tolist()
    intervals = [interval(q, n) for q, n in zip(means.tolist(), seen, strict=True)]
    rivals = [
        (low, price)
        for arm, (low, _), price in zip(arms, intervals, prices, strict=True)
        if arm.is_routable and arm.state == "active"
    ]
    judged = []
    for arm, (_, high), price, count in zip(arms, intervals, prices, seen, strict=True):
        # An arm never beats itself: its lower end lies below its upper one.
        is_beaten = any(high < low and other <= price for low, other in rivals)
        judged.append(_in_state(arm, _state(arm, count, is_beaten)))
    return judged


def _in_state(arm: Arm, state: ArmState) -> Arm:
    return arm if state == arm.state else replace(arm, state=state)


def _state(arm: Arm, count: float, is_beaten: bool) -> ArmState:
    if arm.state not in ("registered", "exploring", "active", "parked"):
        return arm.state
    if count < ENOUGH:
        return "exploring" if arm.state == "registered" else arm.state
    return "parked" if is_beaten else "active"
