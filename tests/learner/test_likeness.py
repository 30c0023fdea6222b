"""Likeness of free texts: a signal that is 0 at the usual distance and grows as texts draw near."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.likeness import MOST, USUAL_DISTANCE, likeness


def at_distance(distance: float) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """A unit vector whose cosine to the first axis is 1 − distance."""
    cosine = 1.0 - distance
    return np.array([cosine, math.sqrt(1.0 - cosine * cosine)], dtype=np.float32)


AXIS = at_distance(0.0)


def test_the_usual_distance_says_nothing() -> None:
    assert likeness(AXIS, [at_distance(USUAL_DISTANCE)]) == pytest.approx(0.0, abs=1e-4)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_nearer_answer_is_never_less_alike_and_the_signal_is_bounded(a: float, b: float) -> None:
    near, far = sorted((a, b))
    assert -MOST <= likeness(AXIS, [at_distance(far)]) <= likeness(AXIS, [at_distance(near)]) <= MOST


def test_only_the_nearest_of_the_others_counts() -> None:
    assert likeness(AXIS, [at_distance(0.9), at_distance(0.01)]) == likeness(AXIS, [at_distance(0.01)])


def test_the_same_text_is_as_alike_as_can_be_and_one_without_words_is_not() -> None:
    assert likeness(AXIS, [AXIS]) == MOST
    assert likeness(AXIS, [np.zeros(2, dtype=np.float32)]) < 0.0
