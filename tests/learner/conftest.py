"""Builders for the learner's tests: a tiny taxonomy without weights, arms, calls, events, and made-up traffic."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from learner.embedding import HashEmbedding
from learner.features import Features
from learner.joint import NODE_WEIGHTS, JointView
from learner.pool import Arm
from learner.state import LearnerState
from learner.types import (
    Call,
    Context,
    Event,
    FloatArray,
    JudgeScore,
    Objective,
    ObjectiveChanged,
    Parameters,
    ParametersChanged,
    PoolChanged,
    Query,
    Rated,
    Recorded,
    Served,
)

SEEDS = (
    (
        "sums",
        (
            "What is 12 plus 7?",
            "How much is 81 divided by 9?",
            "Add 14, 15 and 16.",
            "What is 7 times 8?",
            "Subtract 19 from 50.",
            "How much is a third of 90?",
            "What is the square of 13?",
            "Multiply 21 by 4.",
            "What is 15 percent of 200?",
        ),
    ),
    (
        "code",
        (
            "Write a Python function that reverses a list.",
            "Why does this loop never end?",
            "Sort a dictionary by its values in Python.",
            "What does the keyword yield do?",
            "Fix the off-by-one error in this function.",
            "Write a test for this class.",
            "How do I read a file line by line?",
            "Explain recursion with a short program.",
            "Turn this loop into a comprehension.",
        ),
    ),
    (
        "stories",
        (
            "Tell a story about a lighthouse keeper.",
            "Write a poem about autumn leaves.",
            "Describe a dragon that is afraid of fire.",
            "Invent a legend about the northern lights.",
            "Write a dialogue between the sun and the moon.",
            "Begin a novel in a small harbour town.",
            "Write a fable in which the fox is honest.",
            "Tell a bedtime tale about a sleepy bear.",
            "Describe the last evening of a long summer.",
        ),
    ),
)
TEXTS = tuple(text for _, examples in SEEDS for text in examples)
NOON_S = 20_000.5 * 86_400


@cache
def features() -> Features:
    """Features over a taxonomy of three categories, fitted once."""
    return Features(HashEmbedding(), SEEDS)


@cache
def context(text: str = "What is 3 plus 4?") -> Context:
    """The context of a text under the seed taxonomy."""
    return features().context(Query(text), features().seeds)


def arm(name: str, price: float = 1.0, **changes: object) -> Arm:
    """An arm whose output tokens cost twice its input tokens, `price` in USD per million."""
    return replace(Arm(name, price, 2.0 * price), **changes)  # type: ignore[arg-type]  # any field of an arm


TRADEOFF = Objective("tradeoff", 1e-4)
ARMS = (arm("small", 0.1), arm("middle", 0.5), arm("large", 4.0))


def state(arms: Sequence[Arm] = ARMS, objective: Objective = TRADEOFF, *, explore_share: float = 0.1) -> LearnerState:
    """A state that knows these arms and nothing else."""
    fresh = LearnerState.start(features(), objective, max_explore_share=explore_share, max_explore_usd_per_day=5.0)
    for one in arms:
        fresh.apply(PoolChanged(one), NOON_S)
    return fresh


def called(name: str, step: int = 0, group: int | None = None, **changes: object) -> Call:
    """A call that was answered."""
    done = Call(name, step, input_tokens=20, output_tokens=100, cost_usd=1e-4, latency_s=0.5, group=group)
    return replace(done, **changes)  # type: ignore[arg-type]  # any field of a call


def served(
    *calls: Call, name: str = "q1", of: Context | None = None, scores: tuple[JudgeScore, ...] = (), step: int = 0
) -> Served:
    """A request with all its calls, none reported before, answered with that of `step`."""
    return Served(name, of or context(), calls, scores, step, tuple(range(len(calls))), confidence=0.6)


def thumb(event: Served, *, up: bool) -> Rated:
    """A thumb for a request."""
    return Rated(event, "thumbs", float(up), is_binary=True, user="ada")


def traffic(seed: int, n: int) -> Iterator[tuple[Event, float]]:
    """Made-up events of every kind with their times; the large arm is right most often."""
    rng = np.random.default_rng(seed)
    skill = {one.id: s for one, s in zip(ARMS, (0.5, 0.7, 0.9), strict=True)}
    yield ObjectiveChanged(Objective("budget", 2e-4)), NOON_S
    for i in range(n):
        at_s = NOON_S + 60.0 * i
        asked = rng.permutation(list(skill))[: rng.integers(1, 4)].tolist()
        groups = [0 if rng.random() < skill[a] else int(rng.integers(1, 4)) for a in asked]
        comparable = bool(rng.random() < 0.8)
        calls = tuple(
            called(a, step, group if comparable else None, cost_usd=float(rng.uniform(1e-5, 6e-4)),
                   output_tokens=int(rng.integers(5, 300)),
                   explored_share=float(rng.random()) if rng.random() < 0.1 else None,
                   evidence={"refusal": 1.0} if rng.random() < 0.1 else {})
            for step, (a, group) in enumerate(zip(asked, groups, strict=True))
        )  # fmt: skip
        scores = (JudgeScore("strict", 0, float(rng.uniform())),) if rng.random() < 0.3 else ()
        text = TEXTS[int(rng.integers(len(TEXTS)))]
        event = served(*calls, name=f"q{i}", of=context(text), scores=scores)
        yield event, at_s
        if rng.random() < 0.4:
            yield thumb(event, up=groups[0] == 0), at_s + 5.0
        if rng.random() < 0.1:
            yield Recorded(context(text), calls, tuple(float(g == 0) for g in groups)), at_s + 6.0
        if i == n // 2:
            yield ParametersChanged(Parameters(version=2, depth=2)), at_s + 7.0
            yield PoolChanged(arm("small", 0.2, prior_quality=0.6)), at_s + 8.0


def renumbered(groups: Sequence[int]) -> tuple[int, ...]:
    """Number groups in order of appearance."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(group, len(numbers)) for group in groups)


def drawn_groups(rng: np.random.Generator, quality: FloatArray, spread: float, c: float) -> tuple[int, ...]:
    """Draw how the answers of arms of these qualities agree, from the joint model itself."""
    node = rng.choice(5, p=NODE_WEIGHTS)
    right = rng.random(len(quality)) < JointView(spread, c).right(quality)[:, node]
    keys, wrong = [], list[int]()
    for is_right in right:
        if is_right:
            keys.append(0)
            continue
        chances = np.array([c * wrong.count(k) for k in sorted(set(wrong))] + [1.0 - c])
        tables = [*sorted(set(wrong)), len(set(wrong)) + 1]
        wrong.append(int(rng.choice(tables, p=chances / chances.sum())))
        keys.append(wrong[-1])
    return renumbered(keys)
