"""What the judges' opinions are worth before anybody pressed a thumb: from their agreement, without any label.

Every answer with an opinion on it adds to exponentially weighted second moments of the judges' log-odds and of the
belief in the answer from elsewhere (its model's quality, and which other answers it equals). That belief is one voter
more, and the one that says what good means: a judge whose scores rise with it is right more often than wrong. Judges
that agree for reasons of their own are not counted twice: what they share beyond the truth stands in the covariance
within a class, which weighs them as Fisher's linear discriminant does. Triplets (Ratner et al.; Parisi et al.) need
independence given the truth, which judges lack (FUSE, arXiv 2604.18547): they are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from learner.types import FloatArray

GAMMA = 0.999
SOLVE_EVERY = 20
MOST_JUDGES = 16
# What a judge is worth before it was ever heard, in units of its own spread: as log-odds, half of what it says.
USUAL_WEIGHT, USUAL_SCALE, LEAST_SCALE = 0.75, 1.5, 0.25
# Observations that common sense on a judge counts for, and the most that the belief's word on it does.
USUAL_COUNT, MOST_TOLD = 20.0, 200.0
# A judge's correlation with the truth: what is usual, and how much weight that and the other judges' word have.
USUAL_SKILL, USUAL_SKILL_WEIGHT, AGREED_WEIGHT = 0.4, 3.0, 8.0
MOST_SKILL, LEAST_WITHIN, DEPENDENCE_COUNT = 0.6, 0.25, 60.0
ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a judge: its log-odds less `centre` in units of `scale`, and the weight of that without labels.

    `heard` is the number of answers that this rests on.
    """

    centre: float = 0.0
    scale: float = USUAL_SCALE
    weight: float = USUAL_WEIGHT
    heard: float = 0.0

    @property
    def slope(self) -> float:
        """Weight of the judge's log-odds as they are."""
        return self.weight / self.scale

    @property
    def intercept(self) -> float:
        """What having been heard adds, so that the judge's middle says nothing."""
        return -self.slope * self.centre

    def precision(self, weight_variance: float, level_variance: float) -> FloatArray:
        """Precision of slope and intercept, (2, 2), where weight and what is said at the centre vary by themselves."""
        to_standard = np.array([[self.scale, 0.0], [self.centre, 1.0]])
        precision: FloatArray = to_standard.T @ np.diag([1.0 / weight_variance, 1.0 / level_variance]) @ to_standard
        return precision


UNHEARD = Reading()


@dataclass(slots=True)
class Jury:
    """The mutable half: moments of all opinions, the belief in position 0.

    Args:
        judges: In order of their first opinion; the first `MOST_JUDGES` only.
        moments: Counts, sums, squares and products over the answers with both of a pair, shape (4, J + 1, J + 1): sums
            and squares are those of the row's voter where the column's was heard too.
        readings: As of the last solution.
        since: Answers since then.
    """

    judges: list[str] = field(default_factory=list)
    moments: FloatArray = field(default_factory=lambda: np.zeros((4, 1, 1)))
    readings: dict[str, Reading] = field(default_factory=dict)
    since: int = 0

    def observe(self, belief: float, opinions: Mapping[str, float]) -> bool:
        """Take in the opinions on one answer; says whether the readings are new.

        Args:
            belief: Probability that the answer is good, from elsewhere.
            opinions: Log-odds by judge.
        """
        self._seat(opinions)
        heard, values = np.zeros(len(self.judges) + 1), np.zeros(len(self.judges) + 1)
        heard[0], values[0] = 1.0, belief
        for judge, log_odds in opinions.items():
            if judge in self.judges:
                at = 1 + self.judges.index(judge)
                heard[at], values[at] = 1.0, log_odds
        self.moments *= GAMMA
        self.moments += np.stack((heard, values, values * values, values))[:, :, None] * np.stack(
            (heard, heard, heard, values)
        )[:, None]  # fmt: skip
        self.since += 1
        if self.since < SOLVE_EVERY:
            return False
        self.since, self.readings = 0, self._solve()
        return True

    def _seat(self, opinions: Mapping[str, float]) -> None:
        fresh = sorted(set(opinions) - set(self.judges))[: MOST_JUDGES - len(self.judges)]
        self.judges += fresh
        self.moments = np.pad(self.moments, ((0, 0), (0, len(fresh)), (0, len(fresh))))

    def _solve(self) -> dict[str, Reading]:
        count, total, square, product = self.moments
        n = np.maximum(count, 1e-9)
        mean = total / n
        spread = np.sqrt(np.maximum(square / n - mean * mean, 1e-12))
        correlation = (product / n - mean * mean.T) / (spread * spread.T)
        heard = count.diagonal()[1:]
        good = np.clip(mean[0, 1:], 0.05, 0.95)
        skill = skills(correlation[1:, 1:], count[1:, 1:], *self._told(correlation[0, 1:], spread[0, 1:], good, heard))
        apart = skill / np.sqrt(good * (1.0 - good))
        weight = discriminant(correlation[1:, 1:], count[1:, 1:], skill, apart)
        return {
            judge: reading(*values)
            for judge, *values in zip(
                self.judges, heard.tolist(), mean.diagonal()[1:].tolist(), spread.diagonal()[1:].tolist(),
                (apart * (0.5 - good)).tolist(), weight.tolist(), strict=True,
            )
        }  # fmt: skip

    @staticmethod
    def _told(
        correlation: FloatArray, spread: FloatArray, good: FloatArray, heard: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return each judge's skill as the belief tells it, and how many observations that counts for, shape (J,).

        Where the belief is calibrated, Cov(f, p) = (μ₁ − μ₀) Var p, whatever else the judges have in common.
        """
        explained = spread * spread / (good * (1.0 - good))
        told = correlation / np.sqrt(np.maximum(explained, 1e-6))
        counted = np.minimum(heard * explained, MOST_TOLD)
        return np.clip(told, -1.0, 1.0), counted


def skills(correlation: FloatArray, count: FloatArray, told: FloatArray, counted: FloatArray) -> FloatArray:
    """Return each judge's correlation with the truth, shape (J,), from its agreement with the others and the belief.

    One common factor by least squares (Harman & Jones, Psychometrika 31 (1966) 351), where the belief's word and what
    is usual count like further voters, and a pair says the less the nearer it is to being one judge twice.
    """
    pairs = AGREED_WEIGHT * evidence_of(count) * np.maximum(1.0 - correlation**2, 0.0)
    np.fill_diagonal(pairs, 0.0)
    skill = np.full(len(told), USUAL_SKILL)
    for _ in range(ROUNDS):
        agreed = (pairs * correlation) @ skill
        skill = (agreed + counted * told + USUAL_SKILL_WEIGHT * USUAL_SKILL) / (
            pairs @ (skill * skill) + counted + USUAL_SKILL_WEIGHT
        )
        skill = np.clip(skill, -MOST_SKILL, MOST_SKILL)
    return skill


def discriminant(correlation: FloatArray, count: FloatArray, skill: FloatArray, apart: FloatArray) -> FloatArray:
    """Return Fisher's weights W⁻¹(μ₁ − μ₀), shape (J,), W being what the judges share beside the truth.

    Args:
        correlation: Of the judges' opinions, shape (J, J).
        count: Answers that both of a pair were heard on, shape (J, J).
        skill: Correlation of each with the truth.
        apart: μ₁ − μ₀ in units of each judge's spread.
    """
    within = (correlation - np.outer(skill, skill)) * (count / (count + DEPENDENCE_COUNT))
    np.fill_diagonal(within, 1.0 - skill * skill)
    values, vectors = np.linalg.eigh(within)
    weight: FloatArray = vectors @ ((vectors.T @ apart) / np.maximum(values, LEAST_WITHIN))
    return weight


def evidence_of(count: FloatArray) -> FloatArray:
    """Return how far moments of so many observations are to be trusted, in [0, 1)."""
    return count / (count + USUAL_COUNT)


def reading(heard: float, mean: float, spread: float, shift: float, weight: float) -> Reading:
    """Blend what the moments say of a judge with what is usual."""
    told = heard / (heard + USUAL_COUNT)
    scale = max(told * spread + (1.0 - told) * USUAL_SCALE, LEAST_SCALE)
    return Reading(told * (mean + shift * scale), scale, told * weight + (1.0 - told) * USUAL_WEIGHT, heard)
