"""The arms that may be chosen and the hard filters in front of every choice.

An `Arm` is one LLM as the learner sees it: prices, limits, capabilities and its state of life. Filters are exact and
never learned: what a request forbids, or an arm cannot do, is removed before any estimate is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from learner.errors import NoEligibleArm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from learner.types import Limits

ArmState = Literal["registered", "exploring", "active", "parked", "draining", "retired", "quarantined"]
SERVING: frozenset[ArmState] = frozenset({"registered", "exploring", "active", "parked"})


@dataclass(frozen=True, slots=True)
class Arm:
    """One LLM of the pool; prices in USD per million tokens, `prior_quality` in [0, 1] where known.

    `reason` says in words why the evidence gives it its state.
    """

    id: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    context_tokens: int = 128_000
    prior_quality: float | None = None
    capabilities: frozenset[str] = frozenset()
    is_routable: bool = True
    state: ArmState = "registered"
    reason: str = ""

    @property
    def prices(self) -> tuple[float, float]:
        """USD per million input and output tokens."""
        return self.input_usd_per_mtok, self.output_usd_per_mtok

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """Price of one call in USD."""
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


def is_named(arm_id: str, globs: Sequence[str]) -> bool:
    """Tell whether an id matches one of the shell globs."""
    return any(fnmatchcase(arm_id, glob) for glob in globs)


def refusal(arm: Arm, limits: Limits) -> str | None:
    """Say why this arm may not answer this request, or None where it may."""
    if not arm.is_routable or arm.state not in SERVING:
        return "not in service"
    if arm.id in limits.unavailable:
        return "failing upstream"
    if limits.allow and not is_named(arm.id, limits.allow):
        return "not in router.allow"
    if limits.deny and is_named(arm.id, limits.deny):
        return "in router.deny"
    if limits.input_tokens > arm.context_tokens:
        return f"context window of {arm.context_tokens} tokens"
    # An arm that lists no capability is unknown, not incapable: it is refused only where another arm claims to do it.
    if not arm.capabilities or limits.needs <= arm.capabilities:
        return None
    return f"lacks {', '.join(sorted(limits.needs - arm.capabilities))}"


def serving(arms: Sequence[Arm], limits: Limits) -> list[int]:
    """Return the indices of the arms that may answer; none where every arm was refused."""
    kept = [i for i, arm in enumerate(arms) if refusal(arm, limits) is None]
    if not limits.needs:
        return kept
    capable = [i for i in kept if limits.needs <= arms[i].capabilities]
    return capable or kept


def eligible(arms: Sequence[Arm], limits: Limits) -> list[int]:
    """Return the indices of the arms that may answer, at least one.

    Raises:
        NoEligibleArm: every arm was refused; the message names each with its reason.
    """
    kept = serving(arms, limits)
    if not kept:
        said = "; ".join(f"{arm.id}: {refusal(arm, limits)}" for arm in arms)
        raise NoEligibleArm(f"no model of the pool may answer this request ({said or 'the pool is empty'})")
    return kept
