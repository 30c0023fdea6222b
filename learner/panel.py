"""Whom to ask at once: the panel whose fused answer is worth most, less λ times all that it costs.

A cascade asks one arm after the other and stops when it knows enough; a panel is asked whole, and its answers are fused
afterwards. Where answers can be compared, the joint model gives the exact chance that the most believed group of equal
answers is right, summed over all ways in which the panel may agree. Where they cannot, what counts is the best of
beliefs that are moved apart by the evidence on each answer. Pure functions, like all that decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from learner.cascade import Prospects, outdone_by
from learner.joint import NODE_WEIGHTS, JointView, coincidences, pattern
from learner.policy import View
from learner.pool import refusal, serving
from learner.types import Context, Decision, FloatArray, Limits

MOST_ARMS = 3
# All panels of three among so many arms are weighed within milliseconds.
MOST_CONSIDERED = 12
TIE_DIGITS = 9
BELIEFS = np.linspace(-0.5, 1.5, 401)
LEAST_DEVIATION = 0.005

_normal_cdf = np.vectorize(lambda u: 0.5 * math.erfc(-u / math.sqrt(2.0)), otypes=[float])


def panel_for(
    view: View, context: Context, limits: Limits, decision: Decision, *, limit_usd: float = math.inf
) -> Decision | None:
    """Turn the decision for one arm into that for a panel; None where no two arms may be asked for the money.

    Nothing is drawn: the propensity of the panel is 1, and its most believed arm stands for it.

    Args:
        view: What is believed.
        context: Features of the query.
        limits: The request's limits; an integer `depth` bounds the panel too.
        decision: The ordinary decision, which says what arms are eligible.
        limit_usd: The most that the whole panel may be expected to cost.
    """
    kept = [view.index(arm) for arm in decision.qualities]
    quality = np.full(len(view.arms), 0.5)
    quality[kept] = list(decision.qualities.values())
    most = min(MOST_ARMS, limits.depth or MOST_ARMS)
    chosen = best_panel(view.prospects(context, limits, quality), kept, most=most, limit_usd=limit_usd)
    if len(chosen) < 2:
        return None
    arms = tuple(view.arms[i].id for i in chosen)
    return replace(
        decision, arm=arms[0], panel=arms, probabilities={arms[0]: 1.0}, propensity=1.0, stage="fusion",
        explored_share=None, explored_quality=None,
    )  # fmt: skip


def best_panel(
    prospects: Prospects, kept: Sequence[int], *, most: int = MOST_ARMS, limit_usd: float = math.inf
) -> tuple[int, ...]:
    """Return the arms of the best panel of two to `most`, the most believed first; none where no two fit the limit.

    Args:
        prospects: What is believed of the arms on this query.
        kept: Arms that may be asked.
        most: Largest panel.
        limit_usd: The most that all its calls together may be expected to cost.
    """
    best: tuple[float, float, list[int]] = (-math.inf, 0.0, [])
    for sets in panels(considered(prospects, kept, most), most):
        usd = prospects.cost_usd[sets].sum(axis=1)
        utility = np.where(usd <= limit_usd, fused_quality(prospects, sets) - prospects.lambda_ * usd, -math.inf)
        # Of equal ones the cheapest: where a vote can gain nothing, sums of floats must not choose.
        at = np.lexsort((usd, -utility.round(TIE_DIGITS)))[0]
        if math.isfinite(utility[at]):
            best = max(best, (float(utility[at].round(TIE_DIGITS)), -float(usd[at]), sets[at].tolist()))
    return tuple(sorted(best[2], key=lambda i: -prospects.quality[i]))


def considered(prospects: Prospects, kept: Sequence[int], most: int) -> list[int]:
    """Leave out arms that as many others as may be asked outdo at no higher price, then all but the most useful."""
    index = np.array(kept, dtype=np.intp)
    quality, cost = prospects.quality[index], prospects.cost_usd[index]
    useful = index[outdone_by(quality, cost) < most]
    alone = prospects.quality - prospects.lambda_ * prospects.cost_usd
    ranked = sorted(useful.tolist(), key=lambda i: -alone[i])[: MOST_CONSIDERED - 1]
    # The cheapest stays in any case: with little money it may be the only company.
    return sorted({*ranked, *[min(kept, key=lambda i: prospects.cost_usd[i])]}) if kept else []


def panels(arms: Sequence[int], most: int) -> Iterator[NDArray[np.intp]]:
    """Yield all sets of two, of three, ... up to `most` arms, each as an array of shape (sets, size)."""
    for size in range(2, min(most, len(arms)) + 1):
        yield np.array(list(combinations(arms, size)), dtype=np.intp)


def fused_quality(prospects: Prospects, sets: NDArray[np.intp]) -> FloatArray:
    """Expected quality of the answer that is taken from each panel, shape (sets,)."""
    comparable = prospects.comparable
    together = vote_quality(prospects.joint, prospects.quality, sets)
    if comparable > 0.99:
        return together
    apart = best_quality(prospects.quality, prospects.deviation, sets)
    mixed: FloatArray = comparable * together + (1.0 - comparable) * apart
    return mixed


def vote_quality(joint: JointView, quality: FloatArray, sets: NDArray[np.intp]) -> FloatArray:
    """Chance that the most believed group of equal answers is right: Σ over partitions of max_g P(partition, g right).

    Args:
        joint: Who is right together with whom.
        quality: Believed quality of every arm, shape (m,).
        sets: Arms of each panel, shape (sets, size).

    Returns:
        Shape (sets,), at least the quality of each panel's best arm.
    """
    right = joint.right(quality)[sets]
    total = np.zeros(len(sets))
    for groups in partitions(sets.shape[1]):
        mass = pattern(right, groups) @ NODE_WEIGHTS * coincidences(groups, joint.coincidence)
        total += mass[:, 1:].max(axis=1)
    return total


def best_quality(quality: FloatArray, deviation: FloatArray, sets: NDArray[np.intp]) -> FloatArray:
    """E[max] of the beliefs after evidence, X_m ~ N(quality_m, deviation_m²), independent: ∫ (1 − Π F_m), (sets,)."""
    arms, at = np.unique(sets, return_inverse=True)
    spread = np.maximum(deviation[arms], LEAST_DEVIATION)
    below = _normal_cdf((BELIEFS - quality[arms, None]) / spread[:, None])
    all_below = below[at.reshape(sets.shape)].prod(axis=1)
    expected: FloatArray = BELIEFS[-1] - np.trapezoid(all_below, BELIEFS, axis=1)
    return expected


@lru_cache(maxsize=8)
def partitions(size: int) -> tuple[tuple[int, ...], ...]:
    """Return every way in which `size` answers may agree, groups numbered in order of appearance."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(size):
        found = [(*groups, g) for groups in found for g in range(max(groups, default=-1) + 2)]
    return tuple(found)


def most_useful(
    view: View, context: Context, limits: Limits, *, limit_usd: float = math.inf, wanted: str | None = None
) -> str | None:
    """Return the arm of the greatest quality less λ times cost for one call; None where none may, or all cost more.

    Args:
        view: What is believed.
        context: Features of the query, with the length of what the arm will be sent.
        limits: The request's limits.
        limit_usd: The most that the call may be expected to cost.
        wanted: Taken in any case where it may be asked and fits; it need not be routable.
    """
    quality, cost = view.quality.mean(context), view.cost.predict(context)
    at = view.positions.get(wanted or "")
    if at is not None and cost[at] <= limit_usd and refusal(replace(view.arms[at], is_routable=True), limits) is None:
        return wanted
    fitting = [i for i in serving(view.arms, limits) if cost[i] <= limit_usd]
    good = [i for i in fitting if quality[i] >= (limits.min_quality or 0.0)] or fitting
    utility = quality - view.price(limits) * cost
    return view.arms[max(good, key=lambda i: utility[i])].id if good else None
