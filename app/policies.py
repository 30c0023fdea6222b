"""The life of the policy's versions: proposed, gated offline, tried on live traffic, promoted, rolled back.

One writer numbers the versions and changes their states, under one lock; each change is one transaction of the journal:
the rows, and an event that tells the learner who serves. The learner folds the contest of the two versions that serve
(`learner.gate`); its verdict is read from the state after each slice of learning and becomes a further event here,
once: that event ends the contest the verdict came from.

    candidate ─ gate ─▶ canary ─ contest ─▶ champion ─ contest with the one before ─▶ champion alone
        └▶ refused         └▶ dropped           └▶ rolled_back: the one before is champion again
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from app.errors import Conflict
from app.learning import Learning
from app.mirror import Mirror
from app.offline import judge, offline_gain
from app.registry import Registry
from app.schemas.policies import Promotion
from app.storage.batch import Entry
from app.storage.journal import Journal
from app.storage.tables import PolicyRow, PolicyState
from app.telemetry import Metrics
from app.versions import Versions, changed, gain_text, name_of
from learner.gate import MARGIN, Verdict
from learner.tuning import Candidate
from learner.types import Parameters, Phase

CONTEST_SHARE = 0.1
LOOK_AGAIN_S = 1.0
SHOWN: dict[Verdict, str] = {
    "worse": "shown worse than",
    "not_worse": "shown not worse than",
    "undecided": "neither shown better nor worse than",
}

log = structlog.get_logger(__name__)


class Policies:
    """The only writer of the policy's versions.

    Args:
        journal: Stores rows and events.
        learning: Folds the contest.
        registry: MLflow.
        metrics: Counts changes.
        keep: Runs what nobody waits for.
        clock: Seconds since 1970.

    Attributes:
        versions: All of them.
        mirror: MLflow's copy.
        offline: Estimates what parameters gain over those in force; None where there is too little to tell.
        share: Share of the requests that a canary or a hold-back decides.
    """

    def __init__(
        self,
        journal: Journal,
        learning: Learning,
        registry: Registry,
        metrics: Metrics,
        keep: Callable[[Coroutine[Any, Any, None]], object],
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._learning = learning
        self._registry = registry
        self._metrics = metrics
        self._keep = keep
        self._clock = clock
        self._changing = asyncio.Lock()
        self._is_heeding = False
        self._published = asyncio.Event()
        self._published_seq = 0
        self.versions = Versions()
        self.mirror = Mirror(registry, self.versions, self._note_numbers)
        self.offline = offline_gain(learning)
        self.share = CONTEST_SHARE

    async def open(self, stored: Iterable[PolicyRow]) -> None:
        """Take over the stored versions; what serves without a row, as in a new database, gets one."""
        self.versions.keep(*stored)
        if any(row.mlflow_version for row in self.versions):
            self._registry.expect_store()
        if not len(self.versions):
            now = self._learning.view.parameters
            await self._store(self.versions.new(now, "initial", "champion", "in force at first", self._clock()))
        self._learning.on_published = self.watch
        self.watch()
        self.mirror.soon()

    def serving(self) -> dict[str, float]:
        """Return the share of the routed requests by the name of the version that decides them now."""
        view = self._learning.view
        if view.challenger is None:
            return {view.parameters.name: 1.0}
        return {view.parameters.name: 1.0 - view.share, view.challenger.name: view.share}

    def contest(self) -> dict[str, Any] | None:
        """Describe the contest under way."""
        contest = self._learning.contest
        return contest.figures() if contest is not None else None

    # -- candidates ---------------------------------------------------------------------------------------------------

    async def promote(self, wanted: Promotion) -> PolicyRow:
        """Take a version of the operator's through the gate, or past it.

        Raises:
            NotFound: there is no such version.
            Conflict: it serves already, another contest is under way, or the gate refuses it.
        """
        async with self._changing:
            self._refuse_served(wanted)
            if not wanted.force:
                self.refuse_while_contested()
            row = await self._proposed(wanted)
            if wanted.force:
                return await self._promote(row, "forced past the gate by the operator")
        row = await self._admit(row, await self.offline(Parameters(**row.parameters)))
        if row.state == "refused":
            raise Conflict(f"The gate refuses {name_of(row)}: {row.reason}. Send force: true to skip it", param="force")
        return row

    async def propose(self, found: Candidate) -> PolicyRow:
        """Take a candidate of the re-tuning through the gate; one like the last refused is that one, measured again.

        Raises:
            Conflict: another contest is under way.
        """
        async with self._changing:
            self.refuse_while_contested()
            row = self.versions.refused(found.parameters)
            if row is None:
                row = self.versions.new(found.parameters, "retune", "candidate", "found by re-tuning", self._clock())
                await self._store(row)
        return await self._admit(row, found)

    def _refuse_served(self, wanted: Promotion) -> None:
        if wanted.version is None:
            return
        row = self.versions.row(wanted.version)
        if row.state in ("champion", "hold_back") or (row.state == "canary" and not wanted.force):
            raise Conflict(f"{name_of(row)} serves already, as {row.state}; a rollback changes that", param="version")

    def refuse_while_contested(self) -> None:
        """Refuse a candidate while another contest is under way.

        Raises:
            Conflict: it is.
        """
        other = self.versions.challenger
        if other is not None:
            raise Conflict(
                f"{name_of(self.versions.champion)} and {name_of(other)} ({other.state}) are compared on live traffic, "
                "and one such contest runs at a time; wait for its end, end it with a rollback, or send force: true"
            )

    async def _proposed(self, wanted: Promotion) -> PolicyRow:
        if wanted.version is not None:
            return self.versions.row(wanted.version)
        assert wanted.parameters is not None  # the schema has one of the two
        now = self._learning.view.parameters
        parameters = wanted.parameters.over(now)
        if parameters == now:
            raise Conflict(f"These are the parameters of {now.name}, which serves; change one", param="parameters")
        row = self.versions.new(parameters, "operator", "candidate", "proposed by the operator", self._clock())
        await self._store(row)
        return row

    async def _admit(self, row: PolicyRow, found: Candidate | None) -> PolicyRow:
        """Make a candidate the canary where what it is estimated to gain is certain to be a gain, else refuse it."""
        async with self._changing:
            self.refuse_while_contested()
            data = self._learning.log_in_memory() | {"comparisons": found.comparisons if found else None}
            said = judge(found, name_of(self.versions.champion), data)
            state: PolicyState = "canary" if said.passes else "refused"
            row = changed(row, state, said.reason, self._clock(), offline=said.figures)
            if state == "canary":
                await self._serve(self.versions.champion, row, "canary")
            else:
                await self._store(row)
            self._tell(state, row)
            return row

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Heed the verdict on the contest, as soon as there is one; called whenever a view is out."""
        self._published_seq = self._learning.seq
        self._published.set()
        contest = self._learning.contest
        is_frozen = self._learning.view.freeze is not None
        if contest is not None and not is_frozen and not self._is_heeding and contest.verdict() is not None:
            self._is_heeding = True
            self._keep(self._heed())

    async def _heed(self) -> None:
        try:
            async with self._changing:
                contest = self._learning.contest
                # Meanwhile the operator may have ended it.
                verdict = contest.verdict() if contest is not None else None
                other = self.versions.challenger
                if contest is not None and verdict is not None and other is not None:
                    await self._conclude(contest.phase, verdict, other)
        finally:
            self._is_heeding = False

    async def _conclude(self, phase: Phase, verdict: Verdict, other: PolicyRow) -> None:
        champion, figures = self.versions.champion, self.contest() or {}
        over = champion if phase == "canary" else other
        told = f"{SHOWN[verdict]} {name_of(over)} on {figures['requests']} requests: "
        told += f"it gains {gain_text(figures['gain'])} in utility, margin {MARGIN}"
        if phase == "canary":
            await (self._promote(other, told) if verdict == "not_worse" else self._drop(other, told))
        elif verdict == "worse":
            await self._roll_back(champion, other, told)
        else:
            confirmed = changed(champion, "champion", told, self._clock(), live=figures)
            await self._serve(
                confirmed, None, phase, self._now(other, "retired", f"{name_of(champion)} took its place")
            )
            self._tell("confirmed", confirmed)

    # -- changes, each of them one transaction ------------------------------------------------------------------------

    async def rollback(self, reason: str) -> PolicyRow:
        """Take back a canary, else the champion; returns the version that is champion then.

        Raises:
            Conflict: there is no version to go back to.
        """
        async with self._changing:
            champion, other = self.versions.champion, self.versions.challenger
            if other is not None and other.state == "canary":
                await self._drop(other, reason)
                return champion
            former = other or self.versions.before
            if former is None:
                raise Conflict(f"{name_of(champion)} is the first champion: there is no version to go back to")
            return await self._roll_back(champion, former, reason)

    async def _promote(self, row: PolicyRow, reason: str) -> PolicyRow:
        """Make a version champion, and let the champion that is trusted keep a share as a measure for it."""
        champion, other = self.versions.champion, self.versions.challenger
        guard, ended = champion, []
        if other is not None and other.state == "hold_back":
            # Nothing is known of the present champion yet: the one before it stays the measure.
            guard = other
            ended.append(self._now(champion, "dropped", f"{name_of(row)} was promoted over it"))
        elif other is not None and other.version != row.version:
            ended.append(self._now(other, "dropped", f"{name_of(row)} was promoted past it"))
        promoted = (
            self._now(row, "champion", reason) if row is other else changed(row, "champion", reason, self._clock())
        )
        held = changed(guard, "hold_back", f"the measure for {name_of(row)}, which has taken its place", self._clock())
        await self._serve(promoted, held, "hold_back", *ended)
        self._tell("promoted", promoted)
        return promoted

    async def _drop(self, canary: PolicyRow, reason: str) -> None:
        dropped = self._now(canary, "dropped", reason)
        await self._serve(self.versions.champion, None, "canary", dropped)
        self._tell("dropped", dropped)

    async def _roll_back(self, champion: PolicyRow, former: PolicyRow, reason: str) -> PolicyRow:
        taken_back = self._now(champion, "rolled_back", reason)
        again = changed(former, "champion", f"{name_of(champion)} was rolled back", self._clock())
        await self._serve(again, None, "hold_back", taken_back)
        self._tell("rolled_back", taken_back)
        return again

    def _now(self, row: PolicyRow, state: PolicyState, reason: str) -> PolicyRow:
        """Return a row in another state, with what the contest that ends now has shown."""
        figures = self.contest()
        return changed(row, state, reason, self._clock(), **({"live": figures} if figures is not None else {}))

    async def _serve(self, champion: PolicyRow, challenger: PolicyRow | None, phase: Phase, *others: PolicyRow) -> None:
        """Log who serves from now on, together with the rows that change; returns once the learner knows."""
        rows = (champion, *((challenger,) if challenger else ()), *others)
        body = {
            "champion": champion.parameters,
            "challenger": challenger.parameters if challenger else None,
            "share": self.share,
            "phase": phase,
        }
        seq = await self._journal.append(Entry("policy", name_of(champion), self._clock(), body, rows))
        self.versions.keep(*rows)
        # Not until everything is learned: under steady traffic that may take for ever.
        while self._published_seq < (seq or 0) and self._learning.is_running:
            self._published.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._published.wait(), LOOK_AGAIN_S)

    async def _store(self, *rows: PolicyRow) -> None:
        await self._journal.append(Entry(None, name_of(rows[0]), self._clock(), {}, rows))
        self.versions.keep(*rows)

    def _tell(self, change: str, row: PolicyRow) -> None:
        self._metrics.policy_changes.labels(change).inc()
        log.info("policy changed", change=change, policy=name_of(row), reason=row.reason)
        self.mirror.soon()

    async def _note_numbers(self, numbers: Mapping[str, str]) -> None:
        async with self._changing:
            told = [(row, numbers.get(name_of(row))) for row in self.versions]
            rows = [
                PolicyRow(**(row.model_dump() | {"mlflow_version": n})) for row, n in told if n != row.mlflow_version
            ]
            if rows:
                await self._journal.append(Entry(None, "mlflow", self._clock(), {}, tuple(rows)))
                self.versions.keep(*rows, is_news=False)
