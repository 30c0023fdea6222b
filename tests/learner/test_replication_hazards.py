"""Four defects of the code published with cascade routing (arXiv 2410.10347), each shown to be absent here.

The seed work's figures were made with them; a system that builds on its mathematics should say that it does not share
them.
"""

import math

import numpy as np
import pytest

from learner.budget import Controller
from learner.cascade import Prospects, expected_best, first_values
from learner.joint import JointView
from learner.types import Objective

BUDGET = 1e-3


def test_a_deviation_is_a_standard_deviation_and_no_variance() -> None:
    # E[max(X, m)] − m of X ~ N(m, σ²) is σ/√(2π): with σ² in place of σ it would be a fifth of it here.
    assert expected_best(0.5, 0.2, 0.5) - 0.5 == pytest.approx(0.2 / math.sqrt(2.0 * math.pi))


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_price_of_money_is_sought_from_where_it_stands_in_both_directions(factor: float) -> None:
    paced = Controller.of(Objective("budget", BUDGET), scale_usd=BUDGET)
    wanted = paced.lambda_ * factor
    for _ in range(3_000):
        paced.settle(spent_usd=2.0 * BUDGET if paced.lambda_ < wanted else 0.0, quality=0.5)
    assert paced.lambda_ == pytest.approx(wanted, rel=0.2)


def test_an_arm_comes_first_for_its_worth_and_not_for_its_place() -> None:
    quality, cost = np.array([0.3, 0.9, 0.6]), np.array([2e-4, 1e-4, 3e-4])
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        prospects = Prospects(
            quality[order], np.full(3, 0.1), cost[order], lambda_=100.0, comparable=0.8, joint=JointView(), depth=3,
            margin=0.0,
        )  # fmt: skip
        assert order[int(first_values(prospects, range(3)).argmax())] == 1


def test_a_budget_between_two_arms_gives_the_dear_one_its_share_and_not_the_cheap_one() -> None:
    paced = Controller.of(Objective("budget", BUDGET), scale_usd=BUDGET)
    dear_usd, asked_dear = 5.0 * BUDGET, 0
    for request in range(6_000):
        is_dear = paced.lambda_ < 0.3 / dear_usd
        asked_dear += is_dear and request >= 2_000
        paced.settle(spent_usd=dear_usd if is_dear else 0.0, quality=0.5)
    assert asked_dear / 4_000 == pytest.approx(0.2, abs=0.02)
