import asyncio
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.storage import repository
from app.storage.batch import Entry
from app.storage.engine import database_url, open_engine
from app.storage.journal import Journal
from app.storage.migrate import migrate
from app.storage.spend import SpendLedger, day_of, summed
from app.storage.tables import APART, CallRow, DecisionRow, SpendRow

DAY_S = 86_400.0

calls = st.builds(
    lambda **values: dict(values, inference_id="inf-1", step=0, outcome="ok"),
    model=st.sampled_from(["small", "large"]),
    purpose=st.sampled_from(["answer", "judge", "quiz"]),
    account=st.sampled_from(["request", "background"]),
    explored_share=st.none() | st.floats(0.0, 1.0),
    explored_quality=st.none() | st.floats(0.0, 1.0),
    key_id=st.none() | st.sampled_from(["ada", "bob"]),
    cost_usd=st.floats(0, 1),
    created_at=st.floats(0, 3 * DAY_S),
)


def by_cell(rows: list[SpendRow]) -> dict[tuple[str, ...], tuple[float, float, float, int]]:
    return {
        tuple(getattr(row, name) for name in APART): (
            round(row.usd, 9),
            round(row.explored_usd, 9),
            round(row.explored_quality, 9),
            row.calls,
        )
        for row in rows
    }


def expected(rows: list[CallRow]) -> dict[tuple[str, ...], tuple[float, float, float, int]]:
    groups = defaultdict(list)
    for row in rows:
        groups[(day_of(row.created_at), row.model, row.account, row.purpose, row.key_id or "")].append(row)
    return {
        key: (
            round(math.fsum(row.cost_usd for row in group), 9),
            round(math.fsum(row.cost_usd * (row.explored_share or 0.0) for row in group), 9),
            round(math.fsum(row.explored_quality or 0.0 for row in group), 9),
            len(group),
        )
        for key, group in groups.items()
    }


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(calls, max_size=4), max_size=8))
def test_spend_equals_the_sum_of_the_stored_calls(entries: list[list[dict[str, object]]]) -> None:
    async def story(folder: Path) -> None:
        url = database_url("sqlite:///headrace.db", folder)
        migrate(url)
        engine = open_engine(url)
        journal = Journal(engine)
        await journal.open()
        await asyncio.gather(
            *(
                journal.append(Entry("request", "inf-1", 0.0, rows=tuple(CallRow.model_validate(c) for c in rows)))
                for rows in entries
            )
        )
        await journal.close()
        stored = await repository.calls_of(engine, "inf-1")
        async with AsyncSession(engine) as session:
            rows = list(await session.exec(select(SpendRow)))
        ledger = await repository.spend_ledger(engine)
        middle = await repository.spend_ledger(engine, since="1970-01-02", until="1970-01-02")
        await engine.dispose()
        assert by_cell(rows) == expected(stored)
        assert len(stored) == sum(len(rows) for rows in entries)
        spent = math.fsum(call.cost_usd for call in stored)
        for kept in (ledger, journal.spend):
            assert kept.total.total_usd == pytest.approx(spent)
            assert kept.total.calls == len(stored)
            for sums in (kept.cells, kept.days):
                assert math.fsum(each.total_usd for each in sums.values()) == pytest.approx(spent)
        assert (ledger.cells.keys(), ledger.days.keys()) == (journal.spend.cells.keys(), journal.spend.days.keys())
        assert middle.total.total_usd == pytest.approx(journal.spend.on("1970-01-02").total_usd)
        assert journal.spend.total.requests_usd + journal.spend.total.background_usd == pytest.approx(spent)

    with TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


def test_the_parts_of_the_ledger_make_up_the_whole(call: Callable[..., CallRow]) -> None:
    calls = [
        call(cost_usd=1.0),
        call(cost_usd=2.0, purpose="judge"),
        call(cost_usd=4.0, purpose="judge", account="background"),
        call(cost_usd=8.0, purpose="quiz", account="background", explored_share=1.0),
    ]
    ledger = SpendLedger()
    ledger.add(summed(calls))
    spend = ledger.total
    assert (spend.requests_usd, spend.background_usd, spend.total_usd) == (3.0, 12.0, 15.0)
    assert (spend.exploration_usd, spend.judges_usd, spend.calls) == (8.0, 6.0, 4)


def test_the_ledger_keeps_days_apart(call: Callable[..., CallRow]) -> None:
    ledger = SpendLedger()
    ledger.add(summed([call(cost_usd=1.0, created_at=DAY_S - 1), call(cost_usd=2.0, created_at=DAY_S)]))
    assert ledger.on("1970-01-01").total_usd == 1.0
    assert ledger.on("1970-01-02").total_usd == 2.0
    assert ledger.on("1970-01-03").total_usd == 0.0
    assert ledger.total.total_usd == 3.0


def test_a_request_is_counted_once_for_the_model_that_answered_it(
    call: Callable[..., CallRow], decision: Callable[..., DecisionRow]
) -> None:
    calls = [call(step=0), call(step=1, model="large", key_id="ada"), call(step=1, purpose="judge")]
    answered = decision(status="answered", arm="small", answer_model="large", key_id="ada")
    failed = decision("inf-2", status="failed", arm="small")
    rows = summed(calls, [answered, failed])
    counted = {(row.model, row.account, row.purpose, row.key_id): (row.calls, row.requests) for row in rows}
    assert counted == {
        ("small", "request", "answer", ""): (1, 0),
        ("large", "request", "answer", "ada"): (1, 1),
        ("small", "request", "judge", ""): (1, 0),
        ("small", "background", "answer", ""): (0, 1),
    }


async def test_only_whole_requests_are_counted_and_only_once(
    journal: Journal, decision: Callable[..., DecisionRow]
) -> None:
    await journal.append(Entry(None, "inf-1", 0.0, rows=(decision(),)))
    await journal.append(Entry("request", "part", 0.0, rows=(decision("part", parent_id="inf-1"),)))
    await journal.append(Entry("request", "inf-1", 0.0, rows=(decision(status="answered"),)))
    await journal.append(Entry("comparison", "inf-1", 0.0))
    assert journal.spend.total.requests == 1
