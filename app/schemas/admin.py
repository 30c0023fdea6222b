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
    reason: str = ""
    """Why the evidence gives it that state; empty where there is none yet."""


class QuizPlan(Strict):
    """How a model that arrives is examined."""

    questions: int
    """Recent queries that it is asked in the background."""
    expected_usd: float | None
    """What those still to be asked are expected to cost; null while nothing is known of the traffic."""
    queries: str
    """Where the queries come from."""


class CapsPlan(Strict):
    """The most that exploration may cost, all models together."""

    max_share: float
    """Share of all spend."""
    max_usd_per_day: float


class PriorPlan(Strict):
    """What is believed of a model before any evidence."""

    quality: float
    interval: tuple[float, float]
    source: str


class Plan(Strict):
    """What a model that arrives is promised."""

    quiz: QuizPlan
    caps: CapsPlan
    prior: PriorPlan
    fair_share: float
    """One through the number of models in service."""
    queries_to_fair_share: int | None
    """Requests until a good model has its fair share of the recent ones; null where that cannot be said."""
    reason: str
    """What the estimate rests on, or why there is none."""


class RegisteredModel(ModelView):
    """A model that has just been registered."""

    plan: Plan


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
