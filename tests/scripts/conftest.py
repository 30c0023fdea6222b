from collections.abc import Callable

import numpy as np
import pytest

from learner.embedding import HashEmbedding
from learner.features import Features
from scripts.bench.play import Remembering
from scripts.bench.worlds import World

SEEDS = (
    ("maths", ("What is 3 + 4?", "Solve 2x = 8 for x.", "How many primes are below 20?")),
    ("history", ("Who was the first king of Rome?", "When did the war end?", "Name a queen of France.")),
)
QUALITIES = (0.5, 0.7, 0.9)
PRICES = ((0.1, 0.1), (1.0, 1.0), (10.0, 10.0))

MakeWorld = Callable[..., World]


def make_world(n: int = 120, *, is_comparable: bool = True, name: str = "tiny") -> World:
    """Three models of rising price and quality; right answers are equal, wrong ones mostly differ."""
    rng = np.random.default_rng(7)
    quality = (rng.random((n, 3)) < QUALITIES).astype(float)
    tokens = rng.integers(20, 60, size=(2, n, 3))
    usd = (tokens.transpose(1, 2, 0) * np.array(PRICES)).sum(axis=2) / 1e6
    groups = np.where(quality > 0, 0, rng.integers(1, 5, size=(n, 3)))
    return World(
        name=name,
        prompts=tuple(f"What is {i} + {i % 7}?" if i % 2 else f"Who was king number {i} of Rome?" for i in range(n)),
        models=("small", "medium", "large"),
        prices=PRICES,
        quality=quality,
        usd=usd,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        groups=groups if is_comparable else np.full((n, 3), -1),
        delay=5,
    )


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def make() -> MakeWorld:
    return make_world


@pytest.fixture(scope="session")
def features() -> Features:
    return Features(Remembering(HashEmbedding()), SEEDS)
