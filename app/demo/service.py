"""The service under demonstration: its configuration file, its process, and the end of both.

It runs as an operator would run it (`headrace serve --config FILE --port N`), in a session of its own, so that Ctrl-C
reaches the demonstration first and the two end in order.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from app.demo.worlds import KEY_VARIABLE, DemoError, World
from app.settings import read_environment

# The entry point of the `headrace` command, found even where its script is not on PATH.
SERVE = (sys.executable, "-c", "from app.cli import main; main()", "serve")
READY_TIMEOUT_S, STOP_TIMEOUT_S, POLL_S = 180.0, 30.0, 0.2
USUAL_PORT = 8000
LOG_TAIL_CHARACTERS = 2000


def configuration(world: World, upstream_url: str, embedding: Path) -> dict[str, Any]:
    """Return the configuration of the service: an embedded store, the budget, and the pool without the late model."""
    models = [world.pool_entry(model, upstream_url) for model in world.models if model != world.late]
    return {
        "storage": {"url": "sqlite:///headrace.db"},
        "objective": {"kind": "budget", "usd_per_request": world.usd_per_request},
        "models": models,
        "embedding": {"path": str(embedding)},
    }


def shared_embedding(environ: Mapping[str, str]) -> Path:
    """Return where the user's own service keeps its embedding, so that no demonstration has to make it again."""
    return read_environment(environ).data_dir / "embedding"


def environment(folder: Path) -> dict[str, str]:
    """Return this process's environment with a data directory of its own and no other setting of the service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return kept | {"HEADRACE_DATA_DIR": str(folder), KEY_VARIABLE: "replay", "HF_HUB_OFFLINE": "1"}


def choose_port(wanted: int | None) -> int:
    """Return the wanted port; where none is wanted, 8000 if it is free, else any free one.

    Raises:
        DemoError: The wanted port is taken.
    """
    if wanted is None:
        return USUAL_PORT if is_free(USUAL_PORT) else any_free_port()
    if not is_free(wanted):
        raise DemoError(f"port {wanted} of 127.0.0.1 is taken: end what listens there, or leave --port out")
    return wanted


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    command: Sequence[str], config: Mapping[str, Any], *, port: int, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service while the context is open; yields once it is ready.

    Raises:
        DemoError: It ended or did not become ready in time; the message holds the end of its log.
    """
    path, log = folder / "headrace.yaml", folder / "service.log"
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    command = (*command, "--config", str(path), "--port", str(port))
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, env=environment(folder), start_new_session=True
        )
    try:
        await wait_until_ready(process, f"http://127.0.0.1:{port}", log)
        yield process
    finally:
        await stop(process)


async def wait_until_ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    """Poll `/readyz` until it answers 200."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_TIMEOUT_S
    async with aiohttp.ClientSession() as session:
        while process.returncode is None and loop.time() < deadline:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(POLL_S)
    how = "did not become ready" if process.returncode is None else f"ended with status {process.returncode}"
    raise DemoError(f"the service {how}. The end of its log:\n{log.read_text(errors='replace')[-LOG_TAIL_CHARACTERS:]}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """End the service and everything it started: SIGTERM, and SIGKILL for what does not listen."""
    try:
        with suppress(TimeoutError, ProcessLookupError):
            process.terminate()
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
