"""What a policy would have been worth on a log of another: replay, IPS, SNIPS and DR, with intervals that hold.

Every estimator is brought to one value per logged decision whose mean is the estimate. So the difference between two
policies is the mean of paired differences, in which all that they share cancels. DR goes step by step (Jiang & Li, ICML
2016, eq. 10): only the first arm is drawn, all after it follows from the answers, so that a policy which leaves the
logged way is valued by what its own way had brought until there, and from there on by what it expects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import Estimate, effective_sample_size
from learner.intervals import Z, interval
from learner.types import FloatArray

Kind = Literal["quality", "cost_usd", "utility"]
Name = Literal["replay", "ips", "snips", "dr"]

KINDS: tuple[Kind, ...] = ("quality", "cost_usd", "utility")
NAMES: tuple[Name, ...] = ("replay", "ips", "snips", "dr")
# Probabilities of k arms count as uniform where none is further from 1/k.
UNIFORM = 0.01
# No belief in an answer that is good or bad is further off than this, in standard deviations.
MOST_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class Log:
    """What was logged of n decisions over m arms.

    Args:
        probabilities: Of every first arm as it was drawn, shape (n, m); 0 for one that was not eligible.
        arm: The one that was drawn, shape (n,).
        lambda_: Quality per USD, shape (n,).
    """

    probabilities: FloatArray
    arm: NDArray[np.intp]
    lambda_: FloatArray

    @property
    def rows(self) -> NDArray[np.intp]:
        """Positions of the decisions, shape (n,)."""
        return np.arange(len(self.arm))

    @property
    def propensity(self) -> FloatArray:
        """Probability of the arm that was drawn, shape (n,)."""
        return self.probabilities[self.rows, self.arm]

    @property
    def clip(self) -> float:
        """Weights count for no more than √n: what lies beyond rests on the model (Ionides, JCGS 17 (2008) 295)."""
        return math.sqrt(len(self.arm))

    @property
    def is_uniform(self) -> bool:
        """Whether every eligible arm was equally likely, in every decision."""
        eligible = self.probabilities > 0.0
        even = eligible / np.maximum(eligible.sum(axis=1, keepdims=True), 1)
        return bool((np.abs(self.probabilities - even) < UNIFORM).all())


@dataclass(frozen=True, slots=True)
class Target:
    """A policy to value on a log.

    Args:
        probabilities: With which it would have drawn each first arm, shape (n, m).
        model_quality: Quality that it expects of starting with each arm, shape (n, m).
        model_usd: Cost of the same.
        quality: What its way from the logged arm brought, shape (n,); as far as it left the logged way, what it
            expected there.
        doubts: By how much `quality` would be another one if thumbs came about otherwise than is believed, one standard
            deviation in each respect, shape (j, n).
        usd: What that cost.
        follows: Whether it would have gone the logged way to its end, shape (n,).
        believed: Whether `quality` is what is believed, since no user has seen the answer in which its way ends, shape
            (n,).
        beyond: Whether `usd` is too, since it would have gone on where the log has nothing, shape (n,).
    """

    probabilities: FloatArray
    model_quality: FloatArray
    model_usd: FloatArray
    quality: FloatArray
    doubts: FloatArray
    usd: FloatArray
    follows: NDArray[np.bool_]
    believed: NDArray[np.bool_]
    beyond: NDArray[np.bool_]

    def outcome(self, log: Log, kind: Kind) -> tuple[FloatArray, FloatArray]:
        """Return what came of each decision, shape (n,), and what is expected of every arm, shape (n, m)."""
        if kind == "quality":
            return self.quality, self.model_quality
        if kind == "cost_usd":
            return self.usd, self.model_usd
        return self.quality - log.lambda_ * self.usd, self.model_quality - log.lambda_[:, None] * self.model_usd


@dataclass(frozen=True, slots=True)
class Support:
    """How far a log carries an estimate for a policy.

    Args:
        effective_n: Kish's effective sample size of the weights of the first arms.
        unsupported: Share of the policy's choices that the log does not show: ways that it would not have followed, and
            choices so much rarer in the log that their weight is clipped.
        model: Share that rests on beliefs alone: clipped weights, and answers that no user has seen.
        clip: Largest weight that counts.
        largest: Largest weight there is.
    """

    effective_n: float
    unsupported: float
    model: float
    clip: float
    largest: float


def weights(log: Log, target: Target) -> FloatArray:
    """Importance weights of the first arms, shape (n,)."""
    found: FloatArray = target.probabilities[log.rows, log.arm] / log.propensity
    return found


def supported(log: Log, target: Target) -> FloatArray:
    """The policy's probabilities as far as the log supports them, min(π, clip · p), shape (n, m)."""
    kept: FloatArray = np.minimum(target.probabilities, log.clip * log.probabilities)
    return kept


def on_model(log: Log, target: Target) -> FloatArray:
    """The rest of them, which the reward model alone values, shape (n, m)."""
    rest: FloatArray = target.probabilities - supported(log, target)
    return rest


def support(log: Log, target: Target) -> Support:
    """Say how far the log carries an estimate for a policy."""
    raw, alone = weights(log, target), on_model(log, target)
    weight = np.minimum(raw, log.clip)
    share = weight / max(float(weight.sum()), 1e-12)
    clipped = float(alone.sum(axis=1).mean())
    return Support(
        effective_n=effective_sample_size(weight),
        unsupported=clipped + (1.0 - clipped) * float(share @ ~target.follows),
        model=clipped + (1.0 - clipped) * float(share @ target.believed),
        clip=log.clip,
        largest=float(raw.max()),
    )


def value(log: Log, target: Target, kind: Kind, name: Name, base: Target | None = None) -> Estimate:
    """Estimate what a policy would have been worth; with `base`, its difference to that policy.

    Args:
        log: What was logged.
        target: The policy.
        kind: Quality, cost, or utility.
        name: The estimator.
        base: The policy to compare with.
    """
    found = paired_values(log, target, kind, name, base)
    variance = float(found.var(ddof=1)) if len(found) > 1 else math.inf
    if name == "dr":
        variance = max(variance, foreseen_variance(log, target, kind, base))
    return interval(
        found,
        variance + len(found) * doubt(log, target, kind, name, base),
        effective_sample_size(counted(log, target, name)),
        bias(log, target, kind, base) if name == "dr" else 0.0,
    )


def paired_values(log: Log, target: Target, kind: Kind, name: Name, base: Target | None) -> FloatArray:
    """Return one value per decision whose mean is the estimate, or the difference to a base, shape (n,)."""
    values = decision_values(log, target, kind, name)
    return values if base is None else values - decision_values(log, base, kind, name)


def doubt(log: Log, target: Target, kind: Kind, name: Name, base: Target | None) -> float:
    """Return the variance of an estimate that comes from not knowing how thumbs come about."""
    if kind == "cost_usd":
        return 0.0
    mean = float(paired_values(log, target, kind, name, base).mean())
    supposed = [
        paired_values(log, doubted(target, j), kind, name, base and doubted(base, j)).mean()
        for j in range(len(target.doubts))
    ]
    return sum((float(other) - mean) ** 2 for other in supposed)


def doubted(target: Target, at: int) -> Target:
    """Return a policy as it is valued if thumbs came about otherwise in one respect."""
    return replace(target, quality=target.quality + target.doubts[at])


def counted(log: Log, target: Target, name: Name) -> FloatArray:
    """Weights with which an estimator counts the decisions, shape (n,)."""
    if name == "dr":
        return np.minimum(weights(log, target), log.clip)
    if name == "replay":
        agrees: FloatArray = ((target.probabilities.argmax(axis=1) == log.arm) & target.follows).astype(np.float64)
        return agrees
    followed: FloatArray = weights(log, target) * target.follows
    return followed


def decision_values(log: Log, target: Target, kind: Kind, name: Name) -> FloatArray:
    """Return one value per decision whose mean is the estimate, shape (n,).

    For SNIPS and replay these are the mean and its influence function: mean + w (r − mean) / E[w].
    """
    (reward, model), weight = target.outcome(log, kind), counted(log, target, name)
    if name == "dr":
        expected: FloatArray = (target.probabilities * model).sum(axis=1)
        return expected + weight * (reward - model[log.rows, log.arm])
    return weight * reward if name == "ips" else normalised(reward, weight)


def normalised(reward: FloatArray, weight: FloatArray) -> FloatArray:
    """Values whose mean is Σ w r / Σ w and whose spread is that of it, shape (n,); not a number without any weight."""
    total = float(weight.sum())
    if not total:
        return np.full(len(reward), math.nan)
    mean = float(weight @ reward) / total
    values: FloatArray = mean + weight * (reward - mean) * (len(weight) / total)
    return values


def error_variance(log: Log, target: Target, kind: Kind) -> float:
    """Mean squared error of the reward model, where the log was or where the policy would be: the larger one."""
    reward, model = target.outcome(log, kind)
    squared, weight = (reward - model[log.rows, log.arm]) ** 2, counted(log, target, "dr")
    return max(float(squared.mean()), float(weight @ squared) / max(float(weight.sum()), 1e-12))


def foreseen_variance(log: Log, target: Target, kind: Kind, base: Target | None) -> float:
    """Variance of one DR value as the propensities foretell it, with or without a rare arm among the draws.

    Var[Σ_a π q̂] + E[Σ_a (π − π_base)² / p] σ²: where an arm has not come yet whose weight would be large, the spread of
    what did come is far too small.
    """
    kept = supported(log, target) - (supported(log, base) if base is not None else 0.0)
    ratio = np.divide(kept, log.probabilities, out=np.zeros_like(kept), where=log.probabilities > 0.0)
    model = target.outcome(log, kind)[1]
    expected = (target.probabilities * model).sum(axis=1)
    if base is not None:
        expected = expected - (base.probabilities * base.outcome(log, kind)[1]).sum(axis=1)
    spread = float((kept * ratio).sum(axis=1).mean())
    return float(expected.var(ddof=1)) + spread * error_variance(log, target, kind)


def bias(log: Log, target: Target, kind: Kind, base: Target | None) -> float:
    """Bound what beliefs may be wrong by where they stand alone, as a part of the estimate.

    They are taken to be wrong on the whole by as much as they are in a single case where the log can tell, and besides
    by the chance of so many cases.
    """
    alone, unseen = on_model(log, target), _unseen(log, target, kind)
    if base is not None:
        alone, unseen = alone - on_model(log, base), unseen - _unseen(log, base, kind)
    share = float(np.abs(alone).sum(axis=1).mean() + np.abs(unseen).mean())
    spread = math.sqrt(error_variance(log, target, kind))
    if kind != "cost_usd":
        spread = min(spread, MOST_SPREAD)
    return spread * (share + Z * math.sqrt(share / len(log.arm)))


def _unseen(log: Log, target: Target, kind: Kind) -> FloatArray:
    """Weights of the decisions whose outcome is a belief, shape (n,)."""
    unseen = target.beyond if kind == "cost_usd" else target.believed
    weight: FloatArray = counted(log, target, "dr") * unseen
    return weight
