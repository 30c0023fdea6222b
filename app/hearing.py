"""Which judges are heard about an answer.

Those that the operator pinned always are. Then the judge whose opinion is worth most for its price is asked, and the
next one only upon what it said, until none is worth it. Now and then another one is heard to learn what it is worth.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.exchange import Exchange
from app.judging import Judging
from app.learning import Learning
from app.storage.tables import CallRow
from learner.opinions import judges_to_explore


@dataclass(frozen=True, slots=True)
class Hearing:
    """Hears judges about answers.

    Args:
        judging: Asks them.
        learning: Knows what they are worth.
        rng: Draws whom to hear without need.
    """

    judging: Judging
    learning: Learning
    rng: np.random.Generator

    @property
    def has_judges(self) -> bool:
        """Whether any judge is configured."""
        return self.judging.has_judges

    async def hear(self, exchange: Exchange, row: CallRow) -> None:
        """Ask judges about the answer of a call, and add what they say to the exchange."""
        unasked = self.judging.costs_usd(exchange, row.step)
        await self._ask(exchange, row, [judge for judge in self.judging.always if judge in unasked], unasked)
        while judge := self._wanted(exchange, row, unasked):
            await self._ask(exchange, row, [judge], unasked)
        if exchange.limits.explore:
            view = self.learning.view
            drawn = judges_to_explore(unasked, view.stacker.heard, view.allowance_usd, self.rng)
            await self._ask(exchange, row, drawn, unasked, explored=True)

    def _wanted(self, exchange: Exchange, row: CallRow, unasked: dict[str, float]) -> str | None:
        # The view judges the newest answer; of a panel's answers, each is the one in question in its turn.
        calls = exchange.calls
        asked_about = next(call for call in calls if call.step == row.step and call.purpose == row.purpose)
        told = [*(call for call in calls if call is not asked_about), replace(asked_about, purpose="answer")]
        return self.learning.view.wanted_judge(exchange.context, exchange.limits, told, exchange.judged, unasked)

    async def _ask(
        self,
        exchange: Exchange,
        row: CallRow,
        judges: Sequence[str],
        unasked: dict[str, float],
        *,
        explored: bool = False,
    ) -> None:
        if not judges:
            return
        for judge in judges:
            del unasked[judge]
        began = time.perf_counter()
        try:
            exchange.scores += await self.judging.ask(judges, exchange, row.step, explored=explored)
        finally:
            exchange.upstream_s += time.perf_counter() - began

    async def close(self) -> None:
        """Close the judges' connections."""
        await self.judging.close()
