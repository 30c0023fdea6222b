"""Shapes of the administration API: a model with its state, and a change of the objective."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from app.errors import Unprocessable, refusal
from app.problems import problems_in
from app.schemas.base import Many, Strict
from app.schemas.objective import Objective
from app.schemas.pool import ModelEntry
from learner.pool import ArmState

_OBJECTIVE: TypeAdapter[Objective] = TypeAdapter(Objective)


class ModelView(ModelEntry):
    """A model of the pool as the administration API answers it."""

    state: ArmState
    """Where its life stands; `quarantined` while its upstream fails."""
    source: Literal["config", "api"]
    """Where the entry came from; the file wins for the models it names."""
    registered_at: float
    """Seconds since 1970."""


class ModelList(Strict):
    """All models of the pool, in OpenAI's form of a list."""

    object: Literal["list"] = "list"
    data: Many[ModelView]


def patched_objective(current: Objective, patch: Mapping[str, Any]) -> Objective:
    """Change the objective: only the fields given where the kind stays, all of them where it changes.

    Args:
        current: The objective in force.
        patch: The body of the request.

    Raises:
        Unprocessable: A field is missing, unknown, or out of range.
    """
    stays = patch.get("kind", current.kind) == current.kind
    wanted = {**current.model_dump(), **patch} if stays else dict(patch)
    try:
        return _OBJECTIVE.validate_python(wanted)
    except ValidationError as err:
        raise refusal(Unprocessable, problems_in(err.errors(include_url=False), wanted)) from err
