"""`headrace savings`: what a running service saves."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from app.client import JsonOption, UrlOption, call, out, show

TIME_HELP = "ISO 8601 or seconds since 1970, UTC; default: "


def show_savings(
    since: Annotated[str | None, typer.Option(help=TIME_HELP + "30 days before --until.")] = None,
    until: Annotated[str | None, typer.Option(help=TIME_HELP + "now.")] = None,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Show cost and quality against the best single model and the cheapest, measured, with 95 % intervals."""
    given = urlencode({name: time for name, time in (("since", since), ("until", until)) if time is not None})
    found = call("GET", "/v1/admin/savings" + (f"?{given}" if given else ""), url)
    if json_:
        show(found, json_)
        return
    rows = [row_of(name, against) for name, against in found["against"].items()]
    show(rows, json_, ("against", "requests", "USD saved per 1,000", "share saved", "USD saved in all", "points"))
    for name, against in found["against"].items():
        if not against["enough"]:
            out.print(f"{name}: {against['reason']}.", style="yellow", markup=False, soft_wrap=True)


def row_of(name: str, against: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known against one control as a row for people."""
    models = ", ".join(against["models"])
    return {
        "against": f"{name} ({models})" if models else name,
        "requests": str(against["n"]),
        "USD saved per 1,000": told(against["saved_usd_per_request"], 1_000, ".3g"),
        "share saved": told(against["saved_share"], 1, ".0%"),
        "USD saved in all": told(against["saved_total_usd"], 1, ".3g"),
        "points": told(against["quality_points"], 1, "+.1f"),
    }


def told(interval: Mapping[str, float | None], factor: float, form: str) -> str:
    """Return an interval as text."""
    estimate, low, high = (interval[name] for name in ("estimate", "low", "high"))
    if estimate is None:
        return "-"
    if low is None or high is None:
        return format(factor * estimate, form)
    return f"{factor * estimate:{form}} ({factor * low:{form}} to {factor * high:{form}})"
