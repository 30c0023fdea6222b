"""What a measurement is held against: a figure, its limit, and one line that says whether it was met."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit in `unit` on a measured figure: an upper one, or a lower one where `is_floor`."""

    name: str
    figure: float
    limit: float
    unit: str
    is_floor: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.figure >= self.limit if self.is_floor else self.figure <= self.limit

    def __str__(self) -> str:
        verdict, sign = ("PASS" if self.is_met else "SHORT"), (">=" if self.is_floor else "<=")
        return f"{verdict:<5} {self.name}: {self.figure:,.2f} {self.unit} (bar {sign} {self.limit:,.4g})"


def as_json(bars: Sequence[Bar]) -> list[dict[str, Any]]:
    """Return bars as plain objects with their verdicts."""
    return [asdict(bar) | {"is_met": bar.is_met} for bar in bars]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` in [0, 1] of ascending values lie (nearest rank)."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
