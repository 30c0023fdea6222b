"""Is a learned combination of judges better than any judge of it? Leave one judge out as the truth, combine the others.

One command reads `judge_panel.parquet` (an answer per row: `query_id`, `source`, `model`, and every judge's score in
[0, 1] in a column `reward_…`) and prints a table: Brier score and calibration error of every judge, of their plain
mean, both as they are and recalibrated by the same labels, of the product's stacker, and of the stacker without labels;
and of a bound: weights fitted to all labels, those of the graded answers among them, with a level from the same few.
docs/benchmarks-judges.md says what is measured and how to read it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from learner.estimators import logit
from learner.judges import judge_feature
from learner.stacker import Stacker
from learner.types import FloatArray

ORDERS, HEARD, LABELLED, RESAMPLES = 10, 1_000, 200, 100
GOOD = 0.8
"""Least score of the judge that stands for the truth at which an answer is called good."""
USUAL_QUALITY = 0.8
BINS = 15

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers that all judges scored.

    Args:
        queries: Number of the query of each, shape (n,).
        categories: Number of its source, shape (n,).
        models: Number of the model, shape (n,).
        scores: Of every judge, shape (n, J).
        judges: Their names.
    """

    queries: FloatArray
    categories: list[int]
    models: list[int]
    scores: FloatArray
    judges: tuple[str, ...]


def main() -> None:
    """Print the table for every judge as the truth, binary and as a score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with judge_panel.parquet")
    parser.add_argument("--orders", type=int, default=ORDERS, help="orders of the stream")
    options = parser.parse_args()
    answers = read_answers(options.data / "judge_panel.parquet")
    for truth in range(len(answers.judges)):
        for is_binary in (True, False):
            print(table(answers, truth, is_binary=is_binary, orders=options.orders), flush=True)


def read_answers(path: Path) -> Answers:
    """Read the scores of a panel."""
    rows = pq.read_table(path)
    names = [name for name in rows.column_names if name.startswith("reward_")]
    scores = np.column_stack([rows[name].to_numpy() for name in names])
    families = [str(source).split("/")[0] for source in rows["source"].to_pylist()]
    return Answers(
        numbered(rows["query_id"].to_pylist()),
        numbered(families).astype(int).tolist(),
        numbered(rows["model"].to_pylist()).astype(int).tolist(),
        scores,
        tuple(name.removeprefix("reward_") for name in names),
    )


def numbered(values: Sequence[str]) -> FloatArray:
    """Number values in alphabetical order."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def table(answers: Answers, truth: int, *, is_binary: bool, orders: int) -> str:
    """Compare all ways of combining the other judges in every order of the answers."""
    others = [j for j in range(len(answers.judges)) if j != truth]
    y = answers.scores[:, truth]
    y = (y >= GOOD).astype(np.float64) if is_binary else y
    played = [play(answers, others, y, order) | bound(answers, others, y, order) for order in range(orders)]
    kind = f"good where it says {GOOD} or more" if is_binary else "its score"
    lines = [f"\n### Truth: {answers.judges[truth]}, {kind} ({100 * y.mean():.0f} % on average)\n"]
    lines += ["| combination | Brier | stacker − it | ECE | stacker − it |", "| --- | --- | --- | --- | --- |"]
    stacked = [one["stacker"] for one in played]
    for name in played[0]:
        own = [one[name] for one in played]
        levels = [np.mean([loss(p, t) for p, t, _ in own]) for loss in (brier, ece)]
        gaps = ["" if name == "stacker" else gap(stacked, own, loss) for loss in (brier, ece)]
        lines.append(f"| {name} | {levels[0]:.4f} | {gaps[0]} | {levels[1]:.3f} | {gaps[1]} |")
    return "\n".join(lines)


Predicted = tuple[FloatArray, FloatArray, FloatArray]
"""Stated probabilities, outcomes, and numbers of the queries."""


def play(answers: Answers, others: list[int], y: FloatArray, order: int) -> dict[str, Predicted]:
    """Hear some answers in one order, learn from the labels of a few, and predict all others."""
    heard, graded = split(answers, order)
    names = [answers.judges[j] for j in others]
    raw = {name: answers.scores[graded, j] for name, j in zip(names, others, strict=True)}
    raw["plain mean"] = answers.scores[graded][:, others].mean(axis=1)
    told = {name: [name] for name in names} | {"stacker": names}
    columns = dict(zip(names, others, strict=True))
    learned = {name: taught(answers, columns, own, y, heard, LABELLED) for name, own in told.items()}
    mean = Panelist.of_mean(answers, others)
    results = dict(raw)
    results |= {f"{name}, recalibrated": predict(answers, columns, told[name], learned[name], graded) for name in names}
    results["plain mean, recalibrated"] = mean.recalibrated(answers, y, heard, graded)
    unlabelled = taught(answers, columns, names, y, heard, 0)
    results["stacker without labels"] = predict(answers, columns, names, unlabelled, graded)
    results["stacker"] = predict(answers, columns, names, learned["stacker"], graded)
    return {name: (p, y[graded], answers.queries[graded]) for name, p in results.items()}


@dataclass(frozen=True, slots=True)
class Panelist:
    """The plain mean of some judges as if it were one judge."""

    scores: FloatArray

    @classmethod
    def of_mean(cls, answers: Answers, others: list[int]) -> "Panelist":
        """Average the judges."""
        return cls(answers.scores[:, others].mean(axis=1))

    def recalibrated(self, answers: Answers, y: FloatArray, heard: Rows, graded: Rows) -> FloatArray:
        """Teach a stacker that hears nothing but the mean."""
        alone = Answers(answers.queries, answers.categories, answers.models, self.scores[:, None], ("mean",))
        columns = {"mean": 0}
        return predict(alone, columns, ["mean"], taught(alone, columns, ["mean"], y, heard, LABELLED), graded)


def split(answers: Answers, order: int) -> tuple[Rows, Rows]:
    """Return the rows that are heard and those that are graded, each in an order of the queries."""
    # Answers to one query stay together, so that none is learned from whose sisters are graded.
    places = np.random.default_rng(order).permutation(int(answers.queries.max()) + 1)
    at = np.argsort(places[answers.queries.astype(int)], kind="stable")
    return at[:HEARD], at[HEARD:]


def bound(answers: Answers, others: list[int], y: FloatArray, order: int) -> dict[str, Predicted]:
    """Fit judges and models to all there is, and only a constant to the labels that the stacker has."""
    heard, graded = split(answers, order)
    scores, models = answers.scores[:, others], np.eye(max(answers.models) + 1)[answers.models]
    x = np.hstack([np.vectorize(judge_feature)(scores), 5.0 * scores, models])
    log_odds = x @ fitted(x, y, np.zeros(len(y)))
    few = heard[:LABELLED]
    level = fitted(np.ones((len(few), 1)), y[few], log_odds[few])
    p = 1.0 / (1.0 + np.exp(-log_odds[graded] - level))
    return {"bound: weights known, level learned": (p, y[graded], answers.queries[graded])}


def fitted(x: FloatArray, y: FloatArray, offset: FloatArray) -> FloatArray:
    """Return the weights of a logistic regression without a prior worth the name, by Newton's method."""
    weights = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1.0 / (1.0 + np.exp(-offset - x @ weights))
        slope = (x.T * (p * (1.0 - p))) @ x + 1e-3 * np.eye(len(weights))
        weights += np.linalg.solve(slope, x.T @ (y - p) - 1e-3 * weights)
    return weights


@dataclass(slots=True)
class Learned:
    """A stacker, and what the labels said of every model."""

    stacker: Stacker
    good: FloatArray
    seen: FloatArray

    def belief(self, model: int) -> float:
        """Probability that an answer of a model is good, before any judge is heard."""
        return float((self.good[model] + 8.0 * USUAL_QUALITY) / (self.seen[model] + 8.0))


def taught(
    answers: Answers, columns: dict[str, int], judges: list[str], y: FloatArray, heard: Rows, labelled: int
) -> Learned:
    """Let a stacker hear answers in order, the first of them with their labels."""
    models, is_binary = max(answers.models) + 1, bool(np.isin(y, (0.0, 1.0)).all())
    learned = Learned(Stacker(), np.zeros(models), np.zeros(models))
    for i, row in enumerate(heard.tolist()):
        model, features = answers.models[row], features_of(answers, columns, judges, row)
        belief = learned.belief(model)
        learned.stacker.listen(belief, features)
        if i < labelled:
            category, label = answers.categories[row], float(y[row])
            learned.stacker.update(features, logit(belief), label, category, is_binary=is_binary)
            learned.good[model] += y[row]
            learned.seen[model] += 1.0
    return learned


def predict(answers: Answers, columns: dict[str, int], judges: list[str], learned: Learned, graded: Rows) -> FloatArray:
    """State the probability that each answer is good, shape (number of graded answers,)."""
    view = learned.stacker.view()
    return np.array([
        view.calibrated(
            logit(learned.belief(answers.models[row])),
            view.evidence(features_of(answers, columns, judges, row), answers.categories[row]),
        )
        for row in graded.tolist()
    ])  # fmt: skip


def features_of(answers: Answers, columns: dict[str, int], judges: list[str], row: int) -> dict[str, float]:
    """Return the evidence on an answer as the product has it."""
    return {f"judge:{judge}": judge_feature(float(answers.scores[row, columns[judge]])) for judge in judges}


def brier(p: FloatArray, y: FloatArray) -> float:
    """Mean squared error of stated probabilities."""
    return float(((p - y) ** 2).mean())


def ece(p: FloatArray, y: FloatArray) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(p, kind="stable")
    gaps = [abs(float(p[part].sum() - y[part].sum())) for part in np.array_split(order, BINS)]
    return sum(gaps) / len(p)


def gap(ours: list[Predicted], theirs: list[Predicted], loss: object) -> str:
    """Return the difference with its 95 % interval, from paired resamples of the orders and of the queries in each."""
    assert callable(loss)
    rng = np.random.default_rng(0)
    drawn = np.array([resampled(one, other, loss, rng) for one, other in zip(ours, theirs, strict=True)])
    orders = len(ours)
    means = drawn[rng.integers(orders, size=(RESAMPLES, orders)), np.arange(RESAMPLES)[:, None]].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    level = np.mean([loss(a[0], a[1]) - loss(b[0], b[1]) for a, b in zip(ours, theirs, strict=True)])
    return f"{level:+.4f} [{low:+.4f}, {high:+.4f}]"


def resampled(ours: Predicted, theirs: Predicted, loss: object, rng: np.random.Generator) -> list[float]:
    """Draw queries with all their answers, and return the difference of the losses for every draw."""
    assert callable(loss)
    (p, y, queries), (q, _, _) = ours, theirs
    starts = np.flatnonzero(np.diff(queries, prepend=-1.0))
    rows = np.split(np.arange(len(p)), starts[1:])
    differences = []
    for _ in range(RESAMPLES):
        at = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        differences.append(loss(p[at], y[at]) - loss(q[at], y[at]))
    return differences


if __name__ == "__main__":
    main()
