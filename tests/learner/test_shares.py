import numpy as np
import pytest

from learner.shares import GAMMA, POOL_PRIOR_COUNT, PRIOR_COUNT, expected, note, share, usual
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


def test_a_category_without_queries_is_as_all_others_are() -> None:
    counts = np.zeros((2, len(context().categories) + 1))
    for _ in range(20):
        note(counts, context(), is_so=False)
    seen = counts[0].sum()
    assert usual(counts) == pytest.approx(0.5 * POOL_PRIOR_COUNT / (seen + POOL_PRIOR_COUNT))
    assert share(counts)[-1] == pytest.approx(usual(counts))


def test_a_category_that_differs_is_told_from_the_others() -> None:
    here = context()
    counts = np.zeros((2, len(here.categories) + 1))
    counts[:, -1] = 40.0, 0.0
    for _ in range(40):
        note(counts, here, is_so=True)
    at = int(here.categories.argmax())
    assert share(counts)[at] > 0.8 > 0.2 > share(counts)[-1]
    lean = PRIOR_COUNT * usual(counts)
    assert share(counts)[at] == pytest.approx((counts[1, at] + lean) / (counts[0, at] + PRIOR_COUNT))
    assert expected(counts, here) == pytest.approx(float(share(counts)[:-1] @ here.categories))
