"""`headrace policy evaluate`: what another policy would have been worth on the log of a running service."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.client import JsonOption, UrlOption, call, fail, out, show
from app.schemas.evaluation import DECISIONS

DAY_S = 86_400.0
# The log may be long, and requests go first.
TIMEOUT_S = 1_800.0
COLUMNS = {"quality": "quality", "cost_usd": "USD per request", "utility": "utility"}


def evaluate(
    version: Annotated[str | None, typer.Argument(help="A version of the policy, such as headrace@2.")] = None,
    depth: Annotated[int | None, typer.Option(help="Most models asked for one request.")] = None,
    margin: Annotated[float | None, typer.Option(help="Quality one more call must gain beyond its price.")] = None,
    sharpness: Annotated[float | None, typer.Option(help="How far to believe what sets one query apart.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Requests of so many days; default: all.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many of the newest requests.")] = DECISIONS,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Value a version, or parameters, on the log: replay, IPS, SNIPS and DR with 95 % intervals, and their warnings."""
    changes = {"depth": depth, "margin": margin, "sharpness": sharpness}
    parameters = {name: value for name, value in changes.items() if value is not None}
    if bool(parameters) == (version is not None):
        fail("Name a version, or what to change of the policy in force: --depth, --margin, --sharpness", 2)
    body: dict[str, Any] = {"limit": limit} | ({"version": version} if version else {"parameters": parameters})
    if days is not None:
        body["since"] = time.time() - days * DAY_S
    with Console(stderr=True).status("folding the log again"):
        found = call("POST", "/v1/admin/policies/evaluate", url, body, timeout_s=TIMEOUT_S)
    if json_:
        show(found, as_json=True)
    else:
        tell(found)


def tell(found: Mapping[str, Any]) -> None:
    """Print an evaluation: a table, what the log carries, and what speaks against it."""
    changed = ", ".join(f"{name} {value}" for name, value in found["candidate"].items() if name != "version")
    out.print(f"Candidate: {changed}. In force: {found['in_force']['version']}.", soft_wrap=True)
    table = Table("estimator", *COLUMNS.values(), "gain in utility", "trust")
    for name, told in found["estimators"].items():
        values = [_interval(told["candidate"].get(kind)) for kind in COLUMNS]
        gain = _interval(told["difference"].get("utility"))
        table.add_row(name, *values, gain, "yes" if told["trust"] else "no")
    out.print(table)
    for name, told in found["estimators"].items():
        out.print(f"{name} needs {told['needs']}.", soft_wrap=True, markup=False)
    out.print(
        f"{found['decisions']} decisions, {found['labels']} rated; effective sample size {found['ess']:.0f}; "
        f"{found['unsupported_share']:.1%} of what the candidate would do is not in the log.",
        soft_wrap=True,
    )
    for reason, count in found["left_out"].items():
        out.print(f"Left out: {count}, {reason}.", soft_wrap=True, markup=False)
    for warning in found["warnings"]:
        out.print(f"Warning: {warning}.", style="yellow", soft_wrap=True, markup=False)
    out.print("To be trusted." if found["trust"] else "Not to be trusted.", style="bold")


def _interval(value: Mapping[str, float | None] | None) -> str:
    """Write an estimate with its interval."""
    if value is None or value["mean"] is None:
        return "unknown"
    low, high = (f"{bound:.4g}" if bound is not None else "?" for bound in (value["low"], value["high"]))
    return f"{value['mean']:.4g} [{low}, {high}]"
