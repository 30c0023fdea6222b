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


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until before `until`, in seconds since 1970."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Corrections:
    """What is added to the belief in an answer that was rated, so that the mean of all is that of their quality.

    Args:
        of_thumbs: For a thumb down and a thumb up, by category.
        of_other_thumbs: The same for a category that is not known any more.
        of_ratings: Multiplies what a rating differs from the belief by.
    """

    of_thumbs: Mapping[str, tuple[Line, Line]]
    of_other_thumbs: tuple[Line, Line]
    of_ratings: float


@dataclass(frozen=True, slots=True)
class Counted:
    """The routed requests of a period.

    Args:
        requests: All of them.
        answered: Those that a control could have answered and that were not cancelled.
        rated: How many of these were rated.
        quizzes_usd: What asking new models old queries cost on the days of the period.
    """

    requests: int
    answered: int
    rated: int
    quizzes_usd: float


@dataclass(frozen=True, slots=True)
class Split:
    """The compared requests of a period.

    Args:
        controls: Those that a control answered, by control.
        others: All others, by the controls that could have answered them.
    """

    controls: Mapping[str, Group]
    others: Mapping[tuple[str, ...], Group]


async def counted(engine: AsyncEngine, period: Period) -> Counted:
    """Count the routed requests of a period, and those rated."""
    told = _requests(period, None).subquery()
    is_judged = and_(told.c.is_compared, told.c.is_judged)
    sums = select(
        func.count(),
        func.coalesce(func.sum(case((is_judged, 1), else_=0)), 0),
        func.coalesce(func.sum(case((and_(is_judged, told.c.is_rated), 1), else_=0)), 0),
    ).select_from(told)
    quizzes = select(func.coalesce(func.sum(SpendRow.usd), 0.0)).where(
        col(SpendRow.purpose) == "quiz", col(SpendRow.day).between(day_of(period.since), day_of(period.until))
    )
    async with engine.connect() as connection:
        requests, answered, rated = (await connection.execute(sums)).one()
        return Counted(requests, answered, rated, float((await connection.execute(quizzes)).scalar_one()))


async def grouped(engine: AsyncEngine, period: Period, corrections: Corrections) -> Split:
    """Sum the cost and quality of the compared requests of a period."""
    # The offset keeps the database from working out each value anew for each sum over it.
    told = _requests(period, corrections).offset(0).subquery()
    judged = case((told.c.is_judged, told.c.weight), else_=0.0)
    rated = func.sum(case((and_(told.c.is_judged, told.c.is_rated), 1), else_=0))
    keys = (told.c.control, told.c.model, told.c.could_best, told.c.could_cheapest)
    sums = (
        *_sums(told.c.weight, told.c.cost_usd, func.count()),
        *_sums(judged, told.c.quality, func.sum(case((told.c.is_judged, 1), else_=0))),
        rated,
    )
    async with engine.connect() as connection:
        rows = await connection.execute(select(*keys, *sums).where(told.c.is_compared).group_by(*keys))
    controls: dict[str, Group] = defaultdict(Group)
    others: dict[tuple[str, ...], Group] = defaultdict(Group)
    for control, model, best, cheapest, *found in rows:
        # A sum over no value at all is null.
        group = Group(Sums(*found[:7]), Sums(*(value or 0 for value in found[7:14])), found[14])
        if control is not None:
            controls[control] += replace(group, models=((model, group.cost_usd.n),))
        else:
            others[tuple(name for name, could in (("best", best), ("cheapest", cheapest)) if could)] += group
    return Split(controls, others)


def _sums(weight: Any, value: Any, n: Any) -> tuple[Any, ...]:
    """Return the columns of `Sums`."""
    ww = weight * weight
    return (n, *(func.sum(term) for term in (weight, ww, ww * ww, weight * value, ww * value, ww * value * value)))


def _requests(period: Period, corrections: Corrections | None) -> Select[Any]:
    """Select every routed request of a period with its group, weight, cost, and the quality of its answer."""
    said = _standing(period)
    is_rated = said.c.inference_id.is_not(None)
    control, best, cheapest = (
        col(c) for c in (DecisionRow.control, DecisionRow.best_chance, DecisionRow.cheapest_chance)
    )
    belief = case((col(DecisionRow.status) == "failed", 0.0), else_=col(DecisionRow.confidence))
    is_judged = and_(col(DecisionRow.status).in_(("answered", "failed")), belief.is_not(None))
    columns = [
        control.label("control"),
        case((control.is_not(None), col(DecisionRow.arm))).label("model"),
        (best > 0.0).label("could_best"),
        (cheapest > 0.0).label("could_cheapest"),
        (best + cheapest > 0.0).label("is_compared"),
        is_judged.label("is_judged"),
        is_rated.label("is_rated"),
    ]
    if corrections is not None:
        # A database may divide before it has left out what is not compared.
        drawn = case((control == "best", best), (control == "cheapest", cheapest), else_=1.0 - best - cheapest)
        weight = 1.0 / func.nullif(drawn, 0.0)
        quality = belief + case((is_rated, _correction(said, belief, corrections)), else_=0.0)
        columns += [weight.label("weight"), _cost_usd().label("cost_usd"), quality.label("quality")]
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

    of_rating = corrections.of_ratings * (said.c.reward - belief)
    return case((~said.c.is_thumb, of_rating), (said.c.reward == 1.0, of_thumb(1)), else_=of_thumb(0))


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
