"""One stream of queries against one policy: what it asks is billed, what it gives is graded, what users say comes late.

Every policy of the benchmark speaks this one small protocol and meets the same streams: the same queries in the same
order, and the same thumbs (which answers are rated, and which thumbs are slips, depend on the seed alone). A policy
sees an answer's bill, tokens and whom it agrees with; its quality it sees in no other way than by feedback.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learner.embedding import Embedder
from learner.features import Features
from learner.types import Context, FloatArray, Query
from scripts.bench.worlds import THUMB_FLIP, World


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy sees of one call: `group` is equal for equal answers to one query, None where nobody can tell."""

    model: int
    usd: float
    input_tokens: int
    output_tokens: int
    group: int | None


class Question:
    """One query of a stream: the only door between a policy and the recorded answers, and it keeps the bill.

    Args:
        world: The stream.
        position: Of the query in it.
        context: Its features under the seed taxonomy.
    """

    def __init__(self, world: World, position: int, context: Context) -> None:
        self._world = world
        self.position = position
        self.context = context
        self.usd = 0.0
        self.background_usd = 0.0
        self.calls = 0

    @property
    def prompt(self) -> str:
        """The text of the query."""
        return self._world.prompts[self.position]

    def ask(self, model: int, *, in_background: bool = False) -> Reply:
        """Call a model; in the background it costs the same and delays nobody."""
        at, world = (self.position, model), self._world
        usd, group = float(world.usd[at]), int(world.groups[at])
        self.calls += 1
        if in_background:
            self.background_usd += usd
        else:
            self.usd += usd
        tokens = int(world.input_tokens[at]), int(world.output_tokens[at])
        return Reply(model, usd, *tokens, None if group < 0 else group)


@dataclass(frozen=True, slots=True)
class Given:
    """Whose answer the user got, and the stated probability that it is good (its expected rating)."""

    model: int
    probability: float


class Policy(Protocol):
    """Anything that routes: it serves queries and learns from ratings of what it served."""

    def serve(self, question: Question) -> Given:
        """Ask at least one model and choose the answer to give."""
        ...

    def learn(self, position: int, reward: float) -> None:
        """Take in the rating in [0, 1] of the answer that was given at a position of the stream."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """What a policy is built for: the stream, the budget and the randomness."""

    stream: World
    features: Features
    budget_usd: float
    seed: int

    def rng(self) -> np.random.Generator:
        """Return the policy's own generator."""
        return np.random.default_rng([self.seed, 2])


Build = Callable[[Case], Policy]


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one stream; every array has shape (n,), in stream order.

    Args:
        model: Whose answer was given.
        quality: Of that answer.
        usd: Bill of the request itself.
        background_usd: Bill of what was asked in the background for it.
        probability: That the answer is good, as stated.
        calls: Upstream calls, background included.
    """

    model: NDArray[np.int64]
    quality: FloatArray
    usd: FloatArray
    background_usd: FloatArray
    probability: FloatArray
    calls: NDArray[np.int64]

    @property
    def total_usd(self) -> FloatArray:
        """Everything that was billed for each request."""
        return self.usd + self.background_usd


class Remembering:
    """An embedder that embeds no text twice; a seed or a budget changes the order of a world, not its texts."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    @property
    def fingerprint(self) -> str:
        """That of the weights."""
        return self._embedder.fingerprint

    @property
    def size(self) -> int:
        """Length of the vectors."""
        return self._embedder.size

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text."""
        if text not in self._known:
            self._known[text] = self._embedder.embed(text)
        return self._known[text]


def play(case: Case, policy: Policy) -> Played:
    """Let a policy serve a whole stream."""
    world = case.stream
    n = len(world.prompts)
    rewards = Rewards(world, case.seed)
    rows = []
    for at, prompt in enumerate(world.prompts):
        question = Question(world, at, case.features.context(Query(prompt), case.features.seeds))
        given = policy.serve(question)
        rows.append((given.model, given.probability, question.usd, question.background_usd, question.calls))
        rated = at - world.delay
        if rated >= 0 and rewards.is_rated[rated]:
            policy.learn(rated, rewards.of(rated, rows[rated][0]))
    model, probability, usd, background_usd, calls = (np.array(column) for column in zip(*rows, strict=True))
    return Played(model, world.quality[np.arange(n), model], usd, background_usd, probability, calls)


class Rewards:
    """What users say of answers: thumbs with slips where answers are right or wrong, else the rating itself."""

    def __init__(self, world: World, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        n = len(world.prompts)
        self._quality = world.quality
        self.is_rated = rng.random(n) < world.rated_share
        self._is_slip = (rng.random(n) < THUMB_FLIP) & world.is_graded

    def of(self, position: int, model: int) -> float:
        """Return the reward of one model's answer."""
        quality = float(self._quality[position, model])
        return 1.0 - quality if self._is_slip[position] else quality
