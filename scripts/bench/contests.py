"""How long a contest of two policy versions takes, and how often it is wrong: simulated, without models or money.

    python -m scripts.bench.contests [--contests 400]

The rule is that of `learner.gate`, written here for many contests at once; `learner/gate.py` says what it is.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.gate import BETS, ENOUGH, LEAST_REQUESTS, MARGIN, RISKS, WARM_UP

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
World = Callable[[np.random.Generator, Floats], Floats]
LONGEST = 3_000
# Looked at after every one of the first requests, then after every tenth.
CLOSELY = 300


def even(rng: np.random.Generator, change: Floats) -> Floats:
    """Utilities of standard deviation 0.13 around 0.73."""
    return np.clip(rng.beta(8, 3, len(change)) + change, -1.0, 1.0)


def coin(rng: np.random.Generator, change: Floats) -> Floats:
    """Answers that are plainly right or wrong, right in 70 %."""
    return (rng.random(len(change)) < 0.7 + change).astype(float)


def rare(rng: np.random.Generator, change: Floats) -> Floats:
    """Costly failures, one in fifty."""
    return np.where(rng.random(len(change)) < 0.02 - change / 1.9, -1.0, 0.9)


@dataclass(frozen=True, slots=True)
class Ended:
    """How many contests ended with each verdict, as shares, and after how many requests, as a median."""

    worse: float
    not_worse: float
    requests: float


def evidence(total: Floats, squares: Floats, reach: Floats) -> Floats:
    """`learner.gate.evidence` for many contests, shape (n,)."""
    bets, risks = np.array(BETS)[:, None], np.array(RISKS)[:, None]
    won = bets / reach * total - risks * squares / reach**2
    most = won.max(axis=0)
    found: Floats = most + np.log(np.exp(won - most).mean(axis=0))
    return found


def fight(
    rng: np.random.Generator, world: World, *, change: float, newer_share: float, contests: int, longest: int = LONGEST
) -> Ended:
    """Let many contests run to their end: the newer version's utilities are changed by so much."""
    p, none = newer_share, np.zeros(contests)
    warm = np.array([world(rng, np.where(rng.random(contests) < p, change, 0.0)) for _ in range(WARM_UP)])
    usual = np.clip(warm, 0.0, 1.0).mean(axis=0)
    below = np.maximum((1.0 + usual) / p, (1.0 - usual) / (1.0 - p))
    above = np.maximum((1.0 - usual) / p, (1.0 + usual) / (1.0 - p))
    total, squares, newer = none.copy(), none.copy(), none.copy()
    worse, passed, ended = none > 0, none > 0, np.full(contests, float(longest))
    for n in range(1, longest + 1):
        is_newer = rng.random(contests) < p
        gain = (world(rng, np.where(is_newer, change, 0.0)) - usual) * np.where(is_newer, 1.0 / p, -1.0 / (1.0 - p))
        total, squares, newer = total + gain, squares + gain**2, newer + is_newer
        if n <= CLOSELY or n % 10 == 0:
            going = (np.minimum(newer, n - newer) >= LEAST_REQUESTS) & ~worse & ~passed
            now_worse: Bools = going & (evidence(-total, squares, above) > ENOUGH)
            now_passed: Bools = going & ~now_worse & (evidence(total + n * MARGIN, squares, below) > ENOUGH)
            worse, passed = worse | now_worse, passed | now_passed
            ended[now_worse | now_passed] = n
    return Ended(float(worse.mean()), float(passed.mean()), float(np.median(ended)))


def main() -> None:
    """Print one line for each world, share and change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contests", type=int, default=400)
    contests = parser.parse_args().contests
    rng = np.random.default_rng(0)
    print("world  newer's share  change  worse  not worse  median requests")
    for world in (even, coin, rare):
        for share in (0.1, 0.9):
            for change in (0.0, -MARGIN, -0.1, -0.2, -0.3, -0.5, 0.1):
                found = fight(rng, world, change=change, newer_share=share, contests=contests)
                figures = f"{found.worse:.3f}  {found.not_worse:.3f}  {found.requests:.0f}"
                print(f"{world.__name__:5}  {share:.1f}  {change:+.2f}  {figures}", flush=True)


if __name__ == "__main__":
    main()
