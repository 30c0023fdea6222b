"""Exact planning over the ways in which the next answers may agree: optimal stopping by backward induction.

A state is the set of arms asked and the partition of their answers. Its mass under the joint model does not depend on
the order of asking, so states are shared between orders, and the tree of depth 3 over 10 arms has some hundreds of
states. Index tables depend on the numbers of arms, groups and steps only and are kept; a plan is then a few array
operations per level.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learner.joint import ALL_NODES, JointView, Partition
from learner.types import FloatArray

IntArray = NDArray[np.intp]
State = tuple[tuple[int, ...], tuple[int, ...]]


class Table:
    """States reachable from groups of `sizes` by asking up to `depth` of k further arms, as index arrays.

    For level d, with H hypotheses, S states, A arms that may still be asked and O outcomes of asking one: `parent[d]`
    and `factor[d]`, length H·S, say from which hypothesis of which state of the level above each comes, and which of
    [a; 1 − a] it multiplies; `product[d]`, shape (H, S), where their product stands among all products of the two;
    `next_arm[d]`, shape (A, S), and `child[d]`, shape (O, A, S), list the arms that may be asked and the states to
    which each outcome leads. States are the last axis, since it is the longest. Of the last states only the best answer
    counts: there the hypothesis that none is right is left out.
    """

    def __init__(self, k: int, sizes: tuple[int, ...], depth: int) -> None:
        self.sizes = sizes
        self.depth = depth
        self.levels: list[list[State]] = [[((), ())]]
        self.parent: list[IntArray] = []
        self.factor: list[IntArray] = []
        self.product: list[IntArray] = []
        self.next_arm: list[IntArray] = []
        self.child: list[IntArray] = []
        for d in range(1, depth + 1):
            self._grow(k, d)
        for d in range(depth):
            self._link(k, d)

    def groups(self, state: State) -> int:
        """Number of groups of a state, those of the root included."""
        return max((len(self.sizes) - 1, *state[1])) + 1

    def _grow(self, k: int, d: int) -> None:
        above = self.levels[-1]
        states: list[State] = []
        origins: list[tuple[int, int, int, int]] = []
        for p, (arms, joined) in enumerate(above):
            known = self.groups((arms, joined))
            for arm in range(arms[-1] + 1 if arms else 0, k):
                for outcome in range(known + 1):
                    states.append(((*arms, arm), (*joined, outcome)))
                    origins.append((p, known, arm, outcome))
        hypotheses = range(int(d == self.depth), 1 + len(self.sizes) + d)
        # A hypothesis about a group founded just now was "none" before.
        parent = np.array(
            [[(h if h <= known else 0) * len(above) + p for p, known, _, _ in origins] for h in hypotheses],
            dtype=np.intp,
        )
        factor = np.array(
            [[arm if h == outcome + 1 else k + arm for _, _, arm, outcome in origins] for h in hypotheses],
            dtype=np.intp,
        )
        self.levels.append(states)
        self.parent.append(parent.ravel())
        self.factor.append(factor.ravel())
        self.product.append(2 * k * parent + factor)

    def _link(self, k: int, d: int) -> None:
        position = {state: i for i, state in enumerate(self.levels[d + 1])}
        nowhere, states = len(position), self.levels[d]
        next_arm = np.empty((k - d, len(states)), dtype=np.intp)
        child = np.full((len(self.sizes) + d + 1, k - d, len(states)), nowhere, dtype=np.intp)
        for s, (arms, joined) in enumerate(states):
            rest = [arm for arm in range(k) if arm not in arms]
            next_arm[:, s] = rest
            for i, arm in enumerate(rest):
                for outcome in range(self.groups((arms, joined)) + 1):
                    child[outcome, i, s] = position[self._canonical((*arms, arm), (*joined, outcome))]
        self.next_arm.append(next_arm)
        self.child.append(child)

    def _canonical(self, arms: tuple[int, ...], joined: tuple[int, ...]) -> State:
        """The same state with its arms in order and its new groups numbered by first appearance."""
        order = sorted(range(len(arms)), key=arms.__getitem__)
        root, names = len(self.sizes), dict[int, int]()
        renamed = [
            joined[i] if joined[i] < root else names.setdefault(joined[i], root + len(names)) for i in order
        ]  # fmt: skip
        return tuple(arms[i] for i in order), tuple(renamed)

    @lru_cache(maxsize=32)  # noqa: B019 - tables live as long as the process and are few
    def law(self, coincidence: float) -> list[FloatArray]:
        """Probability of the wrong answers' coincidences since the root, per level, shape (H, S)."""
        return [
            np.array(
                [
                    [self._chance(state, h, coincidence) for state in level]
                    for h in range(int(d == self.depth), 1 + len(self.sizes) + d)
                ]
            )
            for d, level in enumerate(self.levels[1:], start=1)
        ]

    def _chance(self, state: State, hypothesis: int, c: float) -> float:
        """Chinese-restaurant chance of the wrong answers among the new ones; 0 for hypotheses a state lacks."""
        if hypothesis > self.groups(state):
            return 0.0
        sizes = list(self.sizes)
        wrong = sum(sizes) - (sizes[hypothesis - 1] if 1 <= hypothesis <= len(sizes) else 0)
        chance = 1.0
        for joined in state[1]:
            if joined == len(sizes):
                sizes.append(0)
            if joined + 1 != hypothesis:
                chance *= (sizes[joined] * c if sizes[joined] else 1.0 - c) / (1.0 - c + wrong * c)
                wrong += 1
            sizes[joined] += 1
        return chance


@lru_cache(maxsize=1024)
def table(k: int, sizes: tuple[int, ...], depth: int) -> Table:
    """Return the index tables for k arms to ask, groups of these sizes so far, and this many steps."""
    return Table(k, sizes, depth)


def plan(
    partition: Partition, joint: JointView, quality: FloatArray, price: FloatArray, *, depth: int
) -> tuple[float, FloatArray]:
    """Value of stopping now and of asking each further arm, when everything after is done as well as can be.

    V(state) = max( max_g P(g right | state), max_m [ −price_m + Σ_outcomes P(outcome | state) V(next) ] ).

    Args:
        partition: The answers so far.
        joint: The joint model.
        quality: Believed quality of the k arms that may be asked, shape (k,), or several such beliefs, shape (n, k).
        price: λ times their expected cost, shape (k,), in quality.
        depth: Most further arms to ask, 1 ≤ depth ≤ k.

    Returns:
        The probability that the leading answer is right (0 before any answer), and the values, in the shape of
        `quality`.
    """
    index = table(quality.shape[-1], partition.sizes, depth)
    right = joint.right(quality)
    factors = np.concatenate([right, 1.0 - right], axis=-2)
    laws = index.law(joint.coincidence)
    likelihood = partition.mass
    levels: list[tuple[FloatArray, FloatArray]] = []
    for d in range(depth - 1):
        mass = _masses(index, d, likelihood, factors) * laws[d]
        levels.append((mass.sum(axis=-2), mass[..., 1:, :].max(axis=-2)))
        likelihood = likelihood.take(index.parent[d], axis=-2) * factors.take(index.factor[d], axis=-2)
    value = (_masses(index, depth - 1, likelihood, factors) * laws[-1]).max(axis=-2)
    for d in range(depth - 1, 0, -1):
        total, best = levels[d - 1]
        value = np.maximum(best, _ask(index, d, value, price, total).max(axis=-2))
    now = partition.mass @ ALL_NODES
    total_now = float(now.sum())
    asked = _ask(index, 0, value, price, np.array([total_now]))[..., 0]
    return float(now[1:].max(initial=0.0)) / total_now, asked / total_now


def _masses(index: Table, d: int, likelihood: FloatArray, factors: FloatArray) -> FloatArray:
    """Likelihood of every hypothesis in every state of a level from that of the level above, shape (…, H, S)."""
    products = likelihood @ factors.swapaxes(-1, -2)
    mass: FloatArray = products.reshape(*products.shape[:-2], -1).take(index.product[d], axis=-1)
    return mass


def _ask(index: Table, d: int, value: FloatArray, price: FloatArray, total: FloatArray) -> FloatArray:
    """Unnormalised value of asking each arm in each state of level d, shape (…, A, S)."""
    worth = np.concatenate((value, np.zeros((*value.shape[:-1], 1))), axis=-1)
    after = worth.take(index.child[d], axis=-1).sum(axis=-3)
    asked: FloatArray = after - price.take(index.next_arm[d]) * total[..., None, :]
    return asked
