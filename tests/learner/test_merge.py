import math
from dataclasses import replace

import numpy as np
import pytest

from learner import snapshot
from learner.budget import FLOOR_STEP
from learner.merge import believed_merge
from learner.state import LearnerState
from learner.types import Call, JudgeScore, Objective, Served
from tests.learner.conftest import NOON_S, called, context, features, served, state, thumb


def merged(*groups: int | None, of: int | None = 0, **changes: object) -> Served:
    """Candidates of `small`, `middle`, ... with these groups, and an answer that `large` made of them."""
    names = ("small", "middle", "large")
    calls = [called(name, step, group) for step, (name, group) in enumerate(zip(names, groups, strict=False))]
    merge = called("large", len(calls), of, purpose="synthesis", **changes)
    return served(*calls, merge, step=len(calls))


def quality_of(state: LearnerState) -> dict[str, float]:
    means, _ = state.quality.means()
    return {one.id: float(mean) for one, mean in zip(state.arms, means, strict=True)}


def after(event: Served, *, up: bool | None) -> LearnerState:
    told = state()
    told.apply(event, NOON_S)
    if up is not None:
        told.apply(thumb(event, up=up), NOON_S + 1)
    return told


def test_a_merge_is_nobodys_own_answer() -> None:
    candidates = merged(0, 0)
    alone = served(*candidates.calls[:-1])
    told, untold = after(candidates, up=None), after(alone, up=None)
    assert quality_of(told) == quality_of(untold)
    assert told.joint.loglik.tolist() == untold.joint.loglik.tolist()
    assert told.cost.calls.tolist() == untold.cost.calls.tolist()


def test_what_a_merge_costs_is_accounted() -> None:
    assert after(merged(0, 0), up=None).ledger.total_usd == pytest.approx(3e-4)


def test_a_thumb_for_a_merged_answer_teaches_those_that_state_the_same_and_not_the_merger() -> None:
    event = merged(0, 1, of=0)
    before, up, down = (quality_of(after(event, up=thumb)) for thumb in (None, True, False))
    assert down["small"] < before["small"] < up["small"]
    assert up["middle"] < before["middle"]
    told = after(event, up=True)
    assert {told.arms[i].id for i in told.lessons.of("q1").labels} == {"small", "middle"}


def test_the_merger_is_credited_only_for_its_own_answer_as_a_candidate() -> None:
    event = merged(0, 0, 1, of=0)
    before, up = (quality_of(after(event, up=thumb)) for thumb in (None, True))
    assert up["large"] < before["large"]


@pytest.mark.parametrize("of", [None, 7])
def test_a_thumb_for_an_answer_that_no_candidate_states_teaches_nothing(of: int | None) -> None:
    event = merged(0, 0, of=of)
    assert quality_of(after(event, up=True)) == quality_of(after(event, up=None))


def test_a_thumb_for_a_merged_answer_teaches_no_judge() -> None:
    told = after(merged(0, 1, of=0), up=True)
    assert told.stacker.calibration.count.sum() == 0.0


def test_a_correction_takes_the_place_of_the_first_thumb() -> None:
    event, corrected = merged(0, 1, of=0), state()
    corrected.apply(event, NOON_S)
    for up in (False, True):
        corrected.apply(thumb(event, up=up), NOON_S + 1)
    assert quality_of(corrected) == pytest.approx(quality_of(after(event, up=True)), abs=1e-3)


def test_a_comparison_that_comes_later_is_labelled_by_the_thumb() -> None:
    event = merged(0, 1, of=0)
    told = after(event, up=True)
    before = quality_of(told)["large"]
    later = called("large", 3, 0, purpose="shadow")
    told.apply(Served(event.inference_id, event.context, (*event.calls, later), (), 2, (3,), is_request=False), NOON_S)
    assert quality_of(told)["large"] > before


def test_a_decomposed_request_teaches_nothing_by_its_thumb() -> None:
    plan = called("small", 0, purpose="plan")
    event = served(plan, called("large", 1, purpose="synthesis"), step=1)
    assert quality_of(after(event, up=True)) == quality_of(state())


def test_what_was_taught_survives_a_snapshot() -> None:
    told = after(merged(0, 1, of=0), up=True)
    assert snapshot.dump(snapshot.load(snapshot.dump(told), features())) == snapshot.dump(told)


# -- what is believed of a merged answer ------------------------------------------------------------------------------


def belief(*calls: Call, scores: tuple[JudgeScore, ...] = ()) -> float:
    return believed_merge(state().view(), context(), calls, scores).right


def test_a_merged_answer_is_believed_as_those_that_state_the_same() -> None:
    agreed, torn, alone = (belief(*merged(*groups, of=0).calls) for groups in ((0, 0, 0), (0, 1, 2), (1, 1, 2)))
    assert agreed > alone
    assert agreed > torn


def test_a_judge_and_the_checks_are_heard_on_a_merged_answer() -> None:
    calls = merged(0, 0).calls
    assert belief(*calls, scores=(JudgeScore("strict", 2, 0.05),)) < belief(*calls)
    assert belief(*merged(0, 0, evidence={"empty": 1.0}).calls) < belief(*calls)
    assert belief(*calls, scores=(JudgeScore("strict", 0, 0.05),)) == pytest.approx(belief(*calls), abs=1e-9)


def test_a_floor_counts_a_merged_answer_as_it_was_believed() -> None:
    told = state(objective=Objective("quality_floor", 0.9))
    told.apply(replace(merged(0, 0), confidence=0.7), NOON_S)
    assert told.accounts.everybody.lambda_ == pytest.approx(100.0 * math.exp(-FLOOR_STEP * (0.9 - 0.7)))
    assert np.isfinite(told.accounts.everybody.lambda_)
