"""A demonstration labels every answer of its inference, and later answers to near duplicates are held against it."""

import numpy as np
import pytest

from learner.demonstrations import demonstrated_labels, verdicts
from learner.errors import InvalidObservation
from learner.features import components_of
from learner.snapshot import dump, load
from learner.state import LearnerState
from learner.types import Call, Demonstrated, Rated, Served
from tests.learner.conftest import NOON_S, called, context, features, served, state, thumb

SEALS = ("number:aaaa42", "number:aaaa42", "number:aaaa41")
NAMES = ("small", "middle", "large")


def three(*groups: int | None, seals: tuple[str | None, ...] = SEALS, name: str = "q1") -> Served:
    calls = tuple(
        called(arm, step, group, seal=seal)
        for step, (arm, group, seal) in enumerate(zip(NAMES, groups, seals, strict=False))
    )
    return Served(name, context(), calls, (), 0, tuple(range(len(calls))), query_seal="query")


def after(*events: Served | Rated | Demonstrated) -> LearnerState:
    learner = state()
    for event in events:
        learner.apply(event, NOON_S)
    return learner


def means(learner: LearnerState) -> list[float]:
    return [float(mean) for mean in learner.quality.means()[0]]


def test_every_answer_that_equals_it_is_good_and_others_are_not() -> None:
    event = three(0, 0, 1)
    before, now = means(after(event)), means(after(event, Demonstrated(event, "number:aaaa42")))
    assert now[0] > before[0]
    assert now[1] > before[1]
    assert now[2] < before[2]


def test_an_answer_in_the_background_may_be_the_one() -> None:
    event = three(0, 0, 1)
    before, now = means(after(event)), means(after(event, Demonstrated(event, "number:aaaa41")))
    assert now[0] < before[0]
    assert now[1] < before[1]
    assert now[2] > before[2]


def test_where_no_answer_is_the_one_all_of_them_are_wrong() -> None:
    event = three(0, 0, 1)
    answered = state().view().answered(event.context, event.calls, event.scores)
    labels = demonstrated_labels(answered, verdicts("number:aaaa7", event))
    assert all(label.value < quality for label, quality in zip(labels.values(), answered.answers.quality, strict=True))


def test_it_is_sure_and_not_certain() -> None:
    event = three(None, None, None)
    answered = state().view().answered(event.context, event.calls, event.scores)
    labels = demonstrated_labels(answered, verdicts("number:aaaa42", event))
    assert [round(labels[arm].value, 2) for arm in range(3)] == [0.98, 0.99, 0.04]
    assert {label.weight for label in labels.values()} == {1.0}


def test_what_cannot_be_compared_teaches_nothing() -> None:
    event = three(0, 0, 1)
    plain = after(event)
    told = after(event, Demonstrated(event, "choice:aaaa42"))
    assert means(told) == means(plain)
    assert told.stacker.calibration.count.sum() == 0


def test_it_stands_before_thumbs_and_ratings_in_any_order() -> None:
    event, shown = three(0, 0, 1), Demonstrated(three(0, 0, 1), "number:aaaa42")
    alone = means(after(event, shown))
    assert means(after(event, shown, thumb(event, up=False))) == pytest.approx(alone, abs=0.001)
    assert means(after(event, thumb(event, up=False), shown)) == pytest.approx(alone, abs=0.01)


def test_a_later_demonstration_corrects_the_earlier_one() -> None:
    event = three(0, 0, 1)
    right, wrong = Demonstrated(event, "number:aaaa42"), Demonstrated(event, "number:aaaa7")
    assert means(after(event, wrong, right)) == pytest.approx(means(after(event, right)), abs=0.005)


def test_a_comparison_that_comes_later_is_held_against_it() -> None:
    asked = three(0)
    both = Served("q1", context(), three(0, 0, 1).calls, (), 0, (1, 2), is_request=False, query_seal="query")
    told = after(asked, Demonstrated(asked, "number:aaaa41"), both)
    assert means(told)[2] > means(after(asked, both))[2]
    assert means(told)[1] < means(after(asked, both))[1]


def test_a_demonstration_teaches_the_stacker_once() -> None:
    event = three(0, 0, 1)
    learner = after(event, Demonstrated(event, "number:aaaa42"), Demonstrated(event, "number:aaaa7"))
    assert learner.stacker.calibration.count.sum() == 1


def test_a_near_duplicate_finds_it_and_a_match_counts_for_the_answer() -> None:
    event = three(0, 0, 1)
    learner = after(event, Demonstrated(event, "number:aaaa42"))
    view = learner.view()
    assert view.references.find("query", components_of(context())) == "number:aaaa42"
    match, miss = (
        view.answered(context(), [called("small", 0, 0, evidence={"reference": sign})], ()).right[0]
        for sign in (1.0, -1.0)
    )
    assert match > 0.9
    assert miss < 0.2


def test_how_far_references_are_believed_is_learned() -> None:
    learner = state()
    for n in range(60):
        event = served(called("small", 0, None, evidence={"reference": 1.0}), name=f"q{n}")
        learner.apply(event, NOON_S)
        learner.apply(thumb(event, up=False), NOON_S)
    assert learner.stacker.view().weights["reference"] < 2.0


def test_an_unanswered_inference_still_gives_a_reference() -> None:
    failed = Served("q1", context(), (called("small", 0, outcome="timeout"),), (), None, (0,), query_seal="query")
    learner = after(failed, Demonstrated(failed, "number:aaaa42"))
    assert list(learner.references.kept) == ["q1"]
    assert learner.observations == 0


def test_an_unknown_arm_is_refused_and_changes_nothing() -> None:
    learner = after(three(0, 0, 1))
    before = dump(learner)
    unknown = Served("q2", context(), (Call("nobody", 0, seal="number:aaaa42"),), (), 0, (0,), query_seal="query")
    with pytest.raises(InvalidObservation):
        learner.apply(Demonstrated(unknown, "number:aaaa42"), NOON_S)
    assert dump(learner) == before


def test_references_and_ratings_survive_a_snapshot_bit_for_bit() -> None:
    event, other = three(0, 0, 1), three(0, 0, 1, name="q2")
    learner = after(event, Demonstrated(event, "number:aaaa42"), Rated(event, "resolved", 0.5, False, share=0.5), other)
    again = load(dump(learner), features())
    assert dump(again) == dump(learner)
    for one in (learner, again):
        one.apply(Demonstrated(other, "number:aaaa41"), NOON_S)
        one.apply(Rated(event, "thumbs", 0.0, is_binary=True), NOON_S)
    assert dump(again) == dump(learner)
    assert again.view().references.find("query", components_of(context())) == "number:aaaa41"


# -- several metrics, and episodes ------------------------------------------------------------------------------------


def test_the_order_of_metrics_does_not_matter() -> None:
    event = three(0, 0, 1)
    up, low = thumb(event, up=True), Rated(event, "rating", 0.1, is_binary=False)
    assert means(after(event, up, low)) == pytest.approx(means(after(event, low, up)), abs=0.01)
    assert means(after(event, low, up)) == pytest.approx(means(after(event, low)), abs=0.001)


def test_an_episode_moves_each_of_its_answers_by_its_share() -> None:
    event = three(0, 0, 1)
    plain, whole = means(after(event))[0], means(after(event, Rated(event, "resolved", 0.0, is_binary=False)))[0]
    moved = [means(after(event, Rated(event, "resolved", 0.0, False, share=1 / n)))[0] for n in (1, 2, 10)]
    assert whole == pytest.approx(moved[0], abs=1e-12)
    assert moved[0] < moved[1] < moved[2] < plain


def test_an_episode_weighs_as_much_as_one_rated_answer() -> None:
    learner = state()
    for n in range(10):
        event = served(called("small", 0, None), name=f"q{n}")
        learner.apply(event, NOON_S)
        learner.apply(Rated(event, "resolved", 1.0, is_binary=True, share=0.1), NOON_S)
    assert float(learner.quality.count[0].sum()) == pytest.approx(1.0, abs=0.02)
    assert learner.stacker.calibration.count.sum() == 0


def test_what_is_said_of_the_answer_itself_stands_before_its_episode() -> None:
    event = three(0, 0, 1)
    episode = Rated(event, "resolved", 0.0, is_binary=True, share=0.5)
    up = thumb(event, up=True)
    assert means(after(event, up, episode)) == pytest.approx(means(after(event, up)), abs=0.001)
    assert np.allclose(means(after(event, episode, up)), means(after(event, up)), atol=0.02)
