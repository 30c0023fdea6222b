"""Alarms: has an arm become another one behind its name?

A Page-Hinkley test (River) per arm on the standardised residual (y − q̂)/σ, so that a change of the traffic's
difficulty, which the estimates follow, raises no alarm. On an alarm the state forgets most of what it knew of the arm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from river.drift import PageHinkley

MIN_INSTANCES = 30
DELTA = 0.15
THRESHOLD = 35.0
QUIET_AFTER_ALARM = 50
KEPT_AFTER_ALARM = 0.2


def detector() -> PageHinkley:
    """Return a fresh two-sided test."""
    return PageHinkley(min_instances=MIN_INSTANCES, delta=DELTA, threshold=THRESHOLD, mode="both")


@dataclass(slots=True)
class DriftMonitor:
    """One detector per arm, how long it still keeps quiet after its last alarm, and the alarms so far."""

    detectors: dict[str, PageHinkley] = field(default_factory=dict)
    quiet: dict[str, int] = field(default_factory=dict)
    alarms: list[dict[str, float | str]] = field(default_factory=list)

    def update(self, arm: str, *, y: float, expected: float, at_observation: int) -> bool:
        """Take in one label of an arm; returns whether this raised an alarm.

        Args:
            arm: Id of the arm.
            y: The label in [0, 1].
            expected: Quality that was believed before it, in [0, 1].
            at_observation: Number of observations the learner has seen, to date the alarm.
        """
        if self.quiet.get(arm, 0) > 0:
            # While the belief catches up with the change, its return to normal would look like another one.
            self.quiet[arm] -= 1
            return False
        test = self.detectors.get(arm) or self.detectors.setdefault(arm, detector())
        residual = (y - expected) / math.sqrt(max(expected * (1.0 - expected), 0.02))
        test.update(residual)
        if not test.drift_detected:
            return False
        self.detectors[arm], self.quiet[arm] = detector(), QUIET_AFTER_ALARM
        self.alarms = [*self.alarms[-19:], {"model": arm, "observation": at_observation, "residual": residual}]
        return True


def dump(test: PageHinkley) -> dict[str, float]:
    """Return the test's running sums as plain numbers."""
    mean = test._x_mean
    return {
        "n": mean.n, "mean": mean.get(), "up": test._sum_increase, "down": test._sum_decrease,
        "min_up": test._min_increase, "max_down": test._max_decrease,
    }  # fmt: skip


def restore(values: Mapping[str, float]) -> PageHinkley:
    """Rebuild a test from what `dump` returned."""
    test = detector()
    test._x_mean.n, test._x_mean._mean = values["n"], values["mean"]
    test._sum_increase, test._sum_decrease = values["up"], values["down"]
    test._min_increase, test._max_decrease = values["min_up"], values["max_down"]
    return test
