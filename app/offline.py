"""The offline gate: what a candidate is estimated to gain on the log, and whether that is enough to try it live."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from app.learning import Learning
from app.versions import gain_text
from learner.tuning import LEAST_COMPARISONS, Candidate, gain_of
from learner.types import Parameters

Offline = Callable[[Parameters], Awaitable[Candidate | None]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of a candidate: whether it passes, why, and the figures behind that."""

    passes: bool
    reason: str
    figures: dict[str, Any]


def offline_gain(learning: Learning) -> Offline:
    """Return the gate's estimate: the paired gain over the version in force, on the comparisons in memory."""

    async def estimated(parameters: Parameters) -> Candidate | None:
        # Seconds of work on values that never change: a thread, so that requests do not wait for it.
        return await asyncio.to_thread(gain_of, *learning.comparisons(), parameters)

    return estimated


def judge(found: Candidate | None, over: str, data: dict[str, Any]) -> Judgement:
    """Let a candidate pass where the lower end of its gain is above zero.

    Args:
        found: The candidate with its estimated gain; None where there is too little to estimate it by.
        over: Name of the version in force.
        data: What the estimate was made of.
    """
    if found is None:
        few = f"there are fewer than {LEAST_COMPARISONS} comparisons of three models or more to judge it by"
        return Judgement(passes=False, reason=few, figures={"over": over, "gain": None, "data": data})
    gain = asdict(found.gain)
    figures = {"over": over, "gain": {end: gain[end] for end in ("mean", "low", "high")}, "data": data}
    reason = f"its offline gain over {over} is {gain_text(gain)} on {found.comparisons} comparisons"
    passes = found.gain.low > 0.0
    return Judgement(passes, reason if passes else f"{reason}, and the lower end must be above 0", figures)
