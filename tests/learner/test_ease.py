"""How easy queries are for all arms: learned from lone answers, and taken out of what they say of an arm."""

import numpy as np
import pytest

from learner.ease import Ease
from learner.quality import Label, Quality
from learner.types import Context, FloatArray
from tests.learner.conftest import arm

SIZE = 6


def query(rng: np.random.Generator, shift: float = 0.0) -> FloatArray:
    vector = np.append(1.0, rng.normal(size=SIZE - 1))
    vector[1] += shift
    return vector


def taught(n: int, shift: float = 0.0) -> tuple[Ease, list[FloatArray]]:
    """An ease that was told of n answers, each as much better than usual as the first feature says."""
    rng, ease = np.random.default_rng(3), Ease.of(SIZE)
    queries = [query(rng, shift) for _ in range(n)]
    for vector in queries:
        ease.observe(vector, 1.0, 0.2 * (float(vector[1]) - shift), is_new=True)
    return ease, queries


def test_nobody_finds_anything_easy_before_a_lone_answer_was_rated() -> None:
    assert (Ease.of(SIZE).weights == 0.0).all()


def test_what_is_easy_is_learned_and_the_usual_query_is_neither_easy_nor_hard() -> None:
    ease, queries = taught(400, shift=2.0)
    assert ease.weights[1] == pytest.approx(0.2, abs=0.01)
    # The mean that is taken out fades as labels do, which 400 of them hardly show.
    assert np.mean([ease.weights @ vector for vector in queries]) == pytest.approx(0.0, abs=0.05)


def test_a_correction_leaves_what_the_corrected_label_alone_would_have_taught() -> None:
    rng, corrected, direct = np.random.default_rng(4), Ease.of(SIZE), Ease.of(SIZE)
    for vector in [query(rng) for _ in range(20)]:
        corrected.observe(vector, 0.5, -0.3, is_new=True)
        corrected.observe(vector, 0.5, 0.3 + 1.0 * 0.4, is_new=False)
        direct.observe(vector, 1.0, 0.4, is_new=True)
    # How far it is believed goes by what was foretold before the first label, which no correction changes.
    assert corrected.ridge.mean == pytest.approx(direct.ridge.mean, abs=1e-9)


def test_an_arm_that_was_tried_on_hard_queries_only_is_not_taken_for_a_bad_one() -> None:
    quality, rng, rated = pool(), np.random.default_rng(5), []
    for i in range(1_500):
        vector = query(rng)
        # Both are equally good; the second one is tried only where queries are hard, which their features tell.
        index = int(i % 3 == 0 and vector[1] < 0.0)
        is_good = rng.random() < 0.6 + 0.25 * np.tanh(vector[1])
        quality.observe(index, Context("v", vector, np.ones(1), 1.0, 80), Label(1.0, float(is_good)))
        rated.append((index, is_good))
    often, seldom = quality.means()[0].tolist()
    assert seldom == pytest.approx(often, abs=0.08)
    assert np.mean([is_good for index, is_good in rated if index == 1]) < often - 0.1


def test_features_that_tell_nothing_are_hardly_believed() -> None:
    rng, ease = np.random.default_rng(8), Ease.of(SIZE)
    for _ in range(400):
        ease.observe(query(rng), 1.0, float(rng.normal(scale=0.45)), is_new=True)
    assert np.std([ease.weights @ query(rng) for _ in range(400)]) < 0.25 * np.linalg.norm(ease.ridge.mean)


def test_what_a_lone_answer_taught_is_taken_back_when_others_tell() -> None:
    quality, rng = pool(), np.random.default_rng(9)
    for _ in range(50):
        context = Context("v", query(rng), np.ones(1), 1.0, 80)
        quality.observe(0, context, Label(1.0, float(context.vector[1] > 0.0)))
    before = quality.ease.ridge.mean.copy()
    context = Context("v", query(rng), np.ones(1), 1.0, 80)
    counted = quality.observe(0, context, Label(1.0, 1.0))
    assert np.abs(quality.ease.ridge.mean - before).max() > 1e-3
    quality.observe(0, context, Label(0.5, 0.7, is_level=True), before=counted)
    assert quality.ease.ridge.mean == pytest.approx(before, abs=1e-9)


def test_one_arm_is_believed_as_all_of_them_are() -> None:
    quality, rng = pool(), np.random.default_rng(10)
    for _ in range(200):
        vector = query(rng)
        quality.observe(0, Context("v", vector, np.ones(1), 1.0, 80), Label(1.0, float(vector[1] > 0.0)))
    here = Context("v", query(rng), np.ones(1), 1.0, 80)
    assert abs(float(quality.view().ease @ here.vector)) > 0.01
    assert list(quality.believed(here, [0, 1]).values()) == pytest.approx(quality.view().mean(here).tolist())


def test_labels_that_other_answers_levelled_teach_no_ease() -> None:
    quality, rng = pool(), np.random.default_rng(6)
    for i in range(200):
        context = Context("v", query(rng), np.ones(1), 1.0, 80)
        quality.observe(i % 2, context, Label(1.0, float(context.vector[1] > 0.0), is_level=True))
    assert (quality.view().ease == 0.0).all()


def test_a_label_says_what_ease_was_taken_out_of_it() -> None:
    quality, rng = pool(), np.random.default_rng(7)
    for _ in range(300):
        vector = query(rng)
        quality.observe(0, Context("v", vector, np.ones(1), 1.0, 80), Label(1.0, float(vector[1] > 0.0)))
    easy = np.append([1.0, 1.5], np.zeros(SIZE - 2))
    context, before = Context("v", easy, np.ones(1), 1.0, 80), quality.sums.copy()
    counted = quality.observe(1, context, Label(1.0, 1.0))
    assert counted.ease > 0.2
    assert quality.total[1].sum() == pytest.approx(1.0 - counted.ease)
    quality.observe(1, context, Label(0.0, 0.5), before=counted)
    assert quality.sums[:, 1] == pytest.approx(before[:, 1], abs=1e-9)


def pool() -> Quality:
    """Two arms that cost the same, and one category."""
    quality = Quality(SIZE)
    for index in range(2):
        quality.set_arm(index, arm(f"arm{index}"), 1)
    return quality
