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

    def __init__(self, *, prior_precision: float = 1.0, gamma: float = 1.0, every: int = 32) -> None:
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
        self.revise(phi, weight, weight * y)
        self.since_forgetting += 1
        if self.since_forgetting >= self.every:
            self._forget()

    def revise(self, phi: FloatArray, weight: float, weighted_target: float) -> None:
        """Add `weight` to the precision along φ and `weighted_target` to b: also corrects what was learned before."""
        self.resize(len(phi))
        direction = self.covariance.dot(phi)
        spread = 1.0 + weight * float(phi.dot(direction))
        self.mean += direction * ((weighted_target - weight * float(phi.dot(self.mean))) / spread)
        # A new matrix, since readers may hold the old one.
        covariance = square(direction)
        covariance *= -weight / spread
        covariance += self.covariance
        self.covariance = covariance

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
    """Logistic regression with a Gaussian posterior, one extended-Kalman step per observation.

    With p = σ(wᵀx): Σ⁻¹ ← Σ⁻¹ + p(1−p)xxᵀ and w ← w + Σ x (y − p); see MacKay, Neural Computation 4 (1992) 720. The
    prior mean says what a weight is believed to be before any label; forgetting widens Σ by 1/γ, up to the prior's.

    Args:
        prior_variance: Variance of every weight before any label, > 0, unless `resize` says otherwise.
        gamma: Forgetting per observation, in (0, 1].
    """

    def __init__(self, *, prior_variance: float = 1.0, gamma: float = 1.0) -> None:
        self.prior_variance = prior_variance
        self.gamma = gamma
        self.columns = Columns()
        self.covariance: FloatArray = np.zeros((0, 0))
        self.mean: FloatArray = np.zeros(0)
        self.prior_variances: FloatArray = np.zeros(0)

    def resize(self, prior_means: FloatArray, prior_variances: FloatArray | None = None) -> None:
        """Grow to the features of `prior_means`; weights beyond the present ones start there.

        Args:
            prior_means: Of all features, shape (d,).
            prior_variances: Where they are not all `prior_variance`, shape (d,).
        """
        old, size = len(self.mean), len(prior_means)
        if size > old:
            variances = np.full(size, self.prior_variance) if prior_variances is None else prior_variances
            covariance = np.diag(variances)
            covariance[:old, :old] = self.covariance
            self.covariance, self.mean = covariance, np.append(self.mean, prior_means[old:])
            self.prior_variances = variances

    def update(self, x: FloatArray, y: float, *, offset: float = 0.0, weight: float = 1.0) -> None:
        """Take in one label y in [0, 1], or about there where it was corrected for known errors.

        Args:
            x: Features, shape (d,).
            y: The label.
            offset: Log-odds that another model gives and this one adds to.
            weight: What the label counts for, ≥ 0.
        """
        self._forget()
        p = sigmoid(offset + float(self.mean.dot(x)))
        direction = self.covariance.dot(x)
        slope = weight * max(p * (1.0 - p), 1e-4)
        self.covariance -= square(direction) * (slope / (1.0 + slope * float(x.dot(direction))))
        self.mean += self.covariance.dot(x) * (weight * (y - p))

    def _forget(self) -> None:
        if self.gamma < 1.0:
            # Scaling rows and columns keeps the matrix positive definite, and no variance passes the prior's.
            room = self.prior_variances / np.maximum(self.covariance.diagonal(), 1e-12)
            self.covariance *= square(np.sqrt(np.minimum(np.maximum(room, 1.0), 1.0 / self.gamma)))

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


def logit(p: float) -> float:
    """Log-odds of a probability, clipped to [0.001, 0.999]."""
    p = min(max(p, 1e-3), 1.0 - 1e-3)
    return math.log(p / (1.0 - p))
