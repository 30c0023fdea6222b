"""What one inference has taught so far: later news of it is learned in place of this, not on top."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from learner.quality import Label

REMEMBERED = 20_000


@dataclass(slots=True)
class Lesson:
    """What was learned of one inference, and what was believed before.

    Args:
        labels: By arm, as they were counted.
        quality: What was believed of each arm when its answer was first seen, so that a correction ends where the right
            rating alone would have ended.
        rating: The last reward, whether it came from a thumb, and what it counts for.
        seen: What was believed of the answer when it was served.
        apart: The same, apart from what is believed of any model; None where nothing else tells.
    """

    labels: dict[int, Label] = field(default_factory=dict)
    quality: dict[int, float] = field(default_factory=dict)
    rating: tuple[float, bool, float] | None = None
    seen: float | None = None
    apart: float | None = None


def lesson_of(lessons: OrderedDict[str, Lesson], inference_id: str) -> Lesson:
    """Return the lesson of an inference, begun where there is none; the oldest are forgotten."""
    lesson = lessons.setdefault(inference_id, Lesson())
    while len(lessons) > REMEMBERED:
        lessons.popitem(last=False)
    return lesson
