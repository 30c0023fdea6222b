"""What a demonstration has seen so far: the player fills it, the screen and the report read it."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from app.demo.upstream import Bill
from app.demo.worlds import Array, World

WINDOW = 100


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request: which model's answer it was, what that was worth, and what the response said it cost."""

    position: int
    inference_id: str
    model: str
    reward: float
    usd: float
    stage: str
    verbatim: bool


@dataclass(slots=True)
class Tally:
    """The running account of one demonstration.

    Attributes:
        world: What is being played.
        bill: The upstream's bill, counted by the upstream itself.
        served: Answers in the order they came.
        errors: What went wrong, one line each.
        feedback_sent: Feedback that the service accepted.
        price_of_usd: λ, quality per USD, as the service last reported it.
        usd_at_arrival: The upstream's bill when the second half began.
        joined: Whether the late model has been registered.
    """

    world: World
    bill: Bill
    served: list[Served] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    feedback_sent: int = 0
    price_of_usd: float | None = None
    usd_at_arrival: float = 0.0
    joined: bool = False

    @property
    def total(self) -> int:
        """How many requests the stream has."""
        return len(self.world.prompts)

    @property
    def usd_per_request(self) -> float:
        """The upstream's bill per answered request, in USD."""
        return self.bill.total_usd / max(1, len(self.served))

    def recent_quality(self) -> float:
        """Return the mean reward of the last answers (at most WINDOW)."""
        recent = self.served[-WINDOW:]
        return sum(answer.reward for answer in recent) / max(1, len(recent))

    def shares(self) -> dict[str, float]:
        """Return each model's share of the last answers (at most WINDOW), in the order of the pool."""
        recent = self.served[-WINDOW:]
        counts = Counter(answer.model for answer in recent)
        return {model: counts[model] / max(1, len(recent)) for model in self.world.models}

    def stages(self) -> dict[str, int]:
        """Return how many answers each stage of the router decided."""
        return dict(sorted(Counter(answer.stage for answer in self.served).items()))

    def rewards(self) -> Array:
        """Return the rewards in stream order, shape (total,); a request without an answer earns 0."""
        rewards = np.zeros(self.total)
        for answer in self.served:
            rewards[answer.position] = answer.reward
        return rewards
