import asyncio
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.storage import repository
from app.storage.batch import Entry
from app.storage.engine import database_url, open_engine
from app.storage.journal import Journal
from app.storage.migrate import migrate
from app.storage.spend import SpendLedger, day_of, summed
from app.storage.tables import CallRow, SpendRow

DAY_S = 86_400.0

calls = st.builds(
    lambda **values: dict(values, inference_id="inf-1", step=0, outcome="ok"),
    model=st.sampled_from(["small", "large"]),
    purpose=st.sampled_from(["answer", "judge", "quiz"]),
    account=st.sampled_from(["request", "background"]),
    explored_share=st.none() | st.floats(0.0, 1.0),
    cost_usd=st.floats(0, 1),
    created_at=st.floats(0, 3 * DAY_S),
)


def by_key(rows: list[SpendRow]) -> dict[tuple[str, ...], tuple[float, float, int]]:
    return {
        (row.day, row.model, row.account, row.purpose): (round(row.usd, 9), round(row.explored_usd, 9), row.calls)
        for row in rows
    }


def expected(rows: list[CallRow]) -> dict[tuple[str, ...], tuple[float, float, int]]:
    groups = defaultdict(list)
    for row in rows:
        groups[(day_of(row.created_at), row.model, row.account, row.purpose)].append(row)
    return {
        key: (
            round(math.fsum(row.cost_usd for row in group), 9),
            round(math.fsum(row.cost_usd * (row.explored_share or 0.0) for row in group), 9),
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
        rows = await repository.spend_by_day(engine)
        totals = await repository.spend_totals(engine)
        await engine.dispose()
        assert by_key(rows) == expected(stored)
        assert len(stored) == sum(len(rows) for rows in entries)
        spent = math.fsum(call.cost_usd for call in stored)
        assert math.fsum(total.usd for total in totals) == pytest.approx(spent)
        assert journal.spend.total.total_usd == pytest.approx(spent)
        assert sum(total.calls for total in totals) == journal.spend.total.calls == len(stored)

    with TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


def test_the_parts_of_the_ledger_make_up_the_whole(call: Callable[..., CallRow]) -> None:
    ledger = SpendLedger(
        summed(
            [
                call(cost_usd=1.0),
                call(cost_usd=2.0, purpose="judge"),
                call(cost_usd=4.0, purpose="judge", account="background"),
                call(cost_usd=8.0, purpose="quiz", account="background", explored_share=1.0),
            ]
        )
    )
    spend = ledger.total
    assert (spend.requests_usd, spend.background_usd, spend.total_usd) == (3.0, 12.0, 15.0)
    assert (spend.exploration_usd, spend.judges_usd, spend.calls) == (8.0, 6.0, 4)


def test_the_ledger_keeps_days_apart(call: Callable[..., CallRow]) -> None:
    ledger = SpendLedger(summed([call(cost_usd=1.0, created_at=DAY_S - 1), call(cost_usd=2.0, created_at=DAY_S)]))
    assert ledger.on("1970-01-01").total_usd == 1.0
    assert ledger.on("1970-01-02").total_usd == 2.0
    assert ledger.on("1970-01-03").total_usd == 0.0
    assert ledger.total.total_usd == 3.0
