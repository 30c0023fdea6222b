"""The sums from which savings are estimated, made by the database: one pass over a period, whatever its length.

A request belongs to a group: those that a control answered, by control and model, and all others, by the controls that
could have answered them. Its cost is that of all its calls, comparisons and probes in the background included; the
quality of its answer is the belief in it, corrected by what was said of it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from app.storage.spend import day_of
from app.storage.tables import CallRow, DecisionRow, FeedbackRow, SpendRow
from learner.ratings import DECLARED_RANK, RANKS
from learner.savings import Group, Sums

Line = tuple[float, float]
"""Constant and slope of a correction over the belief in the answer."""

_OF_COSTS = ("w", "ww", "wwww", "wv", "wwv", "wwvv")
_OF_BELIEFS = ("jw", "jww", "jwwww", "jwb", "jwwb", "jwwbb", "jwc", "jwwc", "jwwbc", "jwwcc")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until before `until`, in seconds since 1970."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a thumb adds to the belief in an answer, were every answer rated; a rating adds what it differs by.

    Args:
        of_thumbs: For a thumb down and a thumb up, by category.
        of_other_thumbs: The same for a category that is not known any more.
    """

    of_thumbs: Mapping[str, tuple[Line, Line]]
    of_other_thumbs: tuple[Line, Line]


@dataclass(frozen=True, slots=True)
class Summed:
    """The routed requests of a period.

    Args:
        requests: All of them.
        controls: Those that a control answered, by control.
        others: All others that one could have answered, by the controls that could.
        quizzes_usd: What asking new models old queries cost on the days of the period.
    """

    requests: int
    controls: Mapping[str, Group]
    others: Mapping[tuple[str, ...], Group]
    quizzes_usd: float


async def summed(engine: AsyncEngine, period: Period, corrections: Corrections) -> Summed:
    """Sum the cost and quality of the requests of a period.

    Only some answers were rated: their corrections count for all, so they are divided by the share that was rated. That
    share is known when the sums are, which are therefore made of beliefs and corrections apart.
    """
    quizzes = select(func.coalesce(func.sum(SpendRow.usd), 0.0)).where(
        col(SpendRow.purpose) == "quiz", col(SpendRow.day).between(day_of(period.since), day_of(period.until))
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(sums_over(period, corrections))).all()
        quizzes_usd = float((await connection.execute(quizzes)).scalar_one())
    compared = [row for row in rows if row.could_best or row.could_cheapest]
    judged, rated = sum(row.judged for row in compared), sum(row.rated for row in compared)
    scale = judged / rated if rated else 0.0
    controls: dict[str, Group] = defaultdict(Group)
    others: dict[tuple[str, ...], Group] = defaultdict(Group)
    for row in compared:
        group = _group(row, scale)
        if row.control is not None:
            controls[row.control] += replace(group, models=((row.model, group.cost_usd.n),))
        else:
            could = {"best": row.could_best, "cheapest": row.could_cheapest}
            others[tuple(name for name in could if could[name])] += group
    return Summed(sum(row.requests for row in rows), controls, others, quizzes_usd)


def _group(row: Any, scale: float) -> Group:
    """Return a row of sums as a group: the quality of an answer is the belief in it, and `scale` of the correction."""
    # A sum over no value at all is null.
    w, ww, wwww, wb, wwb, wwbb, wc, wwc, wwbc, wwcc = (row._mapping[name] or 0.0 for name in _OF_BELIEFS)
    cost_usd = Sums(row.requests, *(row._mapping[name] for name in _OF_COSTS))
    wwvv = wwbb + 2.0 * scale * wwbc + scale * scale * wwcc
    return Group(cost_usd, Sums(row.judged, w, ww, wwww, wb + scale * wc, wwb + scale * wwc, wwvv), row.rated)


def sums_over(period: Period, corrections: Corrections) -> Select[Any]:
    """Select the sums over the requests of each group, named by what is multiplied (see `learner.savings.Sums`)."""
    # The offset keeps the database from working out each value anew for each sum over it.
    told = _requests(period, corrections).offset(0).subquery()
    w, j, b, c, usd = (told.c[name] for name in ("weight", "judged", "belief", "correction", "cost_usd"))
    keys = (told.c.control, told.c.model, told.c.could_best, told.c.could_cheapest)
    ww, jj = w * w, j * j
    of_costs = (w, ww, ww * ww, w * usd, ww * usd, ww * usd * usd)
    of_beliefs = (j, jj, jj * jj, j * b, jj * b, jj * b * b, j * c, jj * c, jj * b * c, jj * c * c)
    counts = (
        func.count().label("requests"),
        func.sum(case((told.c.is_judged, 1), else_=0)).label("judged"),
        func.sum(case((and_(told.c.is_judged, told.c.is_rated), 1), else_=0)).label("rated"),
    )
    terms = zip((*_OF_COSTS, *_OF_BELIEFS), (*of_costs, *of_beliefs), strict=True)
    return select(*keys, *counts, *(func.sum(term).label(name) for name, term in terms)).group_by(*keys)


def _requests(period: Period, corrections: Corrections) -> Select[Any]:
    """Select every routed request of a period with its group, weight, cost, and the belief in its answer."""
    said = _standing(period)
    is_rated = said.c.inference_id.is_not(None)
    control, best, cheapest = (
        col(c) for c in (DecisionRow.control, DecisionRow.best_chance, DecisionRow.cheapest_chance)
    )
    belief = case((col(DecisionRow.status) == "failed", 0.0), else_=col(DecisionRow.confidence))
    is_judged = and_(col(DecisionRow.status).in_(("answered", "failed")), belief.is_not(None))
    # A database may divide before it has left out what is not compared.
    drawn = case((control == "best", best), (control == "cheapest", cheapest), else_=1.0 - best - cheapest)
    weight = 1.0 / func.nullif(drawn, 0.0)
    columns = [
        control.label("control"),
        case((control.is_not(None), col(DecisionRow.arm))).label("model"),
        (best > 0.0).label("could_best"),
        (cheapest > 0.0).label("could_cheapest"),
        is_judged.label("is_judged"),
        is_rated.label("is_rated"),
        weight.label("weight"),
        case((is_judged, weight), else_=0.0).label("judged"),
        # Of what is not compared nobody asks the cost.
        case((best + cheapest > 0.0, _cost_usd()), else_=0.0).label("cost_usd"),
        belief.label("belief"),
        case((is_rated, _correction(said, belief, corrections)), else_=0.0).label("correction"),
    ]
    is_routed = and_(
        col(DecisionRow.stage) != "pinned", col(DecisionRow.parent_id).is_(None), col(DecisionRow.status) != "open",
        col(DecisionRow.created_at) >= period.since, col(DecisionRow.created_at) < period.until,
    )  # fmt: skip
    joined = DecisionRow.__table__.outerjoin(said, said.c.inference_id == DecisionRow.id)  # type: ignore[attr-defined]  # SQLModel
    return select(*columns).select_from(joined).where(is_routed)


def _cost_usd() -> ColumnElement[float]:
    """Cost of all calls of a request; a quiz asks its query again for another model's sake."""
    of_request = and_(col(CallRow.inference_id) == col(DecisionRow.id), col(CallRow.purpose) != "quiz")
    return func.coalesce(select(func.sum(CallRow.cost_usd)).where(of_request).scalar_subquery(), 0.0)


def _correction(said: Any, belief: Any, corrections: Corrections) -> ColumnElement[float]:
    """Return what the value that stands adds to the belief in an answer."""
    category = col(DecisionRow.category)

    def of_thumb(up: int) -> ColumnElement[float]:
        known = ((category == name, lines[up]) for name, lines in corrections.of_thumbs.items())
        other = corrections.of_other_thumbs[up]
        return case(*((is_there, a + b * belief) for is_there, (a, b) in known), else_=other[0] + other[1] * belief)

    return case((~said.c.is_thumb, said.c.reward - belief), (said.c.reward == 1.0, of_thumb(1)), else_=of_thumb(0))


def _standing(period: Period) -> Any:
    """Select, of what was said of each answer, what stands: its reward, and whether it is a thumb.

    Of several values the strongest stands, of several that are equally strong the latest.
    """
    metric, reward = col(FeedbackRow.metric), col(FeedbackRow.reward)
    strength = case(RANKS, value=metric, else_=DECLARED_RANK)
    order = (strength.desc(), col(FeedbackRow.event_seq).desc())
    is_told = cast(col(FeedbackRow.value), String).in_(("true", "false"))
    is_thumb = and_(reward.in_((0.0, 1.0)), (metric == "comment") | is_told)
    place = func.row_number().over(partition_by=col(FeedbackRow.inference_id), order_by=order).label("place")
    ranked = (
        select(col(FeedbackRow.inference_id), reward, is_thumb.label("is_thumb"), place)
        .where(reward.is_not(None), col(FeedbackRow.episode).is_(None), col(FeedbackRow.received_at) >= period.since)
        .subquery()
    )
    return select(ranked.c.inference_id, ranked.c.reward, ranked.c.is_thumb).where(ranked.c.place == 1).subquery()
