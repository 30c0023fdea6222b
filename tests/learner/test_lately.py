"""What the pool looked like lately is fitted anew where there is news enough, and never because somebody reads."""

from itertools import count

import numpy as np
import pytest

from learner.lately import MOST_NEWS, Lately
from learner.snapshot import dump
from tests.learner.conftest import state, traffic


def test_a_fit_is_kept_until_there_is_news_enough() -> None:
    fits, lately = count(), Lately[int]()
    assert lately.told(lambda: next(fits)) == 0
    lately.learned(0, MOST_NEWS)
    lately.learned(1, MOST_NEWS)
    assert lately.told(lambda: next(fits)) == 0
    lately.learned(1, 1e-6)
    assert lately.told(lambda: next(fits)) == 1
    assert lately.told(lambda: next(fits)) == 1
    assert lately.news == {}


def test_a_fit_that_says_nothing_any_more_is_made_anew() -> None:
    lately = Lately(fitted=1, news={0: 0.01})
    lately.fitted = None
    assert lately.told(lambda: 2) == 2
    assert lately.news == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_state_learns_the_same_whoever_reads_it_and_when(seed: int) -> None:
    rng, alone, watched = np.random.default_rng(seed), state(), state()
    for event, at_s in traffic(seed, 120):
        alone.apply(event, at_s)
        watched.apply(event, at_s)
        if rng.random() < 0.5:
            watched.view()
            dump(watched)
    assert dump(watched) == dump(alone)
