"""One thumb labels every arm that answered: those that gave the same answer with it, the others against it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.answered import Answered
from learner.channel import FLIP, Rates
from learner.joint import JointView
from learner.labels import (
    FEW_RATINGS,
    LEAST_WEIGHT,
    UNLABELLED_WEIGHT,
    agreement_labels,
    believed,
    rated_labels,
    to_labels,
)
from learner.types import Call, Rated, Served
from tests.learner.conftest import called, context, served, state, thumb

VIEW = state().view()
QUALITY = VIEW.quality.predict(context()).mean


def of(event: Served) -> Answered:
    return VIEW.answered(event.context, event.calls, event.scores)


def three(*groups: int | None) -> Served:
    names = ("small", "middle", "large")
    return served(*(called(name, i, group) for i, (name, group) in enumerate(zip(names, groups, strict=False))))


def values(event: Served, *, up: bool) -> dict[int, float]:
    rated = rated_labels(thumb(event, up=up), of(event), Rates())
    assert rated is not None
    return {arm: label.value for arm, label in rated.labels.items()}


def test_a_thumb_up_speaks_for_all_of_the_group_and_against_the_others() -> None:
    up = values(three(0, 0, 1), up=True)
    assert up[0] > QUALITY[0]
    assert up[1] > QUALITY[1]
    assert up[2] < QUALITY[2]


def test_a_thumb_down_speaks_against_all_of_the_group_and_for_the_others() -> None:
    down, plain = values(three(0, 0, 1), up=False), agreement_labels(of(three(0, 0, 1)))
    assert down[0] < QUALITY[0]
    assert down[1] < QUALITY[1]
    assert down[2] > plain[2].value


@settings(max_examples=60)
@given(st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3), st.sampled_from([(0, 0, 1), (0, 1, 1), (0, 1, 2)]))
def test_whatever_the_beliefs_a_thumb_moves_its_group_up_and_the_others_down(
    quality: list[float], groups: tuple[int, ...]
) -> None:
    before = JointView().partition(np.array(quality), groups, np.zeros(3))
    up = to_labels((0, 1, 2), np.array(quality), before.told(0, 0.98), trust=1.0)
    down = to_labels((0, 1, 2), np.array(quality), before.told(0, 0.02), trust=1.0)
    for arm, group in enumerate(groups):
        assert (up[arm].value > down[arm].value) == (group == 0)


def taught(answered: Answered, *, labels: float) -> Answered:
    """What is answered, where ratings that count for so much have shown stated confidence to be too high."""
    weights = {**answered.stacker.weights, "bias": -2.0}
    return replace(answered, stacker=replace(answered.stacker, weights=weights, labels=labels))


def test_agreement_is_believed_as_far_as_ratings_have_borne_it_out() -> None:
    answered = of(three(0, 0, 1))
    assert answered.answers.after is not None
    plain = to_labels(answered.arms, answered.answers.quality, answered.answers.after, trust=UNLABELLED_WEIGHT)
    few, some, many = (agreement_labels(taught(answered, labels=n)) for n in (FEW_RATINGS, 100.0, 200.0))
    assert [label.value for label in few.values()] == pytest.approx([label.value for label in plain.values()])
    assert plain[0].value > some[0].value > many[0].value
    assert plain[2].value < some[2].value < many[2].value


def test_answers_of_one_witness_label_nothing() -> None:
    answered = of(three(0, 0))
    twins = replace(answered, answers=replace(answered.answers, joint=JointView(twins=frozenset({(0, 1)}))))
    assert agreement_labels(answered)
    assert agreement_labels(twins) == {}


def test_an_answer_that_cannot_be_compared_labels_its_own_arm_only() -> None:
    event = three(None, None)
    rated = rated_labels(thumb(event, up=True), of(event), Rates())
    assert rated is not None
    assert list(rated.labels) == [0]
    assert rated.labels[0].weight == 1.0
    assert rated.labels[0].value == pytest.approx(believed(thumb(event, up=True), float(of(event).right[0]), Rates()))


def test_a_thumb_is_as_sure_as_its_mistakes_allow() -> None:
    up, down = (thumb(three(0), up=u) for u in (True, False))
    assert believed(up, 0.5, Rates()) == pytest.approx(1.0 - FLIP)
    assert believed(down, 0.5, Rates()) == pytest.approx(FLIP)
    assert believed(down, 0.99, Rates()) > believed(down, 0.5, Rates())


@given(st.floats(0.0, 1.0), st.floats(0.01, 0.99))
def test_a_rating_is_taken_as_it_is(reward: float, before: float) -> None:
    assert believed(Rated(three(0), "score", reward, is_binary=False), before, Rates()) == reward


def test_without_agreement_there_is_nothing_to_label() -> None:
    assert agreement_labels(of(three(0))) == {}
    assert agreement_labels(of(three(None, None, None))) == {}


def test_agreement_labels_are_of_half_weight_at_most_twice_a_plain_ones() -> None:
    event = three(0, 0, 1)
    labels, answered = agreement_labels(of(event)), of(event)
    assert answered.answers.after is not None
    _, weight = answered.answers.after.credits()
    assert [labels[i].weight for i in range(3)] == pytest.approx(np.maximum(UNLABELLED_WEIGHT * weight, LEAST_WEIGHT))


@given(st.lists(st.floats(0.02, 0.98), min_size=4, max_size=4), st.floats(0.005, 0.995))
def test_labels_stay_within_their_bounds(quality: list[float], belief: float) -> None:
    partition = JointView(3.0, 0.04).partition(np.array(quality), (0, 1, 0, 2), np.zeros(4)).told(0, belief)
    for label in to_labels((0, 1, 2, 3), np.array(quality), partition, trust=1.0).values():
        assert label.weight >= LEAST_WEIGHT
        assert -0.5 <= label.value <= 1.5


def test_a_rating_of_an_answer_nobody_gave_teaches_nothing() -> None:
    failed = served(Call("small", 0, outcome="timeout"))
    assert rated_labels(thumb(failed, up=True), of(failed), Rates()) is None


def test_the_stacker_is_given_the_served_answers_evidence_and_its_prior() -> None:
    event = served(called("small", 0, 0), called("large", 1, 0, evidence={"refusal": 1.0}), step=1)
    rated, answered = rated_labels(thumb(event, up=False), of(event), Rates()), of(event)
    assert rated is not None
    assert rated.arm == 2
    assert rated.features["refusal"] == 1.0
    assert rated.prior_logit == answered.prior_logits[1]
    assert rated.expected == pytest.approx(QUALITY[2])
    assert rated.value == Rates().unflipped(0.0) < 0.0
    assert rated.moved < 0.0
