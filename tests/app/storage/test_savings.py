from contextlib import closing

from sqlalchemy import URL

from app.storage.engine import open_writer
from app.storage.migrate import migrate
from app.storage.savings import Corrections, Period, sums_over

NOTHING = Corrections({"maths": ((0.0, 0.0), (0.0, 0.0))}, ((0.0, 0.0), (0.0, 0.0)))


def test_savings_are_summed_without_reading_decisions_or_calls(url: URL) -> None:
    migrate(url)
    engine = open_writer(url)
    query = sums_over(Period(0.0, 1e9), NOTHING).compile(engine, compile_kwargs={"render_postcompile": True})
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {query}", [query.params[name] for name in query.positiontup or []])
        plan = [row[3] for row in cursor.fetchall()]
    engine.dispose()
    read = [step for step in plan if "decisions" in step or "calls" in step]
    assert len(read) == 2
    assert all("COVERING INDEX" in step for step in read), plan
