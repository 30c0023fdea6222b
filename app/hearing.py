"""Which judges are heard about an answer.

Those that the operator pinned always are. Then the judge whose opinion is worth most for its price is asked, and the
next one only upon what it said, until none is worth it. Now and then another one is heard to learn what it is worth.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
        drawn: How often each was drawn: one that never says anything usable is not drawn for ever.
    """

    judging: Judging
    learning: Learning
    rng: np.random.Generator
    drawn: Counter[str] = field(default_factory=Counter)

    @property
    def has_judges(self) -> bool:
        """Whether any judge is configured."""
        return self.judging.has_judges

    async def hear(self, exchange: Exchange, row: CallRow) -> None:
        """Ask judges about the answer of a call, and add what they say to the exchange."""
        unasked = self.judging.costs_usd(exchange, row.step)
        for pinned in self.judging.always:
            if pinned in affordable(exchange, unasked):
                await self._ask(exchange, row, [pinned], unasked)
        while judge := self._wanted(exchange, row, affordable(exchange, unasked)):
            await self._ask(exchange, row, [judge], unasked)
        if exchange.limits.explore:
            await self._explore(exchange, row, affordable(exchange, unasked))

    async def _explore(self, exchange: Exchange, row: CallRow, unasked: dict[str, float]) -> None:
        view = self.learning.view
        heard = {judge: max(view.stacker.heard.get(judge, 0.0), self.drawn[judge]) for judge in unasked}
        left_usd = view.allowance_usd - self.learning.reserved_usd(exchange.at)
        drawn = judges_to_explore(
            unasked, heard, min(left_usd, exchange.limits.explore_usd - exchange.cost_usd), self.rng
        )
        self.drawn.update(drawn)
        self.learning.exploring.hold("request", exchange.paid_by, sum(unasked[judge] for judge in drawn))
        await self._ask(exchange, row, drawn, unasked, explored=True)

    def _wanted(self, exchange: Exchange, row: CallRow, unasked: Mapping[str, float]) -> str | None:
        # The view judges the newest answer; of a panel's answers, each is the one in question in its turn.
        calls = exchange.calls
        asked_about = next(call for call in calls if call.step == row.step and call.purpose == row.purpose)
        told = [*(call for call in calls if call is not asked_about), replace(asked_about, purpose="answer")]
        view = self.learning.view.under(exchange.decision.policy_version)
        return view.wanted_judge(exchange.context, exchange.limits, told, exchange.judged, unasked)

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


def affordable(exchange: Exchange, costs_usd: Mapping[str, float]) -> dict[str, float]:
    """Return the judges whose price the request's limits still allow."""
    most = exchange.limits.max_cost_usd
    left = exchange.left_usd if most is None else min(exchange.left_usd, most - exchange.cost_usd)
    return {judge: usd for judge, usd in costs_usd.items() if usd <= left}
