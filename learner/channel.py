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
from dataclasses import astuple, dataclass, field

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
        counts += np.array([[good], [bad]]).dot(context.categories[None])

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
        """Return the rates where a context lies: those of its categories' counts, by its share of each."""
        return self._rates(context.categories)

    def table(self) -> FloatArray:
        """Return the rates of every category in the order of `Rates`, shape (4, k)."""
        alone = np.eye(self.answers.shape[1])
        return np.array([astuple(self._rates(shares)) for shares in alone]).reshape(-1, 4).T

    def _rates(self, shares: FloatArray) -> Rates:
        here = self.counts[..., : len(shares)].dot(shares).T.tolist()
        everywhere, pressed = np.add.reduce(self.counts, 2).T.tolist(), self.pressed
        usual = (leaning(all_of_it, FLIP, pressed, FLIP_PRIOR_COUNT) for all_of_it in _wrong_last(everywhere))
        own = [leaning(counts, *to, FLIP_CATEGORY_COUNT) for counts, to in zip(_wrong_last(here), usual, strict=True)]
        flips, (good, bad) = zip(*own, strict=True)
        # Good and bad answers are pressed in this ratio, whatever the counts say beyond that.
        ratio, product = min(max(bad / good, 1.0 / MOST_SELECTION), MOST_SELECTION), good * bad
        shown = math.sqrt(product / ratio), math.sqrt(product * ratio)
        return Rates(*[min(max(flip, LEAST_FLIP), MOST_FLIP) for flip in flips], *[min(share, 1.0) for share in shown])


def _wrong_last(counts: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Order what was counted of good and of bad answers as seen, pressed the right way, pressed the wrong way."""
    good, (seen, up, down) = counts
    return [good, (seen, down, up)]


def leaning(counts: Sequence[float], flip: float, pressed: float, flip_count: float) -> tuple[float, float]:
    """Return how often answers of one kind are pressed the wrong way, and how often at all, leaning on what is usual.

    Args:
        counts: Answers seen, pressed the right way, pressed the wrong way.
        flip: Probability that is usual of a thumb to point the wrong way.
        pressed: Share that is usually pressed.
        flip_count: Thumbs that the former counts for.
    """
    seen, right, wrong = counts
    thumbs = right + wrong
    flips = (wrong + flip_count * flip) / (thumbs + flip_count)
    return flips, (thumbs + PRESS_PRIOR_COUNT) / (seen + PRESS_PRIOR_COUNT / pressed)
