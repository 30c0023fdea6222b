"""Versions of the policy on the wire: what the operator may promote, and how versions are listed."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from app.schemas.base import Many, NoNul, Strict, UnitInterval
from learner.types import Parameters

Reason = Annotated[str, Field(min_length=1, max_length=500), NoNul]
PolicyVersion = Annotated[int, Field(ge=1, le=2**31 - 1)]


class PolicyParameters(Strict):
    """Parameters of a policy; what is left out is as in the version in force."""

    depth: Annotated[int, Field(ge=1, le=5)] | None = None
    """Most models asked for one request."""
    margin: UnitInterval | None = None
    """Quality that one more call must gain beyond its price."""
    sharpness: Annotated[float, Field(ge=0, le=2)] | None = None
    """Factor on how far a belief about one query lies from the model's mean."""
    shadow_arms: Annotated[int, Field(ge=0, le=8)] | None = None
    """Most models of one background comparison."""

    def over(self, parameters: Parameters) -> Parameters:
        """Return other parameters with those given here in their place."""
        return replace(parameters, **{name: value for name, value in self if value is not None})


class Promotion(Strict):
    """A version to promote: new parameters, or a known version."""

    parameters: PolicyParameters | None = None
    """Parameters of a new version; what is left out is as in the version in force."""
    version: PolicyVersion | None = None
    """The number of a known version, in place of parameters."""
    force: bool = False
    """Skip the offline gate and the canary: it serves at once, and is rolled back by itself if it is shown worse."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.parameters is None) == (self.version is None):
            raise ValueError("should have either parameters or version")
        return self


class Rollback(Strict):
    """A rollback by the operator."""

    reason: Reason = "rolled back by the operator"
    """Kept with the version that is taken back."""


class PolicyView(Strict):
    """A version of the policy as it is listed."""

    version: int
    name: str
    """As in the header `x-headrace-policy`."""
    state: Literal["candidate", "refused", "canary", "dropped", "champion", "hold_back", "retired", "rolled_back"]
    """`hold_back`: the former champion, which keeps a share until its successor is shown not to be worse."""
    share: float
    """Share of the routed requests that it decides now."""
    origin: Literal["initial", "retune", "operator"]
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    """`offline`: the estimate on logged comparisons; `live`: what the contest with the other version has shown."""
    reason: str
    """Why it is in this state."""
    created_at: float
    """Seconds since 1970, as the other times."""
    updated_at: float
    promoted_at: float | None
    mlflow_version: str | None


class RegistryView(Strict):
    """How MLflow's registry is; serving and learning do not need it."""

    state: Literal["ok", "down"]
    reason: str


class PolicyList(Strict):
    """All versions, in OpenAI's form of a list, with what serves now."""

    object: Literal["list"] = "list"
    data: Many[PolicyView]
    serving: dict[str, float]
    """Share of the routed requests by the version's name."""
    contest: dict[str, Any] | None
    """The canary or hold-back under way, with its figures; null while one version serves alone."""
    registry: RegistryView


class Difference(Strict):
    """One parameter that differs between two versions."""

    parameter: str
    before: float
    after: float


class PolicyDiff(Strict):
    """What sets two versions apart."""

    before: str
    after: str
    parameters: Many[Difference]
    states: dict[str, str]
