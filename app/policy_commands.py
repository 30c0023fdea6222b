"""`headrace policy`: the versions of the policy of a running service."""

import json
from typing import Annotated, Any

import typer

from app.client import JsonOption, UrlOption, call, fail, out, show

policy_app = typer.Typer(no_args_is_help=True, help="The policy of a running service: its versions, and which serves.")

VersionArgument = Annotated[int, typer.Argument(help="Number of a version, as in headrace@NUMBER.")]


@policy_app.command("list")
def list_policies(url: UrlOption = None, json_: JsonOption = False) -> None:
    """List the versions of the policy, which of them serve, and how MLflow's registry is."""
    found = call("GET", "/v1/admin/policies", url)
    if json_:
        show(found, json_)
        return
    rows = [row | {"share": f"{row['share']:.0%}", "parameters": told(row["parameters"])} for row in found["data"]]
    show(rows, json_, ("version", "state", "share", "origin", "parameters", "reason"))
    registry = found["registry"]
    out.print(f"MLflow's registry is {registry['state']}: {registry['reason']}", soft_wrap=True, markup=False)


def told(parameters: dict[str, Any]) -> str:
    """Write parameters in one line."""
    return ", ".join(f"{name}={value:g}" for name, value in parameters.items() if name != "version")


@policy_app.command("show")
def show_policy(version: VersionArgument, url: UrlOption = None, json_: JsonOption = False) -> None:
    """Show one version with its figures."""
    show(call("GET", f"/v1/admin/policies/{version}", url), json_)


@policy_app.command("diff")
def diff_policies(
    before: VersionArgument, after: VersionArgument, url: UrlOption = None, json_: JsonOption = False
) -> None:
    """Say what sets two versions apart."""
    found = call("GET", f"/v1/admin/policies/diff?before={before}&after={after}", url)
    show(found if json_ else found["parameters"], json_, ("parameter", "before", "after"))


@policy_app.command("promote")
def promote_policy(
    version: Annotated[int | None, typer.Argument(help="Number of a known version.")] = None,
    parameters: Annotated[str | None, typer.Option(help="JSON object of a new version's parameters.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Skip the gate: it serves at once, compared live.")] = False,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Take a known version, or new parameters, through the gate to a canary."""
    body: dict[str, Any] = {"force": force} | ({} if version is None else {"version": version})
    if parameters is not None:
        try:
            body["parameters"] = json.loads(parameters)
        except ValueError as err:
            fail(f"--parameters {parameters} is not JSON: {err}")
    show(call("POST", "/v1/admin/policies/promote", url, body), json_)


@policy_app.command("rollback")
def roll_back_policy(
    reason: Annotated[str | None, typer.Option(help="Kept with the version that is taken back.")] = None,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Take back a canary, else the champion."""
    show(call("POST", "/v1/admin/policies/rollback", url, {} if reason is None else {"reason": reason}), json_)
