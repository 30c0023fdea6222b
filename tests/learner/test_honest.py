"""Honest quality is right although the beliefs are wrong, and only as sure as its ratings make it."""

import numpy as np
import pytest

from learner.channel import Rates
from learner.honest import Estimate, HonestQuality
from tests.learner.conftest import context

TRUTH = 0.75
RATES = Rates(flip_down=0.1, flip_up=0.05, pressed_good=0.1, pressed_bad=0.3)


def played(seed: int, n: int, *, bias: float, rates: Rates = RATES) -> Estimate:
    """Answers of one arm, believed to be better by `bias` than they are, and thumbs as the rates give them."""
    rng, honest = np.random.default_rng(seed), HonestQuality()
    honest.make_room(1, len(context().categories))
    for _ in range(n):
        is_good = rng.random() < TRUTH
        p = min(max((0.85 if is_good else 0.45) + bias, 0.02), 0.98)
        honest.serve(0, context(), p)
        if rng.random() < (rates.pressed_good if is_good else rates.pressed_bad):
            is_up = bool(rng.random() < (1 - rates.flip_down if is_good else rates.flip_up))
            honest.rate(0, context(), p, rates.rectifiers(p)[is_up] * level(rates), 1.0)
    found = honest.of_arm(0, level(rates))
    assert found is not None
    return found


def level(rates: Rates) -> float:
    return TRUTH * rates.pressed_good + (1.0 - TRUTH) * rates.pressed_bad


@pytest.mark.parametrize("bias", [-0.3, 0.0, 0.1])
def test_the_mean_is_right_however_wrong_the_beliefs_and_whoever_presses(bias: float) -> None:
    found = [played(seed, 1_000, bias=bias) for seed in range(20)]
    means = [each.mean for each in found]
    assert np.mean(means) == pytest.approx(TRUTH, abs=0.04)
    # 95 % intervals, of which 17 of 20 are within four standard errors of what they promise.
    assert sum(each.low <= TRUTH <= each.high for each in found) >= 17


def test_more_ratings_make_the_interval_narrower() -> None:
    few = played(1, 1_000, bias=0.1, rates=Rates(pressed_good=0.03, pressed_bad=0.03))
    many = played(1, 1_000, bias=0.1, rates=Rates(pressed_good=0.5, pressed_bad=0.5))
    assert many.high - many.low < few.high - few.low
    assert many.labelled > few.labelled


def test_an_arm_that_gave_no_answer_has_no_honest_quality() -> None:
    honest = HonestQuality()
    honest.make_room(2, 3)
    assert honest.of_arm(1, 0.5) is None
    assert honest.of_category(1, 0, 0.5) is None
