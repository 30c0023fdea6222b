"""The tables, one row class each.

A decision is stored when a request is routed, a call for every upstream request, a judge score and a feedback when
they arrive; `events` puts them in the one order that the learner folds, and `event_seq` says with which event a row
came. Times are seconds since 1970 (UTC), money is in USD. There are no foreign keys: a shadow call or a quiz belongs to
an inference that need not be a stored decision.
"""

from functools import cache
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Text
from sqlmodel import Field, SQLModel

from app.schemas.keys import KeyScope, Period

Status = Literal["open", "answered", "failed", "cancelled"]
Purpose = Literal["answer", "shadow", "judge", "quiz", "probe", "plan", "synthesis"]
Outcome = Literal["ok", "http_error", "timeout", "unreachable", "garbage", "cancelled"]
Account = Literal["request", "background"]
EventKind = Literal[
    "request", "comparison", "probe", "feedback", "model", "objective", "policy", "recorded", "key", "freeze"
]
Source = Literal["config", "api"]
Origin = Literal["initial", "retune", "operator"]
PolicyState = Literal["candidate", "refused", "canary", "dropped", "champion", "hold_back", "retired", "rolled_back"]

# SQLite numbers rows by itself only where the type is exactly INTEGER; its INTEGER has 64 bits.
WIDE = BigInteger().with_variant(Integer(), "sqlite")


class Row(SQLModel):
    """A row of any table.

    It is made of values that this service has checked already, several times a request: they are taken as they are,
    which costs a tenth of setting and tracking them one by one.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(_defaults(type(self)), **values)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value


@cache
def _defaults(table: type[Row]) -> dict[str, Any]:
    fields = table.model_fields.items()
    return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}


class DecisionRow(Row, table=True):
    """Keep how a request was routed, with all that off-policy evaluation and late feedback need.

    `arm` is the first model chosen and `propensity` the probability with which it was; `context` holds float32 in
    little-endian order; `prompt` and `answer` stay empty unless content is stored. `cost_usd` is what the request has
    caused, also where it failed or was cancelled. `episode` is the tag of that name, `query_seal` a keyed hash of what
    the query hangs on. A part of a decomposed request is an inference of its own that names its parent, whose
    `cost_usd` leaves out that of its parts. `control` names the control that answered, `best_chance` and
    `cheapest_chance` the probability with which each would have: they are part of `propensity`, not of `probabilities`,
    which are those of the policy's own draw.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        # All that savings are estimated from, so that the rows, which are long, need not be read.
        Index(
            "ix_decisions_created_at",
            "created_at",
            "id",
            "stage",
            "parent_id",
            "status",
            "control",
            "arm",
            "best_chance",
            "cheapest_chance",
            "confidence",
            "category",
        ),
        Index("ix_decisions_key_id", "key_id", "created_at", "cost_usd"),
        Index("ix_decisions_episode", "episode", "created_at"),
    )

    id: str = Field(primary_key=True)
    parent_id: str | None = None
    created_at: float
    user: str | None = None
    key_id: str | None = None
    session_id: str | None = None
    tags: dict[str, str] = Field(default={}, sa_type=JSON)
    episode: str | None = None
    query_seal: str | None = None
    requested_model: str
    objective: str
    stage: str
    arm: str
    answer_model: str | None = None
    attempts: int = 0
    explored: bool = False
    propensity: float
    probabilities: dict[str, float] = Field(default={}, sa_type=JSON)
    control: str | None = None
    best_chance: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    cheapest_chance: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    scores: dict[str, float] = Field(default={}, sa_type=JSON)
    lambda_: float
    policy_version: str
    feature_version: str
    context: bytes = Field(sa_type=LargeBinary)
    category: str
    confidence: float | None = None
    cost_usd: float = 0.0
    overhead_ms: float = 0.0
    streamed: bool = False
    status: Status = Field(default="open", sa_type=String)
    prompt: str | None = Field(default=None, sa_type=Text)
    answer: str | None = Field(default=None, sa_type=Text)


class CallRow(Row, table=True):
    """Keep one upstream request: what it was for, how it ended, what it cost.

    Calls of one inference with the same `answer_group` gave the same answer; `seal` is a keyed hash of it. `account` is
    `request` for what stands in a response's `usage.cost`, `background` for all else; `key_id` is that of the request
    that caused it, whoever pays. `explored_share` of its cost is exploration's, and `explored_quality` what exploration
    is believed to have given up by it. `evidence` names the signals of the answer.
    """

    __tablename__ = "calls"
    __table_args__ = (Index("ix_calls_inference_id", "inference_id", "purpose", "cost_usd"),)

    id: int | None = Field(default=None, sa_column=Column(WIDE, primary_key=True))
    event_seq: int | None = Field(default=None, sa_column=Column(WIDE, index=True))
    inference_id: str
    step: int
    model: str
    purpose: Purpose = Field(sa_type=String)
    outcome: Outcome = Field(sa_type=String)
    status_code: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    answer_group: int | None = None
    account: Account = Field(sa_type=String)
    explored_share: float | None = None
    explored_quality: float | None = None
    key_id: str | None = None
    evidence: dict[str, float] = Field(default={}, sa_type=JSON)
    seal: str | None = None
    created_at: float


class JudgeScoreRow(Row, table=True):
    """Keep what one judge said of the answer of one step."""

    __tablename__ = "judge_scores"

    id: int | None = Field(default=None, sa_column=Column(WIDE, primary_key=True))
    event_seq: int | None = Field(default=None, sa_column=Column(WIDE, index=True))
    inference_id: str = Field(index=True)
    step: int
    judge: str
    score: float
    created_at: float


class RecordedRow(Row, table=True):
    """Keep one recorded outcome that was taught: what a model once did with a query, and how good it was.

    Rows of one query share `query_id`; `context` is as in a decision. Nothing of it was billed by this service.
    """

    __tablename__ = "recorded"

    id: int | None = Field(default=None, sa_column=Column(WIDE, primary_key=True))
    event_seq: int | None = Field(default=None, sa_column=Column(WIDE, index=True))
    query_id: str = Field(index=True)
    model: str
    quality: float
    cost_usd: float
    input_tokens: int
    output_tokens: int
    answer_group: int | None = None
    feature_version: str
    context: bytes = Field(sa_type=LargeBinary)


class FeedbackRow(Row, table=True):
    """Keep one feedback as it came; a correction is a further row, never a change.

    `value` is null where it is content and content is not stored; `reward` is null where the metric has none; `seal` is
    the keyed hash of a demonstration. Feedback on an `episode` has a row for each of its answers, with its `share`.
    """

    __tablename__ = "feedback"

    id: str = Field(primary_key=True)
    event_seq: int | None = Field(default=None, sa_column=Column(WIDE, index=True))
    inference_id: str = Field(index=True)
    metric: str
    value: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    reward: float | None = None
    seal: str | None = None
    episode: str | None = None
    share: float | None = None
    user: str | None = None
    source: str | None = None
    tags: dict[str, str] = Field(default={}, sa_type=JSON)
    occurred_at: float | None = None
    received_at: float


class IdempotencyKeyRow(Row, table=True):
    """Keep the answer given to the first request that carried a key."""

    __tablename__ = "idempotency_keys"

    key: str = Field(primary_key=True)
    body_hash: str
    response: dict[str, Any] = Field(sa_type=JSON)
    created_at: float


class KeyRow(Row, table=True):
    """Keep a client's key: the hash of its secret, what it opens, and what it may spend.

    `objective` has the form of the configuration's. A revoked key stays, so that its decisions can be told apart.
    """

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str
    secret_sha256: str
    scopes: list[KeyScope] = Field(sa_type=JSON)
    budget_usd: float | None = None
    budget_per: Period | None = Field(default=None, sa_type=String)
    objective: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    created_at: float
    revoked_at: float | None = None


class EventRow(Row, table=True):
    """Keep one entry of the log that the learner folds; `seq` counts up from 1 without a gap."""

    __tablename__ = "events"

    seq: int = Field(sa_column=Column(WIDE, primary_key=True, autoincrement=False))
    at: float
    kind: EventKind = Field(sa_type=String)
    ref: str
    body: dict[str, Any] = Field(default={}, sa_type=JSON)


class ModelRow(Row, table=True):
    """Keep a model of the pool: its configured entry and where its life stands."""

    __tablename__ = "models"

    id: str = Field(primary_key=True)
    entry: dict[str, Any] = Field(sa_type=JSON)
    source: Source = Field(sa_type=String)
    state: str
    registered_at: float
    updated_at: float
    retired_at: float | None = None


class PolicyRow(Row, table=True):
    """Keep a version of the policy: its parameters, where its life stands and why, and what is known of its worth.

    `metrics` holds the offline estimate as `offline` and what a contest on live traffic has shown as `live`;
    `promoted_at` is when it last became champion, `mlflow_version` its number in MLflow's registry.
    """

    __tablename__ = "policies"

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    parameters: dict[str, Any] = Field(sa_type=JSON)
    origin: Origin = Field(sa_type=String)
    state: PolicyState = Field(sa_type=String)
    metrics: dict[str, Any] = Field(default={}, sa_type=JSON)
    reason: str = Field(sa_type=Text)
    created_at: float
    updated_at: float
    promoted_at: float | None = None
    mlflow_version: str | None = None


class SnapshotRow(Row, table=True):
    """Keep the learner's state after the event `seq`, so that recovery folds only what came later."""

    __tablename__ = "snapshots"

    seq: int = Field(sa_column=Column(WIDE, primary_key=True, autoincrement=False))
    created_at: float
    feature_version: str
    schema_version: int
    checksum: str
    body: bytes = Field(sa_type=LargeBinary)


class AlarmRow(Row, table=True):
    """Keep an alarm of the learner; `id` tells the event that raised it, so that a replay finds it here already.

    `category` is null where the model has changed altogether; `size` counts standard deviations of one observation,
    and `observation` what the learner had learned from by then.
    """

    __tablename__ = "alarms"

    id: str = Field(primary_key=True)
    at: float = Field(index=True)
    kind: str
    model: str
    category: str | None = None
    direction: str
    size: float
    observation: int
    delivered_at: float | None = None


class SpendRow(Row, table=True):
    """Keep the sum of the calls of one day (UTC, `YYYY-MM-DD`), model, account, purpose and key.

    `key_id` is empty where no key caused them, or none was noted yet. `requests` counts whole requests by the model
    that answered them, or was to, among the answers.
    """

    __tablename__ = "spend"

    day: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    account: Account = Field(sa_type=String, primary_key=True)
    purpose: Purpose = Field(sa_type=String, primary_key=True)
    key_id: str = Field(primary_key=True)
    usd: float = 0.0
    explored_usd: float = 0.0
    explored_quality: float = 0.0
    calls: int = 0
    requests: int = 0


APART = ("day", "model", "account", "purpose", "key_id")
SUMMED = ("usd", "explored_usd", "explored_quality", "calls", "requests")
"""The columns that tell the rows of the spend apart, and those that are sums."""
