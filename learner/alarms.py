"""What an alarm does: most of what it speaks against is forgotten, and the arm is explored for a while.

That some arms are twins is an alarm too: together they had outvoted all others.
"""

from __future__ import annotations

from collections.abc import Sequence

from learner.cost import Cost
from learner.drift import Alarm
from learner.pool import Arm
from learner.quality import Quality
from learner.recovery import KEPT_COUNT, Recovery
from learner.stacker import Stacker
from learner.trust import Trust

KEPT_AFTER_ALARM = 0.2
KEPT_AFTER_PRAISE = 0.03


def heed(alarm: Alarm, arm: int, quality: Quality, trust: Trust, cost: Cost, recovery: Recovery) -> None:
    """Forget four fifths of what an alarm speaks against; one of quality opens a quota of exploration.

    Args:
        alarm: The alarm.
        arm: Position of its arm.
        quality: Forgets after an alarm of quality, of the category alone where it is one of a category.
        trust: Its clock of labels leaps with it.
        cost: Forgets after an alarm of cost or latency.
        recovery: Keeps the quota.
    """
    if alarm.kind != "quality":
        cost.forget(arm, KEPT_AFTER_ALARM, alarm.category)
        return
    if alarm.category is None:
        quality.shrink(arm, KEPT_AFTER_ALARM)
        trust.forgotten(arm, KEPT_AFTER_ALARM)
    else:
        quality.shrink_category(arm, alarm.category, KEPT_AFTER_ALARM)
    recovery.alarmed(arm, has_fallen=alarm.direction == "down")


def revise(recovery: Recovery, arms: Sequence[Arm], request: int, quality: Quality, trust: Trust) -> None:
    """Open the quotas of arms that nobody has asked for long, and again of those that did better than believed.

    Args:
        recovery: Keeps the quotas.
        arms: The pool.
        request: Number of requests so far.
        quality: Forgets most of what it knew of an arm that is looked at again, and still believes its mean.
        trust: Its clock of labels leaps with it.
    """
    for arm in recovery.stale(arms, request):
        recovery.look_again(arm, float(quality.means()[0][arm]), request)
        kept = quality.age(arm, KEPT_COUNT)
        trust.forgotten(arm, kept)
    for arm in recovery.done():
        recovery.judge(arm, float(quality.means()[0][arm]))


def forget_praise(quality: Quality, stacker: Stacker, trust: Trust) -> None:
    """Forget nearly all that was learned under the vote of twins: every quality, and how far to believe agreement."""
    stacker.forget(KEPT_AFTER_PRAISE)
    for arm in range(len(quality.arms)):
        quality.shrink(arm, KEPT_AFTER_PRAISE)
        trust.forgotten(arm, KEPT_AFTER_PRAISE)
