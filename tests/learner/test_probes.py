"""Probes bound where thumbs may push a quality, as far as their judges know anything."""

import numpy as np
import pytest

from learner.estimators import logit, sigmoid
from learner.probes import LEAST_PROBES, Probes
from learner.quality import POOL_PRIOR_QUALITY


def probed(quality: float, n: int, *, insight: float = 2.0, seed: int = 1) -> Probes:
    """Probes of answers of a quality, judged by somebody who sees this much."""
    rng, probes = np.random.default_rng(seed), Probes()
    probes.make_room(1)
    for _ in range(n):
        evidence = rng.normal(insight if rng.random() < quality else -insight, 1.0) * insight * 2.0
        probes.observe(0, sigmoid(logit(POOL_PRIOR_QUALITY) + evidence))
    return probes


@pytest.mark.parametrize("quality", [0.3, 0.6, 0.9])
def test_the_true_quality_is_supported_and_what_lies_far_off_is_not(quality: float) -> None:
    bounds = probed(quality, 200).supported(0)
    assert bounds is not None
    assert bounds[0] < quality < bounds[1]
    assert bounds[1] - bounds[0] < 0.5


def test_a_judge_that_sees_little_bounds_little() -> None:
    sharp, dull = probed(0.9, 200).supported(0), probed(0.9, 200, insight=0.5).supported(0)
    assert sharp is not None
    assert dull is None or dull[1] - dull[0] > sharp[1] - sharp[0]


def test_few_probes_bound_nothing() -> None:
    probes = probed(0.9, int(LEAST_PROBES) - 1)
    assert probes.supported(0) is None
    assert probes.allows(0, quality=0.1, label=0.0)


def test_thumbs_may_not_push_further_out_but_may_push_back() -> None:
    probes = probed(0.9, 200)
    assert not probes.allows(0, quality=0.3, label=0.1)
    assert probes.allows(0, quality=0.3, label=0.6)
    assert probes.allows(0, quality=0.9, label=0.1)
