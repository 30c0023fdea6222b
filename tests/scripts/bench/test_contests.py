import numpy as np
import pytest

from learner import gate
from scripts.bench.contests import World, coin, even, evidence, fight, rare


def test_the_evidence_of_many_contests_is_that_of_each() -> None:
    rng = np.random.default_rng(0)
    total, squares, reach = rng.normal(0, 50, 20), rng.uniform(0, 500, 20), rng.uniform(1, 20, 20)
    each = [gate.evidence(*values) for values in zip(total.tolist(), squares.tolist(), reach.tolist(), strict=True)]
    assert evidence(total, squares, reach) == pytest.approx(np.array(each))


@pytest.mark.parametrize("newer_share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("world", [even, coin, rare])
def test_wrong_verdicts_stay_within_their_level(world: World, newer_share: float) -> None:
    """Nominally 2.5 % each; of 300 contests more than 13 have probability 0.02 then."""
    rng = np.random.default_rng(1)
    equal = fight(rng, world, change=0.0, newer_share=newer_share, contests=300, longest=600)
    assert equal.worse <= 13 / 300
    worse = fight(rng, world, change=-gate.MARGIN, newer_share=newer_share, contests=300, longest=600)
    assert worse.not_worse <= 13 / 300


def test_a_much_worse_version_always_falls() -> None:
    found = fight(np.random.default_rng(2), even, change=-0.5, newer_share=0.1, contests=20, longest=600)
    assert (found.worse, found.not_worse) == (1.0, 0.0)
