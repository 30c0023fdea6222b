"""Rows of the log to events of the learner: the one translation, used live and in recovery alike.

Context and propensity are those of the stored decision, never computed again. An inference whose features have another
version teaches nothing about quality: it is passed over, and its spend is in the ledger all the same. Feedback that
came while the answer still streamed had nothing to teach about then: it is told again, right after its request.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from app.schemas.pool import ModelEntry
from app.storage.repository import Logged
from app.storage.tables import CallRow, DecisionRow, FeedbackRow
from learner.pool import Arm, ArmState
from learner.state import LearnerState
from learner.types import (
    Call,
    Context,
    Demonstrated,
    Event,
    Frozen,
    Happened,
    JudgeScore,
    Missed,
    Objective,
    ObjectiveChanged,
    Parameters,
    ParametersChanged,
    PoolChanged,
    Probed,
    Rated,
    Recorded,
    Served,
)

# Stages whose answer was merged by a model that was asked for nothing else.
MERGED = ("synthesize", "decompose")


def to_events(logged: Logged, feature_version: str) -> list[Event]:
    """Translate one logged event, and after a request the feedback on it that came early; empty if it teaches nothing.

    Feedback on an answer that never became whole, since its stream broke off or was cancelled, teaches nothing.
    """
    told = (logged, *(_told_again(logged, feedback) for feedback in logged.early))
    events = (_event(each, feature_version) for each in told)
    return [event for event in events if event is not None]


def fold(state: LearnerState, logged: Logged, *, is_missed: bool = False) -> None:
    """Tell the state a logged event; of what was missed in a freeze, only what has not been in force since it came.

    Raises:
        LearnerError: the event names what the pool never had.
    """
    for event in to_events(logged, state.features.version):
        if not is_missed:
            state.apply(event, logged.at)
        elif isinstance(event, Happened):
            state.apply(Missed(event), logged.at)


def _told_again(logged: Logged, feedback: FeedbackRow) -> Logged:
    assert feedback.event_seq is not None  # the log gave it to us
    return replace(logged, seq=feedback.event_seq, kind="feedback", ref=feedback.id, feedback=feedback)


def _event(logged: Logged, feature_version: str) -> Event | None:
    match logged.kind:
        case "model" | "objective" | "key" | "policy" | "freeze":
            return _said(logged)
        case "request" | "comparison" | "probe":
            served = served_of(logged, feature_version)
            return Probed(served) if served is not None and logged.kind == "probe" else served
        case "recorded":
            return _recorded(logged, feature_version)
        case "feedback":
            return _rated_or_demonstrated(logged, feature_version)


def _said(logged: Logged) -> Event | None:
    """Translate what the operator, or re-tuning, said."""
    match logged.kind:
        case "model":
            entry = ModelEntry.model_validate(logged.body["entry"])
            return PoolChanged(arm_of(entry, logged.body["state"]), logged.body.get("arrives", False))
        case "objective":
            return ObjectiveChanged(_objective(logged.body))
        case "key":
            own = logged.body["objective"]
            return ObjectiveChanged(None if own is None else _objective(own), account=logged.ref)
        case "policy":
            return _parameters_changed(logged.body)
        case "freeze":
            return Frozen(logged.body["frozen"], logged.body["by"])
    return None


def _objective(body: dict[str, Any]) -> Objective:
    values = [value for name, value in body.items() if name != "kind"]
    return Objective(body["kind"], values[0] if values else None)


def _parameters_changed(body: dict[str, Any]) -> ParametersChanged:
    if "champion" not in body:
        # Logged before there were challengers: the parameters alone.
        return ParametersChanged(Parameters(**body))
    champion, challenger = Parameters(**body["champion"]), body["challenger"]
    if challenger is None:
        return ParametersChanged(champion)
    return ParametersChanged(champion, Parameters(**challenger), body["share"], body["phase"])


def arm_of(entry: ModelEntry, state: ArmState) -> Arm:
    """Return a model of the pool as the learner's arm."""
    return Arm(
        id=entry.id,
        input_usd_per_mtok=entry.price.input_usd_per_mtok,
        output_usd_per_mtok=entry.price.output_usd_per_mtok,
        context_tokens=entry.context_tokens,
        prior_quality=entry.prior_quality,
        capabilities=frozenset(entry.capabilities),
        is_routable=entry.routable,
        state=state,
    )


def served_of(logged: Logged, feature_version: str) -> Served | None:
    """Return an inference with all its calls, the ones of this event marked fresh."""
    decision = logged.decision
    if decision is None or decision.feature_version != feature_version:
        return None
    calls = tuple(_call(row) for row in logged.calls)
    fresh = tuple(i for i, row in enumerate(logged.calls) if row.event_seq == logged.seq)
    return Served(
        inference_id=decision.id,
        context=unpack_context(decision.context, decision.feature_version),
        calls=calls,
        scores=tuple(JudgeScore(s.judge, s.step, s.score) for s in logged.judge_scores),
        answered_step=_answered_step(decision, logged.calls),
        fresh=fresh,
        # A part is paid for by the request it belongs to, and no request to be counted by itself.
        is_request=logged.kind == "request" and decision.parent_id is None,
        propensity=decision.propensity,
        account=decision.key_id,
        query_seal=decision.query_seal,
        confidence=decision.confidence,
        policy=decision.policy_version if _is_policys(decision) else None,
    )


def _is_policys(decision: DecisionRow) -> bool:
    """Tell whether a version of the policy has a request's outcome to answer for."""
    return decision.stage != "pinned" and decision.control is None and decision.status != "cancelled"


def _rated_or_demonstrated(logged: Logged, feature_version: str) -> Rated | Demonstrated | None:
    feedback = logged.feedback
    served = served_of(logged, feature_version)
    if feedback is None or served is None:
        return None
    if feedback.seal is not None:
        return Demonstrated(served, feedback.seal, feedback.user)
    if feedback.reward is None:
        return None
    return Rated(served, feedback.metric, feedback.reward, is_binary(feedback), feedback.user, feedback.share)


def _recorded(logged: Logged, feature_version: str) -> Recorded | None:
    rows = logged.recorded
    if not rows or rows[0].feature_version != feature_version:
        return None
    calls = tuple(
        Call(r.model, i, input_tokens=r.input_tokens, output_tokens=r.output_tokens, group=r.answer_group)
        for i, r in enumerate(rows)
    )
    return Recorded(unpack_context(rows[0].context, feature_version), calls, tuple(r.quality for r in rows))


def is_binary(feedback: FeedbackRow) -> bool:
    """Tell a thumb, which may be pressed by mistake, from a rating, which is taken as it is.

    A comment's reward is read from its words, so that it says no more than a thumb. A declared metric of true and false
    is a thumb as far as it is all or nothing; a reward in between is what the operator says that value is worth.
    """
    return feedback.reward in (0.0, 1.0) and (isinstance(feedback.value, bool) or feedback.metric == "comment")


def _answered_step(decision: DecisionRow, calls: tuple[CallRow, ...]) -> int | None:
    given = "synthesis" if decision.stage in MERGED else "answer"
    answers = [c for c in calls if c.purpose == given and c.outcome == "ok" and c.model == decision.answer_model]
    return answers[-1].step if answers else None


def _call(row: CallRow) -> Call:
    return Call(
        arm=row.model,
        step=row.step,
        purpose=row.purpose,
        outcome=row.outcome,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=row.cost_usd,
        latency_s=row.latency_s,
        group=row.answer_group,
        explored_share=row.explored_share,
        evidence=row.evidence,
        seal=row.seal,
    )


def pack_context(context: Context) -> bytes:
    """Write a context as float32: familiarity, characters, number of categories, their probabilities, the features."""
    head = [context.familiarity, float(context.input_chars), float(len(context.categories))]
    return np.concatenate([head, context.categories, context.vector]).astype("<f4").tobytes()


def unpack_context(packed: bytes, feature_version: str) -> Context:
    """Read back what `pack_context` wrote."""
    values = np.frombuffer(packed, "<f4").astype(np.float64)
    familiarity, chars, count = values[:3]
    split = 3 + int(count)
    return Context(feature_version, values[split:], values[3:split], float(familiarity), int(chars))
