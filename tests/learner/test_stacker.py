"""Weights of the evidence: they start from common sense and agreement, and end where the labels say."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.estimators import logit, sigmoid
from learner.jury import UNHEARD
from learner.stacker import PRIOR_MEANS, Stacker

FEATURE = logit(0.9)


def judged(seed: int, n: int, *, agrees: float, category: int = 0, stacker: Stacker | None = None) -> Stacker:
    """A stacker that saw n labels beside a judge that agrees with so many of them, and of an honest prior."""
    rng, stacker = np.random.default_rng(seed), stacker or Stacker()
    for _ in range(n):
        good = rng.random() < 0.6
        says = good if rng.random() < agrees else not good
        stacker.update({"judge:j": FEATURE if says else -FEATURE}, logit(0.6), float(good), category)
    return stacker


def weight(stacker: Stacker, judge: str = "j") -> float:
    return stacker.view().weight(f"judge:{judge}")


def test_an_honest_judge_gains_weight() -> None:
    assert weight(judged(1, 400, agrees=0.9)) > UNHEARD.slope + 0.2


def test_a_judge_that_is_mostly_wrong_ends_below_zero() -> None:
    assert weight(judged(1, 400, agrees=0.2)) < -0.2


def test_a_judge_that_guesses_ends_near_zero() -> None:
    assert abs(weight(judged(1, 400, agrees=0.5))) < 0.15


def test_before_any_label_every_signal_weighs_what_common_sense_says() -> None:
    view = Stacker().view()
    assert view.evidence({"empty": 1.0}, 0) == PRIOR_MEANS["empty"]
    assert view.evidence({"never heard of": 1.0}, 0) == 0.0
    assert view.calibrated(logit(0.7), 0.0) == pytest.approx(0.7)


def test_before_any_label_a_judge_is_believed_a_little() -> None:
    assert Stacker().view().evidence({"judge:new": 2.0}, 0) == pytest.approx(2.0 * UNHEARD.slope)


def test_a_view_predicts_what_the_logistics_do() -> None:
    stacker = judged(2, 50, agrees=0.8, category=3)
    odds = float(stacker.logistic.mean @ [1.0, 0.3, 1.5, 1.0]) + float(stacker.offsets[3].mean @ [1.5, 1.0])
    view = stacker.view()
    assert view.calibrated(0.3, view.evidence({"judge:j": 1.5}, 3)) == pytest.approx(sigmoid(odds))


def test_probabilities_become_calibrated() -> None:
    rng, stacker = np.random.default_rng(4), Stacker()
    for _ in range(1_500):
        # The stated belief is over-confident: twice the true log-odds.
        truth = float(rng.normal())
        stacker.update({}, 2.0 * truth, float(rng.random() < sigmoid(truth)), 0)
    assert stacker.view().weights["prior"] == pytest.approx(0.5, abs=0.15)


def test_every_judge_has_its_own_reliability_in_all_and_by_category() -> None:
    stacker = judged(5, 30, agrees=1.0, category=2)
    assert stacker.judges["j"].n == stacker.calibration.n == stacker.by_category["j", 2].n == 30
    assert stacker.judges["j"].ece == pytest.approx(0.1, abs=1e-6)


def test_a_judge_that_is_good_at_one_kind_of_query_only_is_believed_there() -> None:
    stacker = Stacker()
    for seed in range(20):
        judged(seed, 15, agrees=0.95, category=0, stacker=stacker)
        judged(100 + seed, 15, agrees=0.5, category=1, stacker=stacker)
    view = stacker.view()
    here, there, unknown = (view.evidence({"judge:j": FEATURE}, category) for category in (0, 1, 2))
    assert here > unknown > there
    assert here > there + 0.3


def test_a_category_speaks_only_as_far_as_its_labels_allow() -> None:
    stacker = judged(1, 200, agrees=0.9, category=0)
    few = judged(2, 1, agrees=0.0, category=1, stacker=stacker).view()
    assert abs(few.offsets[1]["judge:j"]) < 0.15
    assert few.weight("judge:j") + few.offsets[1]["judge:j"] > UNHEARD.slope


def test_ratings_teach_faster_than_thumbs_do() -> None:
    rng = np.random.default_rng(0)
    thumbs, ratings = Stacker(), Stacker()
    for _ in range(60):
        score = float(rng.normal())
        rating = sigmoid(1.0 - score) + 0.05 * float(rng.normal())
        thumbs.update({"judge:j": score}, 0.0, float(rng.random() < rating), 0)
        ratings.update({"judge:j": score}, 0.0, rating, 0, is_binary=False)
    assert ratings.scatter.precision > 5.0
    assert abs(weight(ratings) + 1.0) < abs(weight(thumbs) + 1.0)


def test_nothing_is_kept_of_a_category_without_an_opinion() -> None:
    stacker = Stacker()
    stacker.update({"refusal": 1.0}, 0.5, 0.0, 7)
    assert not stacker.offsets
    assert not stacker.by_category


def heard(seed: int, signs: dict[str, float], *, labels: int, order: list[str] | None = None) -> Stacker:
    """A stacker that heard judges on 200 answers of which some were labelled; the order is that of their naming."""
    rng, stacker = np.random.default_rng(seed), Stacker()
    for i in range(200):
        belief = float(rng.beta(2.0, 1.0))
        truth = 1.0 if rng.random() < belief else -1.0
        opinions = {name: sign * (truth + float(rng.normal())) for name, sign in signs.items()}
        features = {f"judge:{name}": opinions[name] for name in (order or list(signs))}
        stacker.listen(belief, features)
        if i < labels:
            stacker.update(features, logit(belief), float(truth > 0.0), 0)
    return stacker


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.permutations(["a", "b", "c"]))
def test_the_order_in_which_judges_are_named_changes_nothing(seed: int, order: list[str]) -> None:
    signs = {"a": 1.0, "b": 1.0, "c": -1.0}
    first, second = heard(seed, signs, labels=60), heard(seed, signs, labels=60, order=order)
    for judge in signs:
        assert weight(first, judge) == pytest.approx(weight(second, judge), abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000))
def test_enough_labels_mirror_the_weight_of_an_inverted_judge(seed: int) -> None:
    upright, inverted = judged(seed, 400, agrees=0.85), judged(seed, 400, agrees=0.15)
    # Both start from the same side of zero.
    assert weight(inverted) == pytest.approx(-weight(upright), abs=0.35)
    assert weight(inverted) < 0.0 < weight(upright)


def test_what_agreement_tells_counts_the_less_the_more_labels_there_are() -> None:
    stacker = judged(3, 3, agrees=1.0)
    after_few = weight(stacker)
    settled = judged(3, 600, agrees=0.9)
    after_many = weight(settled)
    rng = np.random.default_rng(0)
    for learner in (stacker, settled):
        for _ in range(100):
            belief = float(rng.beta(1.0, 1.0))
            opinion = float(rng.normal()) - (2.0 if rng.random() < belief else -2.0)
            learner.listen(belief, {"judge:j": opinion})
    assert weight(stacker) < after_few - 0.1
    assert abs(weight(settled) - after_many) < 0.5 * abs(weight(stacker) - after_few)


def test_the_same_events_give_the_same_stacker_bit_for_bit() -> None:
    first, second = (heard(7, {"a": 1.0, "b": -1.0}, labels=50) for _ in range(2))
    assert asdict(first.view()) == asdict(second.view())
    assert np.array_equal(first.jury.moments, second.jury.moments)


def test_a_contradictory_answer_is_faulty_by_itself_and_less_believed() -> None:
    view = Stacker().view()
    found = {"contradictory": 1.0, "length": 0.5}
    assert view.own_faults(found) == view.weight("contradictory") < 0.0
    assert view.own_faults({"truncated": 1.0}) == 0.0
    assert view.evidence(found, 0) < view.evidence({"length": 0.5}, 0)
