"""Two published routers that are fitted once and then stay as they are: EMAFusion-like and cascade routing.

Both are privileged: they are given, free of charge, the true outcomes of every model on the first part of the stream,
which the others must buy answer by answer. Until then they serve the cheapest model. Their knobs are set so that the
first part would have cost the budget; nothing paces them afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from learner.types import Context, FloatArray, Query
from scripts.bench.baselines import PRIOR_COUNT, shrunk
from scripts.bench.play import Build, Case, Given, Question, Reply

FIT_SHARE = 0.2
MOST_CALLS = 3
RIDGE = 20.0
SUITABLE = (0.6, 0.8, 0.95)
THRESHOLDS = np.linspace(0.3, 1.2, 10)
VOTE = 0.25
DRAWS = 32
TUNED_ON, TUNING_STEPS = 100, 12


@dataclass(frozen=True, slots=True)
class Past:
    """The first part of a stream with all its outcomes; arrays have shape (n, models)."""

    contexts: Sequence[Context]
    quality: FloatArray
    usd: FloatArray
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, case: Case) -> "Past":
        """Take the first part of a case's stream."""
        world, n = case.stream, int(FIT_SHARE * len(case.stream.prompts))
        contexts = [case.features.context(Query(text), case.features.seeds) for text in world.prompts[:n]]
        return cls(contexts, world.quality[:n], world.usd[:n], world.groups[:n])

    def question(self, at: int) -> "Known":
        """Return one of its queries, to be asked again."""
        return Known(self, at)


class Known:
    """A query of the past that can be asked like a new one."""

    def __init__(self, past: Past, at: int) -> None:
        self.context, self._past, self._at = past.contexts[at], past, at
        self.usd = 0.0

    def ask(self, model: int) -> Reply:
        """Look a reply up."""
        usd, group = float(self._past.usd[self._at, model]), int(self._past.groups[self._at, model])
        self.usd += usd
        return Reply(model, usd, 0, 0, None if group < 0 else group)


Asked = Question | Known
Route = Callable[[Asked], Given]


class Fitted:
    """Serve the cheapest model during the first part, then follow one fixed rule."""

    def __init__(self, case: Case, fit: Callable[[Past, float], Route]) -> None:
        past = Past.of(case)
        self._starts = len(past.contexts)
        self._cheapest = int(past.usd.mean(axis=0).argmin())
        self._expected = float(past.quality[:, self._cheapest].mean())
        self._route = fit(past, case.budget_usd)

    def serve(self, question: Question) -> Given:
        """Route one query."""
        if question.position >= self._starts:
            return self._route(question)
        question.ask(self._cheapest)
        return Given(self._cheapest, self._expected)

    def learn(self, position: int, reward: float) -> None:
        """Learn nothing."""


# -- EMAFusion-like (arXiv 2504.10681): a table per category, a fixed order, fixed judge weights and thresholds --------


@dataclass(frozen=True, slots=True)
class StaticCascade:
    """Ask the suitable models of a category from cheap to dear until the answer is trusted.

    Trust is the table's quality of the answering model, plus a vote for every answer that agrees, less one for every
    answer that does not.

    Args:
        table: Quality by category and model.
        order: Models from cheap to dear.
        suitable: Least quality, as a share of the category's best, of a model that is asked.
        threshold: Trust at which an answer is given.
    """

    table: FloatArray
    order: Sequence[int]
    suitable: float
    threshold: float

    def __call__(self, asked: Asked) -> Given:
        """Route one query."""
        quality = self.table[int(asked.context.categories.argmax())]
        chosen = [m for m in self.order if quality[m] >= self.suitable * quality.max()][:MOST_CALLS]
        replies: list[Reply] = []
        for model in chosen:
            replies.append(asked.ask(model))
            trust = [self._trust(reply, replies, quality) for reply in replies]
            best = int(np.argmax(trust))
            if trust[best] >= self.threshold:
                break
        return Given(replies[best].model, float(np.clip(trust[best], 0.02, 0.98)))

    @staticmethod
    def _trust(reply: Reply, replies: Sequence[Reply], quality: FloatArray) -> float:
        others = [r for r in replies if r is not reply and r.group is not None]
        votes = sum(1 if r.group == reply.group else -1 for r in others)
        return float(quality[reply.model]) + VOTE * votes


def static_cascade(past: Past, budget_usd: float) -> Route:
    """Fill the table, and choose the two thresholds that did best on the past within the budget."""
    categories = np.array([int(context.categories.argmax()) for context in past.contexts])
    size, models = len(past.contexts[0].categories), past.quality.shape[1]
    count, total = np.zeros((size, models)), np.zeros((size, models))
    np.add.at(count, categories, 1.0)
    np.add.at(total, categories, past.quality)
    table = shrunk(count, total, past.quality.mean(axis=0))
    order = np.argsort(past.usd.mean(axis=0)).tolist()
    rules = [StaticCascade(table, order, suitable, float(t)) for suitable in SUITABLE for t in THRESHOLDS]
    tried = [(rule, *tried_on(past, rule)) for rule in rules]
    kept = [one for one in tried if one[2] <= budget_usd]
    return max(kept, key=lambda one: one[1])[0] if kept else min(tried, key=lambda one: one[2])[0]


def tried_on(past: Past, rule: Route) -> tuple[float, float]:
    """Return the mean quality and the mean cost of a rule on the past."""
    quality, usd = 0.0, 0.0
    for at in range(len(past.contexts)):
        asked = past.question(at)
        quality += float(past.quality[at, rule(asked).model])
        usd += asked.usd
    return quality / len(past.contexts), usd / len(past.contexts)


# -- Cascade routing (arXiv 2410.10347) with estimators fitted to the past ---------------------------------------------


@dataclass(frozen=True, slots=True)
class CascadeRouter:
    """Choose the set of models worth running, run its cheapest new member, and estimate again.

    A set is worth E[max of its estimates] − λ · cost over Gaussian estimates; answers given so far count by their
    estimate after the fact. One λ serves all steps, where the authors tune one per step.

    Args:
        means: Mean quality of each model, shape (m,).
        weights: Ridge on the features, shape (m, d): quality before an answer.
        after: Logistic weights on `evidence`: quality after it.
        deviation: Of the estimate after from the one before, shape (m,).
        usd: Mean cost of each model, shape (m,).
        draws: Standard normal draws, shape (draws, m).
        lambda_: Quality per USD.
    """

    means: FloatArray
    weights: FloatArray
    after: FloatArray
    deviation: FloatArray
    usd: FloatArray
    draws: FloatArray
    lambda_: float

    def before(self, context: Context) -> FloatArray:
        """Return the estimates before any answer, shape (m,)."""
        estimate: FloatArray = np.clip(self.means + self.weights @ context.vector, 0.02, 0.98)
        return estimate

    def __call__(self, asked: Asked) -> Given:
        """Route one query."""
        before = self.before(asked.context)
        replies: list[Reply] = []
        while True:
            groups = [reply.group for reply in replies]
            run = [reply.model for reply in replies]
            right = sigmoids(evidence(before, run, groups) @ self.after) if run else np.zeros(0)
            model = self._next(before, run, right)
            if model is None:
                best = int(right.argmax())
                return Given(run[best], float(right[best]))
            replies.append(asked.ask(model))

    def _next(self, before: FloatArray, run: list[int], right: FloatArray) -> int | None:
        """Return the model to run next; None to stop."""
        members, belongs = supersets(len(before), tuple(sorted(run)))
        values = before + self.deviation * self.draws
        values[:, run] = right
        best = values[:, members].max(axis=2).mean(axis=0) - belongs @ (self.lambda_ * self.usd)
        new = set(members[int(best.argmax())].tolist()) - set(run)
        return min(new, key=lambda model: self.usd[model]) if new else None


@lru_cache(maxsize=1024)
def supersets(models: int, run: tuple[int, ...]) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the sets of at most `MOST_CALLS` models that hold those already run; never the empty one.

    Returns:
        The members of each set, repeated to fill the row, shape (sets, `MOST_CALLS`), and which model
        belongs to which set, shape (sets, models).
    """
    rest = [model for model in range(models) if model not in run]
    sizes = range(0 if run else 1, MOST_CALLS - len(run) + 1)
    sets = [(*run, *more) for size in sizes for more in combinations(rest, size)]
    members = np.array([(one * MOST_CALLS)[: max(len(one), MOST_CALLS)] for one in sets])
    belongs = np.array([[float(model in one) for model in range(models)] for one in sets])
    return members, belongs


def evidence(before: FloatArray, run: Sequence[int], groups: Sequence[int | None]) -> FloatArray:
    """Describe every answer: its estimate, and the log-odds of those that agree and of those that do not."""
    odds = np.log(before[list(run)] / (1.0 - before[list(run)]))
    agrees = np.array([[a == b and a is not None for b in groups] for a in groups], dtype=float)
    differs = np.array([[a != b and a is not None and b is not None for b in groups] for a in groups], dtype=float)
    np.fill_diagonal(agrees, 0.0)
    columns = [np.ones(len(run)), odds, agrees.sum(axis=1), agrees @ odds, differs.sum(axis=1), differs @ odds]
    return np.column_stack(columns)


def cascade_router(past: Past, budget_usd: float) -> Route:
    """Fit the estimators, then λ to the budget by bisection."""
    router = fitted_router(past)
    low, high = 1e-2, 1e6
    for _ in range(TUNING_STEPS):
        middle = float(np.sqrt(low * high))
        tuned = priced(router, middle)
        spent = np.mean([spend(past, at, tuned) for at in range(min(TUNED_ON, len(past.contexts)))])
        low, high = (middle, high) if spent > budget_usd else (low, middle)
    return priced(router, high)


def priced(router: CascadeRouter, lambda_: float) -> CascadeRouter:
    """Return the router at another price of money."""
    return replace(router, lambda_=lambda_)


def spend(past: Past, at: int, route: Route) -> float:
    """Return what a rule would have spent on one query of the past."""
    asked = past.question(at)
    route(asked)
    return asked.usd


def fitted_router(past: Past) -> CascadeRouter:
    """Fit ridge, logistic and deviations; λ is still open."""
    rng = np.random.default_rng(0)
    vectors, models = np.array([context.vector for context in past.contexts]), past.quality.shape[1]
    means = past.quality.mean(axis=0)
    precision = vectors.T @ vectors + RIDGE * np.eye(vectors.shape[1])
    weights = np.linalg.solve(precision, vectors.T @ (past.quality - means)).T
    before = np.clip(means + vectors @ weights.T, 0.02, 0.98)
    runs = [rng.choice(models, min(models, 2 + at % 2), replace=False) for at in range(len(vectors))]
    said = [[None if g < 0 else int(g) for g in past.groups[at, run]] for at, run in enumerate(runs)]
    told = [evidence(before[at], run.tolist(), said[at]) for at, run in enumerate(runs)]
    after = logistic(np.vstack(told), np.concatenate([past.quality[at, run] for at, run in enumerate(runs)]))
    moved = np.zeros((2, models))
    for at, run in enumerate(runs):
        moved[0, run] += (sigmoids(told[at] @ after) - before[at, run]) ** 2
        moved[1, run] += 1.0
    deviation = np.sqrt((moved[0] + 0.01 * PRIOR_COUNT) / (moved[1] + PRIOR_COUNT))
    draws = rng.standard_normal((DRAWS, models))
    return CascadeRouter(means, weights, after, deviation, past.usd.mean(axis=0), draws, 1.0)


def logistic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Fit logistic weights with a unit Gaussian prior by Newton's method; y in [0, 1]."""
    weights = np.zeros(x.shape[1])
    for _ in range(15):
        p = sigmoids(x @ weights)
        slope = x.T @ (x * (p * (1.0 - p))[:, None]) + np.eye(len(weights))
        weights += np.linalg.solve(slope, x.T @ (y - p) - weights)
    return weights


def sigmoids(x: FloatArray) -> FloatArray:
    """Logistic function of each element."""
    p: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))
    return p


BATCH: dict[str, Build] = {
    "EMAFusion-like": lambda case: Fitted(case, static_cascade),
    "cascade routing": lambda case: Fitted(case, cascade_router),
}
