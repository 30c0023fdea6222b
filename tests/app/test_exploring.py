"""What exploration under way may cost is held against its caps, whatever the order in which things end."""

from collections import defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.exploring import Exploring
from app.storage.batch import Entry
from app.storage.spend import day_of
from learner.exploration import CAUTION, DAY_S, Ledger
from learner.policy import View

# -- the reservations by themselves -----------------------------------------------------------------------------------


def test_what_is_under_way_is_held_until_it_is_learned() -> None:
    exploring = Exploring(1.0, lambda _: 0.0)
    exploring.hold("request", "a", 0.1)
    exploring.hold("request", "a", 0.1)
    exploring.hold("comparison", "a", 0.2)
    assert exploring.held_usd == pytest.approx(0.4 * CAUTION)
    exploring.settle("request", "a", 0.05)
    assert exploring.held_usd == pytest.approx(0.05 + 0.2 * CAUTION)
    exploring.learned([Entry("comparison", "a", 0.0), Entry("feedback", "b", 0.0)])
    assert exploring.held_usd == pytest.approx(0.05)
    exploring.learned([Entry("request", "a", 0.0)])
    exploring.settle("request", "a", 0.05)
    assert exploring.held_usd == 0.0


def test_the_cap_of_a_day_counts_what_the_learner_passed_over() -> None:
    exploring = Exploring(1.0, {"1970-01-02": 0.75}.get)  # type: ignore[arg-type]  # only that day is asked for
    view = cast(View, SimpleNamespace(room_usd=1.0))
    assert exploring.reserved_usd(view, DAY_S + 1.0) == 0.75


LARGEST_USD = 0.1


@dataclass
class Explored:
    """One exploration under way: `usd` was expected."""

    ref: str
    at: float
    usd: float
    factor: float
    is_live: bool

    @property
    def real_usd(self) -> float:
        return self.usd * self.factor

    @property
    def excess_usd(self) -> float:
        return max(0.0, self.real_usd - self.usd * (CAUTION if self.is_live else 1.0))


@dataclass
class World:
    """Requests, the table of spend, the log and the learner, each at its own pace."""

    ledger: Ledger
    at: float = 0.6 * DAY_S
    table: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    excess: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    under_way: list[Explored] = field(default_factory=list)
    log: list[Explored] = field(default_factory=list)
    begun: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.learn(len(self.log))
        self.under_way.clear()
        self.exploring = Exploring(self.ledger.max_usd_per_day, lambda day: self.table[day])
        self.room_usd, self.allowance_usd = self.ledger.room_usd, self.ledger.allowance_usd

    def begin(self, greed: float, factor: float, *, is_live: bool) -> None:
        """Explore as much as the policy ever would: one draw up to the day's cap, a comparison up to the allowance."""
        reserved = self.exploring.reserved_usd(cast(View, self), self.at)
        left = self.allowance_usd - reserved
        most = min(LARGEST_USD, (self.room_usd - reserved) / CAUTION) if is_live else left
        if left > 0.0:
            self.begun += 1
            one = Explored(str(self.begun), self.at, greed * max(most, 0.0), factor, is_live)
            self.exploring.hold("request", one.ref, one.usd)
            self.under_way.append(one)

    def end(self, i: int, *, is_stored: bool) -> None:
        if self.under_way:
            one = self.under_way.pop(i % len(self.under_way))
            self.exploring.settle("request", one.ref, one.real_usd)
            if is_stored:
                self.table[day_of(one.at)] += one.real_usd
                self.excess[day_of(one.at)] += one.excess_usd
                self.log.append(one)

    def learn(self, n: int) -> None:
        for one in self.log[:n]:
            self.ledger.spend(usd=one.real_usd + 0.2, explored_usd=one.real_usd, at_s=one.at)
        self.room_usd, self.allowance_usd = self.ledger.room_usd, self.ledger.allowance_usd
        if n:
            self.exploring.learned([Entry("request", one.ref, one.at) for one in self.log[:n]])
        del self.log[:n]


steps = st.one_of(
    st.tuples(st.sampled_from(["live", "shadow"]), st.floats(0.0, 1.0), st.floats(0.0, 3.0)),
    st.tuples(st.just("end"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("learn"), st.integers(1, 4), st.none()),
    st.tuples(st.sampled_from(["midnight", "restart"]), st.none(), st.none()),
)


@examples(max_examples=200)
@given(st.lists(steps, max_size=60), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.3))
def test_no_order_of_events_overdraws_a_cap_by_more_than_calls_cost_beyond_what_was_foreseen(
    story: list[tuple[str, Any, Any]], share: float, per_day: float, advance: float
) -> None:
    world = World(Ledger(share, per_day, advance))
    for step, a, b in story:
        match step:
            case "live" | "shadow":
                world.begin(a, b, is_live=step == "live")
            case "end":
                world.end(a, is_stored=b)
            case "learn":
                world.learn(a)
            case "midnight":
                world.at += DAY_S / 2
            case "restart":
                world.restart()
        assert all(usd <= per_day + world.excess[day] + 1e-9 for day, usd in world.table.items())
        # The share may be overdrawn by one draw.
        ledger, excess = world.ledger, sum(world.excess.values()) + CAUTION * LARGEST_USD
        assert ledger.explored_usd <= share * ledger.total_usd + advance + excess + 1e-9
        assert world.exploring.held_usd >= 0.0
