"""Twins: found by the mistakes they share, one witness where they agree, and never taken for two good models."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.alarms import KEPT_AFTER_PRAISE, forget_praise
from learner.cascade import Answers, first_values
from learner.joint import JointView, Pairs
from learner.policy import Ask
from learner.report import report
from learner.snapshot import dump, load
from learner.state import LearnerState
from learner.twins import BOUND, Twins
from learner.types import Call, FloatArray, Limits, Objective, Served
from tests.learner.conftest import (
    NOON_S,
    TEXTS,
    arm,
    called,
    context,
    drawn_groups,
    features,
    renumbered,
    served,
    state,
    thumb,
)
from tests.learner.test_cascade import POOL

SPREAD, COINCIDENCE = 2.0, 0.2
TWINS: Pairs = frozenset({(0, 3)})


def compared(groups: tuple[int | None, ...], twins: Pairs = frozenset(), quality: FloatArray | None = None) -> Answers:
    """The answers of arms 0, 1, 2 … that agree in this way."""
    arms = tuple(range(len(groups)))
    known = np.full(len(arms), 0.6) if quality is None else quality
    joint = JointView(SPREAD, COINCIDENCE, twins)
    return Answers.of(arms, groups, quality=known, evidence=np.zeros(len(arms)), joint=joint)


def repeated(rng: np.random.Generator, quality: FloatArray, *, faith: float) -> tuple[int, ...]:
    """Draw how answers agree where the last arm repeats the first one with probability `faith`."""
    groups = drawn_groups(rng, np.append(quality, quality[0]), SPREAD, COINCIDENCE)
    return renumbered([*groups[:-1], groups[0]]) if rng.random() < faith else groups


@pytest.mark.parametrize("quality", [(0.4, 0.5, 0.6, 0.7), (0.9, 0.9, 0.5, 0.5), (0.9, 0.9, 0.9, 0.3), (0.3,) * 4])
def test_arms_that_err_apart_are_never_taken_for_twins(quality: tuple[float, ...]) -> None:
    for seed in range(5):
        rng, twins = np.random.default_rng(seed), Twins()
        for _ in range(600):
            twins.observe(compared(drawn_groups(rng, np.array(quality), SPREAD, COINCIDENCE)))
            assert not twins.pairs


@pytest.mark.parametrize(
    ("quality", "faith"), [((0.4, 0.5, 0.6), 1.0), ((0.4, 0.6, 0.7), 0.95), ((0.7, 0.8, 0.8), 1.0)]
)
def test_an_arm_that_repeats_another_ones_mistakes_is_its_twin(quality: tuple[float, ...], faith: float) -> None:
    for seed in range(5):
        rng, twins = np.random.default_rng(seed), Twins()
        for _ in range(400):
            twins.observe(compared(repeated(rng, np.array(quality), faith=faith)))
        assert twins.pairs == {(0, 3)}


def test_twins_that_part_are_twins_no_more() -> None:
    twins = Twins(np.full((4, 4), BOUND), np.zeros((4, 4)))
    for _ in range(10):
        twins.observe(compared((0, 1, 1, 2)))
    assert (0, 3) not in twins.pairs


def test_agreement_that_nobody_speaks_against_is_no_sign_of_twins() -> None:
    twins = Twins()
    for groups in [(0, 0), (0, 0, 0), (0, 0, 0, 0)] * 200:
        twins.observe(compared(groups))
    assert not twins.pairs


def test_answers_that_cannot_be_compared_tell_nothing() -> None:
    twins = Twins()
    twins.observe(compared((None, None, 0)))
    assert not twins.evidence.any()


def test_an_answer_that_states_nothing_speaks_against_nobody() -> None:
    twins = Twins()
    for _ in range(100):
        twins.observe(compared((0, 0, None)))
    assert not twins.evidence.any()


def test_an_answer_is_taken_in_once() -> None:
    at_once, later = Twins(), Twins()
    at_once.observe(compared((0, 1, 1, 0)))
    later.observe(compared((0, 1)))
    later.observe(compared((0, 1, 1, 0)), known=2)
    assert np.array_equal(at_once.evidence, later.evidence)


@given(st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3), st.integers(0, 2), st.integers(0, 2))
def test_an_answer_repeated_by_a_twin_is_as_one(quality: list[float], second: int, third: int) -> None:
    groups = renumbered([0, second, third])
    alone = compared(groups, quality=np.array(quality))
    doubled = compared((*groups, groups[0]), TWINS, np.array([*quality, quality[0]]))
    assert doubled.before is not None
    assert alone.before is not None
    assert doubled.before.posterior == pytest.approx(alone.before.posterior)
    assert doubled.before.of_answers[3] == pytest.approx(float(alone.before.of_answers[0]))


def test_twins_that_differ_are_two_witnesses() -> None:
    known, apart = compared((0, 1, 1, 2), TWINS), compared((0, 1, 1, 2))
    assert known.before is not None
    assert apart.before is not None
    assert known.before.posterior == pytest.approx(apart.before.posterior)


@given(st.floats(0.3, 0.9), st.floats(0.0, 300.0))
def test_a_twin_adds_nothing_to_a_plan(quality: float, lambda_: float) -> None:
    pool = replace(
        POOL, quality=np.array([quality, 0.6, 0.8]), deviation=np.zeros(3), cost_usd=np.array([1e-5, 3e-4, 1e-3]),
        lambda_=lambda_, comparable=1.0,
    )  # fmt: skip
    doubled = replace(
        pool, quality=np.array([quality, 0.6, 0.8, quality]), deviation=np.zeros(4),
        cost_usd=np.array([1e-5, 3e-4, 1e-3, 1e-5]), joint=replace(pool.joint, twins=TWINS),
    )  # fmt: skip
    values = first_values(doubled, range(4))
    assert values[:3] == pytest.approx(first_values(pool, range(3)))
    assert values[3] == pytest.approx(values[0])


# -- in the whole learner ---------------------------------------------------------------------------------------------

ARMS = (arm("weak", 0.1), arm("fair", 0.5), arm("good", 2.0), arm("copy", 0.1))
QUALITY = np.array([0.4, 0.6, 0.75])


@cache
def learned() -> LearnerState:
    """A learner whose pool serves one weak model twice, after 600 requests that nobody rated."""
    learner, rng = state(ARMS, Objective("quality")), np.random.default_rng(3)
    for i in range(600):
        groups = repeated(rng, QUALITY, faith=1.0)
        # As it goes where the cheap ones are asked first and agree: others are heard now and then.
        asked = (0, 1, 2, 3) if i % 2 == 0 else (0, 3)
        learner.apply(event(i, asked, [groups[k] for k in asked]), NOON_S)
    return learner


def event(number: int, asked: tuple[int, ...], groups: list[int]) -> Served:
    calls = [called(ARMS[k].id, step, group) for step, (k, group) in enumerate(zip(asked, groups, strict=True))]
    return served(*calls, name=f"q{number}", of=context(TEXTS[number % len(TEXTS)]))


def test_two_copies_of_a_weak_model_do_not_praise_each_other() -> None:
    learner = learned()
    weak, fair, good, copy = learner.quality.view().means.tolist()
    assert learner.twins.pairs == {(0, 3)}
    assert max(weak, copy) < min(fair, good) - 0.1


def test_a_twin_is_not_asked_after_its_twin() -> None:
    view = learned().view()
    answer: list[Call] = [called("weak", 0, 0)]
    seen = set()
    while isinstance(step := view.next_step(context(), Limits(), answer, ()), Ask):
        seen.add(step.arm)
        answer.append(called(step.arm, len(answer), len(answer)))
    assert seen
    assert "copy" not in seen


def test_the_report_names_twins() -> None:
    models = report(learned())["models"]
    assert [models[one.id]["twins"] for one in ARMS] == [["copy"], [], [], ["weak"]]


def praised(both: int, *, alone: int = 0) -> LearnerState:
    """A learner to which the first arm was known by itself before it agreed with its copy so many times."""
    learner = state(ARMS)
    for i in range(alone + both):
        one = event(i, (0, 3), [0, 0]) if i >= alone else event(i, (0, 1), [0, 0])
        learner.apply(one, NOON_S)
        learner.apply(thumb(one, up=True), NOON_S)
    return learner


def test_what_twins_taught_each_other_and_the_rest_is_forgotten() -> None:
    learner = praised(40)
    counts, weights = learner.quality.view().counts.copy(), learner.stacker.logistic.recent[:, 2].copy()
    labels = learner.stacker.view().labels
    assert learner.twins.between((0, 3)) == {0: 1.0, 3: 1.0}
    forget_praise({0: 1.0, 3: 1.0}, learner.quality, learner.stacker, learner.trust)
    assert (learner.quality.view().counts[[0, 3]] < 0.4 * counts[[0, 3]]).all()
    assert len(weights) == 40
    assert learner.stacker.logistic.recent[:, 2] == pytest.approx(KEPT_AFTER_PRAISE * weights)
    # What readers are told, at once: a state that is restored from a snapshot would tell it too.
    assert learner.stacker.view().labels == pytest.approx(KEPT_AFTER_PRAISE * labels)


def test_who_was_known_before_its_twin_came_stays_known_and_so_do_the_others() -> None:
    learner = praised(10, alone=200)
    before = learner.quality.view()
    shares = learner.twins.between((0, 3))
    assert shares == {0: pytest.approx(10 / 210), 3: 1.0}
    forget_praise(shares, learner.quality, learner.stacker, learner.trust)
    after = learner.quality.view()
    assert (after.counts[:3] > 0.9 * before.counts[:3]).all()
    assert after.means[:3] == pytest.approx(before.means[:3], abs=0.02)
    assert after.counts[3] < 0.8 * before.counts[3]


def test_twins_outlive_a_snapshot() -> None:
    learner = learned()
    again = load(dump(learner), features())
    assert again.twins.pairs == learner.twins.pairs == {(0, 3)}
    assert dump(again) == dump(learner)
