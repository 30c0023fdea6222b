"""State to bytes and back: plain numbers and arrays, never code.

A snapshot is a JSON manifest beside numpy arrays in one `npz`; loading refuses pickles. The manifest names the schema
and the feature version, so that a snapshot that means something else is refused instead of misread. What is restored
is equal, bit for bit, to what was saved.
"""

from __future__ import annotations

import hashlib
import io
import json
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import asdict, astuple
from typing import Any

import numpy as np

from learner import drift, gate
from learner.accounts import Accounts
from learner.arrivals import Arrival, Arrivals
from learner.budget import Controller
from learner.calibration import Calibration
from learner.channel import Channel
from learner.cost import Cost, Foreseen
from learner.ease import Ease
from learner.errors import SnapshotIncompatible
from learner.estimators import BayesianLogistic, Columns, DiscountedRidge
from learner.exploration import Ledger
from learner.features import Features
from learner.honest import HonestQuality
from learner.joint import Joint
from learner.jury import Jury, Reading
from learner.lately import Fitted, Lately
from learner.lessons import Lesson, Lessons
from learner.pool import Arm
from learner.probes import Probes
from learner.quality import GAMMA, RIDGE_PRECISION, Fit, Label, Quality
from learner.raters import Rater, Raters
from learner.ratings import Rating
from learner.recovery import Recovery, Watch
from learner.references import Reference, References
from learner.scatter import Scatter
from learner.stacker import Stacker, local_logistic, prior
from learner.state import LearnerState
from learner.taxonomy import Taxonomy
from learner.trust import Trust
from learner.twins import Twins
from learner.types import FloatArray, Freeze, Objective, Parameters

SCHEMA = 12
QUALITY_ARRAYS = ("sums", "gate_evidence")
COST_ARRAYS = ("sums", "chars", "input_tokens", "seconds")
TAXONOMY_ARRAYS = ("centroids", "scale", "provisional", "recurrences")
LOGISTIC_ARRAYS = ("mean", "precision", "information", "recent", "features")
# What reading bytes raises that are no snapshot, or no longer one.
DAMAGED = (ValueError, OSError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
STATE_ARRAYS = ("deviation", "comparable", "stated", "upsides", "shares")


def dump(state: LearnerState) -> bytes:
    """Return the whole state as bytes."""
    manifest = {
        "schema": SCHEMA,
        "features": state.features.version,
        "arms": [asdict(arm) | {"capabilities": sorted(arm.capabilities)} for arm in state.arms],
        "categories": state.taxonomy.names,
        "accounts": asdict(state.accounts),
        "ledger": asdict(state.ledger),
        "parameters": asdict(state.parameters),
        "stacker_features": state.stacker.logistic.columns.names,
        "judges": list(state.stacker.judges),
        "judges_by_category": list(state.stacker.by_category),
        "offsets": {category: own.columns.names for category, own in state.stacker.offsets.items()},
        "jury": _jury_values(state.stacker.jury),
        "scatter": astuple(state.stacker.scatter),
        "heard": [[*key, n] for key, n in state.stacker.heard.items()],
        "judgeable": state.stacker.answers,
        "drift": _drift_values(state.drift),
        "recovery": [astuple(watch) for watch in state.recovery.watches],
        "freeze": None if state.freeze is None else astuple(state.freeze),
        "lessons": {i: _lesson_values(lesson) for i, lesson in state.lessons.recent.items()},
        "rated": {i: _lesson_values(lesson) for i, lesson in state.lessons.rated.items()},
        "references": {i: (kept.query, kept.answer) for i, kept in state.references.kept.items()},
        "trust": {
            "users": asdict(state.trust.users),
            "keys": asdict(state.trust.keys),
            "unsupported": state.trust.unsupported,
        },
        "arrivals": {arm: asdict(arrival) for arm, arrival in state.arrivals.known.items()},
        "contest": None if state.contest is None else gate.dump(state.contest),
        "observations": state.observations,
        "requests": state.requests,
    }
    buffer = io.BytesIO()
    stored: dict[str, Any] = {"manifest": np.frombuffer(json.dumps(manifest).encode(), np.uint8), **_arrays(state)}
    np.savez_compressed(buffer, **stored)
    return buffer.getvalue()


def checksum(body: bytes) -> str:
    """Return the SHA-256 of a snapshot, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def _arrays(state: LearnerState) -> dict[str, FloatArray]:
    arrays = {f"quality.{n}": getattr(state.quality, n) for n in QUALITY_ARRAYS}
    arrays |= {f"cost.{n}": getattr(state.cost, n) for n in COST_ARRAYS}
    arrays |= {f"taxonomy.{n}": getattr(state.taxonomy, n) for n in TAXONOMY_ARRAYS}
    arrays |= {f"state.{n}": getattr(state, n) for n in STATE_ARRAYS}
    for i, ridge in enumerate(state.quality.ridges):
        arrays |= _ridge_arrays(ridge, f"ridge{i}")
    arrays |= _lately_arrays(state.quality.lately, "fit") | _lately_arrays(state.cost.lately, "foreseen")
    ease = state.quality.ease
    arrays |= {"ease.features": ease.features, "ease.weights": ease.weights, "ease.evidence": np.array(ease.evidence)}
    arrays |= _ridge_arrays(ease.ridge, "ease")
    arrays |= _learned(state.stacker.logistic, "stacker")
    arrays["joint.loglik"], arrays["twins"] = state.joint.loglik, np.array([state.twins.evidence, state.twins.agreed])
    arrays |= _trust_arrays(state.trust)
    arrays["references"] = np.array([kept.direction for kept in state.references.kept.values()])
    stacker = state.stacker
    arrays["jury.moments"] = stacker.jury.moments
    for category, own in stacker.offsets.items():
        arrays |= _learned(own, f"offset{category}")
    calibrations = [stacker.calibration, *stacker.judges.values(), *stacker.by_category.values()]
    arrays["calibration"] = np.array([[c.count, c.stated, c.came, c.squares] for c in calibrations])
    return arrays


def load(body: bytes, features: Features) -> LearnerState:
    """Rebuild a state.

    Raises:
        SnapshotIncompatible: the bytes are damaged, or of another schema or feature version.
    """
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        manifest = json.loads(arrays.pop("manifest").tobytes())
        made_by = manifest["schema"], manifest["features"]
        if made_by == (SCHEMA, features.version):
            return _restore(manifest, arrays, features)
    except DAMAGED as err:
        raise SnapshotIncompatible(f"the snapshot of {len(body)} bytes cannot be read: {err}") from err
    raise SnapshotIncompatible(
        f"the snapshot has schema {made_by[0]} and features {made_by[1]}, this version needs {SCHEMA} and "
        f"{features.version}"
    )


def _restore(manifest: dict[str, Any], arrays: dict[str, FloatArray], features: Features) -> LearnerState:
    arms = [Arm(**arm | {"capabilities": frozenset(arm["capabilities"])}) for arm in manifest["arms"]]
    state = LearnerState(
        features=features,
        taxonomy=Taxonomy(tuple(manifest["categories"]), *(arrays[f"taxonomy.{n}"] for n in TAXONOMY_ARRAYS)),
        quality=_quality(arms, arrays, features.size),
        accounts=_accounts(manifest["accounts"]),
        ledger=Ledger(**manifest["ledger"]),
        parameters=Parameters(**manifest["parameters"]),
        cost=_cost(arms, arrays),
        stacker=_stacker(manifest, arrays),
        joint=Joint(arrays["joint.loglik"]),
        twins=Twins(*arrays["twins"]),
        drift=_drift(manifest["drift"]),
        recovery=Recovery([Watch(*watch) for watch in manifest["recovery"]]),
        freeze=None if manifest["freeze"] is None else Freeze(*manifest["freeze"]),
        trust=_trust(manifest["trust"], arrays),
        arms=arms,
        lessons=Lessons(_lessons(manifest["lessons"]), _lessons(manifest["rated"])),
        references=_references(manifest["references"], arrays["references"]),
        arrivals=Arrivals({arm: Arrival(**values) for arm, values in manifest["arrivals"].items()}),
        contest=None if manifest["contest"] is None else gate.restore(manifest["contest"]),
        observations=manifest["observations"],
        requests=manifest["requests"],
    )
    for name in STATE_ARRAYS:
        setattr(state, name, arrays[f"state.{name}"])
    return state


def _drift_values(monitor: drift.DriftMonitor) -> dict[str, Any]:
    return {
        "streams": [[*key, drift.dump(stream)] for key, stream in monitor.streams.items()],
        "scales": [[*key, *astuple(scale)] for key, scale in monitor.scales.items()],
        "alarms": [astuple(alarm) for alarm in monitor.alarms],
        "raised": monitor.raised,
    }


def _drift(values: dict[str, Any]) -> drift.DriftMonitor:
    streams = {(kind, arm, at): drift.restore(kind, sums) for kind, arm, at, sums in values["streams"]}
    scales = {
        (kind, arm): drift.Scale(
            seen, spread, together, last, {int(k): (n, centre) for k, (n, centre) in centres.items()}
        )
        for kind, arm, seen, spread, together, last, centres in values["scales"]
    }
    alarms = [drift.Alarm(*alarm) for alarm in values["alarms"]]
    return drift.DriftMonitor(streams, scales, alarms, values["raised"])


def _accounts(values: dict[str, Any]) -> Accounts:
    return Accounts(_controller(values["everybody"]), {a: _controller(own) for a, own in values["own"].items()})


def _controller(values: dict[str, Any]) -> Controller:
    return Controller(**{**values, "objective": Objective(**values["objective"])})


def _lesson_values(lesson: Lesson) -> list[Any]:
    labels = {arm: astuple(label) for arm, label in lesson.labels.items()}
    ratings = [(*key, *astuple(rating)) for key, rating in lesson.ratings.items()]
    weights = list(lesson.weights.items())
    return [labels, lesson.quality, ratings, lesson.reference, lesson.is_weighed, weights, lesson.seen, lesson.apart]


def _lessons(values: dict[str, Any]) -> OrderedDict[str, Lesson]:
    return OrderedDict((i, _lesson(each)) for i, each in values.items())


def _lesson(values: list[Any]) -> Lesson:
    labels, quality, ratings, reference, is_weighed, weights, seen, apart = values
    return Lesson(
        {int(arm): Label(*label) for arm, label in labels.items()},
        {int(arm): believed for arm, believed in quality.items()},
        {(metric, of_episode): Rating(*values) for metric, of_episode, *values in ratings},
        reference,
        is_weighed,
        dict(weights),
        seen,
        apart,
    )


def _trust_arrays(trust: Trust) -> dict[str, FloatArray]:
    return {
        "trust.channel": trust.channel.counts,
        "trust.answers": trust.channel.answers,
        "trust.honest": trust.honest.sums,
        "trust.probes": trust.probes.sums,
        "trust.ages": trust.ages,
    }


def _trust(values: dict[str, Any], arrays: dict[str, FloatArray]) -> Trust:
    return Trust(
        channel=Channel(arrays["trust.channel"], arrays["trust.answers"]),
        users=_raters(values["users"]),
        keys=_raters(values["keys"]),
        honest=HonestQuality(arrays["trust.honest"]),
        probes=Probes(arrays["trust.probes"]),
        ages=arrays["trust.ages"],
        unsupported=values["unsupported"],
    )


def _raters(values: dict[str, Any]) -> Raters:
    known = ((name, _rater(rater)) for name, rater in values["known"].items())
    return Raters(**{**values, "known": OrderedDict(known)})


def _rater(values: dict[str, Any]) -> Rater:
    labels = {int(arm): (weight, total, age) for arm, (weight, total, age) in values["labels"].items()}
    return Rater(**{**values, "labels": labels})


def _references(seals: dict[str, list[str]], directions: FloatArray) -> References:
    kept = zip(seals.items(), directions, strict=True)
    return References(OrderedDict((i, Reference(query, answer, towards)) for (i, (query, answer)), towards in kept))


def _quality(arms: list[Arm], arrays: dict[str, FloatArray], size: int) -> Quality:
    quality = Quality(size, list(arms))
    for name in QUALITY_ARRAYS:
        setattr(quality, name, arrays[f"quality.{name}"])
    for i in range(len(arms)):
        quality.ridges.append(DiscountedRidge(prior_precision=RIDGE_PRECISION, gamma=GAMMA))
        _fill_ridge(quality.ridges[i], arrays, f"ridge{i}")
    known = arrays["ease.features"], arrays["ease.weights"]
    ease = quality.ease = Ease(*known, evidence=float(arrays["ease.evidence"]))
    _fill_ridge(ease.ridge, arrays, "ease")
    if arms:
        quality.set_priors()
    quality.lately = _lately(Fit, arrays, "fit")
    return quality


def _lately_arrays(lately: Lately[Any], name: str) -> dict[str, FloatArray]:
    parts = {} if lately.fitted is None else lately.fitted._asdict()
    news = np.array(list(lately.news.items())).reshape(-1, 2)
    return {f"{name}.{part}": values for part, values in parts.items()} | {f"{name}.news": news}


def _lately(kind: type[Fitted], arrays: dict[str, FloatArray], name: str) -> Lately[Fitted]:
    parts = {part.removeprefix(f"{name}."): values for part, values in arrays.items() if part.startswith(f"{name}.")}
    news = {int(arm): share for arm, share in parts.pop("news").tolist()}
    return Lately(kind(**parts) if parts else None, news)


def _ridge_arrays(ridge: DiscountedRidge, name: str) -> dict[str, FloatArray]:
    since = np.array(float(ridge.since_forgetting))
    return {f"{name}.mean": ridge.mean, f"{name}.covariance": ridge.covariance, f"{name}.since": since}


def _fill_ridge(ridge: DiscountedRidge, arrays: dict[str, FloatArray], name: str) -> None:
    ridge.mean, ridge.covariance = arrays[f"{name}.mean"], arrays[f"{name}.covariance"]
    ridge.since_forgetting = int(arrays[f"{name}.since"])


def _cost(arms: list[Arm], arrays: dict[str, FloatArray]) -> Cost:
    cost = Cost(list(arms))
    for name in COST_ARRAYS:
        setattr(cost, name, arrays[f"cost.{name}"])
    if arms:
        cost.set_prices()
    cost.lately = _lately(Foreseen, arrays, "foreseen")
    return cost


def _stacker(manifest: dict[str, Any], arrays: dict[str, FloatArray]) -> Stacker:
    stacker = Stacker()
    names = manifest["stacker_features"]
    stacker.jury = _jury(manifest["jury"], arrays["jury.moments"])
    stacker.logistic.columns = Columns(names)
    stacker.logistic.believe(*prior(names, stacker.jury.readings))
    _fill(stacker.logistic, arrays, "stacker")
    stacker.scatter = Scatter(*manifest["scatter"])
    calibrations = [Calibration(*rows) for rows in arrays["calibration"]]
    judged = len(manifest["judges"])
    stacker.calibration = calibrations[0]
    stacker.judges = dict(zip(manifest["judges"], calibrations[1 : 1 + judged], strict=True))
    keys = [(judge, category) for judge, category in manifest["judges_by_category"]]
    stacker.by_category = dict(zip(keys, calibrations[1 + judged :], strict=True))
    for category, names in manifest["offsets"].items():
        own = stacker.offsets[int(category)] = local_logistic(names)
        _fill(own, arrays, f"offset{category}")
    stacker.heard = {(judge, category): n for judge, category, n in manifest["heard"]}
    stacker.answers = {int(category): n for category, n in manifest["judgeable"].items()}
    return stacker


def _learned(logistic: BayesianLogistic, name: str) -> dict[str, FloatArray]:
    return {f"{name}.{part}": getattr(logistic, part) for part in LOGISTIC_ARRAYS}


def _fill(logistic: BayesianLogistic, arrays: dict[str, FloatArray], name: str) -> None:
    for part in LOGISTIC_ARRAYS:
        setattr(logistic, part, arrays[f"{name}.{part}"])


def _jury_values(jury: Jury) -> dict[str, Any]:
    readings = {judge: astuple(reading) for judge, reading in jury.readings.items()}
    return {"judges": jury.judges, "readings": readings, "since": jury.since}


def _jury(values: dict[str, Any], moments: FloatArray) -> Jury:
    readings = {judge: Reading(*reading) for judge, reading in values["readings"].items()}
    return Jury(values["judges"], moments, readings, values["since"])
