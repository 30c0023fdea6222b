"""`headrace feedback`: send one value, or import a file of them through the running service.

A file goes out in batches, each under an idempotency key made from what it says and where it stands, so that an import
that broke off can be repeated as a whole. A batch that is refused or too large is halved until the row at fault stands
alone.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from typer.core import TyperGroup

from app.client import JsonOption, UrlOption, ask, error_of, fail, out, show, told_by
from app.feedback_file import TEXT_METRICS, Item, UnusableFile, read_items

BATCH = 500
SHOWN = 20
ACCEPTED = 202
TOO_LARGE = 413
# What a row can be refused for; anything else is no row's fault.
REFUSALS = ("inference_not_found", "feedback_too_late", None)

Row = tuple[int, Item]


class SendByDefault(TyperGroup):
    """`headrace feedback ID VALUE` is short for `headrace feedback send ID VALUE`."""

    # The class of the context has no public name.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command in front where it is left out."""
        named = not args or args[0] in (*self.commands, "--help")
        return super().parse_args(ctx, args if named else ["send", *args])


feedback_app = typer.Typer(cls=SendByDefault, no_args_is_help=True, help="Feedback on answers.")


@feedback_app.command()
def send(
    inference_id: str,
    value: Annotated[str, typer.Argument(help="true, false, a number, or text.")],
    metric: Annotated[str, typer.Option(help="Name of the metric.")] = "thumbs",
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Send one feedback for an answer; the name of this command may be left out."""
    body = {"inference_id": inference_id, "metric_name": metric, "value": _value_of(value, metric)}
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as err:
        fail(f"This cannot be sent as JSON: {err}")
    reply = ask("POST", "/v1/feedback", url, body)
    if reply.status_code != ACCEPTED:
        fail(told_by(reply))
    show(reply.json(), json_)


def _value_of(text: str, metric: str) -> Any:
    """Read a value as JSON where it is that, and as text where the metric takes text."""
    if metric in TEXT_METRICS:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        fail(f"{text} is no number that can be sent; send a finite number, true, false or text")
    return value


@feedback_app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or parquet, one feedback a row.")],
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave refused rows out, and tell them.")] = False,
    url: UrlOption = None,
    json_: JsonOption = False,
) -> None:
    """Import feedback (inference_id, metric_name, value, occurred_at, source, tags); may be repeated."""
    try:
        rows = list(enumerate(read_items(file), start=1))
    except UnusableFile as err:
        fail(str(err))
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        sending = Import(url, keep_going, progress, progress.add_task("importing", total=len(rows)))
        sending.run(rows)
    told = {"rows": len(rows), "stored": sending.stored, "refused": sending.refused}
    if json_:
        show(told, as_json=True)
    else:
        _tell(told)
    if sending.refused:
        raise typer.Exit(1)


def _tell(told: dict[str, Any]) -> None:
    out.print(f"Stored {told['stored']} of {told['rows']} rows.")
    for refused in told["refused"][:SHOWN]:
        out.print(f"Row {refused['row']}: {refused['error']}", style="red", markup=False, soft_wrap=True)
    if more := told["refused"][SHOWN:]:
        out.print(f"… and {len(more)} more; --json tells all of them.")


@dataclass(slots=True)
class Import:
    """One file on its way to the service."""

    url: str | None
    keep_going: bool
    progress: Progress
    bar: TaskID
    stored: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    def run(self, rows: list[Row]) -> None:
        """Send all rows, or those before the first that is refused."""
        rest = iter(rows)
        while (batch := list(islice(rest, BATCH))) and self._goes_on:
            self._send(batch)

    @property
    def _goes_on(self) -> bool:
        return self.keep_going or not self.refused

    def _send(self, batch: list[Row]) -> None:
        items = [item for _, item in batch]
        body: Any = items if len(items) > 1 else items[0]
        content = json.dumps([batch[0][0], body], sort_keys=True).encode()
        key = f"import-{hashlib.sha256(content).hexdigest()}"
        reply = ask("POST", "/v1/feedback", self.url, body, {b"Idempotency-Key": key.encode()})
        if reply.status_code == ACCEPTED:
            self.stored += len(batch)
        elif not _is_refusal(reply):
            fail(f"{told_by(reply)}\n{self.stored} rows are stored; once this is mended, import the same file again")
        elif len(batch) > 1:
            self._send(batch[: len(batch) // 2])
            if self._goes_on:
                self._send(batch[len(batch) // 2 :])
            return
        else:
            told = "413: too large to be sent" if reply.status_code == TOO_LARGE else error_of(reply)["message"]
            error = told.removeprefix("item 0: ")
            self.refused.append({"row": batch[0][0], "error": error})
        self.progress.advance(self.bar, len(batch))


def _is_refusal(reply: httpx.Response) -> bool:
    """Whether a batch was refused for its rows, or for how much they are, be it by a proxy."""
    if reply.status_code == TOO_LARGE:
        return True
    return reply.status_code in (404, 422) and error_of(reply).get("code") in REFUSALS
