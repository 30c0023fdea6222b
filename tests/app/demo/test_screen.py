import asyncio
import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from app.demo.checks import Check
from app.demo.report import Comparison
from app.demo.screen import check_table, introduction, line, panel, results, showing
from app.demo.tally import Served, Tally
from app.demo.upstream import Bill
from app.demo.worlds import Mean, World


@pytest.fixture
def tally(make_world: Callable[..., World]) -> Tally:
    tally = Tally(make_world(20), Bill(usd={"small": 5e-4}), price_of_usd=12.5)
    for at in range(10):
        tally.served.append(Served(at, f"i{at}", "small", float(at % 2), 5e-5, "taxonomy", verbatim=True))
    return tally


def drawn(renderable: RenderableType, width: int = 160) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


def test_the_panel_shows_progress_quality_cost_lambda_shares_and_stages(tally: Tally) -> None:
    text = drawn(panel(tally))
    for part in ("10 of 20", "0.500", "$0.05 per 1,000", "50% of the budget of $0.1", "12.5", "taxonomy 10", "100%"):
        assert part in text
    assert "joins at request 11" in text


def test_the_panel_shows_the_late_model_as_any_other_once_it_is_there(tally: Tally) -> None:
    tally.joined = True
    assert "joins at" not in drawn(panel(tally))


def test_errors_are_on_the_panel(tally: Tally) -> None:
    tally.errors.append("request 7: status 500")
    assert "1: request 7: status 500" in drawn(panel(tally))


def test_the_first_frame_needs_no_answers(make_world: Callable[..., World]) -> None:
    assert "0 of 20" in drawn(panel(Tally(make_world(20), Bill())))


def test_a_line_tells_the_same_where_there_is_no_terminal(tally: Tally) -> None:
    assert line(tally).startswith("10/20  accuracy of the last 100 0.500  $0.05 per 1,000 requests (50% of the budget")
    assert line(tally).endswith("lambda 12.5  small 100%")


@pytest.mark.parametrize("terminal", [True, False])
async def test_the_last_figures_are_on_the_screen_when_the_stream_ends(tally: Tally, terminal: bool) -> None:
    out = io.StringIO()
    async with showing(tally, Console(file=out, width=160, force_terminal=terminal)):
        await asyncio.sleep(0)
        tally.served.append(Served(10, "i10", "large", 1.0, 5e-5, "learned", verbatim=True))
    assert ("11 of 20" if terminal else "11/20") in out.getvalue()


def comparison(over_mix_points: float) -> Comparison:
    singles = {"small": Mean(0.5, 1e-5), "large": Mean(0.9, 4e-4)}
    return Comparison("second half", Mean(0.8, 1e-4), singles, "large", 0.7, over_mix_points, 2.0)


def test_the_table_compares_us_with_each_model_and_the_mix(make_world: Callable[..., World]) -> None:
    text = drawn(results(make_world(), [comparison(10.0)]))
    for part in ("Headrace", "0.800", "middle (joined late)", "static mix at the same cost", "0.700", "requests 11-20"):
        assert part in text
    assert "75.0% less than the best single model (large): 0.3 USD saved per 1,000 requests, -10.0 points" in text
    assert "spent 100% of the budget" in text


def test_the_table_says_so_when_we_are_below_the_mix(make_world: Callable[..., World]) -> None:
    assert "BELOW the static mix" in drawn(results(make_world(), [comparison(-10.0)]))


def test_the_introduction_states_the_budget_and_the_newcomer(make_world: Callable[..., World]) -> None:
    text = introduction(make_world())
    assert "Budget: $0.1 per 1,000 requests" in text
    assert "middle joins in the middle" in text


def test_checks_are_drawn_with_their_figures() -> None:
    text = drawn(check_table([Check("the sky is blue", True, "1 of 1"), Check("pigs fly", False, "0 of 3")]))
    assert "PASS  the sky is blue  1 of 1" in text
    assert "FAIL  pigs fly         0 of 3" in text
