from typing import Any

import pytest
from pydantic import ValidationError

from app.schemas.keys import KeyEntry


def test_a_key_that_says_nothing_may_infer_and_give_feedback_without_a_limit() -> None:
    entry = KeyEntry(name="app")
    assert (entry.scopes, entry.budget, entry.objective) == (("inference", "feedback"), None, None)


def test_scopes_are_kept_once_each_and_in_one_order() -> None:
    entry = KeyEntry.model_validate({"name": "app", "scopes": ["admin", "inference", "admin"]})
    assert entry.scopes == ("inference", "admin")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": None},
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": "admin"},
        {"budget": {"usd": 0, "per": "day"}},
        {"budget": {"usd": float("inf"), "per": "day"}},
        {"budget": {"usd": "1", "per": "day"}},
        {"budget": {"usd": 1.0, "per": "week"}},
        {"budget": {"usd": 1.0}},
        {"objective": {"kind": "quality_floor", "quality": 2.0}},
        {"objective": {"kind": "cheap"}},
        {"secret": "of my own"},
    ],
)
def test_what_is_no_key_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KeyEntry.model_validate({"name": "app"} | changes)
