"""What judges are worth without any label."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.jury import MOST_JUDGES, UNHEARD, Jury, Reading

SKILLS = {"strong": 1.3, "fair": 0.6, "noise": 0.0, "inverted": -0.8}


def jury(
    seed: int, n: int, skills: Mapping[str, float] = SKILLS, *, scale: float = 1.0, is_told: bool = True, **copies: str
) -> Jury:
    """A jury that heard judges of these skills on n answers; `copies` say word for word what another one says."""
    rng, learned = np.random.default_rng(seed), Jury()
    for _ in range(n):
        belief = float(rng.beta(2.0, 1.0)) if is_told else 2.0 / 3.0
        truth = 1.0 if rng.random() < belief else -1.0
        said = {judge: scale * (skill * truth + float(rng.normal())) for judge, skill in skills.items()}
        learned.observe(belief, said | {copy: said[judge] for copy, judge in copies.items()})
    return learned


def raw_weights(learned: Jury) -> dict[str, float]:
    return {judge: reading.weight / reading.scale for judge, reading in learned.readings.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_belief_in_the_answers_tells_who_is_right(seed: int) -> None:
    weights = raw_weights(jury(seed, 1_500))
    assert min(weights["strong"], weights["fair"]) > 0.8 > abs(weights["noise"])
    assert weights["inverted"] < -0.3


def test_agreement_alone_tells_judges_from_noise() -> None:
    weights = raw_weights(jury(0, 1_500, is_told=False))
    assert min(weights["strong"], weights["fair"]) > weights["noise"] + 0.3
    assert weights["noise"] > weights["inverted"]


def test_a_judge_is_read_from_the_middle_between_good_and_bad_answers() -> None:
    reading = jury(1, 800).readings["strong"]
    assert reading.centre == pytest.approx(0.0, abs=0.25)
    assert reading.scale == pytest.approx(1.6, abs=0.2)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000))
def test_a_judge_heard_twice_counts_once(seed: int) -> None:
    skills = {"a": 1.2, "b": 0.7, "c": 0.3}
    once, twice = raw_weights(jury(seed, 500, skills)), raw_weights(jury(seed, 500, skills, again="a"))
    assert twice["a"] == pytest.approx(twice["again"], abs=1e-6)
    assert twice["a"] + twice["again"] == pytest.approx(once["a"], rel=0.3)
    assert twice["b"] == pytest.approx(once["b"], rel=0.3, abs=0.2)


def test_judges_that_share_an_error_do_not_outvote_one_that_is_right() -> None:
    rng, learned = np.random.default_rng(3), Jury()
    for _ in range(600):
        belief = float(rng.beta(2.0, 1.0))
        truth = 1.0 if rng.random() < belief else -1.0
        error = 1.5 * float(rng.normal())
        pair = {name: 0.3 * truth + error + 0.5 * float(rng.normal()) for name in ("b", "c")}
        learned.observe(belief, {"a": 1.2 * truth + float(rng.normal()), **pair})
    weights = raw_weights(learned)
    assert weights["a"] > 2.0 * (weights["b"] + weights["c"])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.7, 2.0))
def test_units_of_a_judge_do_not_matter_once_it_is_known(seed: int, scale: float) -> None:
    plain, stretched = jury(seed, 1_500), jury(seed, 1_500, scale=scale)
    for judge in SKILLS:
        assert stretched.readings[judge].weight == pytest.approx(plain.readings[judge].weight, abs=0.1)


def test_the_middle_of_a_judge_says_nothing() -> None:
    reading = Reading(centre=1.2, scale=2.0, weight=1.5)
    assert reading.slope * reading.centre + reading.intercept == pytest.approx(0.0)
    assert UNHEARD.slope == 0.5


def test_an_opinion_on_few_answers_moves_little() -> None:
    learned = jury(0, 20)
    assert all(abs(reading.weight - UNHEARD.weight) < 0.9 for reading in learned.readings.values())


def test_judges_that_are_never_heard_together_get_weights_too() -> None:
    rng, learned = np.random.default_rng(5), Jury()
    for i in range(400):
        belief = float(rng.beta(2.0, 1.0))
        truth = 1.0 if rng.random() < belief else -1.0
        learned.observe(belief, {("even", "odd")[i % 2]: truth + float(rng.normal())})
    assert all(np.isfinite(weight) and weight > 0.3 for weight in raw_weights(learned).values())


def test_there_are_seats_for_so_many_judges_only() -> None:
    learned = Jury()
    for _ in range(25):
        learned.observe(0.5, {f"judge{i}": 1.0 for i in range(MOST_JUDGES + 5)})
    assert len(learned.judges) == MOST_JUDGES
    assert all(np.isfinite(reading.weight) for reading in learned.readings.values())
