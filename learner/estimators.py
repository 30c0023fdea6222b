"""The two statistical models that learn from one observation at a time: discounted ridge and Bayesian logistic.

Both are River estimators (dictionaries in, `learn_one`, `predict_one`) around a numpy core that the rest of the
learner uses directly. River's own `BayesianLinearRegression` is not used: its width never shrinks under smoothing and
its prior is stored inverted for alpha != 1 (docs/decisions/0003-own-estimators.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from river import base

from learner.types import FloatArray

ROUNDS, TOLERANCE, LONGEST_LEAP, BOUND = 8, 1e-4, 3.0, 40.0
MOST_TAKEN = 0.99


class Columns:
    """Feature names to positions of a vector, in the order of their first appearance."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[Any] = list(names)
        self._position = {name: i for i, name in enumerate(self.names)}

    def vector(self, x: dict[Any, Any]) -> FloatArray:
        """Return the features as a vector of known names; new names get new positions."""
        for name in x:
            if name not in self._position:
                self._position[name] = len(self.names)
                self.names.append(name)
        vector = np.zeros(len(self.names))
        for name, value in x.items():
            vector[self._position[name]] = float(value)
        return vector


class DiscountedRidge(base.Regressor):
    """Linear regression with a Gaussian prior and forgetting that gives the prior back.

    Keeps the covariance P = A⁻¹ and the mean θ = P b of the weights. An observation adds w φφᵀ to A and w φ y to b
    (Sherman-Morrison). Forgetting replaces A by γᵏA + (1 − γᵏ)·prior every k observations, so that the width of a
    direction that is no longer seen returns to the prior's and never beyond it.

    Args:
        prior_precision: Precision of every weight before any observation, > 0.
        gamma: Forgetting per observation, in (0, 1].
        every: Observations between two steps of forgetting.
    """

    def __init__(self, *, prior_precision: float = 1.0, gamma: float = 1.0, every: int = 64) -> None:
        self.prior_precision = prior_precision
        self.gamma = gamma
        self.every = every
        self.columns = Columns()
        self.covariance: FloatArray = np.zeros((0, 0))
        self.mean: FloatArray = np.zeros(0)
        self.since_forgetting = 0

    def resize(self, size: int) -> None:
        """Grow to `size` features; new weights start at the prior."""
        old = len(self.mean)
        if size > old:
            covariance = np.eye(size) / self.prior_precision
            covariance[:old, :old] = self.covariance
            self.covariance, self.mean = covariance, np.append(self.mean, np.zeros(size - old))

    def update(self, phi: FloatArray, y: float, weight: float = 1.0) -> None:
        """Take in one observation of weight ≥ 0.

        Args:
            phi: Features, shape (d,).
            y: Target.
            weight: How many observations this one counts for.
        """
        self.revise(phi, weight, weight * y, is_new=True)

    def revise(self, phi: FloatArray, weight: float, weighted_target: float, *, is_new: bool = False) -> None:
        """Add `weight` to the precision along φ and `weighted_target` to b: also corrects what was learned before.

        Only what is new counts towards the next step of forgetting.
        """
        self.resize(len(phi))
        direction = self.covariance.dot(phi)
        width = float(phi.dot(direction))
        # What was forgotten since cannot be taken back: no more than nearly all that is known along φ.
        weight = max(weight, -MOST_TAKEN / width) if width > 0.0 else weight
        spread = 1.0 + weight * width
        self.mean += direction * ((weighted_target - weight * float(phi.dot(self.mean))) / spread)
        # A new matrix, since readers may hold the old one.
        covariance = square(direction)
        covariance *= -weight / spread
        covariance += self.covariance
        self.covariance = covariance
        self.since_forgetting += is_new
        if self.since_forgetting >= self.every:
            self._forget()

    def _forget(self) -> None:
        self.since_forgetting = 0
        if self.gamma < 1.0:
            self.discount(self.gamma**self.every)

    def discount(self, kept: float) -> None:
        """Forget all but a share of the evidence; what is forgotten gives the prior back."""
        # (κP⁻¹ + (1 − κ)ρI)⁻¹ = (κI + (1 − κ)ρP)⁻¹ P, so that one system gives the covariance and the mean.
        mixed = (1.0 - kept) * self.prior_precision * self.covariance
        mixed.ravel()[:: len(mixed) + 1] += kept
        both = np.column_stack((self.covariance, kept * self.mean))
        solved = np.asarray(np.linalg.solve(mixed, both), dtype=np.float64)
        # Rounding leaves it a little askew, and every further step would make it more so.
        covariance = 0.5 * (solved[:, :-1] + solved[:, :-1].T)
        self.covariance, self.mean = covariance, solved[:, -1].copy()

    def predict(self, phi: FloatArray) -> tuple[float, float]:
        """Return mean and variance (without noise, in units of the noise variance) of the target at φ."""
        self.resize(len(phi))
        return float(self.mean @ phi), float(phi @ self.covariance @ phi)

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Take in one observation given as a dictionary (River's interface)."""
        phi = self.columns.vector(x)
        self.resize(len(phi))
        self.update(np.append(phi, np.zeros(len(self.mean) - len(phi))), float(y))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the mean at the features of a dictionary (River's interface)."""
        known = {name: value for name, value in x.items() if name in self.columns._position}
        phi = self.columns.vector(known)
        return float(self.mean[: len(phi)] @ phi)


class BayesianLogistic(base.Classifier):
    """Logistic regression with a Gaussian posterior, learned from one label at a time.

    The mode is found by Newton's method from the prior, the last `lag` labels as they are, and all older ones in the
    quadratic form that they had at the mode when they left (MacKay, Neural Computation 4 (1992) 720; without any lag it
    is one extended-Kalman step per label): what the first labels say is read again in the light of those that followed.
    Beyond `lag` labels, some more of them hardly move the mode: it follows `batch` of them at once. Forgetting fades
    labels, and never the prior, which another one can replace at any time.

    Args:
        prior_variance: Variance of every weight before any label, > 0, unless `believe` says otherwise.
        gamma: Forgetting per observation, in (0, 1].
        lag: Labels that are kept as they are, and up to `batch` more.
        batch: Labels that leave at once.
    """

    def __init__(self, *, prior_variance: float = 1.0, gamma: float = 1.0, lag: int = 0, batch: int = 1) -> None:
        self.prior_variance = prior_variance
        self.gamma = gamma
        self.lag = lag
        self.batch = batch
        self.columns = Columns()
        self.mean: FloatArray = np.zeros(0)
        self.prior_mean: FloatArray = np.zeros(0)
        self.prior_precision: FloatArray = np.zeros((0, 0))
        self.precision: FloatArray = np.zeros((0, 0))
        self.information: FloatArray = np.zeros(0)
        self.recent: FloatArray = np.zeros((0, 3))
        self.features: FloatArray = np.zeros((0, 0))

    def resize(self, prior_means: FloatArray) -> None:
        """Grow to the features of `prior_means`, shape (d,); weights beyond the present ones start there."""
        old, size = len(self.mean), len(prior_means)
        if size > old:
            precision = np.eye(size) / self.prior_variance
            precision[:old, :old] = self.prior_precision
            self.believe(np.append(self.prior_mean, prior_means[old:]), precision)

    def believe(self, mean: FloatArray, precision: FloatArray) -> None:
        """Put another prior in the place of the present one, as if it had been there from the start.

        Args:
            mean: Of every weight, shape (d,); there may be more of them than before.
            precision: Shape (d, d), positive definite.
        """
        old, grown = len(self.mean), len(mean) - len(self.mean)
        self.precision = np.pad(self.precision, (0, grown))
        self.information = np.pad(self.information, (0, grown))
        self.features = np.pad(self.features, ((0, 0), (0, grown)))
        self.prior_mean, self.prior_precision = mean, precision
        self.mean = np.append(self.mean, mean[old:])
        self._fit()

    def update(self, x: FloatArray, y: float, *, offset: float = 0.0, weight: float = 1.0) -> None:
        """Take in one label y in [0, 1], or about there where it was corrected for known errors.

        Args:
            x: Features, shape (d,).
            y: The label.
            offset: Log-odds that another model gives and this one adds to.
            weight: What the label counts for, ≥ 0.
        """
        self.forget(self.gamma)
        self.features = np.concatenate((self.features, x[None]))
        self.recent = np.concatenate((self.recent, ((y, offset, weight),)))
        if len(self.recent) <= self.lag:
            self._fit()
        elif len(self.recent) >= self.lag + self.batch:
            self._let_go(self.batch)
            self._fit()

    def _let_go(self, oldest: int) -> None:
        """Keep of the oldest labels only the quadratic form that they have at the mean."""
        precision, gradient = self._told(slice(oldest))
        self.precision = self.precision + precision
        self.information = self.information + precision @ self.mean + gradient
        self.features, self.recent = self.features[oldest:], self.recent[oldest:]

    def forget(self, kept: float) -> None:
        """Let all labels count for a share of what they did; the next ones move the mean accordingly."""
        self.precision = kept * self.precision
        self.information = kept * self.information
        self.recent[:, 2] *= kept

    def _told(self, which: slice) -> tuple[FloatArray, FloatArray]:
        """Return what some of the last labels add to the precision and to the gradient at the mean."""
        x, (y, offset, weight) = self.features[which], self.recent[which].T
        odds = np.minimum(np.maximum(x @ self.mean + offset, -BOUND), BOUND)
        p = 1.0 / (1.0 + np.exp(-odds))
        slope = weight * np.maximum(p * (1.0 - p), 1e-4)
        return (x.T * slope) @ x, x.T @ (weight * (y - p))

    def _fit(self) -> None:
        """Move the mean to the mode: a few labels beside `lag` others move it so little that one step follows them."""
        for _ in range(ROUNDS if len(self.recent) < self.lag else 1):
            precision, gradient = self._told(slice(None))
            known = self.prior_precision + self.precision
            pull = self.prior_precision @ self.prior_mean + self.information - known @ self.mean
            step = np.linalg.solve(known + precision, pull + gradient)
            # Where the curve is flat, Newton's method would leap over the mode.
            leap = float(np.abs(self.features @ step).max(initial=0.0))
            self.mean = self.mean + step / max(leap / LONGEST_LEAP, 1.0)
            if leap < TOLERANCE:
                break

    @property
    def covariance(self) -> FloatArray:
        """How far the mean may be off, shape (d, d)."""
        return np.asarray(np.linalg.inv(self._whole), dtype=np.float64)

    def variance(self, x: FloatArray) -> float:
        """Variance of the log-odds at x."""
        return float(x @ np.linalg.solve(self._whole, x))

    @property
    def _whole(self) -> FloatArray:
        return self.prior_precision + self.precision + self._told(slice(None))[0]

    def learn_one(self, x: dict[Any, Any], y: bool) -> None:
        """Take in one label given with a dictionary of features (River's interface)."""
        vector = self.columns.vector(x)
        self.resize(np.zeros(len(vector)))
        self.update(vector, float(y))

    def predict_proba_one(self, x: dict[Any, Any]) -> dict[bool, float]:
        """Return the probabilities of False and True (River's interface)."""
        known = {name: value for name, value in x.items() if name in self.columns._position}
        vector = self.columns.vector(known)
        p = sigmoid(float(self.mean[: len(vector)] @ vector))
        return {False: 1.0 - p, True: p}


def square(vector: FloatArray) -> FloatArray:
    """Return v vᵀ, shape (d, d)."""
    # One call of BLAS, which np.outer is not; the result is exactly symmetric.
    product: FloatArray = vector[:, None].dot(vector[None])
    return product


def sigmoid(x: float) -> float:
    """Logistic function, safe for large arguments."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def moderated(log_odds: float, variance: float) -> float:
    """Return the mean of σ(z) over z ~ N(log_odds, variance), nearly (MacKay, Neural Computation 4 (1992) 720)."""
    return sigmoid(log_odds / math.sqrt(1.0 + math.pi / 8.0 * variance))


def logit(p: float) -> float:
    """Log-odds of a probability, clipped to [0.001, 0.999]."""
    p = min(max(p, 1e-3), 1.0 - 1e-3)
    return math.log(p / (1.0 - p))


def odds(p: FloatArray) -> FloatArray:
    """Odds of probabilities, clipped to [0.001, 0.999]."""
    clipped = np.minimum(np.maximum(p, 1e-3), 1.0 - 1e-3)
    ratio: FloatArray = clipped / (1.0 - clipped)
    return ratio
