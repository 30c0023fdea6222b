"""After an answer: what the judges say of it, and how far each of them is to be believed.

A judge's opinion, a format check and a log-probability are all evidence: a named number beside the indicator that it is
there at all, so that one logistic stacker serves every subset. The belief before any evidence (from the estimate of the
model's quality and from who agrees with whom) is one more feature. Weights start where common sense puts them and are
moved by labels only: a judge that is wrong more often than right ends below zero, a noisy one near it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from learner.estimators import BayesianLogistic, logit, sigmoid
from learner.types import FloatArray, JudgeScore

PRIOR_MEANS: Mapping[str, float] = {
    "bias": 0.0, "prior": 1.0, "empty": -4.0, "truncated": -1.5, "refusal": -1.5, "repetition": -1.5,
    "json_invalid": -3.0, "code_invalid": -2.0, "length": 0.0, "logprob": 0.5,
    "likeness": 0.3, "unstated": -2.5, "reference": 2.5,
    "schema_invalid": -3.0, "tool_unknown": -4.0, "arguments_invalid": -3.0, "relevance": 0.1, "logprob_least": 0.1,
}  # fmt: skip
JUDGE_PRIOR_WEIGHT = 0.5
PRIOR_VARIANCE = 0.25
GAMMA = 0.999
BINS = 15


def judge_feature(score: float) -> float:
    """Log-odds of a judge's score, clipped to ±3: one certain judge must not drown the others."""
    return min(max(logit(score), -3.0), 3.0)


@dataclass(slots=True)
class Calibration:
    """Running reliability of stated probabilities in 15 equal bins; gives the expected calibration error."""

    count: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    stated: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    came: FloatArray = field(default_factory=lambda: np.zeros(BINS))

    def update(self, p: float, y: float) -> None:
        """Take in one stated probability and its outcome, both in [0, 1]."""
        at = min(int(p * BINS), BINS - 1)
        self.count[at] += 1.0
        self.stated[at] += p
        self.came[at] += y

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1] (Naeini et al. 2015), equal-width bins; 0 without any label."""
        return float(np.abs(self.stated - self.came).sum() / max(self.count.sum(), 1.0))


@dataclass(frozen=True, slots=True)
class StackerView:
    """Immutable weights by feature name; predicts P(good)."""

    weights: Mapping[str, float]

    def evidence(self, features: Mapping[str, float]) -> float:
        """Log-likelihood ratio of an answer's evidence, without bias and prior."""
        return sum(self.weights.get(n, prior_mean(n)) * v for n, v in features.items())

    def calibrated(self, prior_logit: float, evidence: float) -> float:
        """Probability that the answer is good, from the belief before the evidence and the evidence."""
        prior = self.weights.get("prior", 1.0)
        return sigmoid(self.weights.get("bias", 0.0) + prior * prior_logit + evidence)


@dataclass(slots=True)
class Stacker:
    """The mutable half: learns the weights from labels, one at a time."""

    logistic: BayesianLogistic = field(
        default_factory=lambda: BayesianLogistic(prior_variance=PRIOR_VARIANCE, gamma=GAMMA)
    )
    calibration: Calibration = field(default_factory=Calibration)
    judges: dict[str, Calibration] = field(default_factory=dict)
    _view: StackerView | None = None

    def __post_init__(self) -> None:
        self._vector({"bias": 0.0, "prior": 0.0})

    def _vector(self, features: Mapping[str, float]) -> FloatArray:
        vector = self.logistic.columns.vector(dict(features))
        if len(vector) > len(self.logistic.mean):
            self.logistic.resize(np.array([prior_mean(name) for name in self.logistic.columns.names]))
        return vector

    def update(self, features: Mapping[str, float], prior_logit: float, y: float) -> None:
        """Learn from one label y in [0, 1] of an answer with this evidence."""
        x = self._vector({"bias": 1.0, "prior": prior_logit, **features})
        self.calibration.update(sigmoid(float(self.logistic.mean @ x)), y)
        for name, value in features.items():
            if name.startswith("judge:"):
                self.judges.setdefault(name[6:], Calibration()).update(sigmoid(value), y)
        self.logistic.update(x, y)
        self._view = None

    def view(self) -> StackerView:
        """Return an immutable copy for readers; the same one until a label is learned."""
        if self._view is None:
            self._view = StackerView(dict(zip(self.logistic.columns.names, self.logistic.mean.tolist(), strict=True)))
        return self._view


def prior_mean(name: str) -> float:
    """Weight of a feature before any label."""
    return JUDGE_PRIOR_WEIGHT if name.startswith("judge:") else PRIOR_MEANS.get(name, 0.0)


def features_of(
    signals: Mapping[str, float],
    scores: Iterable[JudgeScore],
    *,
    output_tokens: int,
    expected_tokens: float,
    usually_stated: float = 1.0,
) -> dict[str, float]:
    """Collect the evidence on one answer: its own signals and its length against the norm, and the judges' scores.

    `usually_stated`, in [0, 1], says how often replies to such queries state their answer: that one does not is a fault
    only as far as others do.
    """
    features = {name: value for name, value in signals.items() if value}
    if "unstated" in features:
        features["unstated"] = usually_stated
    features["length"] = math.log((output_tokens + 5.0) / (expected_tokens + 5.0))
    for score in scores:
        features[f"judge:{score.judge}"] = judge_feature(score.score)
    return features


def worth_usd(*, p: float, weight: float, lambda_: float) -> float:
    """What one judge's opinion is worth in USD: the expected move of the belief it causes, at the price of money.

    The belief p moves by about p(1 − p)·|w|·sd(feature) with sd near 1; half of that is decision value at best.

    Args:
        p: Present belief that the answer is good.
        weight: The judge's weight in the stacker.
        lambda_: Quality per USD.
    """
    return 0.5 * p * (1.0 - p) * abs(weight) / max(lambda_, 1e-9)
