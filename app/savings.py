"""What is saved against the controls, as the administration API tells it."""

import math
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from app.learning import Learning
from app.storage.savings import Corrections, Line, Period, summed
from learner.channel import Rates
from learner.savings import Group, Interval, Savings, savings, with_overhead
from learner.types import Control

AGAINST: dict[str, Control] = {"best_single": "best", "cheapest": "cheapest"}


async def savings_in(engine: AsyncEngine, learning: Learning, period: Period, *, share: float) -> dict[str, Any]:
    """Estimate what the service saved in a period, and what that did to quality.

    Args:
        engine: The database.
        learning: Knows how thumbs come about.
        period: What to look at.
        share: The control share in force.
    """
    told = await summed(engine, period, corrections_of(*learning.thumbs()))
    overhead_usd = told.quizzes_usd / max(told.requests, 1)
    ours = {could: with_overhead(group, overhead_usd) for could, group in told.others.items()}
    auto = sum(ours.values(), Group())
    against = {
        name: described(savings(
            sum((group for could, group in ours.items() if control in could), Group()),
            told.controls.get(control, Group()),
        ))
        for name, control in AGAINST.items()
    }  # fmt: skip
    return {
        "period": {"since": period.since, "until": period.until},
        "requests": told.requests,
        "auto": {
            "requests": auto.cost_usd.n,
            "quality": quality(auto.quality.mean),
            "rated": auto.rated,
            "cost_usd": number(auto.cost_usd.mean),
        },
        "control": {
            "share": share,
            "requests": sum(group.cost_usd.n for group in told.controls.values()),
        },
        "against": against,
    }


def corrections_of(rates: dict[str, Rates], pressed: float) -> Corrections:
    """Return what thumbs would add to beliefs, were all answers rated.

    Args:
        rates: How thumbs come about, by category.
        pressed: Share of all answers that get a thumb, as these rates have it.
    """

    def lines(of: Rates) -> tuple[Line, Line]:
        # A correction is linear in the belief: two points are the line.
        (down, up), (down_at_1, up_at_1) = of.rectifiers(0.0), of.rectifiers(1.0)
        return (pressed * down, pressed * (down_at_1 - down)), (pressed * up, pressed * (up_at_1 - up))

    everywhere = Rates(pressed_good=pressed, pressed_bad=pressed)
    return Corrections({name: lines(each) for name, each in rates.items()}, lines(everywhere))


def described(found: Savings) -> dict[str, Any]:
    """Return savings as JSON: not a number is null."""
    models: dict[str, int] = {}
    for model, n in found.control.models:
        models[model] = models.get(model, 0) + n
    return {
        "models": models,
        "n": found.control.cost_usd.n,
        "rated": found.control.rated,
        "auto_n": found.auto.cost_usd.n,
        "cost_usd": {"auto": number(found.auto.cost_usd.mean), "control": number(found.control.cost_usd.mean)},
        "quality": {"auto": quality(found.auto.quality.mean), "control": quality(found.control.quality.mean)},
        "saved_usd_per_request": interval(found.saved_usd),
        "saved_total_usd": interval(found.saved_total_usd),
        "saved_share": interval(found.saved_share),
        "quality_points": interval(found.quality_points),
        "enough": not found.reason,
        "reason": found.reason,
    }


def interval(found: Interval) -> dict[str, float | None]:
    """Return an interval as JSON."""
    return {"estimate": number(found.estimate), "low": number(found.low), "high": number(found.high)}


def quality(value: float) -> float | None:
    """Return an estimated quality, which may leave [0, 1] by chance, as JSON has it."""
    return number(min(max(value, 0.0), 1.0)) if math.isfinite(value) else None


def number(value: float) -> float | None:
    """Return a number as JSON has it."""
    return value if math.isfinite(value) else None
