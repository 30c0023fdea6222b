"""Keeps MLflow's copy of the policy's versions up to date in the background; nobody waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from app.registry import Registry, Standing, Version
from app.storage.tables import PolicyRow
from app.versions import Versions, name_of
from learner.types import Parameters


class Mirror:
    """Writes the copy after each change, and again where that failed.

    Args:
        registry: MLflow.
        versions: What is copied.
        note: Stores MLflow's numbers of the versions, by name.
    """

    def __init__(
        self, registry: Registry, versions: Versions, note: Callable[[Mapping[str, str]], Awaitable[None]]
    ) -> None:
        self._registry = registry
        self._versions = versions
        self._note = note
        self._written = -1
        self._task: asyncio.Task[None] | None = None

    @property
    def standing(self) -> Standing:
        """How the registry is."""
        return self._registry.standing

    @property
    def _is_due(self) -> bool:
        return self._written != self._versions.revision or self.standing.state == "down"

    def soon(self) -> None:
        """Bring the copy up to date in the background."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name="registry")

    async def run(self) -> dict[str, Any]:
        """Bring the copy up to date if it is not, and say how that went; a job."""
        if self._is_due:
            self.soon()
        if self._task is not None:
            await asyncio.wait([self._task])
        return asdict(self.standing) | {"versions": len(self._versions)}

    async def _write(self) -> None:
        revision = -1
        while revision != self._versions.revision:
            revision, other = self._versions.revision, self._versions.challenger
            numbers = await self._registry.mirror(
                [as_version(row) for row in self._versions],
                champion=name_of(self._versions.champion),
                challenger=name_of(other) if other else None,
            )
            if numbers is None:
                return
            self._written = revision
            await self._note(numbers)

    async def stop(self) -> None:
        """Let go of what is being written; the next start writes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def as_version(row: PolicyRow) -> Version:
    """Return a version as MLflow shall have it: figures as metrics, all else that is known as tags."""
    offline, live = row.metrics.get("offline") or {}, row.metrics.get("live") or {}
    data = offline.get("data") or {}
    gains = {f"{name}_gain": found["gain"] for name, found in (("offline", offline), ("live", live)) if found}
    figures = {
        name if which == "mean" else f"{name}_{which}": float(value)
        for name, gain in gains.items()
        for which, value in (gain or {}).items()
    }
    counts = {"live_requests": live.get("requests"), "comparisons": data.get("comparisons")}
    return Version(
        parameters=Parameters(**row.parameters),
        metrics=figures | {name: float(n) for name, n in counts.items() if n is not None},
        tags={"state": row.state, "origin": row.origin, "reason": row.reason[:500]}
        | {f"data_{name}": str(value) for name, value in data.items()},
        updated_at=row.updated_at,
    )
