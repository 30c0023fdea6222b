"""What an alarm does: most of what it speaks against is forgotten, and the arm is explored for a while.

That two arms are twins is an alarm too: each has spoken for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def forget_praise(shares: Mapping[int, float], quality: Quality, stacker: Stacker, trust: Trust) -> None:
    """Forget of two arms that turn out to be twins what they have told for each other, and what that told of the rest.

    Where both are new it is nearly all, of the others too: together they had outvoted them. Where one was well known
    before the other came, it has learned little from it, and so have the others.

    Args:
        shares: By twin, the share of its comparisons in which the other one gave the same answer, in [0, 1].
        quality: Forgets that share of each twin, and the smaller one of all others.
        stacker: Forgets as much as the others do, since ratings were held against what the twins claimed.
        trust: Its clock of labels leaps with it.
    """
    kept = {arm: max(1.0 - share, KEPT_AFTER_PRAISE) for arm, share in shares.items()}
    of_others = max(kept.values())
    stacker.forget(of_others)
    for arm in range(len(quality.arms)):
        quality.shrink(arm, kept.get(arm, of_others))
        trust.forgotten(arm, kept.get(arm, of_others))
