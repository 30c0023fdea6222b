"""The caps on exploration while requests run at once: what is under way is held against them until the ledger knows it.

The learner's ledger is as of the last event that was learned. Whatever was begun since then holds its expected cost
here, from before the draw until the event that tells of it is part of the view; as soon as the real cost is known, that
takes the place of the expected one. So no number of requests can spend the same allowance twice. What was spent and
could not be stored stays held until the service starts again.

The day's cap is kept by the table of spend as well: it knows every call that was billed, also those that the learner
passes over.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from app.storage.batch import Entry
from app.storage.spend import day_of
from learner.exploration import CAUTION
from learner.policy import View

Kind = Literal["request", "comparison", "probe", "quiz"]
"""The kinds of event in which exploration is told; a question of a quiz waits for its own, and lets go then."""


@dataclass(slots=True)
class Exploring:
    """What exploration under way may cost, by the event that will tell of it.

    Args:
        max_usd_per_day: Cap on one day (UTC).
        spent_usd: Says what exploration has spent on a day, `YYYY-MM-DD`, as far as it is stored.
    """

    max_usd_per_day: float
    spent_usd: Callable[[str], float]
    held_usd: float = 0.0
    _held: dict[tuple[str, str], float] = field(default_factory=dict)

    def reserved_usd(self, view: View, at: float) -> float:
        """Return how much of a view's allowance is taken: by what is under way, and by the cap of a day.

        Args:
            view: What is believed now.
            at: The time under which the spend will be booked, in seconds since 1970.
        """
        left_usd = self.max_usd_per_day - self.spent_usd(day_of(at))
        return self.held_usd + max(view.room_usd - left_usd, 0.0)

    def hold(self, kind: Kind, ref: str, usd: float) -> None:
        """Hold an expected cost, and some more, added to what is held for the same event already."""
        self._add((kind, ref), CAUTION * usd)

    def settle(self, kind: Kind, ref: str, usd: float) -> None:
        """Put the real cost in the place of the expected one, unless the event is learned already."""
        if self.release(kind, ref):
            self._add((kind, ref), usd)

    def learned(self, entries: Iterable[Entry]) -> None:
        """Hold nothing any more for events that the published view knows."""
        for entry in entries if self._held else ():
            # A quiz' answer is told as a comparison is, perhaps of the same inference as one that is under way.
            if not entry.rows or any(getattr(row, "purpose", None) != "quiz" for row in entry.rows):
                self.release(entry.kind or "", entry.ref)

    def _add(self, event: tuple[str, str], usd: float) -> None:
        if usd > 0.0:
            self._held[event] = self._held.get(event, 0.0) + usd
            self.held_usd += usd

    def release(self, kind: str, ref: str) -> bool:
        """Hold nothing any more for an event; tells whether anything was held."""
        usd = self._held.pop((kind, ref), None)
        # Sums of floats leave a rest, which must not stay for ever.
        self.held_usd = self.held_usd - (usd or 0.0) if self._held else 0.0
        return usd is not None
