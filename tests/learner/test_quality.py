"""What is believed of every arm before it is called: shrinkage, forgetting, corrections, and what they leave alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.errors import InvalidObservation
from learner.estimators import logit, odds, sigmoid
from learner.pool import Arm
from learner.quality import (
    ARM_PRIOR_COUNT,
    FAMILIAR,
    GAMMA,
    NOISE_VARIANCE,
    POOL_PRIOR_QUALITY,
    RIDGE_PRECISION,
    Label,
    Quality,
    interval,
)
from learner.types import Context
from tests.learner.conftest import arm

SIZE = 4
EQUALS = (arm("a"), arm("b"), arm("c"))


def pure(category: int, *, seed: int = 0, categories: int = 3, familiarity: float = 1.0) -> Context:
    """A query that lies wholly in one category."""
    vector = np.append(1.0, np.random.default_rng(seed).normal(size=SIZE - 1))
    return Context("v", vector, np.eye(categories)[category], familiarity, 80)


def fresh(arms: tuple[Arm, ...] = EQUALS, categories: int = 3) -> Quality:
    quality = Quality(SIZE)
    for i, one in enumerate(arms):
        quality.set_arm(i, one, categories)
    return quality


def taught(seed: int, n: int, quality: Quality | None = None) -> Quality:
    """A quality that has seen n labels of random arms on random queries."""
    rng, quality = np.random.default_rng(seed), quality or fresh()
    for i in range(n):
        context = pure(int(rng.integers(3)), seed=i, familiarity=float(rng.uniform()))
        label = Label(float(rng.uniform(0.05, 1.5)), float(rng.uniform(-0.5, 1.5)))
        quality.observe(int(rng.integers(len(quality.arms))), context, label)
        if i % 3 == 0:
            quality.view()
    return quality


def statistics(quality: Quality, index: int) -> list[list[float]]:
    ridge = quality.ridges[index]
    return [
        quality.count[index].tolist(),
        quality.total[index].tolist(),
        ridge.mean.tolist(),
        ridge.covariance.ravel().tolist(),
    ]


def test_without_evidence_arms_are_believed_by_price() -> None:
    believed = fresh((arm("cheap", 0.1), arm("dear", 10.0))).view().predict(pure(0)).mean
    assert believed.mean() == pytest.approx(POOL_PRIOR_QUALITY)
    assert believed[1] - believed[0] == pytest.approx(2 * 0.08)


def test_a_stated_quality_is_believed_until_evidence_says_otherwise() -> None:
    quality = fresh((arm("stated", prior_quality=0.9), arm("other")))
    assert quality.view().predict(pure(0)).mean[0] == pytest.approx(0.9)
    for i in range(200):
        quality.observe(0, pure(0, seed=i), Label(1.0, 0.3))
    assert quality.view().means[0] < 0.4


def test_evidence_moves_an_arm_and_its_variance_shrinks() -> None:
    quality = fresh()
    before = quality.view().predict(pure(1))
    for i in range(50):
        quality.observe(0, pure(1, seed=i), Label(1.0, 1.0))
    after = quality.view().predict(pure(1))
    assert after.mean[0] > 0.9
    assert after.variance[0] < 0.2 * before.variance[0]
    assert after.mean[1] > before.mean[1]


def test_an_arm_that_was_asked_only_where_all_are_weak_is_not_taken_for_weak() -> None:
    quality, hard, easy = fresh(), pure(0), pure(1)
    for _ in range(60):
        # All are alike: right in one of ten hard queries, and in nine of ten easy ones. "c" is tried on hard ones only.
        for index in range(2):
            quality.observe(index, hard, Label(1.0, 0.1))
            quality.observe(index, easy, Label(1.0, 0.9))
        quality.observe(2, hard, Label(1.0, 0.1))
    means, _ = quality.means()
    assert means[2] > 0.1 + 0.6 * (means[0] - 0.1)


def test_an_unseen_category_inherits_how_hard_the_pool_finds_it() -> None:
    quality = fresh()
    for i in range(120):
        quality.observe(0, pure(0, seed=i), Label(1.0, float(i % 10 < 8)))
        quality.observe(1, pure(0, seed=i), Label(1.0, float(i % 10 < 8)))
        quality.observe(1, pure(1, seed=i), Label(1.0, float(i % 10 < 3)))
        quality.observe(2, pure(1, seed=i), Label(1.0, float(i % 10 < 3)))
    cells, (means, _) = quality.view().cells, quality.means()
    # Arm 0 never met category 1 and nobody category 2.
    assert cells[0, 1] < means[0] - 0.05
    assert cells[0, 2] == pytest.approx(means[0])
    count, total = quality.count[:, 1].sum(), quality.total[:, 1].sum()
    level = float(means.mean())
    seen = (total + 12.0 * level) / (count + 12.0)
    expected = (float(means @ quality.count[:, 1]) + 12.0 * level) / (count + 12.0)
    assert cells[0, 1] == pytest.approx(sigmoid(logit(float(means[0])) + logit(seen) - logit(expected)))


def test_two_observations_corrected_equal_the_corrected_ones_alone() -> None:
    corrected, direct = fresh(), fresh()
    for i in range(20):
        wrong, right = Label(0.5, 0.2, is_level=True), Label(0.5 + i / 20, 0.9, is_level=True)
        counted = corrected.observe(0, pure(i % 3, seed=i), wrong)
        corrected.observe(0, pure(i % 3, seed=i), right, before=counted)
        direct.observe(0, pure(i % 3, seed=i), right)
    assert all(
        np.allclose(a, b, atol=1e-9) for a, b in zip(statistics(corrected, 0), statistics(direct, 0), strict=True)
    )


@pytest.mark.parametrize("between", [1, 40, 400])
def test_a_late_correction_ends_near_the_corrected_label(between: int) -> None:
    corrected, direct = fresh(), fresh()
    wrong, right = Label(0.5, 0.0), Label(1.0, 1.0)
    corrected.observe(0, pure(0, seed=1), wrong)
    direct.observe(0, pure(0, seed=1), right)
    for quality in (corrected, direct):
        for i in range(between):
            quality.observe(0, pure(i % 3, seed=100 + i), Label(1.0, 0.6))
        quality.view()
    corrected.observe(0, pure(0, seed=1), right, before=wrong)
    # What was forgotten in between of the wrong label is taken off once more: at most one observation is out of place.
    assert np.abs(corrected.count - direct.count).max() <= 1.0
    assert np.abs(corrected.view().cells - direct.view().cells).max() < 0.05
    assert np.abs(corrected.ridges[0].mean - direct.ridges[0].mean).max() < 0.05


@pytest.mark.parametrize("between", [0, 60, 600])
@pytest.mark.parametrize(("first", "second"), [(1.0, 0.5), (1.5, 0.05), (0.3, 1.0)])
def test_no_correction_leaves_less_than_nothing_behind(between: int, first: float, second: float) -> None:
    quality = fresh()
    before, after = Label(first, 1.0), Label(second, 0.0)
    quality.observe(0, pure(0), before)
    for i in range(between):
        quality.observe(0, pure(1, seed=i), Label(0.5, 0.5))
    quality.shrink(0, 0.2)
    quality.observe(0, pure(0), after, before)
    assert quality.count.min() >= 0.0
    assert np.linalg.eigvalsh(quality.ridges[0].covariance).max() <= 1.0 / RIDGE_PRECISION + 1e-9


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 120))
def test_beliefs_stay_probabilities_of_bounded_variance_whatever_the_labels(seed: int, n: int) -> None:
    quality = taught(seed, n)
    for familiarity in (0.0, 1.0):
        context = pure(seed % 3, seed=seed, familiarity=familiarity)
        belief = quality.view().predict(context)
        assert ((belief.mean > 0.0) & (belief.mean < 1.0)).all()
        assert (belief.variance >= 0.0).all()
        prior_width = NOISE_VARIANCE * float(context.vector @ context.vector) / RIDGE_PRECISION
        assert (belief.variance <= 0.25 / (ARM_PRIOR_COUNT + 1.0) + prior_width + 1e-9).all()


def test_corrected_labels_beyond_the_unit_interval_leave_a_probability() -> None:
    quality = fresh()
    for i in range(400):
        quality.observe(0, pure(0, seed=i), Label(1.0, 1.5))
    quality.gate_evidence[:] = -6.0
    belief = quality.view().predict(pure(0))
    assert ((belief.mean >= 0.0) & (belief.mean <= 1.0)).all()
    assert (belief.variance >= 0.0).all()


def test_forgetting_bounds_what_is_remembered() -> None:
    quality = fresh()
    for i in range(3_000):
        quality.observe(0, pure(0, seed=i % 7), Label(1.0, 0.5))
    assert quality.count[0].sum() <= 1.0 / (1.0 - GAMMA)
    belief = quality.view().predict(pure(0))
    assert belief.variance[0] >= 0.25 / (1.0 / (1.0 - GAMMA) + ARM_PRIOR_COUNT + 1.0) - 1e-12


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_another_arm_and_more_categories_leave_the_statistics_of_the_others_alone(seed: int) -> None:
    quality = taught(seed, 40)
    before = [statistics(quality, i) for i in range(3)]
    quality.set_arm(3, arm("new"), 3)
    quality.set_arm(1, arm("b", 9.0, prior_quality=0.2), 3)
    assert [statistics(quality, i) for i in range(3)] == before
    quality.set_categories(5)
    assert quality.count.shape == quality.total.shape == (4, 5)
    assert quality.count[:3, :3].tolist() == [row[0] for row in before]
    assert quality.count[:, 3:].sum() == 0.0


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_permuting_arms_permutes_beliefs(seed: int, order: list[int]) -> None:
    straight, permuted = fresh(), fresh(tuple(EQUALS[i] for i in order))
    rng = np.random.default_rng(seed)
    for i in range(30):
        index, label = int(rng.integers(3)), Label(1.0, float(rng.random() < 0.6))
        straight.observe(index, pure(i % 3, seed=i), label)
        permuted.observe(order.index(index), pure(i % 3, seed=i), label)
    belief, other = straight.view().predict(pure(0)), permuted.view().predict(pure(0))
    assert np.allclose(other.mean, belief.mean[order], atol=1e-9)
    assert np.allclose(other.variance, belief.variance[order], atol=1e-9)


def test_the_context_gains_its_say_where_it_predicts_better() -> None:
    rng, quality = np.random.default_rng(5), fresh()
    for i in range(600):
        context, other = pure(int(rng.integers(3)), seed=i), i % 2
        # What is easy for one arm is hard for the other: no ease that they share can tell.
        quality.observe(other, context, Label(1.0, float((context.vector[1] > 0.0) != other)))
        quality.view()
    familiar, unfamiliar = quality.gates()
    assert familiar > 0.9 > unfamiliar
    up, down = pure(0, seed=1), pure(0, seed=1)
    up.vector[1], down.vector[1] = 1.5, -1.5
    view = quality.view()
    assert view.predict(up).mean[0] > view.predict(down).mean[0] + 0.3
    assert view.predict(up).is_contextual


def test_the_context_has_little_say_where_it_does_not_matter() -> None:
    rng, quality = np.random.default_rng(6), fresh()
    for i in range(400):
        quality.observe(0, pure(0, seed=i, familiarity=FAMILIAR / 2), Label(1.0, float(rng.random() < 0.6)))
        quality.view()
    assert quality.gates()[1] < sigmoid(-1.0)
    assert not quality.view().predict(pure(0, familiarity=0.0)).is_contextual


def test_shrinking_an_arm_keeps_its_level_and_widens_its_interval() -> None:
    quality = fresh()
    for i in range(100):
        quality.observe(0, pure(0, seed=i), Label(1.0, 0.9))
    count, others = quality.count[0].sum(), statistics(quality, 1)
    level, variance = quality.total[0].sum() / count, quality.view().predict(pure(0)).variance[0]
    quality.shrink(0, 0.2)
    assert quality.count[0].sum() == pytest.approx(0.2 * count)
    assert quality.total[0].sum() / quality.count[0].sum() == pytest.approx(level)
    assert level == pytest.approx(0.9, abs=0.02)
    assert quality.view().predict(pure(0)).variance[0] > variance
    assert statistics(quality, 1) == others


def test_a_context_from_before_a_new_category_is_still_understood() -> None:
    quality = fresh()
    quality.set_categories(5)
    quality.observe(0, pure(2), Label(1.0, 1.0))
    assert quality.count[0].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert quality.view().predict(pure(2)).mean.shape == (3,)


@pytest.mark.parametrize("label", [Label(1.0, float("nan")), Label(1.0, float("inf")), Label(-0.1, 0.5)])
def test_a_label_that_is_none_is_refused_and_nothing_is_changed(label: Label) -> None:
    quality = taught(seed=1, n=10)
    before = [statistics(quality, i) for i in range(3)]
    with pytest.raises(InvalidObservation, match="finite value"):
        quality.observe(0, pure(0), label)
    assert [statistics(quality, i) for i in range(3)] == before


def test_a_view_does_not_change_with_what_is_learned_after_it() -> None:
    quality = taught(seed=2, n=20)
    view = quality.view()
    before = view.predict(pure(0)).mean.tolist()
    taught(seed=3, n=50, quality=quality)
    assert view.predict(pure(0)).mean.tolist() == before


def test_a_pool_without_arms_believes_nothing() -> None:
    assert Quality(SIZE).view().means.shape == (0,)


@given(st.floats(0.0, 1.0), st.floats(1.0, 500.0))
def test_interval_holds_the_mean_and_narrows_with_evidence(mean: float, count: float) -> None:
    low, high = interval(mean, count)
    assert 0.0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1.0
    narrow_low, narrow_high = interval(mean, 2.0 * count)
    assert narrow_high - narrow_low < high - low


def test_interval_equals_a_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263, score method without continuity correction.
    assert interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_odds_are_clipped() -> None:
    assert odds(np.array([0.0, 0.5, 1.0])).tolist() == [pytest.approx(0.001 / 0.999), 1.0, pytest.approx(999.0)]


def test_readers_see_every_label_while_lessons_are_measured_by_what_was_known_lately() -> None:
    quality = taught(3, 400)
    lately, before = quality.measure(), float(quality.means()[0][0])
    quality.observe(0, pure(0, seed=1), Label(1.0, 1.0))
    assert quality.means()[0][0] > before
    assert quality.measure() is lately
    while quality.measure() is lately:
        quality.observe(0, pure(0, seed=1), Label(1.0, 1.0))
    assert lately.counts[0] * 1.05 - 1.0 < quality.means()[1][0] < lately.counts[0] * 1.05 + 1.0
    assert (quality.measure().means == quality.means()[0]).all()


def test_what_is_forgotten_measures_no_lesson() -> None:
    quality = taught(3, 400)
    lately = quality.measure()
    quality.shrink(0, 0.5)
    assert quality.measure() is not lately
    assert quality.measure().counts[0] < lately.counts[0]
