"""What the log says of a candidate policy, and how far that is to be trusted, in plain words.

Estimates are for the mean request of the log, believing at each what was believed then. The gain over the policy in
force is that of paired values, so that what both share cancels: its lower end is what a gate may rely on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learner.evaluation import Estimate
from learner.hindsight import Hindsight, rewards
from learner.robust import KINDS, NAMES, Kind, Log, Name, Support, support, value
from learner.state import LearnerState

LEAST_DECISIONS, LEAST_EFFECTIVE, LEAST_LABELS = 100, 50, 30
MOST_UNSUPPORTED, MOST_ON_MODEL, LEAST_REPRODUCED = 0.1, 0.2, 0.8

NEEDS: Mapping[Name, str] = {
    "replay": "every eligible model drawn equally often by the log; keeps the decisions that the candidate would have "
    "taken too",
    "ips": "true propensities, and every way of the candidate in the log: what the log does not show counts as 0",
    "snips": "the same as ips; steadier, and biased where few decisions count or ways are missing",
    "dr": "true propensities or a right reward model; ways that are missing in the log rest on beliefs, and widen the "
    "interval",
}

Values = Mapping[Name, Mapping[Kind, Estimate]]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the log says of a candidate.

    Args:
        decisions: Routed requests that counted.
        labels: Of these, how many were rated.
        reproduced: Share of them in which the log's own policy, asked again, did what was logged.
        support: How far the log carries the candidate; None without any decision.
        estimates: By estimator and kind, of the candidate.
        in_force: The same of the policy in force.
        gains: Of the candidate over it.
        trusted: By estimator.
        warnings: Why not, and what else to heed.
    """

    decisions: int
    labels: int
    reproduced: float
    support: Support | None
    estimates: Values
    in_force: Values
    gains: Values
    trusted: Mapping[Name, bool]
    warnings: tuple[str, ...]

    @property
    def trust(self) -> bool:
        """Whether the best estimator that was asked for is to be trusted; doubly robust is the best."""
        return next((self.trusted[name] for name in reversed(NAMES) if name in self.trusted), False)


def assess(state: LearnerState, hindsight: Hindsight, names: Sequence[Name] = NAMES) -> Assessment:
    """Value a candidate on a log.

    Args:
        state: What is known at the end of the log.
        hindsight: The log; its policies are the one in force and the candidate.
        names: The estimators to use.
    """
    n = len(hindsight.requests)
    if n < 2:
        told = (f"{n} routed decisions in the window: there is nothing to estimate from; widen it, or wait",)
        return Assessment(n, 0, 0.0, None, {}, {}, {}, dict.fromkeys(names, False), told)
    log, rewarded = hindsight.log(), rewards(state, hindsight.requests)
    base, target = hindsight.target(0, rewarded), hindsight.target(1, rewarded)
    known = Known(n, rewarded.labels, hindsight.reproduced / n, support(log, target), log.is_uniform)
    return Assessment(
        n, known.labels, known.reproduced, known.support,
        estimates={name: {kind: value(log, target, kind, name) for kind in KINDS} for name in names},
        in_force={name: {kind: value(log, base, kind, name) for kind in KINDS} for name in names},
        gains={name: {kind: value(log, target, kind, name, base) for kind in KINDS} for name in names},
        trusted={name: known.trusts(name) for name in names},
        warnings=tuple(known.warnings(log, names)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What decides about trust."""

    decisions: int
    labels: int
    reproduced: float
    support: Support
    is_uniform: bool

    def trusts(self, name: Name) -> bool:
        """Tell whether an estimator is to be trusted."""
        enough = self.decisions >= LEAST_DECISIONS and self.labels >= LEAST_LABELS
        if not enough or self.support.effective_n < LEAST_EFFECTIVE or self.reproduced < LEAST_REPRODUCED:
            return False
        if name == "dr":
            return self.support.model <= MOST_ON_MODEL
        return self.support.unsupported <= MOST_UNSUPPORTED and (name != "replay" or self.is_uniform)

    def warnings(self, log: Log, names: Sequence[Name]) -> list[str]:
        """Say what speaks against the estimates."""
        told = self.support
        speaks = {
            f"only {self.decisions} routed decisions, fewer than {LEAST_DECISIONS}: an interval of so few is rough": (
                self.decisions < LEAST_DECISIONS
            ),
            "no answer was rated: quality is what judges and agreement say, and nothing corrects its level": (
                self.labels == 0
            ),
            f"only {self.labels} of {self.decisions} answers were rated, fewer than {LEAST_LABELS}: quality is nearly "
            "what judges and agreement say": 0 < self.labels < LEAST_LABELS,
            "ratings are selected: who rates, and how often wrongly, is known only as far as the channel has learned "
            "it; that doubt is in the intervals": self.labels > 0,
            f"the effective sample size is {told.effective_n:.0f} of {self.decisions}, less than {LEAST_EFFECTIVE}: "
            "the log seldom chose as the candidate would": told.effective_n < LEAST_EFFECTIVE,
            f"{told.unsupported:.0%} of what the candidate would do is not in the log: replay and snips leave it out, "
            "ips counts it as 0": told.unsupported > MOST_UNSUPPORTED,
            f"{told.model:.0%} of what the candidate would do rests on beliefs alone: dr takes them to be as wrong "
            "there as elsewhere at worst": told.model > MOST_ON_MODEL,
            f"the largest weight is {told.largest:.3g}; dr clips it at {told.clip:.3g}": told.largest > told.clip,
            f"the log's own policy, asked again, does what was logged in {self.reproduced:.0%} of the decisions only: "
            "requests had limits that are not stored, ran at the same time, or the configuration was another one": (
                self.reproduced < LEAST_REPRODUCED
            ),
            "the log did not draw every model equally often: replay is biased": (
                "replay" in names and not log.is_uniform
            ),
        }
        return [text for text, applies in speaks.items() if applies]
