"""What has been learned, for people: the numbers that decide."""

import json

import pytest

from learner.jury import UNHEARD
from learner.quality import interval
from learner.report import MIN_OBSERVATIONS, report
from learner.state import LearnerState
from learner.types import JudgeScore, Objective
from tests.learner.conftest import NOON_S, called, served, state, thumb, traffic


def experienced() -> LearnerState:
    learner = state()
    for event, at_s in traffic(1, 80):
        learner.apply(event, at_s)
    return learner


def test_a_report_is_plain_data() -> None:
    told = report(experienced())
    assert json.loads(json.dumps(told)) == told


def test_models_are_reported_as_they_are_believed() -> None:
    learner = experienced()
    told, view = report(learner), learner.view()
    assert list(told["models"]) == [one.id for one in learner.arms]
    for i, row in enumerate(told["models"].values()):
        assert row["quality"] == float(view.quality.means[i])
        assert row["interval"] == list(interval(row["quality"], row["observations"]))
        assert row["state"] == learner.arms[i].state
        assert row["cost_usd"] > 0.0
        assert row["latency_s"] == pytest.approx(0.5)
    assert told["lambda"] == view.lambda_
    assert told["agreement"] == {"spread": view.joint.spread, "coincidence": view.joint.coincidence}
    assert told["context_weight"] == dict(zip(("familiar", "unfamiliar"), learner.quality.gates(), strict=True))
    assert sum(row["share"] for row in told["models"].values()) == pytest.approx(1.0 - 0.99**80)


def test_a_model_that_was_never_called_has_no_cost_and_no_latency() -> None:
    row = report(state())["models"]["small"]
    assert (row["cost_usd"], row["latency_s"], row["share"]) == (None, None, 0.0)


def test_few_observations_are_called_few() -> None:
    learner = state()
    assert "0 observations are few" in str(report(learner)["reason"])
    while learner.observations < MIN_OBSERVATIONS:
        event = served(called("small", 0, None), name=f"q{learner.observations}")
        learner.apply(event, NOON_S)
        learner.apply(thumb(event, up=True), NOON_S)
    assert report(learner)["reason"] is None


def test_judges_are_reported_with_their_weight_and_reliability() -> None:
    learner = state()
    for i in range(30):
        event = served(called("small", 0, None), name=f"q{i}", scores=(JudgeScore("strict", 0, 0.9),))
        learner.apply(thumb(event, up=True), NOON_S)
    told = report(learner)["judges"]
    # A thumb may be a mistake, and counts for a little less than one label.
    assert 25 <= told["strict"]["n"] <= 30
    assert told["strict"]["weight"] > UNHEARD.slope
    assert 0.0 <= told["strict"]["ece"] <= 1.0
    assert {"agreement", "length", "format", "logprob"} < told.keys()


def test_objective_and_exploration_are_reported() -> None:
    learner = state(objective=Objective("budget", 1e-3))
    told = report(learner)
    assert told["objective"] == {"kind": "budget", "value": 1e-3}
    assert told["exploration"] == {"spent_usd": 0.0, "allowance_usd": learner.ledger.allowance_usd}
    assert told["categories"] == ["sums", "code", "stories"]
    assert told["drift"] == []
