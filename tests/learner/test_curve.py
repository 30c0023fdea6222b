"""The curve of spend: falling in λ, and inverted to the λ that meets a budget."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.cascade import Prospects
from learner.curve import STEP, Segment, lambda_for, spend_usd
from learner.joint import JointView

COSTS = np.array([1e-4, 1e-3, 8e-3])
KEPT = (0, 1, 2)


def segment(share: float, *quality: float, depth: int = 3) -> Segment:
    return Segment(share, Prospects(np.array(quality), np.full(3, 0.1), COSTS, 1.0, 0.9, JointView(), depth, 0.0))


TRAFFIC = [segment(0.7, 0.5, 0.7, 0.8), segment(0.3, 0.3, 0.5, 0.75)]


@settings(max_examples=60)
@given(st.floats(0.1, 1e5), st.floats(1.2, 100.0))
def test_spend_never_rises_with_the_price_of_money(lambda_: float, factor: float) -> None:
    assert spend_usd(lambda_ * factor, TRAFFIC, KEPT) <= spend_usd(lambda_, TRAFFIC, KEPT) * (1 + 1e-6) + 1e-12


def test_where_one_arm_answers_the_spend_is_its_price() -> None:
    alone = [segment(1.0, 0.5, 0.7, 0.8, depth=1)]
    assert spend_usd(1.0, alone, KEPT) == pytest.approx(8e-3)
    assert spend_usd(1e4, alone, KEPT) == pytest.approx(1e-4)


def test_a_segment_counts_by_its_share() -> None:
    cheap, dear = segment(3.0, 0.9, 0.1, 0.1, depth=1), segment(1.0, 0.1, 0.1, 0.9, depth=1)
    assert spend_usd(1.0, [cheap, dear], KEPT) == pytest.approx(0.75 * 1e-4 + 0.25 * 8e-3)


@pytest.mark.parametrize("budget", [2e-4, 8e-4, 3e-3])
def test_the_lambda_of_a_budget_is_where_spend_crosses_it(budget: float) -> None:
    found = lambda_for(budget, TRAFFIC, KEPT)
    assert spend_usd(found, TRAFFIC, KEPT) <= budget < spend_usd(found * (1 - 2 * STEP), TRAFFIC, KEPT) * 1.001


def test_prices_and_budget_in_another_currency_give_the_same_plans() -> None:
    cents = [replace(s, prospects=replace(s.prospects, cost_usd=100.0 * COSTS)) for s in TRAFFIC]
    assert lambda_for(8e-2, cents, KEPT) == pytest.approx(lambda_for(8e-4, TRAFFIC, KEPT) / 100.0, rel=1e-3)
