"""What the whole pool looked like lately: the measure of what is learned next.

A fit of all arms takes longer than learning one answer, and one answer hardly moves it. So lessons are measured by a
fit that is made anew before a twentieth of what is known of any arm is news: far less than the doubt about it. Readers
are given what is known by now. Only what is learned moves the measure: a state learns the same whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST_NEWS = 0.05

Fitted = TypeVar("Fitted")


@dataclass(slots=True)
class Lately(Generic[Fitted]):
    """The last fit, and how much is new since.

    Args:
        fitted: None where nothing was fitted yet, or it says nothing any more.
        news: Sum of what was learned since, each as a share of what was known of its arm.
    """

    fitted: Fitted | None = None
    news: float = 0.0

    def told(self, fit: Callable[[], Fitted]) -> Fitted:
        """Return the last fit, or another one where there is news enough."""
        if self.fitted is None or self.news > MOST_NEWS:
            self.fitted, self.news = fit(), 0.0
        return self.fitted
