"""`headrace policy`: the versions of the policy of a running service."""

import typer

from app.client import JsonOption, UrlOption, call, show

policy_app = typer.Typer(no_args_is_help=True, help="The policy of a running service: its versions, and which serves.")


@policy_app.command("list")
def list_policies(url: UrlOption = None, json_: JsonOption = False) -> None:
    """List the versions of the policy."""
    show(call("GET", "/v1/admin/policies", url)["data"], json_, ("version", "parameters"))
