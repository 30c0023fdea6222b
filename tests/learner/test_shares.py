import numpy as np
import pytest

from learner.shares import GAMMA, note, share
from tests.learner.conftest import context


def test_nothing_seen_is_one_half_and_what_is_always_so_nears_one() -> None:
    counts = np.zeros((2, len(context().categories)))
    assert share(counts) == pytest.approx(0.5)
    for _ in range(200):
        note(counts, context(), is_so=True)
    at = int(context().categories.argmax())
    assert 0.9 < share(counts)[at] < 1.0


def test_what_is_seen_long_ago_fades() -> None:
    counts = np.zeros((2, len(context().categories)))
    note(counts, context(), is_so=True)
    note(counts, context(), is_so=False)
    assert counts[1].sum() == pytest.approx(GAMMA)
    assert counts[0].sum() == pytest.approx(1.0 + GAMMA)
