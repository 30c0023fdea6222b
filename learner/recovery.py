"""Recovery: who fell is looked at again, rarely, so that a healed model comes back.

What is known of an arm ages. After an alarm, and when an arm that was parked or fell has given no answer for a thousand
requests, a quota of answers is opened: until they have come it is explored as if nearly nothing were known of it,
within the allowance of all exploration. Where it does better than was believed, the quota is opened again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from learner.pool import SERVING, Arm
from learner.types import FloatArray

STALE_AFTER = 1_000
ALARM_QUOTA = 20
PROBE_QUOTA = 5
# Observations that are left of what is known of an arm when it is looked at again.
KEPT_COUNT = 4.0
# Standard deviation of the quality of an arm that is looked at again.
DOUBT = 0.3
# Gain in believed quality by which the answers of a quota open it again.
BETTER = 0.04


@dataclass(slots=True)
class Watch:
    """What is kept of one arm.

    Args:
        last: Number of the request that it last answered, or at which it came.
        quota: Answers for which it is still explored.
        level: What was believed of it when the quota was opened; None while there is none to judge.
        has_fallen: Whether its last alarm was that it became worse.
    """

    last: int = 0
    quota: int = 0
    level: float | None = None
    has_fallen: bool = False


@dataclass(slots=True)
class Recovery:
    """The watches, by the position of the arm."""

    watches: list[Watch] = field(default_factory=list)

    def add(self, request: int) -> None:
        """Watch one more arm."""
        self.watches.append(Watch(last=request))

    def answered(self, arm: int, request: int) -> bool:
        """Note an answer; returns whether it was the last of a quota."""
        watch = self.watches[arm]
        watch.last = request
        if watch.quota == 0:
            return False
        watch.quota -= 1
        return watch.quota == 0

    def alarmed(self, arm: int, *, has_fallen: bool) -> None:
        """Open a quota after an alarm; what its answers are worth is for the evidence to say, and opens no further."""
        watch = self.watches[arm]
        watch.quota, watch.level, watch.has_fallen = ALARM_QUOTA, None, has_fallen

    def done(self) -> list[int]:
        """Return the arms whose quota has been answered and not yet judged."""
        return [i for i, watch in enumerate(self.watches) if watch.quota == 0 and watch.level is not None]

    def judge(self, arm: int, quality: float) -> None:
        """Open an arm's quota again where its answers were better than believed, else leave it alone."""
        watch = self.watches[arm]
        if watch.level is not None and quality >= watch.level + BETTER:
            watch.quota, watch.level = PROBE_QUOTA, quality
        else:
            watch.level = None

    def stale(self, arms: Sequence[Arm], request: int) -> list[int]:
        """Return the arms to look at again."""
        return [
            i
            for i, (arm, watch) in enumerate(zip(arms, self.watches, strict=True))
            if request - watch.last >= STALE_AFTER
            and watch.quota == 0
            and (arm.state == "parked" or (watch.has_fallen and arm.state in SERVING))
        ]

    def look_again(self, arm: int, quality: float, request: int) -> None:
        """Open the quota of an arm that has given no answer for long."""
        watch = self.watches[arm]
        watch.last, watch.quota, watch.level = request, PROBE_QUOTA, quality

    @property
    def doubts(self) -> FloatArray:
        """Least standard deviation of every arm's quality, shape (m,)."""
        return np.array([DOUBT if watch.quota else 0.0 for watch in self.watches])
