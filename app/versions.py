"""The versions of the policy in memory, and how each is told: its name, its figures, and which of them serve."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from app.errors import NotFound
from app.storage.tables import Origin, PolicyRow, PolicyState
from learner.types import Parameters


class Versions:
    """All versions by number; `app.policies` changes them.

    Attributes:
        revision: Counts changes, so that a copy knows whether it is up to date.
    """

    def __init__(self) -> None:
        self._rows: dict[int, PolicyRow] = {}
        self._newest = 0
        self.revision = 0

    def keep(self, *rows: PolicyRow, is_news: bool = True) -> None:
        """Take over rows that are stored; `is_news` tells whether MLflow's copy lacks what has changed."""
        self._rows.update((row.version, row) for row in rows)
        self._newest = max(self._newest, *self._rows, 0)
        self.revision += is_news

    def __iter__(self) -> Iterator[PolicyRow]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, version: int) -> PolicyRow:
        """Return one version.

        Raises:
            NotFound: there is no such version.
        """
        if version not in self._rows:
            raise NotFound(
                f"There is no policy version {version}; GET /v1/admin/policies lists all, the newest is "
                f"{max(self._rows)}",
                param="version",
            )
        return self._rows[version]

    @property
    def champion(self) -> PolicyRow:
        """The version that serves most requests."""
        return next(row for row in self._rows.values() if row.state == "champion")

    @property
    def challenger(self) -> PolicyRow | None:
        """The version that serves a share beside the champion: a canary, or the champion before it."""
        return next((row for row in self._rows.values() if row.state in ("canary", "hold_back")), None)

    @property
    def before(self) -> PolicyRow | None:
        """The last champion before the present one that has not failed."""
        retired = [row for row in self._rows.values() if row.state == "retired" and row.promoted_at is not None]
        return max(retired, key=lambda row: row.promoted_at or 0.0, default=None)

    def refused(self, parameters: Parameters) -> PolicyRow | None:
        """Return the newest candidate of the re-tuning with these parameters that was refused."""
        values = asdict(parameters)
        known = [row for row in self._rows.values() if (row.origin, row.state) == ("retune", "refused")]
        same = [row for row in known if row.parameters == values | {"version": row.version}]
        return same[-1] if same else None

    def new(self, parameters: Parameters, origin: Origin, state: PolicyState, reason: str, at: float) -> PolicyRow:
        """Return a row with the next number, which is given once; the row is not kept yet."""
        # The first row takes the number that is in force: logs from before there were rows have used those below it.
        version = self._newest = self._newest + 1 if self._newest else parameters.version
        return PolicyRow(
            version=version, parameters=asdict(parameters) | {"version": version}, origin=origin, state=state,
            reason=reason, created_at=at, updated_at=at, promoted_at=at if state == "champion" else None,
        )  # fmt: skip


def changed(row: PolicyRow, state: PolicyState, reason: str, at: float, **metrics: Any) -> PolicyRow:
    """Return a row in another state; it is not kept yet."""
    changes: dict[str, Any] = {"state": state, "reason": reason, "updated_at": at, "metrics": row.metrics | metrics}
    if state == "champion" and row.state != "champion":
        changes["promoted_at"] = at
    return PolicyRow(**(row.model_dump() | changes))


def name_of(row: PolicyRow) -> str:
    """Return the name of a version as headers show it."""
    return Parameters(**row.parameters).name


def gain_text(gain: Mapping[str, float]) -> str:
    """Write a gain with its interval."""
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
