"""Between an answer and its thumb: who presses at all, and how often the wrong way, per category.

A good answer is pressed with probability s_g and then down by mistake with f_g, a bad one with s_b and then up with
f_b. The four rates are learned by stepwise expectation-maximisation: what agreement, judges and probes say of an answer
tells how far its thumb counts as one on a good and how far as one on a bad answer. What is believed of its model has no
say, since thumbs had theirs in that; answers that nothing else tells of take no part. Every category leans on all
traffic, and that on a prior: 6 % mistakes either way, good and bad pressed alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from learner.types import Context, FloatArray

GAMMA = 0.9998
FLIP = 0.06
FLIP_PRIOR_COUNT = 60.0
FLIP_CATEGORY_COUNT = 30.0
PRESS_PRIOR_COUNT = 30.0
LEAST_FLIP, MOST_FLIP = 0.02, 0.4
MOST_SELECTION = 4.0
SEEN, UP, DOWN = range(3)


@dataclass(frozen=True, slots=True)
class Rates:
    """How thumbs come about in one place.

    Args:
        flip_down: Probability that the thumb on a good answer points down.
        flip_up: Probability that the thumb on a bad answer points up.
        pressed_good: Probability that a good answer gets a thumb.
        pressed_bad: Probability that a bad answer gets a thumb.
    """

    flip_down: float = FLIP
    flip_up: float = FLIP
    pressed_good: float = 1.0
    pressed_bad: float = 1.0

    def evidence(self, *, is_up: bool) -> float:
        """Log-likelihood ratio good to bad of an answer that got this thumb."""
        good, bad = (1.0 - self.flip_down, self.flip_up) if is_up else (self.flip_down, 1.0 - self.flip_up)
        return math.log(self.pressed_good * good / (self.pressed_bad * bad))

    def chance_up(self, p: float) -> float:
        """Probability that the thumb on an answer, good with probability p, points up; in (0, 1)."""
        good, bad = p * self.pressed_good, (1.0 - p) * self.pressed_bad
        return (good * (1.0 - self.flip_down) + bad * self.flip_up) / (good + bad)

    def unflipped(self, thumb: float) -> float:
        """Correct a thumb, 0 or 1, for mistakes: its mean over pressed answers is then that of their quality.

        The method of unbiased estimators (Natarajan et al., NIPS 2013, lemma 1).
        """
        return (thumb - self.flip_up) / (1.0 - self.flip_down - self.flip_up)

    def balance(self, belief: float) -> float:
        """Weight in (0, 1] that lets pressed answers stand for all, given the belief in this one after its thumb.

        The inverse of the probability of being pressed (Horvitz and Thompson 1952), relative to the rarer kind.
        """
        rarer = min(self.pressed_good, self.pressed_bad)
        return belief * rarer / self.pressed_good + (1.0 - belief) * rarer / self.pressed_bad

    def rectifiers(self, p: float) -> tuple[float, float]:
        """Return what a thumb down and a thumb up add to a mean of beliefs p so that it becomes one of qualities.

        With A the 2 x 2 matrix of P(pressed and up | y), P(pressed and down | y), the solution r of A r = y − p: over
        whom is pressed, and how, its mean is y − p for good and bad answers alike.
        """
        scale = 1.0 - self.flip_down - self.flip_up
        good, bad = (1.0 - p) / self.pressed_good, -p / self.pressed_bad
        up = ((1.0 - self.flip_up) * good - self.flip_down * bad) / scale
        down = ((1.0 - self.flip_down) * bad - self.flip_up * good) / scale
        return down, up


@dataclass(slots=True)
class Channel:
    """The mutable half: discounted sums, by category.

    Args:
        counts: Informed answers seen, pressed up, pressed down; as good and as bad ones; shape (3, 2, k).
        answers: All answers, those with a thumb, those with a rating; shape (3, k).
    """

    counts: FloatArray = field(default_factory=lambda: np.zeros((3, 2, 0)))
    answers: FloatArray = field(default_factory=lambda: np.zeros((3, 0)))

    def set_categories(self, categories: int) -> None:
        """Make room for categories that were added."""
        missing = categories - self.answers.shape[1]
        if missing > 0:
            self.counts = np.pad(self.counts, ((0, 0), (0, 0), (0, missing)))
            self.answers = np.pad(self.answers, ((0, 0), (0, missing)))

    def serve(self, context: Context) -> None:
        """Count one answer that was served."""
        self.counts *= GAMMA
        self.answers *= GAMMA
        served = self.answers[0, : len(context.categories)]
        served += context.categories

    def see(self, context: Context, p: float, before: float | None = None) -> None:
        """Count an answer that is good with probability p, or revise what was believed of it `before`."""
        good, bad = (p, 1.0 - p) if before is None else (p - before, before - p)
        self._add(SEEN, context, good, bad)

    def rate(self, context: Context, weight: float, *, is_binary: bool) -> None:
        """Count a thumb or a rating on any answer."""
        self.answers[1 if is_binary else 2, : len(context.categories)] += weight * context.categories

    def press(self, context: Context, weight: float, *, is_up: bool, belief: float) -> None:
        """Count a thumb on an informed answer that is good, after it, with probability `belief`."""
        self._add(UP if is_up else DOWN, context, weight * belief, weight * (1.0 - belief))

    def _add(self, kind: int, context: Context, good: float, bad: float) -> None:
        counts = self.counts[kind, :, : len(context.categories)]
        counts += np.array([[good], [bad]]) * context.categories

    @property
    def pressed(self) -> float:
        """Share of all answers that get a thumb, in (0, 1]."""
        served, thumbs, _ = np.add.reduce(self.answers, 1).tolist()
        return min((float(thumbs) + 0.5) / (float(served) + 1.0), 1.0)

    @property
    def rated(self) -> float:
        """Share of all answers that get a thumb or a rating, in (0, 1]."""
        served, thumbs, ratings = self.answers.sum(axis=1).tolist()
        return min(max(float(thumbs + ratings) / max(float(served), 1.0), 1e-3), 1.0)

    def rates(self, context: Context) -> Rates:
        """Return the rates in a context's categories."""
        flips, pressed = self._tables()
        known, shares = len(context.categories), context.categories
        return Rates(*flips[:, :known].dot(shares).tolist(), *pressed[:, :known].dot(shares).tolist())

    def table(self) -> FloatArray:
        """Return the rates of every category in the order of `Rates`, shape (4, k)."""
        return np.concatenate(self._tables())

    def _tables(self) -> tuple[FloatArray, FloatArray]:
        """Return how often good and bad answers are pressed the wrong way, and how often at all, shape (2, k) each."""
        seen, up, down = self.counts
        all_seen, all_up, all_down = np.add.reduce(self.counts, 2).tolist()
        thumbs, all_wrong = [sum(each) for each in zip(all_up, all_down, strict=True)], (all_down[0], all_up[1])
        pressed, wrong = up + down, np.array([down[0], up[1]])
        usual = [(w + FLIP * FLIP_PRIOR_COUNT) / (n + FLIP_PRIOR_COUNT) for w, n in zip(all_wrong, thumbs, strict=True)]
        flips = (wrong + FLIP_CATEGORY_COUNT * _column(usual)) / (pressed + FLIP_CATEGORY_COUNT)
        prior, rate = PRESS_PRIOR_COUNT, self.pressed
        shown = [(n + prior) / (s + prior / rate) for n, s in zip(thumbs, all_seen, strict=True)]
        good, bad = (pressed + prior) / (seen + prior / _column(shown))
        odds = np.sqrt(np.minimum(np.maximum(bad / good, 1.0 / MOST_SELECTION), MOST_SELECTION))
        middle = np.sqrt(good * bad)
        kept = np.minimum(np.array([middle / odds, middle * odds]), 1.0)
        return np.minimum(np.maximum(flips, LEAST_FLIP), MOST_FLIP), kept


def _column(values: Sequence[float]) -> FloatArray:
    """Return one value for good and one for bad answers as a column, shape (2, 1)."""
    return np.array(values)[:, None]
