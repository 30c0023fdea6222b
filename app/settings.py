"""What the operator decides: the configuration file as one frozen value, and the environment read once.

`app.config_file` reads the file into `Settings`; `app.main` passes its values on as plain arguments. Nothing else
looks at the environment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_dir
from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.problems import Loc, located
from app.schemas.base import Many, Name, NonNegativeUsd, PositiveUsd, Strict, UnitInterval
from app.schemas.metrics import BUILT_IN_METRICS, Metric
from app.schemas.objective import Objective, TradeoffObjective
from app.schemas.pool import ModelEntry

UNKNOWN_MODEL = "should be the id of an entry of models; add it there"
_DATABASES = ("sqlite:///", "postgresql://")


def _checked_database_url(value: str) -> str:
    if not value.startswith(_DATABASES):
        raise ValueError(f"should begin with {' or '.join(_DATABASES)}")
    return value


def _checked_metric_name(value: str) -> str:
    if value in BUILT_IN_METRICS:
        raise ValueError("is a built-in metric; choose another name")
    return value


def _checked_webhook(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("should be an address that begins with http:// or https:// and names a host")
    return value


class Storage(Strict):
    """Where events are kept, and whether prompts and answers are among them."""

    url: Annotated[str, AfterValidator(_checked_database_url)] = Field(default="sqlite:///headrace.db", repr=False)
    """A relative SQLite path is relative to the data directory."""
    content: bool = False
    """True: keep prompts, answers, comments and demonstrations."""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelJudgeEntry(Strict):
    """A judge that asks one model of the pool."""

    id: Name
    kind: Literal["llm", "pairwise", "cross"]
    """`llm` scores an answer, `pairwise` compares two that differ, `cross` answers by itself and is compared."""
    model: Name
    """Id of a model of the pool."""
    timeout_s: Seconds | None = None
    """Seconds for one reply; as for upstreams where none is given."""
    always: bool = False
    """True: ask about every answer, whatever the opinion is worth."""


class SelfJudgeEntry(Strict):
    """A judge that asks whichever model gave the answer whether it is true."""

    id: Name
    kind: Literal["self"]
    timeout_s: Seconds | None = None
    """Seconds for one reply; as for upstreams where none is given."""
    always: bool = False
    """True: ask about every answer, whatever the opinion is worth."""


JudgeEntry = Annotated[ModelJudgeEntry | SelfJudgeEntry, Field(discriminator="kind")]
"""A judge that calls upstreams, besides the built-in ones."""


class Timeouts(Strict):
    """How long the service waits."""

    upstream_s: Seconds = 60.0
    """Seconds for one upstream call."""


class Exploration(Strict):
    """The most that finding out may cost: shadow calls, quizzes, and the extra cost of explored choices."""

    max_share: UnitInterval = 0.1
    """Share of all spend."""
    max_usd_per_day: NonNegativeUsd = 5.0


class Control(Strict):
    """Requests by which savings are measured: the best single model, or the cheapest, answers them alone."""

    share: Annotated[float, Field(ge=0, le=0.1)] = 0.01
    """Share of the requests for `auto`, half for each; a dear model gets fewer. 0: none, and nothing is measured."""


class Feedback(Strict):
    """What becomes of feedback, and what it is held against."""

    window_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """How long after an answer feedback on it is accepted."""
    comment_sentiment: bool = False
    """True: a clearly friendly or unfriendly comment counts as a thumb (extra `sentiment`)."""
    probe_share: UnitInterval = 0.005
    """Share of the answers that the best judges are shown in the background, drawn at random."""


class Decomposition(Strict):
    """How requests with `router.decompose` are split and put together again."""

    planner: Name | None = None
    """Id of a model of the pool; the most useful one for the request where none is named."""
    merger: Name | None = None
    """Id of a model of the pool; the planner where none is named."""
    max_parts: Annotated[int, Field(ge=2, le=16)] = 4
    max_cost_usd: PositiveUsd | None = None
    """The most that one request with all its parts may be expected to cost."""


class Alerts(Strict):
    """Who is told of alarms."""

    webhook_url: Annotated[str, AfterValidator(_checked_webhook)] | None = Field(default=None, repr=False)
    """Gets every alarm as a small JSON object by POST."""


class Embedding(Strict):
    """An embedding file in place of the one in the data directory."""

    path: Annotated[Path, Field(strict=False)]


class Settings(Strict):
    """The configuration file."""

    storage: Storage = Storage()
    objective: Objective = TradeoffObjective(kind="tradeoff", usd_per_point=0.0001)
    models: Many[ModelEntry] = ()
    """The pool; further models may be registered while the service runs."""
    judges: Many[JudgeEntry] = ()
    timeouts: Timeouts = Timeouts()
    exploration: Exploration = Exploration()
    control: Control = Control()
    decompose: Decomposition = Decomposition()
    metrics: dict[Annotated[Name, AfterValidator(_checked_metric_name)], Metric] = Field(default_factory=dict)
    """Feedback metrics besides the built-in ones, by name."""
    feedback: Feedback = Feedback()
    alerts: Alerts = Alerts()
    embedding: Embedding | None = None

    @model_validator(mode="after")
    def _hang_together(self) -> Self:
        judges = [(judge.id, getattr(judge, "model", None)) for judge in self.judges]
        splitting = {"planner": self.decompose.planner, "merger": self.decompose.merger}
        if found := list(contradictions([model.id for model in self.models], judges, splitting)):
            raise located(found)
        return self


def contradictions(
    model_ids: Sequence[Any], judges: Sequence[tuple[Any, Any]], splitting: Mapping[str, Any]
) -> Iterator[tuple[Loc, object, str]]:
    """Find what is wrong between the entries of a configuration: ids used twice, models named that are not there.

    Args:
        model_ids: Id of each model, in order; None where it is unknown.
        judges: Id and model of each judge, in order; None where it is unknown, or a judge has none.
        splitting: The models that `decompose` names, by their key; None where there is none.

    Yields:
        Place, value, and what it should be.
    """
    yield from _repetitions("models", model_ids)
    yield from _repetitions("judges", [judge_id for judge_id, _ in judges])
    for position, (_, model) in enumerate(judges):
        if model is not None and model not in model_ids:
            yield ("judges", position, "model"), model, UNKNOWN_MODEL
    for role, model in splitting.items():
        if model is not None and model not in model_ids:
            yield ("decompose", role), model, UNKNOWN_MODEL


def _repetitions(section: str, ids: Sequence[Any]) -> Iterator[tuple[Loc, object, str]]:
    for position, each in enumerate(ids):
        if each is not None and (first := ids.index(each)) < position:
            yield (section, position, "id"), each, f"is already the id of {section}[{first}]; choose another"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the environment says about this process."""

    config_path: Path | None
    """`HEADRACE_CONFIG`: the configuration file."""
    data_dir: Path
    """`HEADRACE_DATA_DIR`: database, snapshots, embedding file and MLflow store."""
    admin_key: SecretStr | None
    """`HEADRACE_ADMIN_KEY`: a bootstrap key with all scopes; masked when printed."""
    url: str
    """`HEADRACE_URL`: the service that the command line talks to."""


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Read the service's variables; an empty one counts as not set.

    Args:
        environ: The variables, `os.environ` in a running process.
    """
    config_path, admin_key = environ.get("HEADRACE_CONFIG"), environ.get("HEADRACE_ADMIN_KEY")
    return Environment(
        config_path=Path(config_path).expanduser() if config_path else None,
        data_dir=Path(environ.get("HEADRACE_DATA_DIR") or user_data_dir("headrace", appauthor=False)).expanduser(),
        admin_key=SecretStr(admin_key) if admin_key else None,
        url=environ.get("HEADRACE_URL") or "http://127.0.0.1:8000",
    )
