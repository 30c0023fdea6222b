"""`headrace replay`: is the state still the fold of the log? Everything is folded again, from the first event on.

At every event that a stored snapshot covers, the state that came out is compared with it, byte by byte. A difference
means that the log or the snapshot was changed from outside, or that another version learns otherwise: nothing is mended
here, and `serve` trusts the snapshot. Limits of exploration are the configuration's and in no event, but in every
snapshot: events are folded under those of the first snapshot that covers them, and the last ones under today's.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import Progress
from sqlalchemy.ext.asyncio import AsyncEngine

from app.client import out
from app.replay import fold
from app.service import open_embedding, start_state
from app.settings import Environment, Settings
from app.storage import repository, windows
from app.storage.engine import database_url, hold, open_engine
from app.storage.migrate import migrate
from app.storage.repository import Logged
from app.storage.tables import SnapshotRow
from learner import snapshot
from learner.errors import LearnerError, SnapshotIncompatible
from learner.promise import Caps
from learner.state import LearnerState

CHUNK = 500
UNSURE = (
    "The limits of exploration have changed. Events before a change that no kept snapshot marks are folded under the "
    "later limits, which by itself makes a difference; the snapshots stay what is true, and nothing has to be mended."
)


async def replayed(settings: Settings, environment: Environment) -> dict[str, Any]:
    """Fold the log of a database that no service holds; returns what came of it, and how it compares.

    Raises:
        StorageUnavailable: the database cannot be reached or written.
        NewerDatabase: a later version has migrated it.
        DatabaseHeld: a service works on it.
    """
    url = database_url(settings.storage.url, environment.data_dir)
    with hold(url):
        migrate(url)
        state = start_state(settings, open_embedding(settings, environment.data_dir))
        engine = open_engine(url)
        try:
            return await _fold(engine, state)
        finally:
            await engine.dispose()


async def _fold(engine: AsyncEngine, state: LearnerState) -> dict[str, Any]:
    stored = {row.seq: row for row in await windows.snapshots(engine)}
    limits = known_limits(list(stored.values()), state)
    last, seq, began = await repository.last_seq(engine), 0, time.monotonic()
    kinds, passed_over, compared = Counter[str](), 0, dict[int, str]()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("replaying", total=last)
        while events := await repository.events_after(engine, seq, CHUNK):
            for logged in events:
                seq = logged.seq
                kinds[logged.kind] += 1
                impose(limits_at(seq, limits), state)
                passed_over += not _is_folded(state, logged)
                if logged.kind == "freeze" and state.freeze is None:
                    async for missed in windows.frozen_out(engine, seq):
                        _is_folded(state, missed, is_missed=True)
                if seq in stored:
                    compared[seq] = comparison(state, stored[seq])
            progress.update(bar, completed=seq)
    return {
        "events": seq, "kinds": dict(kinds), "passed_over": passed_over, "requests": state.requests,
        "observations": state.observations, "seconds": time.monotonic() - began,
        "state": snapshot.checksum(snapshot.dump(state)), "snapshots": compared,
        "differs": "differs" in compared.values(),
        "limits": [{"until": until} | asdict(caps) for until, caps in limits],
    }  # fmt: skip


def known_limits(stored: Sequence[SnapshotRow], configured: LearnerState) -> list[tuple[int | None, Caps]]:
    """Return the limits of exploration, each with the last event that they held for; None for the last of all.

    Args:
        stored: The snapshots that are kept, oldest first.
        configured: A state with the configuration's limits, which hold for what no snapshot covers.
    """
    known: list[tuple[int | None, Caps]] = []
    for row in stored:
        # What another version made cannot be read, and nothing is compared with it.
        with suppress(SnapshotIncompatible):
            known.append((row.seq, limits_of(snapshot.load(row.body, configured.features))))
    known.append((None, limits_of(configured)))
    last = len(known) - 1
    return [each for i, each in enumerate(known) if i == last or known[i + 1][1] != each[1]]


def limits_of(state: LearnerState) -> Caps:
    """Return the limits of exploration that a state keeps."""
    return Caps(state.ledger.max_share, state.ledger.max_usd_per_day)


def limits_at(seq: int, limits: Sequence[tuple[int | None, Caps]]) -> Caps:
    """Return the limits under which an event was learned."""
    return next(caps for until, caps in limits if until is None or seq <= until)


def impose(caps: Caps, state: LearnerState) -> None:
    """Put a state under limits of exploration."""
    state.ledger.max_share, state.ledger.max_usd_per_day = caps.max_share, caps.max_usd_per_day


def _is_folded(state: LearnerState, logged: Logged, *, is_missed: bool = False) -> bool:
    try:
        fold(state, logged, is_missed=is_missed)
    except LearnerError:
        return False
    return True


def comparison(state: LearnerState, stored: SnapshotRow) -> str:
    """Say how a state compares with a snapshot of the same events."""
    if (stored.schema_version, stored.feature_version) != (snapshot.SCHEMA, state.features.version):
        return "of another version"
    return "equal" if snapshot.checksum(snapshot.dump(state)) == stored.checksum else "differs"


def tell_replay(told: dict[str, Any]) -> None:
    """Print what came of a replay."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["kinds"].items()) or "none"
    out.print(f"Folded {told['events']} events in {told['seconds']:.1f} s: {kinds}.", soft_wrap=True)
    if told["passed_over"]:
        out.print(f"{told['passed_over']} of them were passed over: they name what the pool never had.")
    out.print(f"{told['requests']} requests, {told['observations']} observations.")
    out.print(f"State: {told['state']}", soft_wrap=True)
    for seq, how in told["snapshots"].items():
        style = "bold red" if how == "differs" else None
        out.print(f"Snapshot after event {seq}: {how}.", style=style)
    if told["differs"] and len(told["limits"]) > 1:
        out.print(UNSURE, soft_wrap=True)
    if not told["snapshots"]:
        out.print("There is no snapshot to compare with.")
