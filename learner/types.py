"""The values that pass between the rooms of the learner: frozen, plain, without behaviour of their own.

A `Query` becomes a `Context`; the policy turns it into a `Decision`; what happened comes back as `Call`s and
`JudgeScore`s inside a `Served` event, later perhaps as a `Rated` one. The learner's state is the fold of such events.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learner.pool import Arm

FloatArray = NDArray[np.float64]

Stage = Literal["taxonomy", "learned", "cascade", "explore", "fallback", "pinned", "fusion"]
Purpose = Literal["answer", "shadow", "judge", "quiz", "probe", "plan", "synthesis"]
Phase = Literal["canary", "hold_back"]
Outcome = Literal["ok", "http_error", "timeout", "unreachable", "garbage", "cancelled"]
Control = Literal["best", "cheapest"]

# Calls whose answer is the arm's own answer to the query; a judge, a planner or a merger was asked something else.
ANSWERING: frozenset[Purpose] = frozenset({"answer", "shadow", "quiz"})


@dataclass(frozen=True, slots=True)
class Query:
    """What the user asked: content only, no wire format."""

    text: str
    turns: int = 1
    has_tools: bool = False
    wants_json: bool = False
    has_images: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """Features of one query.

    `vector` is φ(x), shape (d,); `categories` the soft taxonomy vector, shape (K,), sums to 1; `familiarity` in [0, 1];
    `input_chars` the length of the request as sent, for the cost model.
    """

    version: str
    vector: FloatArray
    categories: FloatArray
    familiarity: float
    input_chars: int

    @property
    def category(self) -> int:
        """Position of the likeliest category."""
        return int(self.categories.argmax())


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request allows: hard filters in front of the learner, and its dial between quality and cost.

    `account` names whose objective rules it; one without an objective of its own has everybody's. `explore_usd` is the
    most that a call may be expected to cost which is made to find something out. `control_share`, in [0, 1], is the
    probability with which a control answers it.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    input_tokens: int = 0
    max_cost_usd: float | None = None
    min_quality: float | None = None
    depth: int | None = None
    explore: bool = True
    explore_usd: float = math.inf
    price_factor: float = 1.0
    unavailable: frozenset[str] = frozenset()
    account: str | None = None
    control_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What re-tuning may change; a policy version is a name for one set of these.

    Args:
        version: Counts up with every promoted set.
        depth: Most arms asked for one request.
        margin: Quality that one more call must gain beyond its price, in [0, 1].
        sharpness: Factor on how far a belief about one query lies from the arm's mean: 1 as learned, 0 the mean alone.
        shadow_arms: Most arms of one background comparison.
    """

    version: int = 1
    depth: int = 3
    margin: float = 0.002
    sharpness: float = 1.0
    shadow_arms: int = 3

    @property
    def name(self) -> str:
        """The policy's name as shown to users."""
        return f"headrace@{self.version}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The choice of the first arm, with all that is needed to learn from it later.

    `probabilities`, of the policy's draw, sum to 1 over the eligible arms; `propensity` is that of `arm`, also as a
    control; `scores` are the expected utilities (quality minus λ times cost) of starting with each arm; `lambda_` is in
    quality per USD. `explored_share`, in [0, 1], is the share of the first call's cost that exploration causes; None
    where it explores nothing. `explored_quality`, in [0, 1], is the quality that it is believed to give up. `panel`
    names the arms that are asked at once, `arm` first; it is empty where arms are asked one after the other. `control`
    says as which control the arm was drawn to answer alone, `control_chances` with which probability the request became
    each.
    """

    arm: str
    probabilities: Mapping[str, float]
    propensity: float
    scores: Mapping[str, float]
    qualities: Mapping[str, float]
    costs_usd: Mapping[str, float]
    lambda_: float
    stage: Stage
    explored_share: float | None
    policy_version: str
    category: str
    panel: tuple[str, ...] = ()
    control: Control | None = None
    control_chances: Mapping[Control, float] = field(default_factory=dict)
    explored_quality: float | None = None

    @property
    def explored_usd(self) -> float:
        """What exploration is expected to add to the bill of the first call."""
        return self.costs_usd.get(self.arm, 0.0) * (self.explored_share or 0.0)

    @property
    def explored(self) -> bool:
        """Whether the arm was drawn to find out, not because it looked best."""
        return self.explored_share is not None


@dataclass(frozen=True, slots=True)
class Call:
    """One upstream request as it went.

    `group` numbers equal answers of one inference, None where not comparable; `seal` is a keyed hash of the answer.
    `explored_share`, in [0, 1], is the share of the call's cost that exploration causes; None where it explores
    nothing.
    """

    arm: str
    step: int
    purpose: Purpose = "answer"
    outcome: Outcome = "ok"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    group: int | None = None
    explored_share: float | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    seal: str | None = None

    @property
    def explored_usd(self) -> float:
        """What exploration adds to the bill."""
        return self.cost_usd * (self.explored_share or 0.0)

    @property
    def is_answer(self) -> bool:
        """Whether it brought the arm's own answer."""
        return self.outcome == "ok" and self.purpose in ANSWERING

    @property
    def states_answer(self) -> bool:
        """Whether the reply says what its final answer is."""
        return self.group is not None and "unstated" not in self.evidence


@dataclass(frozen=True, slots=True)
class JudgeScore:
    """One judge's score in [0, 1] of the answer of call `step`."""

    judge: str
    step: int
    score: float


@dataclass(frozen=True, slots=True)
class Served:
    """An inference with all its calls so far; `fresh` are the indices in `calls` not reported before.

    `query_seal` is a keyed hash of what the query hangs on; `confidence` the probability that the answer is good, as it
    was stated with the answer, None where none was. `policy` names the version that decided, None where the client or
    a control did, or the client went away.
    """

    inference_id: str
    context: Context
    calls: tuple[Call, ...]
    scores: tuple[JudgeScore, ...]
    answered_step: int | None
    fresh: tuple[int, ...]
    is_request: bool = True
    propensity: float = 1.0
    account: str | None = None
    query_seal: str | None = None
    confidence: float | None = None
    policy: str | None = None

    @property
    def answers(self) -> tuple[Call, ...]:
        """The calls that brought an arm's own answer."""
        return tuple([call for call in self.calls if call.is_answer])

    @property
    def is_first(self) -> bool:
        """Whether nothing was reported of it before: of a request, and of a part that another request pays for."""
        return self.is_request or 0 in self.fresh


@dataclass(frozen=True, slots=True)
class Rated:
    """A reward in [0, 1] from outside for an inference that was served; `is_binary` where it came from a thumb.

    Where the inference's episode was rated, `share` is one through the number of its answers.
    """

    served: Served
    metric: str
    reward: float
    is_binary: bool
    user: str | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """What the answer of an inference should have been, as a seal of that answer."""

    served: Served
    seal: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """An inference whose answer was drawn at random and judged; the judges' calls are fresh, their scores are there."""

    served: Served


@dataclass(frozen=True, slots=True)
class Recorded:
    """Outcomes of one query that were recorded elsewhere: as many calls as qualities in [0, 1], none of them billed."""

    context: Context
    calls: tuple[Call, ...]
    qualities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PoolChanged:
    """An arm was registered, patched, or retired; `arrives` where it joins a pool that serves, and so gets a quiz."""

    arm: Arm
    arrives: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """What to optimise: `kind` with its one number (None for pure quality)."""

    kind: Literal["budget", "quality_floor", "tradeoff", "quality"]
    value: float | None = None


@dataclass(frozen=True, slots=True)
class ObjectiveChanged:
    """The operator set another objective: everybody's, or that of one account, which None takes away again."""

    objective: Objective | None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class ParametersChanged:
    """Another version of the policy serves; a challenger, if there is one, is drawn for a share of the requests.

    `phase` tells a candidate on its way up (`canary`) from the former champion (`hold_back`).
    """

    parameters: Parameters
    challenger: Parameters | None = None
    share: float = 0.0
    phase: Phase = "canary"


@dataclass(frozen=True, slots=True)
class Frozen:
    """The operator wants nothing to be learned from now on, or again; `by` is the key that said so, if any."""

    is_frozen: bool
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """What happened while nothing was learned, told again afterwards; the money it cost is in the accounts already."""

    event: Served | Rated | Demonstrated | Probed | Recorded


@dataclass(frozen=True, slots=True)
class Freeze:
    """Since when nothing is learned, in unix seconds as logged, and whose key said so."""

    since_s: float
    by: str | None


Happened = Served | Rated | Demonstrated | Probed | Recorded
Event = Happened | PoolChanged | ObjectiveChanged | ParametersChanged | Frozen | Missed
