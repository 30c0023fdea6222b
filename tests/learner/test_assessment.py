"""What is said of an evaluation: estimates beside their needs, and in plain words why they are not to be trusted."""

import numpy as np
import pytest

from learner.assessment import NEEDS, Assessment, Known, assess
from learner.hindsight import Hindsight
from learner.lessons import Lesson
from learner.offpolicy import Routed
from learner.policy import Ask
from learner.ratings import Rating
from learner.robust import NAMES, Log, Support
from learner.state import LearnerState
from learner.types import Call, Limits, Parameters
from tests.learner.conftest import TEXTS, called, context, served, state

NOW = Parameters()


def told(n: int, *, labelled: int, candidate: Parameters = NOW) -> Assessment:
    """Assess a candidate on a log that the policy in force made."""
    learner, rng = state(), np.random.default_rng(2)
    hindsight = Hindsight((NOW, candidate))
    for i in range(n):
        hindsight.see(learner.view(), answered(learner, f"q{i}", TEXTS[i % len(TEXTS)], rng))
        if i < labelled:
            lesson = Lesson(ratings={("thumbs", False): Rating(1.0, True)}, weights={False: 1.0})
            learner.lessons.recent[f"q{i}"] = lesson
    return assess(learner, hindsight)


def answered(learner: LearnerState, name: str, text: str, rng: np.random.Generator) -> Routed:
    view = learner.view()
    decision = view.decide(context(text), Limits(), rng)
    calls: list[Call] = []
    step: Ask | object = Ask(decision.arm, 0.0)
    while isinstance(step, Ask):
        calls.append(
            called(step.arm, len(calls), len(calls), explored_share=None if calls else decision.explored_share)
        )
        step = view.next_step(context(text), Limits(), calls, ())
    event = served(*calls, name=name, of=context(text), step=getattr(step, "step", 0))
    return Routed(event, decision.arm, decision.probabilities, decision.lambda_, getattr(step, "confidence", None))


def test_the_policy_in_force_gains_nothing_and_is_trusted_on_a_log_of_its_own() -> None:
    found = told(120, labelled=40)
    assert found.trust
    assert found.reproduced == 1.0
    assert found.trusted == {"replay": False, "ips": True, "snips": True, "dr": True}
    assert found.gains["dr"]["utility"].low == found.gains["dr"]["utility"].high == 0.0
    assert found.estimates == found.in_force
    assert set(NEEDS) == set(NAMES)


def test_too_few_ratings_are_not_trusted_and_it_is_said_why() -> None:
    found = told(120, labelled=0)
    assert not found.trust
    assert any("no answer was rated" in one for one in found.warnings)
    few = told(120, labelled=5)
    assert any("only 5 of 120 answers were rated" in one for one in few.warnings)
    assert not any("no answer was rated" in one for one in few.warnings)


def test_too_few_decisions_have_no_estimate_at_all() -> None:
    found = told(1, labelled=1)
    assert found.support is None
    assert found.estimates == {}
    assert "nothing to estimate from" in found.warnings[0]


GOOD = {"decisions": 500, "labels": 100, "reproduced": 1.0, "is_uniform": True}
CARRIED = {"effective_n": 400.0, "unsupported": 0.01, "model": 0.01, "clip": 22.0, "largest": 3.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decisions": 60}, "only 60 routed decisions"),
        ({"effective_n": 12.0}, "the effective sample size is 12 of 500"),
        ({"unsupported": 0.4, "model": 0.4}, "40% of what the candidate would do is not in the log"),
        ({"model": 0.3}, "30% of what the candidate would do rests on beliefs alone"),
        ({"reproduced": 0.5}, "does what was logged in 50% of the decisions only"),
        ({"largest": 90.0}, "the largest weight is 90; dr clips it at 22"),
        ({"is_uniform": False}, "replay is biased"),
    ],
)
def test_every_reason_for_doubt_is_told_and_most_take_the_trust_away(change: dict[str, float], said: str) -> None:
    given = {**GOOD, **CARRIED, **change}
    carried = Support(**{name: given[name] for name in CARRIED})
    known = Known(support=carried, **{name: given[name] for name in GOOD})  # type: ignore[arg-type]  # by name
    log = Log(np.full((1, 2), 0.5), np.zeros(1, dtype=np.intp), np.ones(1))
    if not given["is_uniform"]:
        log = Log(np.array([[0.9, 0.1]]), np.zeros(1, dtype=np.intp), np.ones(1))
    assert any(said in one for one in known.warnings(log, NAMES))
    harmless = "largest" in change or "is_uniform" in change
    assert known.trusts("dr") is harmless
    assert not known.trusts("replay") or "largest" in change or "model" in change
    calm = Known(support=Support(**CARRIED), **GOOD)  # type: ignore[arg-type]  # by name
    assert not any(said in one for one in calm.warnings(Log(np.full((1, 2), 0.5), log.arm, log.lambda_), NAMES))
