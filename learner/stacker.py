"""How far to believe the evidence on an answer: one logistic regression over all of it, taught by labels.

The belief before any evidence (from the estimate of the model's quality and from who agrees with whom) is one feature
more; a missing one counts nothing. Weights start where common sense puts them, a judge's where the other judges and the
agreement of answers do (`learner.jury`), and labels take over from there: a judge that is wrong more often than right
ends below zero, a noisy one near it. A category of queries in which judges are better or worse than elsewhere moves
their weights there by offsets of its own, which speak as its labels allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from learner.calibration import Calibration
from learner.estimators import BayesianLogistic, Columns, moderated, sigmoid
from learner.jury import UNHEARD, Jury, Reading
from learner.scatter import Scatter
from learner.types import FloatArray, JudgeScore

PRIOR_MEANS: Mapping[str, float] = {
    "bias": 0.0, "prior": 1.0, "empty": -4.0, "truncated": -1.5, "refusal": -1.5, "repetition": -1.5,
    "json_invalid": -3.0, "code_invalid": -2.0, "length": 0.0, "logprob": 0.5,
    "likeness": 0.3, "unstated": -2.5, "contradictory": -0.5, "reference": 2.5,
    "schema_invalid": -3.0, "tool_unknown": -4.0, "arguments_invalid": -3.0, "relevance": 0.1, "logprob_least": 0.1,
}  # fmt: skip
JUDGE, HEARD = "judge:", "heard:"
# How an answer is put, not what it is: an equal answer is none the worse for it.
OWN_FAULTS = ("contradictory",)
PRIOR_VARIANCE = 0.25
# Of a judge, less is known: of its weight in units of its own spread, and of what it says where it says its usual.
JUDGE_VARIANCE, LEVEL_VARIANCE = 0.5, 1.0
CATEGORY_VARIANCE = 0.01
GAMMA = 0.999
LAG, BATCH = 200, 10


@dataclass(frozen=True, slots=True)
class StackerView:
    """Immutable weights by feature name, offsets to them by category, and how to read each judge; predicts P(good).

    `labels` is what the last labels count for together: so much is known of whether what is stated comes true.
    """

    weights: Mapping[str, float]
    offsets: Mapping[int, Mapping[str, float]]
    readings: Mapping[str, Reading]
    labels: float = 0.0

    def evidence(self, features: Mapping[str, float], category: int) -> float:
        """Log-likelihood ratio of an answer's evidence, without bias and prior."""
        offsets, told = self.offsets.get(category, {}), 0.0
        for name, value in features.items():
            told += (self.weight(name) + offsets.get(name, 0.0)) * value
            if name.startswith(JUDGE):
                heard = HEARD + name[len(JUDGE) :]
                told += self.weight(heard) + offsets.get(heard, 0.0)
        return told

    def own_faults(self, features: Mapping[str, float]) -> float:
        """Return the part of the evidence that says nothing of answers that equal this one."""
        return sum([self.weight(name) * features[name] for name in OWN_FAULTS if name in features])

    def weight(self, name: str) -> float:
        """Weight of a feature over all categories."""
        known = self.weights.get(name)
        return prior_mean(self.readings, name) if known is None else known

    def separation(self, judge: str, category: int) -> float:
        """How far a judge tells good answers from bad ones here: its weight times the spread of its opinions."""
        name = JUDGE + judge
        weight = self.weight(name) + self.offsets.get(category, {}).get(name, 0.0)
        return abs(weight) * self.readings.get(judge, UNHEARD).scale

    @property
    def heard(self) -> dict[str, float]:
        """Answers that each judge was heard on, old ones counting less."""
        return {judge: reading.heard for judge, reading in self.readings.items()}

    def calibrated(self, prior_logit: float, evidence: float) -> float:
        """Probability that the answer is good, from the belief before the evidence and the evidence."""
        prior = self.weights.get("prior", 1.0)
        return sigmoid(self.weights.get("bias", 0.0) + prior * prior_logit + evidence)


@dataclass(slots=True)
class Stacker:
    """The mutable half: learns the weights from labels, one at a time.

    Args:
        logistic: Weights over all categories.
        offsets: What a category's labels add to the judges' weights; only of categories with such labels.
        jury: What judges are worth without labels.
        scatter: How far ratings keep to what was foretold.
        calibration: Of the stated probability.
        judges: Of every judge's own score.
        by_category: The same in each category.
        heard: Answers that a judge gave an opinion on, by judge and category.
        answers: Answers that judges could have been asked about, by category.
    """

    logistic: BayesianLogistic = field(
        default_factory=lambda: BayesianLogistic(prior_variance=PRIOR_VARIANCE, gamma=GAMMA, lag=LAG, batch=BATCH)
    )
    offsets: dict[int, BayesianLogistic] = field(default_factory=dict)
    jury: Jury = field(default_factory=Jury)
    scatter: Scatter = field(default_factory=Scatter)
    calibration: Calibration = field(default_factory=Calibration)
    judges: dict[str, Calibration] = field(default_factory=dict)
    by_category: dict[tuple[str, int], Calibration] = field(default_factory=dict)
    heard: dict[tuple[str, int], int] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    _view: StackerView | None = None

    def __post_init__(self) -> None:
        self._vector({"bias": 0.0, "prior": 0.0})

    def _vector(self, features: Mapping[str, float]) -> FloatArray:
        vector = self.logistic.columns.vector(dict(features))
        if len(vector) > len(self.logistic.mean):
            self._believe()
        return vector

    def _believe(self) -> None:
        """Let all labels have started from what is now known without them: it says the less, the more there are."""
        self.logistic.believe(*prior(self.logistic.columns.names, self.jury.readings))

    def count(self, scores: Sequence[JudgeScore], *, answers: int, category: int) -> None:
        """Note who was heard on the answers of a request, from the first opinion on."""
        if scores or self.heard:
            self.answers[category] = self.answers.get(category, 0) + answers
        for score in scores:
            key = score.judge, category
            self.heard[key] = self.heard.get(key, 0) + 1

    def listen(self, belief: float, features: Mapping[str, float]) -> None:
        """Take in opinions on an answer that nobody labelled yet.

        Args:
            belief: Probability that it is good, from elsewhere than the judges.
            features: Evidence on it.
        """
        opinions = opinions_in(features)
        if not opinions:
            return
        if self.jury.observe(belief, opinions):
            self._believe()
            self._view = None

    def update(
        self,
        features: Mapping[str, float],
        prior_logit: float,
        y: float,
        category: int,
        weight: float = 1.0,
        *,
        is_binary: bool = True,
    ) -> None:
        """Learn from one label y in [0, 1], of a weight ≥ 0, a thumb or not, of an answer with this evidence."""
        x = self._vector({"bias": 1.0, "prior": prior_logit, **features, **presence(features)})
        view = self.view()
        stated = view.calibrated(prior_logit, view.evidence(features, category))
        self._rate(opinions_in(features), stated, y, category, weight)
        self._learn(x, features, y, category, weight if is_binary else weight * self._precision(x, y, weight))
        self._view = None

    def _rate(self, opinions: Mapping[str, float], stated: float, y: float, category: int, weight: float) -> None:
        """Hold what was stated, and what each judge said, against a label."""
        self.calibration.update(stated, y, weight)
        for judge, log_odds in opinions.items():
            self.judges.setdefault(judge, Calibration()).update(sigmoid(log_odds), y, weight)
            self.by_category.setdefault((judge, category), Calibration()).update(sigmoid(log_odds), y, weight)

    def _precision(self, x: FloatArray, y: float, weight: float) -> float:
        """Return how much more than a thumb a rating says."""
        self.scatter.observe(moderated(float(self.logistic.mean @ x), self.logistic.variance(x)), y, weight)
        return self.scatter.precision

    def _learn(self, x: FloatArray, features: Mapping[str, float], y: float, category: int, weight: float) -> None:
        """Learn over all categories first, then what that leaves unexplained of judges here."""
        self.logistic.update(x, y, weight=weight)
        judged = {name: value for name, value in features.items() if name.startswith(JUDGE)} | presence(features)
        if judged:
            if category not in self.offsets:
                self.offsets[category] = local_logistic()
            own = self.offsets[category]
            told = own.columns.vector(judged)
            own.resize(np.zeros(len(told)))
            own.update(told, y, offset=float(self.logistic.mean @ x), weight=weight)

    def forget(self, kept: float) -> None:
        """Let all labels so far count for a share of what they did."""
        for logistic in (self.logistic, *self.offsets.values()):
            logistic.forget(kept)
        self._view = None

    def view(self) -> StackerView:
        """Return an immutable copy for readers; the same one until something is learned."""
        if self._view is None:
            self._view = StackerView(
                dict(zip(self.logistic.columns.names, self.logistic.mean.tolist(), strict=True)),
                {c: dict(zip(o.columns.names, o.mean.tolist(), strict=True)) for c, o in self.offsets.items()},
                self.jury.readings,
                float(np.add.reduce(self.logistic.recent[:, 2])),
            )
        return self._view


def local_logistic(names: Sequence[str] = ()) -> BayesianLogistic:
    """Return what a category's labels have yet to teach of these features."""
    logistic = BayesianLogistic(prior_variance=CATEGORY_VARIANCE, gamma=GAMMA)
    logistic.columns = Columns(names)
    logistic.resize(np.zeros(len(names)))
    return logistic


def opinions_in(features: Mapping[str, float]) -> dict[str, float]:
    """Return the judges' log-odds among the evidence, by judge."""
    return {name[len(JUDGE) :]: value for name, value in features.items() if name.startswith(JUDGE)}


def presence(features: Mapping[str, float]) -> dict[str, float]:
    """Return a feature for every judge that was heard: not all say a half where they know nothing."""
    return {HEARD + name[len(JUDGE) :]: 1.0 for name in features if name.startswith(JUDGE)}


def prior_mean(readings: Mapping[str, Reading], name: str) -> float:
    """Weight of a feature before any label."""
    if name.startswith(JUDGE):
        return readings.get(name[len(JUDGE) :], UNHEARD).slope
    if name.startswith(HEARD):
        return readings.get(name[len(HEARD) :], UNHEARD).intercept
    return PRIOR_MEANS.get(name, 0.0)


def prior(names: Sequence[str], readings: Mapping[str, Reading]) -> tuple[FloatArray, FloatArray]:
    """Return the mean of each feature's weight before any label, shape (d,), and their precision, shape (d, d)."""
    at = {name: i for i, name in enumerate(names)}
    precision = np.eye(len(names)) / PRIOR_VARIANCE
    for judge in (name[len(JUDGE) :] for name in names if name.startswith(JUDGE)):
        pair = [at[JUDGE + judge], at[HEARD + judge]]
        precision[np.ix_(pair, pair)] = readings.get(judge, UNHEARD).precision(JUDGE_VARIANCE, LEVEL_VARIANCE)
    return np.array([prior_mean(readings, name) for name in names]), precision
