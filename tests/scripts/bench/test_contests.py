import numpy as np
import pytest

from learner import gate
from scripts.bench.contests import even, evidence, fight


def test_the_evidence_of_many_contests_is_that_of_each() -> None:
    rng = np.random.default_rng(0)
    total, squares, reach = rng.normal(0, 50, 20), rng.uniform(0, 500, 20), rng.uniform(1, 20, 20)
    each = [gate.evidence(*values) for values in zip(total.tolist(), squares.tolist(), reach.tolist(), strict=True)]
    assert evidence(total, squares, reach) == pytest.approx(np.array(each))


def test_a_much_worse_version_always_falls_and_an_equal_one_hardly_ever() -> None:
    rng = np.random.default_rng(1)
    assert fight(rng, even, change=-0.5, newer_share=0.1, contests=20).worse == 1.0
    assert fight(rng, even, change=0.0, newer_share=0.1, contests=20).worse <= 0.05
