"""What one inference has taught so far: later news of it is learned in place of this, not on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learner.demonstrations import demonstrated_labels, verdicts
from learner.labels import RatedLabels, agreement_labels, rated_labels
from learner.merge import merged_labels
from learner.policy import Answered, View
from learner.quality import Label
from learner.ratings import DEMONSTRATION, Rating, mixed, standing
from learner.types import Rated, Served


@dataclass(slots=True)
class Lesson:
    """What was said and learned of one inference.

    `quality` keeps what was believed of each arm when its answer was first seen, so that a correction ends where the
    right rating alone would have ended; `ratings` is what was said of it, by metric and whether of its episode, and
    `reference` the seal of the demonstrated answer. `is_weighed` tells that it has moved the judges' weights.
    """

    labels: dict[int, Label] = field(default_factory=dict)
    quality: dict[int, float] = field(default_factory=dict)
    ratings: dict[tuple[str, bool], Rating] = field(default_factory=dict)
    reference: str | None = None
    is_weighed: bool = False

    @property
    def own(self) -> Rating | None:
        """What stands of all that was said of the answer itself, not of its episode."""
        return standing({key: rating for key, rating in self.ratings.items() if rating.share is None})

    def rate(self, event: Rated) -> None:
        """Note a rating in place of an earlier one by the same metric."""
        said = Rating(event.reward, event.is_binary, event.share)
        self.ratings[event.metric, event.share is not None] = said

    def demonstrate(self, seal: str, served: Served) -> None:
        """Note what the answer should have been; that rates the answer served, if the two can be compared."""
        self.reference = seal
        self.ratings.pop((DEMONSTRATION, False), None)
        told = verdicts(seal, served)
        if served.answered_step in told:
            self.ratings[DEMONSTRATION, False] = Rating(float(told[served.answered_step]), is_binary=False)

    def teach(self, view: View, served: Served, answered: Answered) -> tuple[Mapping[int, Label], RatedLabels | None]:
        """Return the labels of what stands, and the rating of the served answer itself if there is one."""
        said = standing(self.ratings)
        rating = Rated(served, "", said.reward, said.is_binary) if said else None
        rated = rated_labels(view, rating, answered) if rating is not None else None
        told = verdicts(self.reference, served) if self.reference is not None else {}
        if told:
            return demonstrated_labels(answered, told), rated
        plain = agreement_labels(answered)
        if said is None or rating is None:
            return plain, None
        if rated is None:
            return merged_labels(rating, answered) or plain, None
        if said.share is not None:
            return mixed(plain, rated.labels, said.share), None
        return rated.labels, rated
