"""What the whole pool looked like lately: the measure of what is learned next.

A fit of all arms takes longer than learning one answer, and one answer hardly moves it. So lessons are measured by a
fit that is made anew once a twentieth of what is known of any arm is news: far less than the doubt about it. Readers
are given what is known by now. Only what is learned moves the measure: a state learns the same whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MOST_NEWS = 0.05

Fitted = TypeVar("Fitted")


@dataclass(slots=True)
class Lately(Generic[Fitted]):
    """The last fit, and how much is new since.

    Args:
        fitted: None where nothing was fitted yet, or it says nothing any more.
        news: What was learned since of each arm, as a share of what was known of it.
    """

    fitted: Fitted | None = None
    news: dict[int, float] = field(default_factory=dict)

    def told(self, fit: Callable[[], Fitted]) -> Fitted:
        """Return the last fit, or another one where there is news enough."""
        if self.fitted is None or max(self.news.values(), default=0.0) > MOST_NEWS:
            self.fitted, self.news = fit(), {}
        return self.fitted

    def learned(self, arm: int, share: float) -> None:
        """Note that so much is new of an arm."""
        self.news[arm] = self.news.get(arm, 0.0) + share
