"""The whole loop on a small simulated pool: does it find out who is good, and does it keep to its budget?"""

from collections.abc import Iterator

import numpy as np
import pytest

from learner.policy import Ask, View
from learner.state import LearnerState
from learner.types import Call, Context, Limits, Objective, Purpose, Rated, Served
from tests.learner.conftest import NOON_S, TEXTS, arm, context, state

ACCURACY = {"tiny": 0.5, "small": 0.68, "middle": 0.82, "large": 0.93}
POOL = (arm("tiny", 0.1), arm("small", 0.4), arm("middle", 1.5), arm("large", 6.0))
BUDGET_USD = 4e-4
QUERIES = 1200


class Simulator:
    """Four models of known accuracy; wrong answers are one of three; 30 % of the answers get an honest thumb."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.learner = state(POOL, Objective("budget", BUDGET_USD))
        self.spent_usd = 0.0
        self.right: list[bool] = []

    def call(self, name: str, step: int, *, purpose: Purpose = "answer", explored_share: float | None = None) -> Call:
        model = next(one for one in POOL if one.id == name)
        output = int(self.rng.integers(60, 140))
        group = 0 if self.rng.random() < ACCURACY[name] else int(self.rng.integers(1, 4))
        usd = model.cost_usd(20, output)
        self.spent_usd += usd
        return Call(name, step, purpose, "ok", 20, output, usd, 0.5, group, explored_share)

    def play(self, i: int) -> None:
        """One request from decision to thumb, and the comparison in the background that the view asks for."""
        where, view, at_s = context(TEXTS[i % len(TEXTS)]), self.learner.view(), NOON_S + i
        calls, answered = self.cascade(view, where)
        event = Served(f"q{i}", where, tuple(calls), (), answered, tuple(range(len(calls))))
        self.learner.apply(event, at_s)
        self.right.append(calls[answered].group == 0)
        names = self.learner.view().shadows(where, Limits(), [call.arm for call in calls], self.rng)
        shadows = [
            self.call(name, len(calls) + k, purpose="shadow", explored_share=1.0) for k, name in enumerate(names)
        ]
        if shadows:
            fresh = tuple(range(len(calls), len(calls) + len(shadows)))
            event = Served(f"q{i}", where, (*calls, *shadows), (), answered, fresh, is_request=False)
            self.learner.apply(event, at_s)
        if self.rng.random() < 0.3:
            self.learner.apply(Rated(event, "thumbs", float(self.right[-1]), is_binary=True), at_s)

    def cascade(self, view: View, where: Context) -> tuple[list[Call], int]:
        decision = view.decide(where, Limits(), self.rng)
        calls = [self.call(decision.arm, 0, explored_share=decision.explored_share)]
        while isinstance(step := view.next_step(where, Limits(), calls, ()), Ask):
            calls.append(self.call(step.arm, len(calls)))
        return calls, step.step


def played() -> Iterator[Simulator]:
    for seed in (1, 2):
        simulator = Simulator(seed)
        for i in range(QUERIES):
            simulator.play(i)
        yield simulator


@pytest.fixture(scope="module")
def simulators() -> list[Simulator]:
    return list(played())


def believed_ranking(learner: LearnerState) -> list[str]:
    means = learner.view().quality.means
    return [learner.arms[i].id for i in np.argsort(means)]


@pytest.mark.slow
def test_the_believed_ranking_is_right_after_1200_queries(simulators: list[Simulator]) -> None:
    assert [believed_ranking(one.learner) for one in simulators] == [list(ACCURACY)] * 2


@pytest.mark.slow
def test_spend_background_included_is_within_5_percent_of_the_budget(simulators: list[Simulator]) -> None:
    for one in simulators:
        assert one.spent_usd / QUERIES == pytest.approx(BUDGET_USD, rel=0.05)
        assert one.learner.accounts.everybody.spent_usd == pytest.approx(one.spent_usd)


@pytest.mark.slow
def test_answers_are_better_than_a_random_models_at_a_third_of_the_best_models_price(
    simulators: list[Simulator],
) -> None:
    right = [answer for one in simulators for answer in one.right[600:]]
    # The mean of the pool is 0.73; the standard error of a share of 1,200 near 0.8 is 0.012.
    assert sum(right) / len(right) > 0.73 + 2.0 * 0.012
    assert all(one.spent_usd / QUERIES < POOL[-1].cost_usd(20, 100) / 3 for one in simulators)
