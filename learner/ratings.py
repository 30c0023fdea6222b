"""What has been said of one answer, and which of it stands.

An answer may get a thumb, then a rating, then the outcome that the operator measures, each of them corrected later.
What stands is a function of the last value of every metric, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learner.quality import UNLABELLED, Label

DEMONSTRATION = "demonstration"
RANKS = {"comment": 0, "thumbs": 1, "rating": 2, DEMONSTRATION: 4}
DECLARED_RANK = 3


@dataclass(frozen=True, slots=True)
class Rating:
    """The last value of one metric.

    Args:
        reward: In [0, 1].
        is_binary: Whether it is a thumb, which may be pressed by mistake.
        share: One through the number of answers of the episode that was rated; None where the answer itself was.
    """

    reward: float
    is_binary: bool
    share: float | None = None


def standing(ratings: Mapping[tuple[str, bool], Rating]) -> Rating | None:
    """Return what stands of all that was said of an answer; None where nothing was.

    What was said of the answer itself stands before what was said of its episode; then a demonstration before declared
    metrics, these before a rating, a thumb and a comment. Several declared metrics stand together, as their mean.

    Args:
        ratings: By metric, and whether it is the episode that was rated.
    """
    if len(ratings) < 2:
        return next(iter(ratings.values()), None)
    own = {metric: rating for (metric, of_episode), rating in ratings.items() if not of_episode}
    said = own or {metric: rating for (metric, _), rating in ratings.items()}
    highest = max(rank(metric) for metric in said)
    first, *others = (said[metric] for metric in sorted(said) if rank(metric) == highest)
    if not others:
        return first
    shares = [rating.share for rating in (first, *others) if rating.share is not None]
    mean = (first.reward + sum(rating.reward for rating in others)) / (1 + len(others))
    return Rating(mean, is_binary=False, share=min(shares, default=None))


def rank(metric: str) -> int:
    """Return how much a metric counts against others: the higher one stands."""
    return RANKS.get(metric, DECLARED_RANK)


def mixed(plain: Mapping[int, Label], rated: Mapping[int, Label], share: float) -> dict[int, Label]:
    """Return labels that lie a share of the way from those without any rating to those of a rating, by arm."""
    arms = sorted({*plain, *rated})
    return {arm: _between(plain.get(arm, UNLABELLED), rated.get(arm, UNLABELLED), share) for arm in arms}


def _between(plain: Label, rated: Label, share: float) -> Label:
    before, after = (1.0 - share) * plain.weight, share * rated.weight
    value = (before * plain.value + after * rated.value) / (before + after)
    return Label(before + after, value, plain.is_level or rated.is_level)
