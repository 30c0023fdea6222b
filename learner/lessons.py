"""What one inference has taught so far: later news of it is learned in place of this, not on top."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from learner.answered import Answered
from learner.channel import Rates
from learner.demonstrations import demonstrated_labels, verdicts
from learner.labels import RatedLabels, agreement_labels, rated_labels
from learner.merge import merged_labels
from learner.quality import Label
from learner.ratings import DEMONSTRATION, Rating, mixed, standing
from learner.types import Demonstrated, Rated, Served

# Of each kind.
REMEMBERED = 20_000


@dataclass(slots=True)
class Lesson:
    """What was said and learned of one inference.

    `quality` keeps what was believed of each arm when its answer was first seen, so that a correction ends where the
    right rating alone would have ended; `ratings` is what was said of it, by metric and whether of its episode, and
    `reference` the seal of the demonstrated answer. `is_weighed` tells that it has moved the judges' weights.

    `weights` says what its ratings count for, by whether they are of its episode: what the first of them counted for.
    One that counts for nothing is not noted. `seen` is what was believed of the answer when it was served, and `apart`
    the same apart from what is believed of any model, None where nothing else tells.
    """

    labels: dict[int, Label] = field(default_factory=dict)
    quality: dict[int, float] = field(default_factory=dict)
    ratings: dict[tuple[str, bool], Rating] = field(default_factory=dict)
    reference: str | None = None
    is_weighed: bool = False
    weights: dict[bool, float] = field(default_factory=dict)
    seen: float | None = None
    apart: float | None = None

    @property
    def own(self) -> Rating | None:
        """What stands of all that was said of the answer itself, not of its episode."""
        return standing({key: rating for key, rating in self.ratings.items() if rating.share is None})

    def weight(self, event: Rated | Demonstrated) -> float | None:
        """Return what a rating or demonstration counts for as one that corrects or joins another; None if none came."""
        return self.weights.get(is_of_episode(event))

    def hear(self, event: Rated | Demonstrated, weight: float) -> bool:
        """Note a rating in place of an earlier one by the same metric, or a demonstration in place of an earlier one.

        Args:
            event: What was said.
            weight: What it counts for, in [0, 1]; where that is nothing, it is only noted that something was said.

        Returns:
            Whether something else stands now.
        """
        self.weights[is_of_episode(event)] = weight
        if weight == 0.0:
            return False
        before = standing(self.ratings), self.reference
        if isinstance(event, Demonstrated):
            self._demonstrate(event.seal, event.served)
        else:
            said = Rating(event.reward, event.is_binary, event.share)
            self.ratings[event.metric, is_of_episode(event)] = said
        return (standing(self.ratings), self.reference) != before

    def _demonstrate(self, seal: str, served: Served) -> None:
        """Note what the answer should have been; that rates the answer served, if the two can be compared."""
        self.reference = seal
        self.ratings.pop((DEMONSTRATION, False), None)
        told = verdicts(seal, served)
        if served.answered_step in told:
            self.ratings[DEMONSTRATION, False] = Rating(float(told[served.answered_step]), is_binary=False)

    def teach(self, served: Served, answered: Answered, rates: Rates) -> tuple[Mapping[int, Label], RatedLabels | None]:
        """Return the labels of what stands, and the rating of the served answer itself if there is one."""
        said = standing(self.ratings)
        rating = Rated(served, "", said.reward, said.is_binary) if said else None
        weight = self.weights[said.share is not None] if said else 0.0
        rated = rated_labels(rating, answered, rates, weight=weight) if rating is not None else None
        told = verdicts(self.reference, served) if self.reference is not None else {}
        if told:
            # What is said of an episode moves neither the judges' weights nor the alarms.
            own = rated if said is not None and said.share is None else None
            return demonstrated_labels(answered, told, weight=self.weights[False]), own
        if rated is not None and said is not None and said.share is None:
            return rated.labels, rated
        plain = agreement_labels(answered)
        if said is None or rating is None:
            return plain, None
        if rated is None or said.share is None:
            return merged_labels(rating, answered, rates, weight=weight) or plain, None
        return mixed(plain, rated.labels, said.share), None


@dataclass(slots=True)
class Lessons:
    """The lessons of the newest inferences, and of the newest rated ones: those may be corrected for weeks."""

    recent: OrderedDict[str, Lesson] = field(default_factory=OrderedDict)
    rated: OrderedDict[str, Lesson] = field(default_factory=OrderedDict)

    def known(self, inference_id: str) -> Lesson | None:
        """Return what an inference has taught so far, if that is remembered."""
        return self.rated.get(inference_id) or self.recent.get(inference_id)

    def of(self, inference_id: str) -> Lesson:
        """Return what an inference has taught so far; a new lesson where that is nothing, which is remembered."""
        if (known := self.known(inference_id)) is not None:
            return known
        lesson = self.recent[inference_id] = Lesson()
        while len(self.recent) > REMEMBERED:
            oldest, old = self.recent.popitem(last=False)
            if old.weights:
                self.rated[oldest] = old
        while len(self.rated) > REMEMBERED:
            self.rated.popitem(last=False)
        return lesson


def is_of_episode(event: Rated | Demonstrated) -> bool:
    """Tell what is said of an episode from what is said of one answer."""
    return isinstance(event, Rated) and event.share is not None
