from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.schemas.objective import (
    BudgetObjective,
    Objective,
    QualityFloorObjective,
    QualityObjective,
    TradeoffObjective,
)

ADAPTER: TypeAdapter[Objective] = TypeAdapter(Objective)


@pytest.mark.parametrize(
    ("body", "objective"),
    [
        ({"kind": "budget", "usd_per_request": 0.0006}, BudgetObjective(kind="budget", usd_per_request=0.0006)),
        ({"kind": "quality_floor", "quality": 1}, QualityFloorObjective(kind="quality_floor", quality=1.0)),
        ({"kind": "tradeoff", "usd_per_point": 0.0001}, TradeoffObjective(kind="tradeoff", usd_per_point=0.0001)),
        ({"kind": "quality"}, QualityObjective(kind="quality")),
    ],
)
def test_each_kind_of_the_contract_is_read(body: dict[str, Any], objective: Objective) -> None:
    assert ADAPTER.validate_python(body) == objective


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "cheap"},
        {"kind": "budget"},
        {"kind": "budget", "usd_per_request": 0},
        {"kind": "budget", "usd_per_request": float("inf")},
        {"kind": "budget", "usd_per_request": "1"},
        {"kind": "budget", "usd_per_request": 1, "quality": 0.5},
        {"kind": "quality_floor", "quality": 1.1},
        {"kind": "quality_floor", "quality": True},
        {"kind": "tradeoff", "usd_per_point": -1},
        {"kind": "quality", "quality": 0.5},
        3,
    ],
)
def test_anything_else_is_refused(body: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(body)
