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
from learner.types import FloatArray

Kind = Literal["quality", "cost_usd", "utility"]
Name = Literal["replay", "ips", "snips", "dr"]

KINDS: tuple[Kind, ...] = ("quality", "cost_usd", "utility")
NAMES: tuple[Name, ...] = ("replay", "ips", "snips", "dr")
Z = 1.96
# Probabilities of k arms count as uniform where none is further from 1/k.
UNIFORM = 0.01
# No belief in an answer that is good or bad is further off than this, in standard deviations.
MOST_SPREAD = 0.5
# Of skewness through √n, from which on it matters.
LEAST_SKEW = 1e-3


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


def residuals(log: Log, target: Target, kind: Kind) -> tuple[FloatArray, FloatArray]:
    """How far the reward model was off in every decision, and the weights to see it with, shape (n,) and (2, n).

    Seen from where the log was, and from where the policy would be.
    """
    reward, model = target.outcome(log, kind)
    views = np.stack([np.ones(len(reward)), counted(log, target, "dr")])
    return reward - model[log.rows, log.arm], views / np.maximum(views.sum(axis=1, keepdims=True), 1e-12)


def error_variance(log: Log, target: Target, kind: Kind) -> float:
    """Mean squared error of the reward model, from where it is the larger one."""
    off, views = residuals(log, target, kind)
    return float((views @ off**2).max())


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

    They are taken to be as wrong on the whole as they are at worst where the log can tell, and besides as wrong in each
    case as an answer is that turns out good or bad.
    """
    alone, unseen = on_model(log, target), _unseen(log, target, kind)
    if base is not None:
        alone, unseen = alone - on_model(log, base), unseen - _unseen(log, base, kind)
    share = float(np.abs(alone).sum(axis=1).mean() + np.abs(unseen).mean())
    off, views = residuals(log, target, kind)
    spread = math.sqrt(error_variance(log, target, kind))
    on_the_whole = float(np.abs(views @ off).max()) + Z * spread / math.sqrt(len(off))
    in_each = spread if kind == "cost_usd" else min(spread, MOST_SPREAD)
    return share * on_the_whole + Z * in_each * math.sqrt(share / len(off))


def _unseen(log: Log, target: Target, kind: Kind) -> FloatArray:
    """Weights of the decisions whose outcome is a belief, shape (n,)."""
    unseen = target.beyond if kind == "cost_usd" else target.believed
    weight: FloatArray = counted(log, target, "dr") * unseen
    return weight


def interval(values: FloatArray, variance: float, effective_n: float, widened: float = 0.0) -> Estimate:
    """Return the mean of values of a variance with its 95 % interval, wider where few of them count.

    The quantile is Student's with as many degrees of freedom as there are effective observations, to the first order
    (Cornish & Fisher 1938): z + (z³ + z) / 4f. Where the values are skewed, the interval also holds that of Hall's
    transformation (JRSS B 54 (1992) 221), which reaches further to the side of the rare large ones.
    """
    if math.isnan(float(values.sum())):
        return Estimate(math.nan, -math.inf, math.inf, 0.0)
    quantile = Z + (Z**3 + Z) / (4.0 * max(effective_n - 1.0, 1.0))
    error, mean = math.sqrt(variance / len(values)), float(values.mean())
    below, above = unskewed(values, quantile)
    return Estimate(mean, mean - below * error - widened, mean + above * error + widened, effective_n)


def unskewed(values: FloatArray, quantile: float) -> tuple[float, float]:
    """Return how many standard errors an interval reaches below and above the mean, at least `quantile` each."""
    spread = float(values.std())
    if not spread:
        return quantile, quantile
    a = float(((values - values.mean()) ** 3).mean()) / spread**3 / math.sqrt(len(values))
    if abs(a) < LEAST_SKEW:
        return quantile, quantile
    below, above = (3.0 / a * (np.cbrt(1.0 + a * (z - a / 6.0)) - 1.0) for z in (quantile, -quantile))
    return max(quantile, float(below)), max(quantile, -float(above))
