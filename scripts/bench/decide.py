"""What one decision and one update of the learner cost, without any service around them.

A seeded pool of ten models answers queries built from the seed taxonomy's examples; the learner learns from some
hundred such requests first, so that its tables are warm and its estimates are no longer the priors.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from learner import snapshot
from learner.embedding import HashEmbedding, StaticEmbedding
from learner.features import Features
from learner.joint import NOTHING_ASKED, JointView
from learner.lookahead import plan
from learner.policy import View
from learner.pool import Arm
from learner.seeds import SEEDS
from learner.state import LearnerState
from learner.types import Call, Event, FloatArray, Limits, Objective, PoolChanged, Query, Rated, Served
from scripts.bench.bars import Bar, as_json, percentile

MODELS, PLANNED_MODELS, MANY_MODELS = 10, 11, 100
START_S = 1.7e9
LEARNED_REQUESTS = 600
TIMED_REQUESTS = 2_000
QUERIES = 500
COMPARED_SHARE, RATED_SHARE = 0.25, 0.2


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one thing takes, in microseconds."""

    name: str
    p50_us: float
    p99_us: float
    mean_us: float

    @classmethod
    def of(cls, name: str, seconds: Sequence[float]) -> "Timing":
        """Summarise the times of single calls, in seconds."""
        ordered = sorted(seconds)
        p50, p99 = (percentile(ordered, share) * 1e6 for share in (0.5, 0.99))
        return cls(name, p50, p99, statistics.fmean(ordered) * 1e6)


def main() -> None:
    """Measure, print, and tell by the exit status whether every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedding", type=Path, help="folder of a static embedding; default: hashing, no file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    bench = Bench.start(options.embedding)
    timings, snapshot_kb = list(bench.timings()), len(snapshot.dump(bench.state)) / 1e3
    many_kb = len(snapshot.dump(Bench.start(options.embedding, models=MANY_MODELS).state)) / 1e3
    bars = bars_of({timing.name: timing for timing in timings}, many_kb)
    if options.json:
        rows = [asdict(timing) for timing in timings]
        sizes = {"snapshot_kb": snapshot_kb, "snapshot_of_many_kb": many_kb}
        print(json.dumps({"timings": rows, **sizes, "bars": as_json(bars)}))
    else:
        print(f"{'microseconds':<44} {'P50':>9} {'P99':>9} {'mean':>9}")
        for t in timings:
            print(f"{t.name:<44} {t.p50_us:>9,.1f} {t.p99_us:>9,.1f} {t.mean_us:>9,.1f}")
        print(f"{'snapshot, size in kB':<44} {snapshot_kb:>9,.1f}")
        print(f"{f'snapshot of {MANY_MODELS} models, size in kB':<44} {many_kb:>9,.1f}\n")
        print(*bars, sep="\n")
    sys.exit(not all(bar.is_met for bar in bars))


def bars_of(by: dict[str, Timing], many_kb: float) -> list[Bar]:
    """Hold decisions, the mean update and a large state against their bars."""
    return [
        Bar(f"exact plan of {PLANNED_MODELS} models, P50", by[f"plan, {PLANNED_MODELS} models"].p50_us, 1_000.0, "us"),
        Bar("decision without a cascade, P50", by["decide, cascade off"].p50_us, 50.0, "us"),
        Bar(f"snapshot of {MANY_MODELS} models", many_kb / 1e3, 20.0, "MB"),
        Bar(f"decision of {MODELS} models, P50", by["decide"].p50_us, 300.0, "us"),
        Bar("update, mean over the mix", by["apply, the whole mix"].mean_us, 100.0, "us"),
    ]


class World:
    """Seeded queries, and models that are right more or less often; dearer ones more often."""

    def __init__(self, features: Features, seed: int, models: int) -> None:
        self._draw = np.random.default_rng(seed)
        self._numbers = count()
        self.arms = tuple(
            Arm(f"model-{i}", price, 4.0 * price) for i, price in enumerate(np.geomspace(0.05, 5.0, models).tolist())
        )
        self._skill = np.linspace(0.45, 0.9, models)
        examples = [text for kind in SEEDS for text in kind.examples]
        self.queries = [Query(" ".join(self._draw.choice(examples, self._draw.integers(1, 6)))) for _ in range(QUERIES)]
        self.contexts = [features.context(query, features.seeds) for query in self.queries]

    def events(self, requests: int) -> Iterator[tuple[str, Event]]:
        """Yield a realistic mix: some requests compare three models, some are rated afterwards."""
        for _ in range(requests):
            compared = self._draw.random() < COMPARED_SHARE
            served = self._served(f"inference-{next(self._numbers)}", 3 if compared else 1)
            yield f"apply, {'three answers' if compared else 'one answer'}", served
            if self._draw.random() < RATED_SHARE:
                yield "apply, rating", Rated(served, "thumbs", float(served.calls[0].group == 0), is_binary=True)

    def _served(self, inference_id: str, answers: int) -> Served:
        """Let some models answer one query; equal answers have equal groups."""
        context = self.contexts[int(self._draw.integers(QUERIES))]
        calls = tuple(self._call(int(arm), step) for step, arm in enumerate(self._asked(answers)))
        return Served(inference_id, context, calls, (), 0, tuple(range(answers)), confidence=0.7)

    def calls(self, groups: Sequence[int | None]) -> tuple[Call, ...]:
        """Return answers of different models with these groups; None where an answer cannot be compared."""
        asked = enumerate(zip(self._asked(len(groups)), groups, strict=True))
        return tuple(replace(self._call(arm, step), group=group) for step, (arm, group) in asked)

    def _asked(self, answers: int) -> list[int]:
        return [int(arm) for arm in self._draw.permutation(len(self.arms))[:answers]]

    def _call(self, arm: int, step: int) -> Call:
        right = self._draw.random() < self._skill[arm]
        tokens = int(self._draw.integers(40, 400))
        return Call(
            self.arms[arm].id, step, input_tokens=120, output_tokens=tokens, latency_s=0.8,
            cost_usd=self.arms[arm].cost_usd(120, tokens), evidence={"repetition": 1.0} if tokens > 380 else {},
            group=0 if right else int(self._draw.integers(1, 4)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """A learner that has seen some traffic, and the world that it came from."""

    state: LearnerState
    world: World

    @classmethod
    def start(cls, embedding: Path | None, models: int = MODELS) -> "Bench":
        """Build the learner and let it learn from some hundred requests."""
        embedder = StaticEmbedding(embedding) if embedding else HashEmbedding()
        features = Features(embedder, tuple((kind.name, kind.examples) for kind in SEEDS))
        objective = Objective("budget", 6e-4)
        state = LearnerState.start(features, objective, max_explore_share=0.1, max_explore_usd_per_day=5.0)
        world = World(features, seed=7, models=models)
        for arm in world.arms:
            state.apply(PoolChanged(arm), START_S)
        for _, event in world.events(LEARNED_REQUESTS):
            state.apply(event, START_S)
        return cls(state, world)

    def timings(self) -> Iterator[Timing]:
        """Measure reading, then writing, then keeping."""
        yield from self._reading(self.state.view())
        yield from self._learning()
        yield Timing.of("publish a view", list(self._publishing()))
        yield self._timed("snapshot, dump", [()] * 20, lambda: snapshot.dump(self.state))
        body = snapshot.dump(self.state)
        yield self._timed("snapshot, load", [()] * 20, lambda: snapshot.load(body, self.state.features))

    def _reading(self, view: View) -> Iterator[Timing]:
        features, contexts, limits, rng = self.state.features, self.world.contexts, Limits(), np.random.default_rng(3)
        each = [(context,) for context in contexts]
        queries = [(query,) for query in self.world.queries]
        yield self._timed("embedding and features", queries, lambda query: features.context(query, view.taxonomy))
        yield self._timed("decide", each, lambda context: view.decide(context, limits, rng))
        shallow = Limits(depth=1)
        yield self._timed("decide, cascade off", each, lambda context: view.decide(context, shallow, rng))
        yield self._timed(f"plan, {PLANNED_MODELS} models", self._plans(view, rng), self._plan)
        asked = {"1 answer": (0,), "2 equal answers": (0, 0), "2 different answers": (0, 1), "1 free text": (None,)}
        for name, groups in asked.items():
            answered = [(context, self.world.calls(groups)) for context in contexts]
            yield self._timed(f"next_step, {name}", answered, lambda c, calls: view.next_step(c, limits, calls, ()))

    @staticmethod
    def _plans(view: View, rng: np.random.Generator) -> list[tuple[Any, ...]]:
        """Return pools to plan over whose models are all worth a thought."""
        price = np.linspace(0.0, 0.05, PLANNED_MODELS)
        return [(view.joint, rng.uniform(0.4, 0.9, PLANNED_MODELS), price) for _ in range(QUERIES)]

    @staticmethod
    def _plan(joint: JointView, quality: FloatArray, price: FloatArray) -> object:
        return plan(NOTHING_ASKED, joint, quality, price, depth=3)

    def _learning(self) -> Iterator[Timing]:
        """Time events one by one; an event pays for the view that it needs, as in the service and in recovery."""
        taken: dict[str, list[float]] = {}
        each_s: list[float] = []
        for name, event in list(self.world.events(TIMED_REQUESTS)):
            seconds = seconds_of(self.state.apply, event, START_S)
            taken.setdefault(name, []).append(seconds)
            lessons = len(event.calls) if isinstance(event, Served) else 1
            each_s += [seconds / lessons] * lessons
        yield from (Timing.of(name, taken[name]) for name in sorted(taken))
        yield Timing.of("apply, the whole mix", [seconds for each in taken.values() for seconds in each])
        yield Timing.of("the same, for each answer or rating", each_s)

    def _publishing(self) -> Iterator[float]:
        for _, event in self.world.events(200):
            self.state.apply(event, START_S)
            yield seconds_of(self.state.view)

    @staticmethod
    def _timed(name: str, arguments: Sequence[tuple[Any, ...]], call: Callable[..., object]) -> Timing:
        """Time a call on each of these arguments, after a first pass that warms caches and tables."""
        for each in arguments:
            call(*each)
        return Timing.of(name, [seconds_of(call, *each) for each in arguments])


def seconds_of(call: Callable[..., object], *arguments: Any) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
