"""`headrace demo`: start the service with an embedded store and a pool, play a world through it, say what came out.

The whole story of one demonstration, in order: world, pool, service, stream, checks, report; then the service runs on
until Ctrl-C. Whatever happens, the processes and the temporary folder end with it.
"""

import asyncio
import json
import os
import shlex
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console

from app.demo.checks import Check, loop_checks
from app.demo.local import local_world
from app.demo.play import REQUEST_TIMEOUT_S, Player, read, settle
from app.demo.recordings import from_folder, from_paretobandit
from app.demo.report import comparisons
from app.demo.screen import check_table, introduction, results, showing
from app.demo.service import SERVE, choose_port, configuration, running, shared_embedding
from app.demo.tally import Tally
from app.demo.upstream import Upstream, serving
from app.demo.worlds import DemoError, World, outcomes

USUAL_N, SHORT_N = 1200, 150
CLOSED, NOT_CLOSED, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for.

    Attributes:
        short: Play a short stream, then stop everything: for CI.
        data: A folder with `queries.parquet` and `answers.parquet`; None: the stream in the package `paretobandit`.
        local: Serve two small real models on this CPU instead of a recording.
        port: Port of the service; None: 8000 where that is free, else any free one.
        n: Number of requests; None: 1,200, or 150 where `short`; never more than the world has.
        stay: Leave the service running until Ctrl-C.
    """

    short: bool = False
    data: Path | None = None
    local: bool = False
    port: int | None = None
    n: int | None = None
    stay: bool = True


def run(options: DemoOptions) -> int:
    """Run a demonstration and return the exit status.

    Returns:
        0 where the loop closed, 1 where it did not, 2 where the demonstration cannot run, 130 where it was interrupted
        before the end of the stream.
    """
    try:
        return asyncio.run(demonstrate(options, Console()))
    except DemoError as error:
        Console(stderr=True).print(
            f"headrace demo: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return CANNOT_RUN
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


async def demonstrate(options: DemoOptions, console: Console, command: Sequence[str] = SERVE) -> int:
    """Run a demonstration from the world to the report, and on until it is ended; `command` starts the service."""
    end_on_sigterm()
    port = choose_port(options.port)
    async with chosen_world(options) as world, serving(world) as upstream:
        console.print(introduction(world), markup=False, highlight=False, soft_wrap=True)
        with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder:
            config = configuration(world, upstream.base_url, shared_embedding(os.environ))
            console.print("Starting the service ...")
            async with running(command, config, port=port, folder=Path(folder)) as process:
                checks = await play(world, upstream, f"http://127.0.0.1:{port}", console)
                if options.stay and not options.short:
                    farewell(console, world, port, Path(folder))
                    await stay(process)
    return CLOSED if all(check.holds for check in checks) else NOT_CLOSED


def end_on_sigterm() -> None:
    """Make SIGTERM end the demonstration as Ctrl-C does, so that nothing is left behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@asynccontextmanager
async def chosen_world(options: DemoOptions) -> AsyncIterator[World]:
    """Load the world that the options name, cut to the number of requests they ask for."""
    if options.local and options.data is not None:
        raise DemoError("--local and --data each name an input: give one of them")
    n = options.n if options.n is not None else SHORT_N if options.short else USUAL_N
    if n < 2:
        raise DemoError(f"--n {n}: a stream has two halves; give at least 2")
    if options.local:
        async with local_world() as world:
            yield world.first(n)
    else:
        world = from_folder(options.data) if options.data is not None else from_paretobandit()
        yield world.first(n)


async def play(world: World, upstream: Upstream, url: str, console: Console) -> Sequence[Check]:
    """Play the stream, print what came out, and return the checks of the loop."""
    tally = Tally(world, upstream.bill)
    begin = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        async with showing(tally, console):
            await Player(session, tally, upstream.base_url).play()
        seconds = time.monotonic() - begin
        try:
            checks = loop_checks(tally, await settle(session, tally), await read(session, "/v1/admin/learner"))
        except (aiohttp.ClientError, TimeoutError, ValueError) as err:
            first = f"; the first error of the stream was {tally.errors[0]}" if tally.errors else ""
            raise DemoError(f"the service does not answer any more: {err}{first}") from err
    # The comparison asks the models beside the upstream, so that it is on nobody's bill.
    console.print(results(world, comparisons(tally, await outcomes(world))), highlight=False)
    console.print(f"{tally.total} requests in {seconds:.0f} s", highlight=False)
    console.print(check_table(checks))
    return checks


def farewell(console: Console, world: World, port: int, folder: Path) -> None:
    """Say where the service runs and how to talk to it."""
    url = f"http://127.0.0.1:{port}"
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": min(world.prompts, key=len)}]})
    text = (
        f"\nThe service runs at {url} (dashboard {url}/, documentation {url}/docs). Ctrl-C ends it.\n"
        f"  its log: {folder / 'service.log'}\n"
        f"  curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    console.print(text, markup=False, highlight=False, soft_wrap=True)


async def stay(process: asyncio.subprocess.Process) -> None:
    """Wait until Ctrl-C or SIGTERM, or until the service ends by itself."""
    # Ctrl-C is the way this ends, so the cancellation it causes is no failure.
    with suppress(asyncio.CancelledError):
        status = await process.wait()
        raise DemoError(f"the service ended by itself, with status {status}")
