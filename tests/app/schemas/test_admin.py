from typing import Any

import pytest

from app.errors import Unprocessable
from app.schemas.admin import ModelList, ModelView, patched_objective
from app.schemas.objective import BudgetObjective, QualityFloorObjective
from app.schemas.pool import Price

CURRENT = BudgetObjective(kind="budget", usd_per_request=0.0006)


def test_a_field_alone_changes_the_objective_in_force() -> None:
    assert patched_objective(CURRENT, {"usd_per_request": 1}) == BudgetObjective(kind="budget", usd_per_request=1.0)


def test_the_same_kind_with_its_field_changes_it_too() -> None:
    wanted = BudgetObjective(kind="budget", usd_per_request=0.5)
    assert patched_objective(CURRENT, wanted.model_dump()) == wanted


def test_another_kind_replaces_the_objective() -> None:
    wanted = QualityFloorObjective(kind="quality_floor", quality=0.7)
    assert patched_objective(CURRENT, {"kind": "quality_floor", "quality": 0.7}) == wanted


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"usd_per_request": 0}, "usd_per_request"),
        ({"quality": 0.5}, "quality"),
        ({"kind": "quality_floor"}, "quality"),
        ({"kind": "cheap"}, "kind"),
        ({"kind": None}, "kind"),
    ],
)
def test_a_wrong_change_is_refused_by_name(patch: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as raised:
        patched_objective(CURRENT, patch)
    assert raised.value.param == param


def test_the_list_of_models_has_openais_form() -> None:
    price = Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    model = ModelView(id="m", provider="fake", price=price, state="parked", source="api", registered_at=1.5)
    body = ModelList(data=(model,)).model_dump(mode="json")
    assert body["object"] == "list"
    assert body["data"][0] | {"id": "m", "state": "parked", "source": "api", "registered_at": 1.5} == body["data"][0]
