"""Alarms: has a model become another one behind its name, or dearer, or slower?

Page-Hinkley tests (Page, Biometrika 41 (1954) 100) on standardised residuals, one per model and one per model and
category: of quality (y − q̂)/σ where an answer was rated, of cost and latency the logarithm's distance from what was
usual there. So a change of the traffic, which estimates and centres follow, raises no alarm. What an alarm does is in
`learner.alarms`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Literal

from learner.types import Call

Kind = Literal["quality", "cost", "latency"]

MIN_INSTANCES = 30
DELTA = 0.15
MEASURED_DELTA = 0.25
THRESHOLD = 35.0
FADING = 0.9999
LEAST_VARIANCE = 0.06
QUIET_AFTER_ALARM = 50
REMEMBERED = 20
# Of the running mean of residuals, which says how large a change was.
RECENT = 0.05
# Of the running centre and spread of a logarithm.
SLOWEST = 0.003
WARM_UP = 10
CLIP = 3.0
FIRST_SPREAD = 0.5
MOST_CORRELATION = 0.75
# Of a standard normal value that is cut off at one deviation.
NEAR_VARIANCE = 0.516
LEAST_SPREAD = 0.05
LEAST_LATENCY_S = 1e-3
# Weights of the first values in a running mean.
RATES = tuple(max((1.0 if seen < MIN_INSTANCES else 0.3) / (seen + 1), SLOWEST) for seen in range(round(0.3 / SLOWEST)))

Key = tuple[Kind, str, int | None]
"""What a test watches: the kind, the arm, and the category; None for all of them."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm.

    Args:
        kind: What has changed.
        model: Id of the arm.
        category: Position of the category in which it has; None where it has altogether.
        direction: Where to.
        size: How far, in standard deviations of one observation; negative where it went down.
        at_s: When it was raised, in unix seconds as logged.
        observation: Number of observations the learner had seen by then.
    """

    kind: Kind
    model: str
    category: int | None
    direction: Literal["up", "down"]
    size: float
    at_s: float
    observation: int


def delta_of(kind: Kind) -> float:
    """Return the change of which a test takes no notice, in standard deviations."""
    return DELTA if kind == "quality" else MEASURED_DELTA


@dataclass(slots=True)
class Stream:
    """One two-sided test, River's `drift.PageHinkley` in half of its time, since four of them see every call.

    Args:
        delta: Change of which it takes no notice.
        recent: Running mean of what it saw lately.
        quiet: For how many residuals it still keeps quiet after its last alarm.
        seen: Residuals since it began.
        mean: Their mean.
        risen: Sum of their distances from the mean less delta, which slowly fades, and the least that it was.
        fallen: The same with delta added, and the most that it was.
    """

    delta: float = DELTA
    recent: float = 0.0
    quiet: int = 0
    seen: int = 0
    mean: float = 0.0
    risen: float = 0.0
    fallen: float = 0.0
    least_risen: float = math.inf
    most_fallen: float = -1.0

    def rises(self, residual: float) -> float | None:
        """Take in a residual; returns by how much residuals have changed where that raises an alarm."""
        if self.quiet > 0:
            # While what is usual catches up with the change, its return to normal would look like another one.
            self.quiet -= 1
            return None
        self.recent += RECENT * (residual - self.recent)
        self.seen = seen = self.seen + 1
        self.mean = mean = self.mean + (1.0 / seen) * (residual - self.mean)
        self.risen = risen = FADING * self.risen + (residual - mean) - self.delta
        self.fallen = fallen = FADING * self.fallen + (residual - mean) + self.delta
        if risen < self.least_risen:
            self.least_risen = risen
        if fallen > self.most_fallen:
            self.most_fallen = fallen
        is_up = risen - self.least_risen > THRESHOLD
        if seen < MIN_INSTANCES or not (is_up or self.most_fallen - fallen > THRESHOLD):
            return None
        moved = abs(self.recent - self.mean)
        self.begin_anew()
        return moved if is_up else -moved

    def begin_anew(self) -> None:
        """Forget what was seen, and keep quiet for a while."""
        self.recent, self.quiet = 0.0, QUIET_AFTER_ALARM
        self.seen, self.mean, self.risen, self.fallen = 0, 0.0, 0.0, 0.0
        self.least_risen, self.most_fallen = math.inf, -1.0


@dataclass(slots=True)
class Scale:
    """What is usual of a logarithm that depends on the category: centres, one spread, and counts of what was seen.

    Extremes are cut off at three spreads, here and in the residuals: one hanging call is no change. Slow calls come
    together: a sum of such has (1 + r) / (1 − r) times the variance of one of independent values, and residuals are
    measured by that.

    Args:
        seen: Residuals so far.
        spread: Standard deviation of one value.
        together: Correlation of a residual with the one before.
        last: The residual before, cut off at one spread.
        centres: By category, how often it was seen and what is usual there.
    """

    seen: int = 0
    spread: float = FIRST_SPREAD
    together: float = 0.0
    last: float = 0.0
    centres: dict[int, tuple[int, float]] = field(default_factory=dict)

    def residual(self, value: float, category: int) -> float | None:
        """Return how far a value lies from what is usual, in spreads, and take it in; None while little is known."""
        known, centre = self.centres.get(category, (0, value))
        spread = self.spread
        off = cut_off(value - centre, CLIP * spread)
        self.centres[category] = known + 1, centre + rate_after(known) * off
        if known < WARM_UP:
            return None
        found = off / spread
        self.seen += 1
        rate = rate_after(self.seen + WARM_UP)
        self.spread = max(math.sqrt(spread**2 + rate * (off * off - spread**2)), LEAST_SPREAD)
        # Of residuals cut off at one spread, so that a change is not taken for correlation.
        near = cut_off(found, 1.0)
        self.together = together = self.together + rate * (near * self.last / NEAR_VARIANCE - self.together)
        self.last = near
        r = min(max(together, 0.0), MOST_CORRELATION)
        return found * math.sqrt((1.0 - r) / (1.0 + r)) if self.seen > MIN_INSTANCES else None


def rate_after(seen: int) -> float:
    """Return the weight of one more value in a running mean: of the first ones their mean, later a slow one.

    It slows down at once where enough was seen for alarms: a mean that follows a change hides it.
    """
    return RATES[seen] if seen < len(RATES) else SLOWEST


def cut_off(value: float, most: float) -> float:
    """Return the value nearest to one that lies between −most and most."""
    return most if value > most else -most if value < -most else value


@dataclass(slots=True)
class DriftMonitor:
    """All tests and scales, the latest alarms, and how many there were.

    Args:
        at_s: Time of the event that is being learned, in unix seconds.
    """

    streams: dict[Key, Stream] = field(default_factory=dict)
    scales: dict[tuple[Kind, str], Scale] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    raised: int = 0
    at_s: float = 0.0

    def rated(self, arm: str, category: int, y: float, expected: float, *, observation: int) -> list[Alarm]:
        """Take in one label of an arm; returns the alarm that this raised, if any.

        Args:
            arm: Id of the arm.
            category: Position of the query's category.
            y: The label in [0, 1].
            expected: Quality that was believed before it, in [0, 1].
            observation: Number of observations the learner has seen, to date the alarm.
        """
        residual = (y - expected) / math.sqrt(max(expected * (1.0 - expected), LEAST_VARIANCE))
        alarm = self._take("quality", arm, category, residual, observation)
        return [] if alarm is None else [alarm]

    def called(self, call: Call, category: int, *, expected: float, observation: int) -> list[Alarm]:
        """Take in one call that was answered; returns the alarms that this raised.

        Args:
            call: The call.
            category: Position of the query's category.
            expected: Output tokens that were foreseen: prices are known, and act at once.
            observation: Number of observations the learner has seen, to date the alarm.
        """
        cost = math.log((call.output_tokens + 1.0) / (expected + 1.0))
        latency = math.log(call.latency_s + LEAST_LATENCY_S)
        dearer = self._measure("cost", call.arm, category, cost, observation)
        slower = self._measure("latency", call.arm, category, latency, observation)
        return [alarm for alarm in (dearer, slower) if alarm is not None]

    def _measure(self, kind: Kind, arm: str, category: int, value: float, observation: int) -> Alarm | None:
        scale = self.scales.get((kind, arm))
        if scale is None:
            scale = self.scales[kind, arm] = Scale()
        residual = scale.residual(value, category)
        if residual is None or (alarm := self._take(kind, arm, category, residual, observation)) is None:
            return None
        self.scales[kind, arm] = Scale()
        return alarm

    def _take(self, kind: Kind, arm: str, category: int, residual: float, observation: int) -> Alarm | None:
        """Tell the arm's test and the one of its category; where both would raise an alarm, it is the arm's."""
        for place in (None, category):
            stream = self.streams.get((kind, arm, place))
            if stream is None:
                stream = self.streams[kind, arm, place] = Stream(delta_of(kind))
            moved = stream.rises(residual)
            if moved is not None:
                return self._raise(kind, arm, place, moved, observation)
        return None

    def _raise(self, kind: Kind, arm: str, place: int | None, moved: float, observation: int) -> Alarm:
        # One change is one alarm: the tests that saw the same residuals begin anew.
        for (other, of, where), stream in self.streams.items():
            if other == kind and of == arm and (place is None or where is None):
                stream.begin_anew()
        alarm = Alarm(kind, arm, place, "up" if moved > 0.0 else "down", moved, self.at_s, observation)
        self.alarms = [*self.alarms[1 - REMEMBERED :], alarm]
        self.raised += 1
        return alarm


def dump(stream: Stream) -> list[float]:
    """Return a stream's running sums as plain numbers."""
    return list(astuple(stream)[1:])


def restore(kind: Kind, values: list[float]) -> Stream:
    """Rebuild a stream of a kind from what `dump` returned."""
    recent, quiet, seen, *sums = values
    return Stream(delta_of(kind), recent, int(quiet), int(seen), *sums)


def described(alarm: Alarm, categories: Mapping[int, str] | tuple[str, ...]) -> dict[str, float | str | None]:
    """Return an alarm as people read it, its category by name."""
    return {
        "kind": alarm.kind,
        "model": alarm.model,
        "category": None if alarm.category is None else categories[alarm.category],
        "direction": alarm.direction,
        "size": alarm.size,
        "at": alarm.at_s,
        "observation": alarm.observation,
    }
