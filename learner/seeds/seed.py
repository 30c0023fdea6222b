"""What a seed category is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Seed:
    """A category that the taxonomy knows before it has seen a query.

    Args:
        name: Kebab-case, unique; shown by the API and the dashboard.
        about: One line for people.
        reasoning: Whether a typical request takes a chain of deductions ("deep") or recall and style ("light").
        examples: Requests as people write them; their mean embedding is the centroid of the category.
    """

    name: str
    about: str
    reasoning: Literal["light", "deep"]
    examples: tuple[str, ...]
