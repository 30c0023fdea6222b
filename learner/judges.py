"""The evidence on an answer, as far as it is one's own: format, length, log-probability, and the judges' opinions.

All of it are features of one kind, each a named number that is missing where there is none, so that one regression
(`learner.stacker`) serves every subset.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from learner.estimators import logit
from learner.types import JudgeScore

MOST_CERTAIN = 4.0


def judge_feature(score: float) -> float:
    """Log-odds of a judge's score, clipped to ±4: beyond that, scores tell how a judge writes, not what it saw."""
    return min(max(logit(score), -MOST_CERTAIN), MOST_CERTAIN)


def features_of(
    signals: Mapping[str, float],
    scores: Iterable[JudgeScore],
    *,
    output_tokens: int,
    expected_tokens: float,
    usually_stated: float = 1.0,
) -> dict[str, float]:
    """Collect the evidence on one answer: its own signals and its length against the norm, and the judges' scores.

    `usually_stated`, in [0, 1], says how often replies to such queries state their answer: that one does not is a fault
    only as far as others do.
    """
    features = {name: value for name, value in signals.items() if value}
    if "unstated" in features:
        features["unstated"] = usually_stated
    features["length"] = math.log((output_tokens + 5.0) / (expected_tokens + 5.0))
    for score in scores:
        features[f"judge:{score.judge}"] = judge_feature(score.score)
    return features
