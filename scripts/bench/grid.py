"""Which runs make up the benchmark, and playing them: in processes of their own, each run kept in a file.

A run is a policy on one stream at one budget. Its file is named by all that it depends on (data, learner, policy code,
embedding), so that a broken-off benchmark goes on where it stopped and a changed learner starts anew.
"""

import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from inspect import getsourcefile
from pathlib import Path

import numpy as np

import learner
from learner.embedding import HashEmbedding, StaticEmbedding
from learner.features import Features
from learner.seeds import SEEDS
from scripts.bench.baselines import BASELINES
from scripts.bench.batch import BATCH
from scripts.bench.headrace import VARIANTS
from scripts.bench.play import Build, Case, Played, Remembering, play
from scripts.bench.worlds import World

HEADRACE = "headrace"
POLICIES: dict[str, Build] = {**VARIANTS, **BASELINES, **BATCH}
SWEPT = (HEADRACE, *BASELINES, *BATCH)
# What the comparison of hybrid, taxonomy alone and learned alone needs, on every world.
HALVES = ("- context", "learned alone")
# Where answers cannot be compared, the other parts have little to do.
EVERYWHERE = (*HALVES, "- taxonomy", "- shadow stream", "- cascade")
ABLATIONS = tuple(name for name in VARIANTS if name != HEADRACE)
SOURCES = ("worlds", "play")


@dataclass(frozen=True, slots=True)
class Plan:
    """The extent of a benchmark: requests per stream, seeds, and budgets as shares of the way to the best model."""

    requests: int
    seeds: int
    shares: tuple[float, ...]
    main_share: float

    @property
    def graded(self) -> slice:
        """The part of every stream that quality is read from: its second half."""
        return slice(self.requests // 2, None)


FULL = Plan(requests=2_000, seeds=5, shares=(0.2, 0.4, 0.6, 0.8), main_share=0.6)
QUICK = Plan(requests=300, seeds=2, shares=(0.4, 0.6), main_share=0.6)


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on one stream of a world at one budget."""

    world: str
    policy: str
    share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Task:
    """The runs on one stream, done by one process."""

    stream: World
    budgets: dict[float, float]
    runs: tuple[Run, ...]
    embedding: Path | None
    folder: Path


def runs_on(world: World, plan: Plan) -> Iterator[tuple[str, float]]:
    """Yield policies and budgets: the sweep, and the learner with parts taken away at the main budget."""
    for policy in SWEPT:
        shares = plan.shares if policy != "random mix" else (plan.main_share,)
        yield from ((policy, share) for share in shares)
    yield from ((policy, plan.main_share) for policy in (ABLATIONS if world.is_comparable else EVERYWHERE))


def tasks(worlds: Sequence[World], plan: Plan, embedding: Path | None, folder: Path) -> list[Task]:
    """Cut the benchmark into tasks, one per world and seed."""
    return [
        Task(
            stream=world.stream(seed, plan.requests),
            budgets={share: world.budget_usd(share) for share in plan.shares},
            runs=tuple(Run(world.name, policy, share, seed) for policy, share in runs_on(world, plan)),
            embedding=embedding,
            folder=folder,
        )
        for seed in range(plan.seeds)
        for world in worlds
    ]


def play_all(streams: Sequence[Task], processes: int) -> dict[Run, Played]:
    """Play every run that has no file yet, telling progress on standard error; returns all of them."""
    began, results = time.monotonic(), dict[Run, Played]()
    # The matrices are small: several threads in each process would only stand in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for done, future in enumerate(as_completed([pool.submit(finished, task) for task in streams]), start=1):
            results |= future.result()
            told = f"{done} of {len(streams)} streams, {len(results)} runs, {time.monotonic() - began:.0f} s"
            print(told, file=sys.stderr, flush=True)
    return results


def finished(task: Task) -> dict[Run, Played]:
    """Play the runs of one task, or read them where they were played before."""
    features = features_from(task.embedding)
    task.folder.mkdir(parents=True, exist_ok=True)
    return {run: kept(task, run, features) for run in task.runs}


@lru_cache(maxsize=1)
def features_from(embedding: Path | None) -> Features:
    """Build the product's features over an embedding that embeds no text twice; None hashes words."""
    embedder = HashEmbedding() if embedding is None else StaticEmbedding(embedding)
    return Features(Remembering(embedder), tuple((seed.name, seed.examples) for seed in SEEDS))


def kept(task: Task, run: Run, features: Features) -> Played:
    """Return one run from its file, played first where there is none."""
    build = POLICIES[run.policy]
    path = task.folder / f"{fingerprint(task, run, features.version, build)}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            return Played(**{name: arrays[name] for name in Played.__slots__})
    case = Case(task.stream, features, task.budgets[run.share], run.seed)
    played = play(case, build(case))
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **asdict(played))
    part.replace(path)
    return played


def fingerprint(task: Task, run: Run, version: str, build: Build) -> str:
    """Name a run by everything that its outcome depends on."""
    digest = hashlib.sha256(repr((run, task.budgets[run.share], version, task.stream.prompts[:1])).encode())
    for array in (task.stream.quality, task.stream.usd, task.stream.groups):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(code_of(build))
    told = f"{run.world}~{run.policy}~{run.share:g}~{run.seed}~{digest.hexdigest()[:12]}"
    return told.replace("/", "-").replace(" ", "_")


@lru_cache(maxsize=64)
def code_of(build: Build) -> bytes:
    """Digest the code behind a policy: the learner, the protocol, and the policy's own module."""
    here = Path(__file__).parent
    function: Callable[..., object] = getattr(build, "func", build)
    own = Path(getsourcefile(function) or __file__)
    paths = [*sorted(Path(learner.__path__[0]).rglob("*.py")), *(here / f"{name}.py" for name in SOURCES), own]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).digest()
