"""What has been learned, as plain numbers for people: the same state that decides, so the two cannot drift apart."""

from __future__ import annotations

from typing import Any

from learner.calibration import Calibration
from learner.drift import DELTA, THRESHOLD, described
from learner.honest import Estimate
from learner.jury import UNHEARD
from learner.quality import interval
from learner.stacker import JUDGE
from learner.state import LearnerState

MIN_OBSERVATIONS = 20
MIN_LABELS = 50


def report(state: LearnerState) -> dict[str, Any]:
    """Describe a state: every model's quality with its interval, the judges' weights, thresholds and alarms."""
    view, objective = state.view(), state.accounts.everybody.objective
    return {
        "observations": state.observations,
        "requests": state.requests,
        "lambda": view.lambda_,
        "policy": state.parameters.name,
        "objective": {"kind": objective.kind, "value": objective.value},
        "reason": _reason(state.observations),
        "models": _models(state),
        "judges": _judges(state),
        "thresholds": {
            "depth": state.parameters.depth,
            "margin": state.parameters.margin,
            "drift_delta": DELTA,
            "drift_threshold": THRESHOLD,
        },
        "agreement": {"spread": view.joint.spread, "coincidence": view.joint.coincidence},
        "context_weight": dict(zip(("familiar", "unfamiliar"), state.quality.gates(), strict=True)),
        "categories": list(state.taxonomy.names),
        "calibration": _calibration(state.stacker.calibration),
        "exploration": {"spent_usd": state.ledger.explored_usd, "allowance_usd": state.ledger.allowance_usd},
        "drift": [described(alarm, state.taxonomy.names) for alarm in state.drift.alarms],
        "channel": _channel(state),
        "raters": _raters(state),
    }


def _calibration(of: Calibration) -> dict[str, Any]:
    """Describe how well probabilities keep their word: the error as it stands, by chance alone, and without that."""
    return {"ece": of.ece, "ece_by_chance": of.by_chance, "ece_debiased": of.debiased, "n": of.n}


def _reason(observations: int) -> str | None:
    if observations < MIN_OBSERVATIONS:
        return f"learning; {observations} observations are few, {MIN_OBSERVATIONS} make a first picture"
    return None


def _models(state: LearnerState) -> dict[str, Any]:
    quality = state.quality.view()
    calls = state.cost.calls.sum(axis=1)
    tokens = state.cost.output_tokens.sum(axis=1)
    rows = {}
    for i, arm in enumerate(state.arms):
        mean, count = float(quality.means[i]), float(quality.counts[i])
        seen = max(float(calls[i]), 1e-9)
        into, out = float(state.cost.input_tokens[i]) / seen, float(tokens[i]) / seen
        rows[arm.id] = {
            "state": arm.state,
            "reason": arm.reason,
            "quality": mean,
            "interval": list(interval(mean, count)),
            "observations": count,
            "cost_usd": arm.cost_usd(into, out) if calls[i] > 0 else None,
            "latency_s": float(state.cost.seconds[i]) / seen if calls[i] > 0 else None,
            "share": float(state.shares[i]),
            "routable": arm.is_routable,
            "twins": [other.id for k, other in enumerate(state.arms) if (min(i, k), max(i, k)) in state.twins.pairs],
            "honest": _honest(state, i),
        }
    return rows


def _honest(state: LearnerState, arm: int) -> dict[str, Any] | None:
    """Describe the quality of the answers that an arm gave, overall and by category; None where it gave none."""
    honest, names = state.trust.honest, state.taxonomy.names
    rated = state.trust.channel.rated
    overall = honest.of_arm(arm, rated)
    if overall is None:
        return None
    by_category = {name: honest.of_category(arm, k, rated) for k, name in enumerate(names)}
    probed = state.trust.probes.supported(arm)
    return _estimate(overall) | {
        "supported_by_probes": None if probed is None else [min(max(bound, 0.0), 1.0) for bound in probed],
        "categories": {name: _estimate(found) for name, found in by_category.items() if found is not None},
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "interval": [found.low, found.high],
        "n_answers": found.answers,
        "n_labelled": found.labelled,
    }


def _channel(state: LearnerState) -> dict[str, Any]:
    """Describe how thumbs come about in every category, and how many spoke for that."""
    channel = state.trust.channel
    told = channel.counts[1:].sum(axis=(0, 1))
    names = ("flip_down", "flip_up", "pressed_good", "pressed_bad")
    return {
        category: dict(zip(names, rates, strict=True)) | {"n": float(n)}
        for category, rates, n in zip(state.taxonomy.names, channel.table().T.tolist(), told, strict=True)
    }


def _raters(state: LearnerState) -> dict[str, Any]:
    """Describe who rates: how many, how many press against all else, and how many ratings counted for less."""
    kinds = {"users": state.trust.users, "keys": state.trust.keys}
    described = {
        kind: {"known": len(r.known), "distrusted": r.distrusted, "damped": r.damped, "bursts": r.bursts}
        for kind, r in kinds.items()
    }
    return described | {"unsupported": state.trust.unsupported}


def _judges(state: LearnerState) -> dict[str, Any]:
    weights, labelled = state.stacker.view().weights, state.stacker.calibration.n
    known = sorted({*state.stacker.jury.judges, *state.stacker.judges})
    external = {judge: _judge(state, judge) for judge in known}
    built_in = {"agreement": "prior", "length": "length", "format": "json_invalid", "logprob": "logprob"}
    return external | {
        name: {"weight": weights.get(feature, 0.0), "ece": state.stacker.calibration.ece, "n": labelled}
        for name, feature in built_in.items()
    }


def _judge(state: LearnerState, judge: str) -> dict[str, Any]:
    stacker, view = state.stacker, state.stacker.view()
    calibration = stacker.judges.get(judge, Calibration())
    reading = view.readings.get(judge, UNHEARD)
    return {
        "weight": view.weight(JUDGE + judge),
        **_calibration(calibration),
        "weight_without_labels": reading.slope,
        "reliability": calibration.reliability,
        "asked": sum(n for (heard, _), n in stacker.heard.items() if heard == judge)
        / max(sum(stacker.answers.values()), 1),
        "by_category": {
            state.taxonomy.names[category]: _judge_in(state, judge, category) for category in sorted(stacker.answers)
        },
    }


def _judge_in(state: LearnerState, judge: str, category: int) -> dict[str, Any]:
    """Describe a judge in one category; its calibration only where there are labels enough to tell it from chance."""
    stacker, name = state.stacker, JUDGE + judge
    view = stacker.view()
    calibration = stacker.by_category.get((judge, category), Calibration())
    return {
        "weight": view.weight(name) + view.offsets.get(category, {}).get(name, 0.0),
        "ece": calibration.ece if calibration.n >= MIN_LABELS else None,
        "n": calibration.n,
        "asked": stacker.heard.get((judge, category), 0) / max(stacker.answers[category], 1),
    }
