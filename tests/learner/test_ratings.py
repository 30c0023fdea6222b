"""What stands of several metrics depends on their last values alone, not on their order."""

from itertools import permutations

import pytest

from learner.quality import Label
from learner.ratings import Rating, mixed, standing

THUMB, RATED = Rating(1.0, is_binary=True), Rating(0.3, is_binary=False)


def test_nothing_stands_where_nothing_was_said() -> None:
    assert standing({}) is None


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [("demonstration", "resolved"), ("resolved", "rating"), ("rating", "thumbs"), ("thumbs", "comment")],
)
def test_the_stronger_metric_stands_in_any_order(stronger: str, weaker: str) -> None:
    for order in permutations([((weaker, False), THUMB), ((stronger, False), RATED)]):
        assert standing(dict(order)) == RATED


def test_several_declared_metrics_stand_as_their_mean() -> None:
    said = {("resolved", False): Rating(1.0, is_binary=True), ("tone", False): Rating(0.5, is_binary=False)}
    assert standing(said) == Rating(0.75, is_binary=False)
    assert standing(dict(reversed(said.items()))) == Rating(0.75, is_binary=False)


def test_what_was_said_of_the_answer_stands_before_what_was_said_of_its_episode() -> None:
    assert standing({("resolved", True): Rating(0.0, is_binary=True, share=0.5), ("thumbs", False): THUMB}) == THUMB


def test_an_episode_keeps_its_share() -> None:
    episode = Rating(0.0, is_binary=True, share=0.25)
    assert standing({("resolved", True): episode}) == episode
    both = standing({("resolved", True): episode, ("tone", True): Rating(1.0, is_binary=False, share=0.2)})
    assert both == Rating(0.5, is_binary=False, share=0.2)


def test_mixed_labels_lie_between_and_reach_the_rated_ones_at_a_whole_share() -> None:
    plain, rated = {0: Label(0.5, 0.4), 1: Label(0.5, 0.6)}, {0: Label(1.0, 1.0)}
    half = mixed(plain, rated, 0.5)
    assert [half[arm].weight for arm in (0, 1)] == [0.75, 0.25]
    assert [half[arm].value for arm in (0, 1)] == pytest.approx([(0.25 * 0.4 + 0.5 * 1.0) / 0.75, 0.6])
    assert mixed({}, rated, 0.25) == {0: Label(0.25, 1.0)}
    assert mixed({0: Label(0.5, 0.3, is_level=True)}, rated, 0.25)[0].is_level
    assert mixed({0: plain[0]}, rated, 1.0) == rated
