"""Does the learner beat what others would build? Every policy on every recorded world, with intervals.

One command plays Headrace (whole, and with each part taken away) and the routers it is compared with over the worlds
of a tree of recorded outcomes and over the evaluation stream of the package `paretobandit`, and writes tables and
plots. docs/benchmarks.md says what is measured and how to read it.
"""

import argparse
from pathlib import Path

from scripts.bench.grid import FULL, QUICK, Plan, play_all, tasks
from scripts.bench.plots import draw
from scripts.bench.report import report
from scripts.bench.results import Results
from scripts.bench.worlds import World, read_worlds


def main() -> None:
    """Play, write `tables.md` and `learning-*.svg`, and print the tables."""
    options = read_options()
    plan = QUICK if options.quick else FULL
    print(run(read_worlds(options.data), plan, options.embedding, options.out, options.processes))


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="tree of folders with queries.parquet and outcomes; default: none")
    parser.add_argument("--embedding", type=Path, help="folder of a static embedding; default: hashing, no file")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, tables and plots; kept runs are used")
    parser.add_argument("--processes", type=int, default=2, help="processes to play in")
    parser.add_argument("--quick", action="store_true", help="short streams, two seeds, two budgets")
    return parser.parse_args()


def run(worlds: list[World], plan: Plan, embedding: Path | None, out: Path, processes: int) -> str:
    """Play everything and write what came of it; returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    played = play_all(tasks(worlds, plan, embedding, out / "runs"), processes)
    results = Results(worlds, plan, played)
    text = report(results)
    (out / "tables.md").write_text(text, encoding="utf-8")
    draw(results, out)
    return text


if __name__ == "__main__":
    main()
