"""How often do the alarms of `learner.drift` ring without a reason, and how soon with one?

One seeded command prints two tables. Stationary streams of several kinds: alarms per 10,000 observations, all of a
model and its categories together; the bar is one. Streams that change once: the share of changes that were noticed
within a thousand observations, and after how many at the median.

Qualities are Bernoulli with a probability that differs by category and query. They are predicted with an error that
follows the labels, differs by category and wanders. Tokens and latencies are lognormal, with a long tail of slow calls;
predictions of tokens are biased and noisy. Latencies may be correlated, as where an upstream is busy for a while.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from learner.drift import Alarm, DriftMonitor, Kind
from learner.types import Call

CATEGORIES = 8
CHANGE_AT, NOTICED_WITHIN = 1_000, 1_000
FORGETS = 0.997
TAIL_SHARE, TAIL = 0.02, 2.0
MOST_FALSE = 1.0


@dataclass(frozen=True, slots=True)
class Labels:
    """A stream of rated answers of one model.

    Args:
        level: Mean quality, in (0, 1).
        step: Change of quality at observation `CHANGE_AT`.
    """

    level: float
    step: float = 0.0

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"quality {self.level:g}"

    def alarms(self, seed: int, n: int) -> Iterator[Alarm]:
        """Yield the alarms of n observations."""
        rng, monitor, wander = np.random.default_rng([seed, 1]), DriftMonitor(), 0.0
        by_category = rng.normal(0.0, 0.08, CATEGORIES)
        count, total = 20.0, 20.0 * self.level
        for i in range(n):
            category, query = int(rng.integers(CATEGORIES)), 0.1 * float(rng.normal())
            wander = 0.99 * wander + math.sqrt(1.0 - 0.99**2) * 0.02 * float(rng.normal())
            known = self.level + by_category[category] + query
            quality = within(known + 0.1 * rng.normal() + (self.step if i >= CHANGE_AT else 0.0))
            seen = 0.7 * by_category[category] + 0.5 * query + 0.05 * rng.normal()
            y = float(rng.random() < quality)
            found = monitor.rated("model", category, y, within(total / count + seen + wander), observation=i)
            count, total = FORGETS * count + 1.0, FORGETS * total + y
            if found:
                count, total = 0.2 * count, 0.2 * total
            yield from found


@dataclass(frozen=True, slots=True)
class Calls:
    """A stream of answered calls of one model.

    Args:
        kind: What is looked at.
        spread: Standard deviation of the logarithm of a category's tokens and latencies.
        together: Correlation of a latency's logarithm with the one before.
        factor: By which tokens and latencies change at observation `CHANGE_AT`.
    """

    kind: Kind
    spread: float
    together: float = 0.0
    factor: float = 1.0

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.kind} {self.spread:g}" + (f", correlated {self.together:g}" if self.together else "")

    def alarms(self, seed: int, n: int) -> Iterator[Alarm]:
        """Yield the alarms of n observations."""
        rng, monitor, load = np.random.default_rng([seed, 2]), DriftMonitor(), 0.0
        by_category = rng.normal(0.0, 0.6, CATEGORIES)
        for i in range(n):
            category = int(rng.integers(CATEGORIES))
            load = self.together * load + math.sqrt(1.0 - self.together**2) * float(rng.normal())
            slow = float(rng.exponential(TAIL)) if rng.random() < TAIL_SHARE else 0.0
            usual = by_category[category] + (math.log(self.factor) if i >= CHANGE_AT else 0.0)
            tokens = 200.0 * math.exp(usual + self.spread * rng.normal())
            latency_s = math.exp(usual + self.spread * load + slow)
            call = Call("model", 0, output_tokens=round(tokens), latency_s=latency_s)
            foreseen = 200.0 * math.exp(by_category[category] + self.spread**2 / 2.0 + 0.1 * rng.normal())
            found = monitor.called(call, category, expected=foreseen, observation=i)
            yield from (alarm for alarm in found if alarm.kind == self.kind)


Stream = Labels | Calls


def within(quality: float) -> float:
    """Keep a probability away from certainty."""
    return min(max(quality, 0.02), 0.98)


def stationary() -> list[Stream]:
    """Return the streams that never change."""
    qualities: list[Stream] = [Labels(level) for level in (0.3, 0.5, 0.7, 0.85, 0.95)]
    costs = [Calls("cost", spread) for spread in (0.1, 0.4, 0.8)]
    latencies = [Calls("latency", s, r) for s, r in ((0.1, 0.0), (0.4, 0.0), (0.8, 0.0), (0.4, 0.5), (0.4, 0.8))]
    return [*qualities, *costs, *latencies]


def changes() -> list[tuple[str, Stream]]:
    """Return the streams that change once, with the change in words."""
    falls = ((0.85, -0.5), (0.85, -0.3), (0.85, -0.2), (0.85, -0.1), (0.7, -0.2), (0.5, 0.3))
    told: list[tuple[str, Stream]] = [(f"{step:+g}", Labels(level, step)) for level, step in falls]
    kinds: tuple[Kind, ...] = ("cost", "latency")
    for stream in (*(Calls(kind, 0.4) for kind in kinds), Calls("latency", 0.4, 0.5)):
        told += [(f"times {factor:g}", replace(stream, factor=factor)) for factor in (3.0, 2.0, 1.5, 1.25, 0.5)]
    return told


def false_alarms(stream: Stream, seeds: int, n: int) -> int:
    """Count the alarms on a stream that never changes."""
    return sum(1 for seed in range(seeds) for _ in stream.alarms(seed, n))


def delays(stream: Stream, seeds: int) -> list[int]:
    """Return after how many observations each change was noticed; those that were not are left out."""
    first: Callable[[int], int | None] = partial(_first, stream)
    return [at - CHANGE_AT for seed in range(seeds) if (at := first(seed)) is not None]


def _first(stream: Stream, seed: int) -> int | None:
    alarms = stream.alarms(1_000 + seed, CHANGE_AT + NOTICED_WITHIN)
    return next((alarm.observation for alarm in alarms if alarm.observation >= CHANGE_AT), None)


def measured(seeds: int, n: int) -> dict[str, list[dict[str, object]]]:
    """Return both tables as rows."""
    false = [
        {"stream": s.name, "observations": seeds * n, "per_10k": 1e4 * false_alarms(s, seeds, n) / (seeds * n)}
        for s in stationary()
    ]
    noticed = []
    for change, stream in changes():
        found = delays(stream, 4 * seeds)
        median = float(np.median(found)) if found else None
        row = {"stream": stream.name, "change": change, "noticed": len(found) / (4 * seeds), "median_delay": median}
        noticed.append(row)
    return {"false_alarms": false, "changes": noticed}


def main() -> None:
    """Print the tables; the exit status is 1 where a stationary stream rings more often than the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="streams of each kind")
    parser.add_argument("--n", type=int, default=10_000, help="observations of a stationary stream")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    tables = measured(options.seeds, options.n)
    print(json.dumps(tables) if options.json else "\n\n".join(_table(rows) for rows in tables.values()))
    raise SystemExit(any(float(str(row["per_10k"])) > MOST_FALSE for row in tables["false_alarms"]))


def _table(rows: list[dict[str, object]]) -> str:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    told = (
        "never" if v is None else f"{v:.3g}" if isinstance(v, float) else str(v) for row in rows for v in row.values()
    )
    cells = list(told)
    width = len(rows[0])
    lines += ["| " + " | ".join(cells[i : i + width]) + " |" for i in range(0, len(cells), width)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
