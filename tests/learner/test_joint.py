"""The joint model of equal answers: a probability model in the strict sense, with the marginals it was given."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.joint import (
    COINCIDENCES,
    NODE_WEIGHTS,
    NOTHING_ASKED,
    SPREADS,
    Joint,
    JointView,
    coincidence_law,
)
from learner.types import FloatArray
from tests.learner.conftest import drawn_groups, renumbered

qualities = st.floats(0.02, 0.98)
views = st.builds(JointView, st.sampled_from(SPREADS.tolist()), st.sampled_from(COINCIDENCES))


def partitions(n: int) -> Iterator[tuple[int, ...]]:
    """Every way to group n answers into equal ones, groups numbered in order of appearance."""
    if n == 0:
        yield ()
        return
    for head in partitions(n - 1):
        for group in range(max(head, default=-1) + 2):
            yield (*head, group)


@st.composite
def answered(draw: st.DrawFn, least: int = 1) -> tuple[FloatArray, tuple[int, ...], FloatArray]:
    """Qualities, groups and evidence of up to four answers."""
    n = draw(st.integers(least, 4))
    quality = np.array(draw(st.lists(qualities, min_size=n, max_size=n)))
    groups = draw(st.sampled_from(list(partitions(n))))
    evidence = np.array(draw(st.lists(st.floats(-3.0, 3.0), min_size=n, max_size=n)))
    return quality, groups, evidence


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6), views)
def test_mean_over_difficulty_is_the_quality(quality: list[float], view: JointView) -> None:
    right = view.right(np.array(quality))
    assert right.shape == (len(quality), 5)
    assert np.allclose(right @ NODE_WEIGHTS, np.clip(quality, 0.01, 0.99), atol=1e-8)
    assert (np.diff(right, axis=1) >= 0.0).all()


@settings(max_examples=40)
@given(answered(least=2))
def test_every_spread_and_coincidence_is_weighed_by_the_mass_it_gave_the_partition(
    case: tuple[FloatArray, tuple[int, ...], FloatArray],
) -> None:
    joint, (quality, groups, _) = Joint(), case
    joint.observe(quality, groups)
    for i, spread in enumerate(SPREADS.tolist()):
        for k, c in enumerate(COINCIDENCES):
            mass = JointView(spread, c).partition(quality, groups, np.zeros(len(groups))).mass
            assert joint.loglik[i, k] == pytest.approx(float(np.log(mass.sum())), abs=1e-9)


@settings(max_examples=40)
@given(st.lists(qualities, min_size=1, max_size=4), views)
def test_masses_of_all_partitions_sum_to_one(quality: list[float], view: JointView) -> None:
    nothing = np.zeros(len(quality))
    masses = [view.partition(np.array(quality), groups, nothing).mass.sum() for groups in partitions(len(quality))]
    assert sum(masses) == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=40)
@given(st.lists(qualities, min_size=1, max_size=4), views)
def test_being_right_has_its_marginal_summed_over_all_partitions(quality: list[float], view: JointView) -> None:
    right = view.right(np.array(quality)) @ NODE_WEIGHTS
    summed = np.zeros(len(quality))
    for groups in partitions(len(quality)):
        partition = view.partition(np.array(quality), groups, np.zeros(len(quality)))
        summed += partition.of_answers * partition.mass.sum()
    assert np.allclose(summed, right, atol=1e-9)


@settings(max_examples=60)
@given(answered(), views, st.randoms(use_true_random=False))
def test_posterior_does_not_depend_on_the_order_of_answers(
    case: tuple[FloatArray, tuple[int, ...], FloatArray], view: JointView, random: Random
) -> None:
    quality, groups, evidence = case
    order = list(range(len(groups)))
    random.shuffle(order)
    before = view.partition(quality, groups, evidence)
    after = view.partition(quality[order], renumbered([groups[i] for i in order]), evidence[order])
    assert np.allclose(after.of_answers, before.of_answers[order], atol=1e-9)
    assert after.posterior[0] == pytest.approx(before.posterior[0], abs=1e-9)


@settings(max_examples=60)
@given(answered(), views)
def test_posterior_is_a_distribution_and_equal_answers_share_their_belief(
    case: tuple[FloatArray, tuple[int, ...], FloatArray], view: JointView
) -> None:
    partition = view.partition(*case)
    assert partition.posterior.sum() == pytest.approx(1.0)
    assert (partition.posterior >= 0.0).all()
    beliefs = dict(zip(case[1], partition.of_answers, strict=True))
    assert [beliefs[group] for group in case[1]] == partition.of_answers.tolist()


@settings(max_examples=60)
@given(answered(), views, st.floats(0.005, 0.995))
def test_being_told_sets_one_belief_and_keeps_the_ratios_of_the_others(
    case: tuple[FloatArray, tuple[int, ...], FloatArray], view: JointView, belief: float
) -> None:
    before = view.partition(*case)
    after = before.told(0, belief)
    assert after.posterior[1] == pytest.approx(belief, abs=1e-9)
    others_before, others_after = np.delete(before.posterior, 1), np.delete(after.posterior, 1)
    assert np.allclose(others_after * others_before.sum(), others_before * others_after.sum(), atol=1e-9)
    # Jeffrey's rule: within a hypothesis nothing is learned, so the difficulty given it stays what it was.
    given_right = (before.mass[1] / before.mass[1].sum(), after.mass[1] / after.mass[1].sum())
    assert np.allclose(*given_right)


@given(qualities, st.sampled_from([0.0, 0.3, 1.0]))
def test_a_lone_answer_that_is_told_counts_as_one_plain_observation(quality: float, reward: float) -> None:
    lone = JointView(spread=1e-9).partition(np.array([quality]), (0,), np.zeros(1))
    residual, weight = lone.told(0, reward).credits()
    assert weight[0] == pytest.approx(1.0, abs=1e-6)
    assert residual[0] == pytest.approx(reward - quality, abs=1e-6)


def test_failing_on_a_query_that_all_fail_costs_an_arm_less() -> None:
    view = JointView(spread=2.0, coincidence=0.12)
    alone = view.partition(np.array([0.7]), (0,), np.zeros(1)).told(0, 0.01)
    scattered = view.partition(np.full(4, 0.7), (0, 1, 2, 3), np.zeros(4)).told(0, 0.01)
    assert scattered.credits()[0][0] > alone.credits()[0][0]


@given(answered(least=2), views)
def test_agreement_without_evidence_teaches_nothing_on_average(
    case: tuple[FloatArray, tuple[int, ...], FloatArray], view: JointView
) -> None:
    quality = case[0]
    mean = np.zeros(len(quality))
    for groups in partitions(len(quality)):
        partition = view.partition(quality, groups, np.zeros(len(quality)))
        mean += partition.mass.sum() * partition.credits()[0]
    assert np.allclose(mean, 0.0, atol=1e-9)


def test_equal_answers_support_each_other() -> None:
    view = JointView()
    apart = view.partition(np.full(3, 0.6), (0, 1, 2), np.zeros(3)).of_answers[0]
    together = view.partition(np.full(3, 0.6), (0, 0, 1), np.zeros(3)).of_answers[0]
    unanimous = view.partition(np.full(3, 0.6), (0, 0, 0), np.zeros(3)).of_answers[0]
    assert apart < 0.6 < together < unanimous


@given(st.sampled_from(COINCIDENCES), st.integers(1, 4))
def test_chances_of_all_coincidences_sum_to_one(c: float, n: int) -> None:
    def sizes(groups: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(groups.count(g) for g in set(groups)))

    assert sum(np.exp(coincidence_law(sizes(g), c)) for g in partitions(n)) == pytest.approx(1.0)


def test_nothing_asked_is_the_empty_partition() -> None:
    assert NOTHING_ASKED.posterior.tolist() == [pytest.approx(1.0)]
    assert NOTHING_ASKED.of_answers.shape == (0,)


@pytest.mark.parametrize(("spread", "coincidence"), [(1.0, 0.06), (2.5, 0.3)])
def test_spread_and_coincidence_are_recovered_from_partitions_alone(spread: float, coincidence: float) -> None:
    rng = np.random.default_rng(11)
    joint, quality = Joint(), np.array([0.45, 0.6, 0.7, 0.8])
    for _ in range(1_500):
        joint.observe(quality, drawn_groups(rng, quality, spread, coincidence))
    found = joint.view()
    # One step of the grid: some 500 partitions are remembered.
    assert abs(SPREADS.tolist().index(found.spread) - SPREADS.tolist().index(spread)) <= 1
    assert abs(COINCIDENCES.index(found.coincidence) - COINCIDENCES.index(coincidence)) <= 1


def test_a_fresh_joint_model_believes_its_prior() -> None:
    assert Joint().view() == JointView()
