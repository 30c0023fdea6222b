"""The commands that are clients of a running service: its pool and its keys, and what all of them share.

They find it at `--url` or `HEADRACE_URL` and send `HEADRACE_ADMIN_KEY`, be it the bootstrap key or one made there.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.settings import read_environment

models_app = typer.Typer(no_args_is_help=True, help="The pool of a running service.")
keys_app = typer.Typer(no_args_is_help=True, help="The API keys of a running service.")

UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the service (HEADRACE_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

WAYS = ("input", "output")
PERIODS = {"day": "a day", "month": "a month", "total": "in all"}

out = Console()


def fail(message: str, code: int = 1) -> NoReturn:
    """End with a message on standard error."""
    Console(stderr=True).print(message, style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def ask(
    method: str,
    path: str,
    url: str | None,
    body: Any = None,
    headers: Mapping[bytes, bytes] | None = None,
    *,
    timeout_s: float = 60.0,
) -> httpx.Response:
    """Ask the running service; ends with a message where none answers."""
    environment = read_environment(os.environ)
    key = environment.admin_key
    own = {b"Authorization": f"Bearer {key.get_secret_value()}".encode()} if key else {}
    base = (url or environment.url).rstrip("/")
    try:
        return httpx.request(method, base + path, json=body, headers={**own, **(headers or {})}, timeout=timeout_s)
    except httpx.HTTPError as err:
        fail(f"No service answers at {base}: {err}. Start one with `headrace serve`, or set --url")


def call(method: str, path: str, url: str | None, body: Any = None, *, timeout_s: float = 60.0) -> Any:
    """Ask the running service for JSON; ends with its message where it refuses."""
    reply = ask(method, path, url, body, timeout_s=timeout_s)
    if reply.status_code >= 400:
        fail(told_by(reply))
    try:
        return reply.json()
    except ValueError:
        fail(told_by(reply))


def told_by(reply: httpx.Response) -> str:
    """Return a refusal's status and message."""
    return f"{reply.status_code}: {error_of(reply)['message']}"


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """Return a reply's error; of what is none of the service, such as a proxy's page, a message in its place."""
    try:
        error = reply.json()["error"]
        if isinstance(error["message"], str):
            return dict(error)
    except (ValueError, TypeError, KeyError):
        pass
    kind = reply.headers.get("content-type", "no content type")
    foreign = f"the reply ({kind}) is not one of the service; a proxy before it? See --url or HEADRACE_URL"
    return {"message": foreign, "code": "foreign"}


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Print JSON, or a table of rows."""
    if as_json or not columns:
        print(json.dumps(data, indent=None if as_json else 2))  # noqa: T201 - the command's output
        return
    # What a row is named by is to be copied whole, and nothing of the rest is cut off.
    table = Table(*(Column(name, no_wrap=name == columns[0], overflow="fold") for name in columns))
    for row in data:
        table.add_row(*(Text(plain(row.get(name))) for name in columns))
    out.print(table)


def plain(value: Any) -> str:
    """Write a value for people: nothing where there is none, a list by its items, an object by its fields."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case list():
            return ", ".join(plain(each) for each in value)
        case dict():
            return ", ".join(f"{name} {plain(each)}" for name, each in value.items())
    return str(value)


@models_app.command("list")
def list_models(url: UrlOption = None, json_: JsonOption = False) -> None:
    """List the pool with states and prices."""
    rows = call("GET", "/v1/admin/models", url)["data"]
    if not json_:
        rows = [row | {f"USD/Mtok {way}": row["price"][f"{way}_usd_per_mtok"] for way in WAYS} for row in rows]
    show(rows, json_, ("id", "state", "provider", *(f"USD/Mtok {way}" for way in WAYS), "source"))


@models_app.command("show")
def show_model(model: str, url: UrlOption = None, json_: JsonOption = False) -> None:
    """Show one model, how far it has come since it arrived, and what has been learned of it."""
    row = call("GET", f"/v1/admin/models/{model}", url)
    onboarding = call("GET", f"/v1/admin/models/{model}/onboarding", url)
    show(row | {"onboarding": onboarding, "learned": call("GET", "/v1/admin/learner", url)["models"].get(model)}, json_)


@models_app.command("add")
def add_model(
    entry: Annotated[Path, typer.Argument(help="JSON or YAML file with one entry of `models`, or -.")],
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Register a model; it is explored by itself, within the budget."""
    import yaml

    try:
        parsed = yaml.safe_load(sys.stdin.read() if str(entry) == "-" else entry.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        fail(f"{entry} cannot be read as JSON or YAML: {err}")
    show(call("POST", "/v1/admin/models", url, parsed), json_)


@models_app.command("retire")
def retire_model(model: str, url: UrlOption = None, json_: JsonOption = False) -> None:
    """Retire a model; its history stays."""
    show(call("DELETE", f"/v1/admin/models/{model}", url), json_)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str] | None, typer.Option(help="inference, feedback or admin; repeat for more.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Hard limit on what its requests may cost.")] = None,
    per: Annotated[str, typer.Option(help="Period of the limit, in UTC: day, month or total.")] = "month",
    objective: Annotated[str | None, typer.Option(help="JSON object as the configuration's `objective`.")] = None,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Make a key and print it, this once; without --scope it may infer and give feedback."""
    body: dict[str, Any] = {"name": name} | ({"scopes": scope} if scope else {})
    if budget_usd is not None:
        body["budget"] = {"usd": budget_usd, "per": per}
    if objective is not None:
        try:
            body["objective"] = json.loads(objective)
        except ValueError as err:
            fail(f"--objective {objective} is not JSON: {err}")
    show(call("POST", "/v1/admin/keys", url, body), json_)


@keys_app.command("list")
def list_keys(url: UrlOption = None, json_: JsonOption = False) -> None:
    """List the keys with scopes, budgets and what each has spent; a secret is never shown again."""
    rows = call("GET", "/v1/admin/keys", url)["data"]
    if not json_:
        rows = [row | key_for_people(row) for row in rows]
    show(rows, json_, ("id", "name", "scopes", "budget", "spent USD", "objective", "revoked"))


def key_for_people(row: Mapping[str, Any]) -> dict[str, str]:
    """Write what a key may spend and has spent, what it is after, and since when it is revoked."""
    budget, revoked_at = row["budget"], row["revoked_at"]
    return {
        "budget": "" if budget is None else f"{plain(budget['usd'])} USD {PERIODS[budget['per']]}",
        "spent USD": plain(row["spent_usd"]),
        "objective": " ".join(plain(value) for value in (row["objective"] or {}).values()),
        "revoked": "" if revoked_at is None else f"{datetime.fromtimestamp(revoked_at, UTC):%Y-%m-%d %H:%M} UTC",
    }


@keys_app.command("revoke")
def revoke_key(key_id: str, url: UrlOption = None, json_: JsonOption = False) -> None:
    """Revoke a key, at once and for ever."""
    show(call("DELETE", f"/v1/admin/keys/{key_id}", url), json_)
