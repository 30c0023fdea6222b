"""An answer that one arm made of the answers of others: what is believed of it, and what a rating of it teaches.

It is nobody's own answer to the query: neither the arm that wrote it nor one that it was made of is credited with it as
if it had answered alone. What it states may be what some of them stated. Then it is believed as they are, and a rating
of it says something of them: that is all it teaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from learner.answered import Answered
from learner.channel import Rates
from learner.labels import believed, to_labels, trust_of, within
from learner.policy import View
from learner.quality import Label
from learner.types import Call, Context, JudgeScore, Rated, Served


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged answer, that of call `step`: the log-likelihood ratio of the evidence on it, and P(good), calibrated."""

    step: int
    evidence: float
    right: float


def believed_merge(view: View, context: Context, calls: Sequence[Call], scores: Sequence[JudgeScore]) -> Merged:
    """Judge the last merged answer of a request like any other: by its own evidence, upon the belief in what it states.

    That belief is the posterior of the answers that state the same; where there are none, the quality of its arm.

    Args:
        view: What is believed.
        context: Features of the query.
        calls: All calls of the request, one merge that was answered among them.
        scores: The judges' scores.
    """
    merge = last_merge(calls)
    assert merge is not None  # the caller has just made it, or the log says so
    own = view.answered(context, [replace(merge, purpose="answer")], scores)
    evidence = float(own.answers.evidence[0])
    told = view.answered(context, calls, scores)
    agreeing = [told.prior_logits[at] for at in agreeing_with(merge, told, calls)]
    prior = max(agreeing) if agreeing else own.prior_logits[0]
    return Merged(merge.step, evidence, view.stacker.calibrated(prior, evidence))


def last_merge(calls: Sequence[Call]) -> Call | None:
    """Return the last merged answer, if there is any."""
    return next((c for c in reversed(calls) if c.purpose == "synthesis" and c.outcome == "ok"), None)


def is_merge(served: Served) -> bool:
    """Tell whether the answer that was served is a merged one."""
    merge = last_merge(served.calls)
    return merge is not None and merge.step == served.answered_step


def agreeing_with(merge: Call, answered: Answered, calls: Sequence[Call]) -> list[int]:
    """Return the positions of the answers that state what the merged one states."""
    groups = {call.step: call.group for call in calls if call.purpose not in ("judge", "synthesis", "plan")}
    return [at for at, step in enumerate(answered.steps) if merge.group is not None and groups[step] == merge.group]


def merged_labels(rated: Rated, answered: Answered, rates: Rates, *, weight: float = 1.0) -> dict[int, Label]:
    """Label the arms a merged answer was made of by a rating of it; nothing where none of them states the same.

    The rating sets the belief in the group of answers that the merged one agrees with, and by Jeffrey's rule that in
    all others. It teaches nothing of the arm that merged, nor of judges and evidence, since the text was another one.
    """
    merge, answers = last_merge(rated.served.calls), answered.answers
    if merge is None or not is_merge(rated.served) or answers.after is None:
        return {}
    agreeing = agreeing_with(merge, answered, rated.served.calls)
    if not agreeing:
        return {}
    at = agreeing[0]
    before = float(answered.right[at])
    taken = before + weight * (believed(rated, before, rates) - before)
    told = answers.after.told(answers.groups[at], within(taken))
    return to_labels(answered.arms, answers.quality, told, trust=trust_of(weight))
