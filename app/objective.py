"""The objective in force: the file's, until it is changed at run time; a change survives a restart.

The file wins again when the file itself says something new: each change is logged with where it came from.
"""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine

from app.schemas.admin import patched_objective
from app.schemas.objective import Objective, TradeoffObjective
from app.storage import repository
from app.storage.batch import Entry
from app.storage.journal import Journal
from learner.types import Objective as LearnerObjective

READ: TypeAdapter[Objective] = TypeAdapter(Objective)


def to_learner(objective: Objective) -> LearnerObjective:
    """Return an objective as the learner knows it: its kind and its one number."""
    values = [value for name, value in objective if name != "kind"]
    return LearnerObjective(objective.kind, values[0] if values else None)


class Objectives:
    """Holds the objective in force and logs its changes.

    Args:
        journal: Stores changes.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.current: Objective = TradeoffObjective(kind="tradeoff", usd_per_point=0.0001)

    async def open(self, engine: AsyncEngine, configured: Objective, at: float) -> None:
        """Take over the last objective of the log, unless the file has changed since it was last read."""
        changes = await repository.events_of_kind(engine, "objective")
        from_file = [change.body for change in changes if change.ref == "config"]
        if changes and from_file and from_file[-1] == configured.model_dump():
            self.current = READ.validate_python(changes[-1].body)
        else:
            await self._log(configured, "config", at)

    async def patch(self, change: dict[str, Any], at: float) -> Objective:
        """Change the objective.

        Raises:
            Unprocessable: a field is missing, unknown, or out of range.
        """
        return await self._log(patched_objective(self.current, change), "api", at)

    async def _log(self, objective: Objective, ref: str, at: float) -> Objective:
        await self._journal.append(Entry("objective", ref, at, objective.model_dump()))
        self.current = objective
        return objective
