"""The scheduler's jobs, each one function that can also be run by hand.

`snapshot` stores the learner's state, so that recovery is short; `retune` looks for better parameters of the policy on
the logged comparisons and proposes a candidate, which the gate lets through where its gain is certain; `registry`
brings MLflow's copy of the versions up to date; `expire` forgets stored content after thirty days and idempotency keys
after seven.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import Conflict, NotFound
from app.learning import Learning
from app.policies import Policies
from app.storage import repository
from app.versions import name_of
from learner.tuning import LEAST_COMPARISONS, retune

DAY_S = 86_400
SNAPSHOT_EVERY_S = 60
RETUNE_EVERY_S = 3_600
REGISTRY_EVERY_S = 60
EXPIRE_EVERY_S = DAY_S
CONTENT_DAYS = 30
KEY_DAYS = 7

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Jobs:
    """Runs jobs on their schedule and by name.

    Args:
        engine: The database.
        learning: The learner.
        policies: Takes candidates.
        clock: Seconds since 1970.
    """

    engine: AsyncEngine
    learning: Learning
    policies: Policies
    clock: Callable[[], float]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    _scheduler: AsyncIOScheduler | None = None

    @property
    def all(self) -> dict[str, tuple[int, Callable[[], Awaitable[dict[str, Any]]]]]:
        """Every job: seconds between runs, and the function."""
        return {
            "snapshot": (SNAPSHOT_EVERY_S, self.snapshot),
            "retune": (RETUNE_EVERY_S, self.retune),
            "registry": (REGISTRY_EVERY_S, self.policies.mirror.run),
            "expire": (EXPIRE_EVERY_S, self.expire),
        }

    def start(self) -> None:
        """Run every job on its schedule from now on."""
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        for name, (seconds, _) in self.all.items():
            self._scheduler.add_job(
                self.run, "interval", args=[name], seconds=seconds, id=name, max_instances=1, coalesce=True
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Run no job any more."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)

    async def run(self, name: str) -> dict[str, Any]:
        """Run one job now.

        Raises:
            NotFound: there is no such job.
        """
        if name not in self.all:
            raise NotFound(f"There is no job {name!r}; the jobs are {', '.join(self.all)}", param="name")
        began = self.clock()
        try:
            result = await self.all[name][1]()
        except Exception as err:
            # A job's boundary: its failure is told and leaves everything else running.
            log.error("job failed", job=name, error=type(err).__name__, reason=str(err))
            result = {"error": f"{type(err).__name__}: {err}"}
        self.results[name] = {"ran_at": began, "seconds": self.clock() - began, "result": result}
        return result

    def describe(self) -> list[dict[str, Any]]:
        """List the jobs with their schedule and last result."""
        return [{"name": n, "every_s": s, "last": self.results.get(n)} for n, (s, _) in self.all.items()]

    async def snapshot(self) -> dict[str, Any]:
        """Store the learner's state, unless nothing has changed since the last time."""
        if self.learning.seq == self.learning.snapshot_seq or self.learning.is_catching_up:
            return {"seq": self.learning.snapshot_seq, "stored": False}
        row = self.learning.snapshot(self.clock())
        await repository.add_snapshot(self.engine, row)
        self.learning.snapshot_seq = row.seq
        return {"seq": row.seq, "stored": True, "bytes": len(row.body)}

    async def retune(self) -> dict[str, Any]:
        """Search the parameters on the comparisons in memory, and propose the best ones to the gate."""
        if self.learning.view.freeze is not None:
            return {"candidate": None, "reason": "learning is frozen"}
        try:
            self.policies.refuse_while_contested()
            # Some seconds of work on values that never change: a thread, so that requests do not wait for it.
            best = await asyncio.to_thread(retune, *self.learning.comparisons())
            if best is None:
                few = f"fewer than {LEAST_COMPARISONS} comparisons of three models or more"
                return {"candidate": None, "reason": few}
            row = await self.policies.propose(best)
        except Conflict as err:
            return {"candidate": None, "reason": err.message}
        metrics = {"gain": best.gain.mean, "gain_low": best.gain.low, "comparisons": best.comparisons}
        found = {"candidate": name_of(row), "parameters": row.parameters, "state": row.state, "reason": row.reason}
        return found | metrics

    async def expire(self) -> dict[str, Any]:
        """Forget stored prompts, answers and comments after thirty days, idempotency keys after seven."""
        now = self.clock()
        content_before, keys_before = now - CONTENT_DAYS * DAY_S, now - KEY_DAYS * DAY_S
        await repository.delete_content_before(self.engine, content_before)
        await repository.delete_idempotency_keys_before(self.engine, keys_before)
        return {"content_before": content_before, "keys_before": keys_before}
