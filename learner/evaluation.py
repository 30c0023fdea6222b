"""Was it any good? Off-policy estimates with intervals, and what a fixed mix of arms would have reached.

Replay, IPS, SNIPS and DR estimate the mean reward of a policy from decisions that another policy logged with its true
propensities (Dudík et al., Statistical Science 29 (2014) 485). The effective sample size says how far to trust them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from learner.types import FloatArray

Number = TypeVar("Number", float, FloatArray)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward with its 95 % interval and the effective number of observations behind it."""

    mean: float
    low: float
    high: float
    effective_n: float


def estimate(values: FloatArray, effective_n: float) -> Estimate:
    """Return the mean of independent values, shape (n,), with its normal interval; infinite for a single one."""
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(mean, mean - half, mean + half, effective_n)


def effective_sample_size(weights: FloatArray) -> float:
    """Kish's effective sample size (Σw)² / Σw²; 0 where no logged decision is supported."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def replay(rewards: FloatArray, agrees: FloatArray) -> Estimate:
    """Mean reward over the decisions that the policy would have taken too; unbiased under uniform logging only.

    Args:
        rewards: Logged rewards, shape (n,).
        agrees: 1 where the policy's choice is the logged one, else 0, shape (n,).
    """
    kept = rewards[agrees > 0]
    return estimate(kept, float(len(kept))) if len(kept) else Estimate(math.nan, 0.0, 1.0, 0.0)


def ips(rewards: FloatArray, target: FloatArray, logged: FloatArray) -> Estimate:
    """Inverse propensity score: mean of reward · π(a|x) / p.

    Args:
        rewards: Logged rewards, shape (n,).
        target: Probability of the logged arm under the policy to evaluate, shape (n,).
        logged: Logged propensities, in (0, 1], shape (n,).
    """
    weights = target / logged
    return estimate(rewards * weights, effective_sample_size(weights))


def snips(rewards: FloatArray, target: FloatArray, logged: FloatArray) -> Estimate:
    """Self-normalised IPS (Swaminathan & Joachims, NIPS 2015); biased by O(1/n), of far lower variance."""
    weights = target / logged
    mean = float((weights * rewards).sum() / max(weights.sum(), 1e-12))
    spread = weights * (rewards - mean) / max(weights.mean(), 1e-12)
    half = 1.96 * float(spread.std(ddof=1)) / math.sqrt(len(rewards)) if len(rewards) > 1 else math.inf
    return Estimate(mean, mean - half, mean + half, effective_sample_size(weights))


def doubly_robust(
    rewards: FloatArray, target: FloatArray, logged: FloatArray, *, model: FloatArray, policy_value: FloatArray
) -> Estimate:
    """DR: the reward model's value of the policy, corrected by the weighted residual of what was logged.

    Args:
        rewards: Logged rewards, shape (n,).
        target: Probability of the logged arm under the policy to evaluate, shape (n,).
        logged: Logged propensities, shape (n,).
        model: Predicted reward of the logged arm, shape (n,).
        policy_value: Predicted reward of the policy, Σ_a π(a|x) q̂(x, a), shape (n,).
    """
    weights = target / logged
    values = corrected(policy_value, reward=rewards, model=model, weight=weights)
    return estimate(values, effective_sample_size(weights))


def corrected(value: Number, *, reward: Number, model: Number, weight: Number) -> Number:
    """Correct a model's value of a policy by the weighted residual of what was logged (Dudík et al. 2014, eq. 3.3)."""
    return value + weight * (reward - model)


def interpolation(costs_usd: FloatArray, qualities: FloatArray, at_usd: float) -> float:
    """Quality of the best fixed random mix of arms at a mean cost: the upper concave hull of (cost, quality).

    Args:
        costs_usd: Mean cost of each arm, USD per request, shape (k,).
        qualities: Mean quality of each arm, shape (k,).
        at_usd: Mean cost to compare at; below the cheapest arm's, the rest goes unanswered and counts 0.
    """
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for cost, quality in sorted(zip(costs_usd.tolist(), qualities.tolist(), strict=True)):
        if quality <= hull[-1][1]:
            continue
        while len(hull) > 1 and _bends_up(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    costs, values = zip(*hull, strict=True)
    return float(np.interp(at_usd, costs, values))


def _bends_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - b[0]) <= (c[1] - b[1]) * (b[0] - a[0])
