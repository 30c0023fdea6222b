"""What the service aims for: a spend to keep, a quality to keep, an exchange rate, or quality alone."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import PositiveUsd, Strict, UnitInterval


class BudgetObjective(Strict):
    """The best quality at a mean spend per request."""

    kind: Literal["budget"]
    usd_per_request: PositiveUsd
    """Target for the mean of all spend per request: answers, cascade attempts, judges, shadow calls, quizzes."""


class QualityFloorObjective(Strict):
    """The least spend at a mean quality."""

    kind: Literal["quality_floor"]
    quality: UnitInterval
    """Mean quality to keep, 0 to 1."""


class TradeoffObjective(Strict):
    """The best quality minus spend at a fixed exchange rate."""

    kind: Literal["tradeoff"]
    usd_per_point: PositiveUsd
    """What one percentage point of quality on one request is worth, in USD."""


class QualityObjective(Strict):
    """The best quality, whatever it costs within the key's budget."""

    kind: Literal["quality"]


Objective = Annotated[
    BudgetObjective | QualityFloorObjective | TradeoffObjective | QualityObjective, Field(discriminator="kind")
]
