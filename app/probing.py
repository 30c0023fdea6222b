"""A few answers, drawn at random, are shown to the best judges: what users say of answers is held against that.

The draw knows nothing of the answer and has a generator of its own, so that it changes no propensity. Nobody waits for
a probe; its calls are the background's and count as exploration.
"""

from dataclasses import dataclass, replace

import numpy as np

from app.background import Background
from app.exchange import Exchange
from app.judging import Judging
from app.storage.batch import Entry

MOST_JUDGES = 3


@dataclass(frozen=True, slots=True)
class Probing:
    """Draws probes and has them judged.

    Args:
        judging: The LLM judges.
        background: Runs what nobody waits for; knows what has been learned, and stores what came of it.
        rng: Draws the answers.
        share: Probability that an answer is drawn, in [0, 1].
    """

    judging: Judging
    background: Background
    rng: np.random.Generator
    share: float

    def draw(self, exchange: Exchange) -> None:
        """Have an answer judged where the lot falls on it, its request allows exploration, and the allowance pays."""
        if exchange.answered_step is None or exchange.composed is not None:
            return
        if not self.judging.has_judges or not exchange.limits.explore or exchange.decision.stage == "pinned":
            return
        if self.rng.random() >= self.share:
            return
        learning, category = self.background.learning, exchange.context.category
        view = learning.view
        costs_usd = self.judging.costs_usd(exchange, exchange.answered_step)
        best = sorted(costs_usd, key=lambda judge: -view.stacker.separation(judge, category))[:MOST_JUDGES]
        known = {score.judge for score in exchange.scores if score.step == exchange.answered_step}
        wanted = [judge for judge in best if judge not in known]
        expected_usd = sum(costs_usd[judge] for judge in wanted)
        if best and expected_usd <= view.allowance_usd - learning.reserved_usd(exchange.at):
            learning.exploring.hold("probe", exchange.id, expected_usd)
            self.background.keep(self._probe(exchange, exchange.answered_step, wanted))

    async def _probe(self, exchange: Exchange, step: int, judges: list[str]) -> None:
        # Lists of its own: what is in the request's is stored, and a comparison may be adding to it.
        probe = replace(exchange, rows=list(exchange.rows), scores=list(exchange.scores))
        stored, known = len(probe.rows), {(score.judge, score.step) for score in exchange.scores}
        try:
            found = await self.judging.ask(judges, probe, step, explored=True)
        finally:
            rows = probe.rows[stored:]
            self.background.learning.exploring.settle("probe", exchange.id, sum(row.cost_usd for row in rows))
        scores = [score for score in found if (score.judge, score.step) not in known]
        for row in rows:
            row.account = "background"
        await self.background.journal.append(Entry("probe", exchange.id, self.background.clock(), {}, (*rows, *scores)))
