from collections.abc import Callable
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.worlds import Answer, DemoError, Mean, Price, World, newcomer, outcomes, tokens_for
from app.schemas.pool import ModelEntry

prices = st.builds(Price, st.floats(0.01, 10), st.floats(0.01, 50))


@given(price=prices, input_tokens=st.integers(0, 5000), cost_usd=st.floats(0, 1))
def test_tokens_cost_what_was_recorded_to_half_an_input_token(price: Price, input_tokens: int, cost_usd: float) -> None:
    tokens = tokens_for(cost_usd, price, input_tokens)
    assert min(tokens) >= 0
    assert abs(price.cost_usd(*tokens) - cost_usd) <= 0.51 * price.input_usd_per_mtok / 1e6 + 1e-11


@given(tokens_in=st.integers(1, 3000), tokens_out=st.integers(0, 3000), estimate=st.integers(1, 3000))
def test_a_bill_of_whole_tokens_comes_out_exactly_whatever_the_estimate(
    tokens_in: int, tokens_out: int, estimate: int
) -> None:
    price = Price(1.25, 10.0)
    bill = price.cost_usd(tokens_in, tokens_out)
    assert isclose(price.cost_usd(*tokens_for(bill, price, estimate)), bill, rel_tol=1e-9)


def test_tokens_of_a_free_model_cost_nothing() -> None:
    assert tokens_for(0.0, Price(0.0, 0.0), 12) == (12, 0)


def test_the_newcomer_is_the_best_model_that_the_budget_affords() -> None:
    means = {"a": Mean(0.4, 1.0), "b": Mean(0.6, 2.0), "c": Mean(0.7, 3.0), "d": Mean(0.9, 9.0)}
    assert newcomer(means, 3.5) == "c"
    assert newcomer(means, 2.5) == "b"


def test_the_cheapest_model_is_there_from_the_start_even_where_it_is_the_best_affordable() -> None:
    assert newcomer({"a": Mean(0.8, 1.0), "b": Mean(0.9, 9.0)}, 2.0) is None


def test_a_pool_entry_is_one_that_the_service_accepts(make_world: Callable[..., World]) -> None:
    entry = ModelEntry.model_validate(make_world().pool_entry("large", "http://127.0.0.1:1/v1"))
    assert (entry.id, entry.price.output_usd_per_mtok) == ("large", 8.0)


async def test_outcomes_hold_every_model_on_every_prompt_in_order(make_world: Callable[..., World]) -> None:
    world = make_world(8)
    truth = await outcomes(world)
    assert truth.quality.tolist() == [[float(at % 2 == 0), float(at % 4 != 3), 1.0] for at in range(8)]
    assert truth.usd[3].tolist() == pytest.approx(
        [(13 * 0.1 + 1.0) / 1e6, (13 * 0.5 + 7.5) / 1e6, (13 * 2 + 40.0) / 1e6]
    )


async def test_outcomes_name_the_model_that_lacks_an_answer(make_world: Callable[..., World]) -> None:
    async def silent(model: str, prompt: str) -> Answer | None:
        return None if model == "large" else Answer("", 0.0, 1, 1)

    with pytest.raises(DemoError, match="'large' has no recorded answer"):
        await outcomes(make_world(source=silent))
