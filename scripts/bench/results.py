"""The runs of a benchmark, asked for their figures: everything here is read from the graded half of the streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from learner.types import FloatArray
from scripts.bench.grid import HEADRACE, Plan, Run
from scripts.bench.metrics import Interval, Sample, brier, compared, ece, oracle
from scripts.bench.play import Played
from scripts.bench.worlds import World


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the seeds of one policy on one world at one budget.

    Args:
        quality: Mean quality of the answers given.
        usd: Mean bill per request, background included.
        compliance: Spend of the whole stream as a share of the budget.
        regret: Quality missed against the best model of each query, over the whole stream, per 1,000 requests.
        brier: Of the stated probability.
        ece: Same.
        calls: Per request.
    """

    quality: float
    usd: float
    compliance: float
    regret: float
    brier: float
    ece: float
    calls: float


@dataclass(frozen=True)
class Results:
    """All runs of one plan."""

    worlds: Sequence[World]
    plan: Plan
    played: Mapping[Run, Played]

    @cached_property
    def streams(self) -> dict[tuple[str, int], World]:
        """The streams by world and seed."""
        plan = self.plan
        return {(w.name, seed): w.stream(seed, plan.requests) for w in self.worlds for seed in range(plan.seeds)}

    def policies(self, world: World) -> list[str]:
        """Return the policies that were played on a world, in the order of the plan."""
        return list(dict.fromkeys(run.policy for run in self.played if run.world == world.name))

    def has(self, world: World, policy: str) -> bool:
        """Tell whether a policy was played on a world."""
        return Run(world.name, policy, self.plan.main_share, 0) in self.played

    def runs(self, world: World, policy: str, share: float) -> list[tuple[World, Played]]:
        """Return stream and outcome of every seed."""
        seeds = range(self.plan.seeds)
        return [(self.streams[world.name, s], self.played[Run(world.name, policy, share, s)]) for s in seeds]

    def shares(self, world: World, policy: str) -> list[float]:
        """Return the budgets at which a policy was played on a world."""
        return [share for share in self.plan.shares if Run(world.name, policy, share, 0) in self.played]

    def samples(self, world: World, policy: str, share: float) -> list[Sample]:
        """Return the graded requests of every seed."""
        part = self.plan.graded
        return [
            Sample(played.quality[part], played.total_usd[part], stream.quality[part], stream.usd[part])
            for stream, played in self.runs(world, policy, share)
        ]

    def points(self, world: World, policy: str) -> Interval:
        """Points over interpolation at the main budget."""
        return compared(self.samples(world, policy, self.plan.main_share))

    def lead(self, world: World, over: str) -> Interval:
        """Points by which Headrace is ahead of another policy at the main budget, each against its own static mix."""
        share = self.plan.main_share
        return compared(self.samples(world, HEADRACE, share), self.samples(world, over, share))

    def pooled_lead(self, over: str) -> Interval:
        """The same over all worlds, each world and seed one sample."""
        share, ours, theirs = self.plan.main_share, list[Sample](), list[Sample]()
        for world in self.worlds:
            ours += self.samples(world, HEADRACE, share)
            theirs += self.samples(world, over, share)
        return compared(ours, theirs)

    def figures(self, world: World, policy: str, share: float) -> Figures:
        """Return a policy's figures."""
        part, budget = self.plan.graded, world.budget_usd(share)
        rows = [
            (
                played.quality[part].mean(),
                played.total_usd[part].mean(),
                played.total_usd.mean() / budget,
                1000.0 * (stream.quality.max(axis=1) - played.quality).mean(),
                brier(played.probability[part], played.quality[part]),
                ece(played.probability[part], played.quality[part]),
                played.calls.mean(),
            )
            for stream, played in self.runs(world, policy, share)
        ]
        return Figures(*np.mean(rows, axis=0).tolist())

    def curve(self, world: World, policy: str) -> list[tuple[float, float]]:
        """Return (mean cost, mean quality) of a policy at every budget it was played at."""
        figures = [self.figures(world, policy, share) for share in self.shares(world, policy)]
        return [(f.usd, f.quality) for f in figures]

    def models(self, world: World) -> list[tuple[float, float]]:
        """Return (mean cost, mean quality) of every single model on the same requests."""
        usd, quality = self.graded(world)
        return list(zip(usd.mean(axis=0).tolist(), quality.mean(axis=0).tolist(), strict=True))

    def oracle(self, world: World, usd: float) -> float:
        """Return the quality of the best model per query, known in hindsight, at a mean cost."""
        return oracle(*self.graded(world), usd)

    def graded(self, world: World) -> tuple[FloatArray, FloatArray]:
        """Return cost and quality of every model on the graded requests of all seeds, shape (requests, models)."""
        part = [self.streams[world.name, seed].take(self._graded_rows(world, seed)) for seed in range(self.plan.seeds)]
        return np.vstack([w.usd for w in part]), np.vstack([w.quality for w in part])

    def _graded_rows(self, world: World, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.arange(len(self.streams[world.name, seed].prompts))[self.plan.graded]
