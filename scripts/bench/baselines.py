"""Routers that others would build, under the benchmark's protocol: they see what Headrace sees and pay what it pays.

Own small ones (LinUCB, nearest neighbours, cells) differ in their estimate of quality and explore in their own way;
they share Headrace's features and its pacing of λ, so that what differs is the estimate. River's bandit knows no
context. `ParetoBandit` is the package itself with its own settings, its own pacer included.
"""

import logging
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from river import bandit, stats

from learner.budget import Controller
from learner.features import CHEAP_FEATURES, components_of
from learner.types import Context, FloatArray, Objective
from scripts.bench.play import Build, Case, Given, Question, Reply
from scripts.bench.worlds import World

TYPICAL_TOKENS = (200.0, 250.0)
LINUCB_ALPHA, LINUCB_PRECISION = 0.5, 1.0
NEIGHBOURS, EPSILON = 40, 0.05
CELLS, CELLS_AFTER = 16, 100
PRIOR_COUNT = 8.0
PRIOR_QUALITY = 0.6


@dataclass(slots=True)
class Pacing:
    """The price of money and what each model costs, learned from the bills."""

    controller: Controller
    usd: FloatArray
    count: FloatArray

    @classmethod
    def of(cls, world: World, budget_usd: float) -> "Pacing":
        """Start with the list price of a typical call."""
        typical = np.array(world.prices) @ np.array(TYPICAL_TOKENS) / 1e6
        controller = Controller.of(Objective("budget", budget_usd), scale_usd=budget_usd)
        return cls(controller, typical, np.ones(len(typical)))

    @property
    def price(self) -> FloatArray:
        """What a call of each model costs, in quality, shape (m,)."""
        return self.controller.lambda_ * self.usd / self.count

    def settle(self, reply: Reply) -> None:
        """Take in the bill of one request."""
        self.usd[reply.model] += reply.usd
        self.count[reply.model] += 1.0
        self.controller.settle(spent_usd=reply.usd, quality=0.0)


class Estimate(Protocol):
    """An online estimate of every model's quality."""

    def predict(self, context: Context, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return the expected quality of every model and the optimistic one to choose by, shape (m,) each."""
        ...

    def update(self, context: Context, model: int, reward: float) -> None:
        """Learn one rating."""
        ...


class Paced:
    """Ask the one model whose optimistic quality exceeds its price by most."""

    def __init__(self, case: Case, estimate: Estimate, epsilon: float = 0.0) -> None:
        self._estimate, self._epsilon = estimate, epsilon
        self._pacing = Pacing.of(case.stream, case.budget_usd)
        self._rng = case.rng()
        self._given: list[tuple[Context, int]] = []

    def serve(self, question: Question) -> Given:
        """Ask one model."""
        mean, optimistic = self._estimate.predict(question.context, self._rng)
        model = int((optimistic - self._pacing.price).argmax())
        if self._rng.random() < self._epsilon:
            model = int(self._rng.integers(len(mean)))
        self._pacing.settle(question.ask(model))
        self._given.append((question.context, model))
        return Given(model, float(np.clip(mean[model], 0.0, 1.0)))

    def learn(self, position: int, reward: float) -> None:
        """Learn a rating of the answer."""
        self._estimate.update(*self._given[position], reward)


class LinUcb:
    """Disjoint LinUCB (Li et al., WWW 2010): a ridge per model on the features around a common prior, and its width."""

    def __init__(self, case: Case) -> None:
        models, size = len(case.stream.models), case.features.size
        self._inverse = np.repeat(np.eye(size)[None] / LINUCB_PRECISION, models, axis=0)
        self._target = np.zeros((models, size))

    def predict(self, context: Context, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:  # noqa: ARG002
        """Return mean, and mean plus α widths."""
        spread = self._inverse @ context.vector
        mean = PRIOR_QUALITY + np.einsum("md,md->m", spread, self._target)
        return mean, mean + LINUCB_ALPHA * np.sqrt(np.maximum(spread @ context.vector, 0.0))

    def update(self, context: Context, model: int, reward: float) -> None:
        """Take in one observation (Sherman-Morrison)."""
        direction = self._inverse[model] @ context.vector
        self._inverse[model] -= np.outer(direction, direction) / (1.0 + direction @ context.vector)
        self._target[model] += (reward - PRIOR_QUALITY) * context.vector


class Nearest:
    """Mean rating of each model among the nearest rated queries (kNN router, arXiv 2505.12601), shrunk to its mean."""

    def __init__(self, models: int) -> None:
        self._models = models
        self._points: FloatArray | None = None
        self._rated = np.zeros((0, 2))

    def predict(self, context: Context, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:  # noqa: ARG002
        """Return means over the neighbours; exploration is left to chance."""
        mean = np.full(self._models, PRIOR_QUALITY)
        if self._points is not None:
            distance = ((self._points - components_of(context)) ** 2).sum(axis=1)
            for rated in (self._rated, self._rated[np.argsort(distance)[:NEIGHBOURS]]):
                model, reward = rated[:, 0].astype(int), rated[:, 1]
                count = np.bincount(model, minlength=self._models).astype(float)
                total = np.bincount(model, weights=reward, minlength=self._models).astype(float)
                mean = shrunk(count, total, mean)
        return mean, mean

    def update(self, context: Context, model: int, reward: float) -> None:
        """Remember one rated query."""
        point = components_of(context)[None]
        self._points = point if self._points is None else np.vstack([self._points, point])
        self._rated = np.vstack([self._rated, [model, reward]])


class Cells:
    """k-means cells over the features (UniRoute, arXiv 2502.08773), a Beta table in each, and Thompson's draws."""

    def __init__(self, models: int, seed: int) -> None:
        self._seed = seed
        self._seen: list[FloatArray] = []
        self._centres: FloatArray | None = None
        self._count, self._total = np.zeros((2, CELLS, models))

    def predict(self, context: Context, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return the cell's mean and a draw from its posterior."""
        cell = self._cell(components_of(context))
        pool = np.full(self._count.shape[1], PRIOR_QUALITY)
        prior = shrunk(self._count.sum(axis=0), self._total.sum(axis=0), pool)
        mean = shrunk(self._count[cell], self._total[cell], prior)
        strength = self._count[cell] + PRIOR_COUNT
        return mean, rng.beta(np.maximum(mean * strength, 0.05), np.maximum((1.0 - mean) * strength, 0.05))

    def update(self, context: Context, model: int, reward: float) -> None:
        """Count one rating."""
        cell = self._cell(components_of(context), is_new=False)
        self._count[cell, model] += 1.0
        self._total[cell, model] += reward

    def _cell(self, point: FloatArray, *, is_new: bool = True) -> int:
        """Return the nearest centre; before there are queries enough to cluster, everything is one cell."""
        if self._centres is None:
            if is_new:
                self._seen.append(point)
            if len(self._seen) < CELLS_AFTER:
                return 0
            self._centres = centres(np.array(self._seen), CELLS, np.random.default_rng(self._seed))
            self._count[:] = self._count[0] / CELLS
            self._total[:] = self._total[0] / CELLS
        return int(((self._centres - point) ** 2).sum(axis=1).argmin())


def shrunk(count: FloatArray, total: FloatArray, prior: FloatArray) -> FloatArray:
    """Return means that lean on a prior with the weight of `PRIOR_COUNT` observations."""
    mean: FloatArray = (total + PRIOR_COUNT * prior) / (count + PRIOR_COUNT)
    return mean


def centres(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """Cluster points by Lloyd's algorithm; returns k centres, shape (k, p)."""
    found = points[rng.choice(len(points), k, replace=False)].copy()
    for _ in range(20):
        nearest = ((points[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
        for cell in np.unique(nearest):
            found[cell] = points[nearest == cell].mean(axis=0)
    return found


class RiverBandit:
    """River's UCB on what an answer was worth less its price; it knows neither context nor budget."""

    def __init__(self, case: Case) -> None:
        self._pacing = Pacing.of(case.stream, case.budget_usd)
        self._arms = list(range(len(case.stream.models)))
        self._bandit = bandit.UCB(delta=1, reward_obj=stats.Mean(), seed=case.seed)
        self._ratings = [stats.Mean() for _ in self._arms]
        self._given: list[tuple[int, float]] = []

    def serve(self, question: Question) -> Given:
        """Pull one arm."""
        model = int(self._bandit.pull(self._arms))
        reply = question.ask(model)
        self._given.append((model, self._pacing.controller.lambda_ * reply.usd))
        self._pacing.settle(reply)
        rating = self._ratings[model]
        return Given(model, float(rating.get()) if rating.n else PRIOR_QUALITY)

    def learn(self, position: int, reward: float) -> None:
        """Give the arm its reward."""
        model, price = self._given[position]
        self._ratings[model].update(reward)
        self._bandit.update(model, reward - price)


class ParetoBandit:
    """The package `paretobandit` (arXiv 2604.00136) from a cold start: its router, its pacer, its settings.

    It gets Headrace's whitened components in place of its own embedding, and every bill as soon as it is known.
    """

    def __init__(self, case: Case) -> None:
        from pareto_bandit import BanditRouter, FeatureService
        from pareto_bandit.budget_pacer import BudgetPacer

        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        self._models = case.stream.models
        self._router: Any = BanditRouter.create(
            model_registry={
                model: {"input_cost_per_m": input_usd, "output_cost_per_m": output_usd}
                for model, (input_usd, output_usd) in zip(case.stream.models, case.stream.prices, strict=True)
            },
            feature_service=FeatureService.for_precomputed(case.features.size - len(CHEAP_FEATURES) + 1),
            priors="none",
            budget_pacer=BudgetPacer(case.budget_usd),
            bandit_seed=case.seed,
        )
        self._given: list[tuple[str, FloatArray]] = []

    def serve(self, question: Question) -> Given:
        """Route one query."""
        features = np.append(components_of(question.context), 1.0)
        name, _ = self._router.route(features)
        model = self._models.index(name)
        self._router.budget_pacer.observe(question.ask(model).usd)
        self._given.append((name, features))
        expected = float(self._router.bandit.get_expected_reward(name, features))
        return Given(model, min(max(expected, 0.0), 1.0))

    def learn(self, position: int, reward: float) -> None:
        """Give the router the rating of a routed query."""
        self._router.update(*self._given[position], reward, advance_time=False)


class RandomMix:
    """Any model of the pool with equal chances; it keeps no budget."""

    def __init__(self, case: Case) -> None:
        self._models, self._rng = len(case.stream.models), case.rng()

    def serve(self, question: Question) -> Given:
        """Ask a model at random."""
        model = int(self._rng.integers(self._models))
        question.ask(model)
        return Given(model, PRIOR_QUALITY)

    def learn(self, position: int, reward: float) -> None:
        """Learn nothing."""


BASELINES: dict[str, Build] = {
    "random mix": RandomMix,
    "kNN router": lambda case: Paced(case, Nearest(len(case.stream.models)), EPSILON),
    "k-means cells": lambda case: Paced(case, Cells(len(case.stream.models), case.seed)),
    "LinUCB": lambda case: Paced(case, LinUcb(case)),
    "River UCB": RiverBandit,
    "ParetoBandit": ParetoBandit,
}
