"""What Headrace adds to a request, against the upstream alone and against a bare forwarder, in one run.

A fake upstream answers at once with about 1 kB; a load client in a process of its own sends distinct prompts over
loopback. Targets take turns in short rounds, so that a disturbance of the machine hits all of them. Client, upstream
and service share the machine's cores: what is read off is the difference between targets, not a capacity.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.settings import read_environment
from learner.embedding import is_complete
from scripts.bench.bars import Bar, as_json, percentile
from scripts.bench.load import Target, load
from scripts.bench.servers import free_ports, running, running_headrace, serve_bare, serve_upstream

CONNECTIONS = (1, 16)
ROUNDS = 3
WARM_UP_S = 0.4


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one target at one number of connections."""

    target: str
    connections: int
    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    calls_per_request: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the service's process held at the end."""

    rss_mb: float
    peak_rss_mb: float
    has_torch: bool


def main() -> None:
    """Measure, print, and tell by the exit status whether every bar was met."""
    options = read_options()
    rows, footprint, embedding = measure(options.seconds, options.embedding)
    bars = bars_of(rows, footprint)
    if options.json:
        told = {"rows": [asdict(row) for row in rows], "service": asdict(footprint), "embedding": embedding}
        print(json.dumps(told | {"bars": as_json(bars)}))
    else:
        show(rows, footprint, embedding, bars)
    sys.exit(not all(bar.is_met for bar in bars))


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="per target and number of connections, 1 to 7")
    parser.add_argument("--embedding", type=Path, help="folder of the static embedding; default: the data directory's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not 1.0 <= options.seconds <= 7.0:
        parser.error(f"--seconds is {options.seconds:g}; choose 1 to 7, so that the run ends within two minutes")
    return options


# -- the run ------------------------------------------------------------------------------------------------------


def measure(seconds: float, embedding: Path | None) -> tuple[list[Row], Footprint, str]:
    """Start everything, send the load, end everything.

    Args:
        seconds: Of load for every target and number of connections.
        embedding: Folder of the static embedding; None for that of the data directory, distilled where it is missing.

    Returns:
        One row per target and number of connections, the service's footprint, and the name of its embedding.
    """
    context = multiprocessing.get_context("spawn")
    folder = (embedding or read_environment(os.environ).data_dir / "embedding").absolute()
    calls = context.RawValue("Q", 0)
    upstream_port, bare_port, headrace_port = free_ports(3)
    with ExitStack() as stack:
        stack.enter_context(running(context, serve_upstream, upstream_port, calls))
        stack.enter_context(running(context, serve_bare, bare_port, upstream_port))
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        service = stack.enter_context(running_headrace(headrace_port, upstream_port, folder, data_dir))
        client = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
        rows = list(rounds(targets(upstream_port, bare_port, headrace_port), seconds, client, calls))
        return rows, footprint_of(service.pid), str(folder) if is_complete(folder) else "hashing, no file"


def targets(upstream_port: int, bare_port: int, headrace_port: int) -> list[Target]:
    """Return what is compared, the upstream first."""
    return [
        Target("upstream alone", upstream_port, {"model": "nano"}),
        Target("bare forwarder", bare_port, {"model": "nano"}),
        Target("headrace, pinned", headrace_port, {"model": "nano"}),
        Target("headrace auto, cascade off", headrace_port, {"model": "auto", "router": {"cascade": "off"}}),
        Target("headrace auto, cascade auto", headrace_port, {"model": "auto"}),
    ]


def rounds(compared: Sequence[Target], seconds: float, client: Executor, calls: Any) -> Iterator[Row]:
    """Send the load to all targets in turn, several times, and yield the figures of each."""
    cases = [(target, connections) for connections in CONNECTIONS for target in compared]
    latencies: dict[tuple[str, int], list[float]] = {(t.name, c): [] for t, c in cases}
    upstream_calls = dict.fromkeys(latencies, 0)
    for target, connections in cases:
        client.submit(load, target, connections, WARM_UP_S, 0).result()
    for seed in range(1, ROUNDS + 1):
        for target, connections in cases:
            before = int(calls.value)
            key = target.name, connections
            latencies[key] += client.submit(load, target, connections, seconds / ROUNDS, seed).result()
            upstream_calls[key] += int(calls.value) - before
    for (name, connections), seen in latencies.items():
        ordered = sorted(seen)
        yield Row(
            name, connections, len(seen), len(seen) / seconds, percentile(ordered, 0.5) * 1e3,
            percentile(ordered, 0.99) * 1e3, upstream_calls[name, connections] / len(seen),
        )  # fmt: skip


def footprint_of(pid: int) -> Footprint:
    """Read a process's memory and loaded libraries from `/proc`."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rss, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return Footprint(rss, peak, "libtorch" in Path(f"/proc/{pid}/maps").read_text())


def bars_of(rows: Sequence[Row], footprint: Footprint) -> list[Bar]:
    """Hold the headline row, full decision and durable log, against the bars."""
    by = {(row.target, row.connections): row for row in rows}
    one, many = (by["headrace auto, cascade off", connections] for connections in CONNECTIONS)
    return [
        Bar("added P50 at 1 connection", one.p50_ms - by["upstream alone", 1].p50_ms, 3.0, "ms"),
        Bar("throughput at 16 connections, one worker", many.requests_per_s, 500.0, "requests/s", is_floor=True),
        Bar("resident memory after the run", footprint.rss_mb, 400.0, "MB"),
        Bar("torch in the service's process", float(footprint.has_torch), 0.0, "(0: not imported)"),
    ]


def show(rows: Sequence[Row], footprint: Footprint, embedding: str, bars: Sequence[Bar]) -> None:
    """Print a table of the rows, what Headrace adds, and the bars."""
    by = {(row.target, row.connections): row for row in rows}
    print(f"embedding: {embedding}; {os.cpu_count()} cores shared by client, upstream and service\n")
    head = ("conns", "target", "requests/s", "P50 ms", "P99 ms", "+upstream", "+bare", "rate/bare", "calls/req")
    print("{:>5} {:<28} {:>10} {:>8} {:>8} {:>10} {:>8} {:>10} {:>9}".format(*head))
    for row in rows:
        alone, bare = by["upstream alone", row.connections], by["bare forwarder", row.connections]
        print(
            f"{row.connections:>5} {row.target:<28} {row.requests_per_s:>10,.0f} {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} "
            f"{row.p50_ms - alone.p50_ms:>+10.2f} {row.p50_ms - bare.p50_ms:>+8.2f} "
            f"{row.requests_per_s / bare.requests_per_s:>10.2f} {row.calls_per_request:>9.2f}"
        )
    answered = sum(row.requests for row in rows if row.target.startswith("headrace"))
    print(f"\nservice after {answered:,} requests: {footprint.rss_mb:.0f} MB, peak {footprint.peak_rss_mb:.0f} MB\n")
    print(*bars, sep="\n")


if __name__ == "__main__":
    main()
