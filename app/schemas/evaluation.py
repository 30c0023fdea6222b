"""The body of `POST /v1/admin/policies/evaluate`: which policy to value, and on what part of the log."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from app.problems import located
from app.schemas.base import Many, Name, Strict
from app.schemas.policies import PolicyParameters
from learner import robust

DECISIONS, MOST_DECISIONS = 5_000, 10_000


class EvaluationRequest(Strict):
    """A policy to value on the log, and the part of it that counts."""

    parameters: PolicyParameters | None = None
    """The candidate, as it differs from the policy in force."""
    version: Name | None = None
    """In place of `parameters`: a version of the policy, such as `headrace@2` or `2`."""
    since: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Requests from then on, in seconds since 1970."""
    limit: Annotated[int, Field(ge=1, le=MOST_DECISIONS)] = DECISIONS
    """At most so many of the newest requests."""
    estimators: Annotated[Many[robust.Name], Field(min_length=1)] = robust.NAMES
    """Which estimators to use."""

    @model_validator(mode="after")
    def _names_one_policy(self) -> Self:
        if self.parameters is None and self.version is None:
            raise located([(("parameters",), None, "is missing; send parameters, or version")])
        if self.parameters is not None and self.version is not None:
            raise located([(("version",), self.version, "cannot stand beside parameters; send one of them")])
        return self
