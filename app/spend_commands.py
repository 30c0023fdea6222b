"""`headrace spend`: what a running service has spent, and what of it exploration cost."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from app.client import JsonOption, UrlOption, call, out, show

COLUMNS = ("total_usd", "requests_usd", "background_usd", "exploration_usd", "exploration_quality", "calls")


def spend(
    since: Annotated[str | None, typer.Option(help="First day (UTC), YYYY-MM-DD.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day (UTC), YYYY-MM-DD.")] = None,
    by: Annotated[str, typer.Option(help="model, key, day or purpose.")] = "model",
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Show what was spent, and what exploration cost in USD and in quality."""
    given = {name: value for name, value in (("since", since), ("until", until), ("by", by)) if value is not None}
    told = call("GET", f"/v1/admin/spend?{urlencode(given)}", url)
    if json_:
        show(told, as_json=True)
        return
    rows = [*told["rows"], {by: "all", **told}]
    show(
        [{by: row[by] or "(none)"} | {name: shown(row[name]) for name in COLUMNS} for row in rows],
        False,
        (by, *COLUMNS),
    )
    out.print(standing(told["exploration"]), soft_wrap=True)


def shown(amount: float) -> str:
    """Write an amount without the noise of its last digits."""
    return f"{amount:.6g}"


def standing(exploration: dict[str, Any]) -> str:
    """Say how exploration stands against its caps."""
    caps, per_1000 = exploration["caps"], exploration["quality_per_1000_requests"]
    quality = "" if per_1000 is None else f", and by estimate {per_1000:.3g} good answers of 1,000"
    return (
        f"Exploration cost {shown(exploration['usd'])} USD{quality}. In all it is {100 * caps['share']:.2g} % of the "
        f"spend (cap {100 * caps['max_share']:g} %), today {shown(caps['today_usd'])} of "
        f"{caps['max_usd_per_day']:g} USD; {shown(exploration['allowance_usd'])} USD may be spent now."
    )
