"""Thumbs are read as they come about: who presses, and how often wrongly, is learned where something else tells."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.channel import FLIP, FLIP_CATEGORY_COUNT, FLIP_PRIOR_COUNT, Channel, Rates
from learner.estimators import logit, sigmoid
from tests.learner.conftest import context

A_RATE = st.floats(0.02, 0.4)
A_SHARE = st.floats(0.05, 1.0)


def played(truth: Rates, n: int, seed: int = 1) -> Channel:
    """A channel that saw n answers, of which other evidence tells well, and the thumbs that the truth gives them."""
    rng, channel = np.random.default_rng(seed), Channel()
    channel.set_categories(len(context().categories))
    for _ in range(n):
        is_good = rng.random() < 0.7
        p = sigmoid(logit(0.6) + rng.normal(2.0 if is_good else -2.0, 2.0))
        channel.serve(context())
        channel.see(context(), p)
        if rng.random() < (truth.pressed_good if is_good else truth.pressed_bad):
            is_up = bool(rng.random() < (1.0 - truth.flip_down if is_good else truth.flip_up))
            belief = sigmoid(logit(p) + channel.rates(context()).evidence(is_up=is_up))
            channel.rate(context(), 1.0, is_binary=True)
            channel.press(context(), 1.0, is_up=is_up, belief=belief)
    return channel


def test_before_any_thumb_the_rates_are_the_priors() -> None:
    rates = played(Rates(pressed_good=0.0, pressed_bad=0.0), 50).rates(context())
    assert (rates.flip_down, rates.flip_up) == pytest.approx((FLIP, FLIP))
    assert rates.evidence(is_up=True) == pytest.approx(-rates.evidence(is_up=False), abs=0.1)


def test_unhappy_users_who_press_thrice_as_often_are_found_out() -> None:
    rates = played(Rates(pressed_good=0.15, pressed_bad=0.45), 4_000).rates(context())
    assert 2.0 < rates.pressed_bad / rates.pressed_good < 4.0
    assert rates.pressed_good == pytest.approx(0.15, abs=0.04)


def test_mistakes_in_one_direction_are_told_from_those_in_the_other() -> None:
    rates = played(Rates(flip_down=0.25, flip_up=0.05, pressed_good=0.3, pressed_bad=0.3), 4_000).rates(context())
    assert rates.flip_down == pytest.approx(0.25, abs=0.07)
    assert rates.flip_up < 0.1


def test_a_category_leans_on_all_traffic_until_it_speaks_for_itself() -> None:
    channel = played(Rates(flip_down=0.3, flip_up=0.3, pressed_good=0.3, pressed_bad=0.3), 3_000)
    channel.set_categories(len(context().categories) + 1)
    assert channel.table()[0, -1] > FLIP


def test_a_query_between_two_categories_has_rates_between_theirs() -> None:
    channel = Channel()
    channel.set_categories(2)
    calm, unhappy = (replace(context(), categories=np.array(shares)) for shares in ([1.0, 0.0], [0.0, 1.0]))
    for i in range(200):
        for place, is_up in ((calm, True), (unhappy, i % 5 != 0)):
            channel.serve(place)
            channel.see(place, 0.95)
            channel.rate(place, 1.0, is_binary=True)
            channel.press(place, 1.0, is_up=is_up, belief=0.95)
    between = channel.rates(replace(context(), categories=np.array([0.5, 0.5])))
    assert channel.rates(calm).flip_down < between.flip_down < channel.rates(unhappy).flip_down
    # What its categories have seen is counted by the query's share of each: not the mean of their rates.
    kept = FLIP * FLIP_PRIOR_COUNT
    _, up, down = (channel.counts[:, 0] @ np.array([0.5, 0.5])).tolist()
    everywhere = channel.counts[:, 0].sum(axis=1)
    usual = (everywhere[2] + kept) / (everywhere[1] + everywhere[2] + FLIP_PRIOR_COUNT)
    expected = (down + FLIP_CATEGORY_COUNT * usual) / (up + down + FLIP_CATEGORY_COUNT)
    assert between.flip_down == pytest.approx(expected)
    assert channel.table().T[0].tolist() == list(astuple(channel.rates(calm)))


@given(A_RATE, A_RATE, A_SHARE, A_SHARE, st.floats(0.01, 0.99))
def test_rectifiers_are_right_on_average_whoever_presses(
    down: float, up: float, good: float, bad: float, p: float
) -> None:
    rates = Rates(down, up, good, bad)
    told_down, told_up = rates.rectifiers(p)
    assert good * ((1 - down) * told_up + down * told_down) == pytest.approx(1.0 - p)
    assert bad * (up * told_up + (1 - up) * told_down) == pytest.approx(-p)


@given(A_RATE, A_RATE, st.floats(0.0, 1.0))
def test_thumbs_corrected_for_mistakes_have_the_mean_of_quality(down: float, up: float, quality: float) -> None:
    rates = Rates(down, up)
    share_up = quality * (1 - down) + (1 - quality) * up
    mean = share_up * rates.unflipped(1.0) + (1 - share_up) * rates.unflipped(0.0)
    assert mean == pytest.approx(quality)


def test_those_who_press_less_count_for_more() -> None:
    rates = Rates(pressed_good=0.1, pressed_bad=0.3)
    assert rates.balance(1.0) == pytest.approx(3.0 * rates.balance(0.0)) == pytest.approx(1.0)
