"""Does fusion help? A panel asked at once and fused by vote or by judgement, against auto routing at the same cost.

One command plays recorded answers with texts: `fusion: vote` and `fusion: best` at several budgets, and auto routing
with what each of them really spent for its budget, on the same streams. docs/fusion.md says what came of it.
"""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from learner.answers import extract
from learner.panel import panel_for
from learner.policy import Stop
from learner.signals import signals
from learner.types import Call, Context, FloatArray, Limits, Purpose, Query, Served
from scripts.bench.grid import features_from
from scripts.bench.headrace import Headrace, Parts
from scripts.bench.metrics import RESAMPLES, Interval, Sample, compared, interval_of
from scripts.bench.play import Case, Given, Played, Question, play
from scripts.bench.worlds import World, folders, outcomes_file, read_folder, rows_of

Evidence = Mapping[tuple[str, str], Mapping[str, float]]

MODES = ("vote", "best")
SHARES = (0.6, 1.0)
ROUTED = Parts(is_retuned=False)


class Reading(Headrace):
    """Auto routing that knows of each answer's text what the service would know."""

    def __init__(self, case: Case, evidence: Evidence) -> None:
        super().__init__(case, ROUTED)
        self._evidence = evidence

    def _call(self, question: Question, arm: str, step: int, purpose: Purpose) -> Call:
        called = super()._call(question, arm, step, purpose)
        return replace(called, evidence=self._evidence.get((question.prompt, arm), {}))


class Fused(Reading):
    """Every request is answered by a panel."""

    def __init__(self, case: Case, evidence: Evidence, mode: str) -> None:
        super().__init__(case, evidence)
        self._mode = mode

    def serve(self, question: Question) -> Given:
        """Ask the panel at once and take one of its answers, as `app.fusion` does."""
        at_s, view = float(question.position), self._state.view()
        context = self._features.context(Query(question.prompt), view.taxonomy)
        arms = self._panel(context)
        calls = tuple(self._call(question, arm, step, "answer") for step, arm in enumerate(arms))
        told = view.answered(context, calls, ())
        at = told.answers.best if self._mode == "vote" else int(told.right.argmax())
        stop = Stop(told.steps[at], float(told.right[at]))
        served = Served(
            str(question.position), context, calls, (), stop.step, tuple(range(len(calls))), confidence=stop.confidence
        )
        self._state.apply(served, at_s)
        self._served.append(self._compared(question, served, at_s))
        return Given(self._world.models.index(calls[stop.step].arm), stop.confidence)

    def _panel(self, context: Context) -> tuple[str, ...]:
        view = self._state.view()
        decision = view.decide(context, Limits(), self._rng)
        panel = panel_for(view, context, Limits(), decision)
        return panel.panel if panel is not None else (decision.arm,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One stream at one budget: a mode of fusion, and auto routing with the same money."""

    world: str
    mode: str
    share: float
    fused: Sample
    routed: Sample
    calls: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Task:
    """One stream with the evidence on its answers."""

    stream: World
    budgets: Mapping[float, float]
    evidence: Evidence
    seed: int
    embedding: Path | None


def outcomes(task: Task) -> list[Outcome]:
    """Play both modes at every budget, and auto routing at what each spent."""
    features = features_from(task.embedding)
    found = []
    for share, usd in task.budgets.items():
        for mode in MODES:
            case = Case(task.stream, features, usd, task.seed)
            fused = play(case, Fused(case, task.evidence, mode))
            spent = replace(case, budget_usd=float(fused.total_usd.mean()))
            routed = play(spent, Reading(spent, task.evidence))
            calls = float(fused.calls.mean()), float(routed.calls.mean())
            samples = graded(task.stream, fused), graded(task.stream, routed)
            found.append(Outcome(task.stream.name, mode, share, *samples, calls))
    return found


def graded(stream: World, played: Played) -> Sample:
    """Return the second half of a stream, from which everything is read."""
    half = slice(len(stream.prompts) // 2, None)
    return Sample(played.quality[half], played.total_usd[half], stream.quality[half], stream.usd[half])


def worlds_with_texts(data: Path) -> Iterator[tuple[World, Evidence]]:
    """Yield every world below a folder whose answers have texts and can be compared."""
    for folder in folders(data):
        path = outcomes_file(folder)
        if path.name == "answers.parquet":
            evidence = read_evidence(folder, path)
            yield from ((world, evidence) for world in read_folder(folder) if world.is_comparable and evidence)


def read_evidence(folder: Path, path: Path) -> Evidence:
    """Read what the built-in checks say of every recorded text, by prompt and model."""
    prompts = {str(row["query_id"]): str(row["prompt"]) for row in rows_of(folder / "queries.parquet")}
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    for row in rows_of(path, ["query_id", "model", "response"]):
        prompt, text = prompts.get(str(row["query_id"]), ""), str(row["response"] or "")
        answer = extract(text, prompt)
        found[prompt, str(row["model"])] = signals(
            text, finish_reason="stop", wants_json=False, logprobs=(),
            states_answer=answer.is_stated, contradicts_answer=answer.is_contradicted,
        )  # fmt: skip
    return found


def difference(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> Interval:
    """Mean difference in points of paired qualities, one pair of arrays per seed, with a two-level bootstrap."""
    rng = np.random.default_rng(0)
    apart = [100.0 * (ours - theirs) for ours, theirs in pairs]
    drawn = [rng.multinomial(len(d), np.full(len(d), 1.0 / len(d)), size=RESAMPLES) / len(d) @ d for d in apart]
    return interval_of(np.array(drawn), np.array([d.mean() for d in apart]), rng)


def best_single(sample: Sample) -> FloatArray:
    """Return the quality of the model that was best on a stream, request by request."""
    return sample.model_quality[:, int(sample.model_quality.mean(axis=0).argmax())]


def table(found: Sequence[Outcome]) -> str:
    """Write the figures as a table of Markdown."""
    head = (
        "| world | mode | $ per 1,000 | of auto | calls | of auto | quality | of auto | ahead of auto | over the mix "
        "| auto over the mix | ahead of the best model, at % of its cost |"
    )
    lines = [head, "| --- " * 12 + "|"]
    for key in dict.fromkeys((o.world, o.mode, o.share) for o in found):
        lines.append(line([o for o in found if (o.world, o.mode, o.share) == key]))
    return "\n".join(lines)


def line(seeds: Sequence[Outcome]) -> str:
    """Write one row: all seeds of a world, mode and budget."""
    fused, routed = [o.fused for o in seeds], [o.routed for o in seeds]
    single = [best_single(sample) for sample in fused]
    best_usd = np.mean([s.model_usd[:, int(s.model_quality.mean(axis=0).argmax())].mean() for s in fused])
    usd = mean_of(fused, lambda sample: sample.usd)
    cells = (
        seeds[0].world,
        seeds[0].mode,
        f"{1e3 * usd:.3f}",
        f"{1e3 * mean_of(routed, lambda sample: sample.usd):.3f}",
        *(f"{np.mean([o.calls[i] for o in seeds]):.2f}" for i in (0, 1)),
        *(f"{100 * mean_of(samples, lambda sample: sample.quality):.1f}" for samples in (fused, routed)),
        str(difference([(ours.quality, theirs.quality) for ours, theirs in zip(fused, routed, strict=True)])),
        str(compared(fused)),
        str(compared(routed)),
        f"{difference([(s.quality, one) for s, one in zip(fused, single, strict=True)])} at {100 * usd / best_usd:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def mean_of(samples: Sequence[Sample], read: Callable[[Sample], FloatArray]) -> float:
    """Mean over seeds and requests."""
    return float(np.mean([read(sample).mean() for sample in samples]))


def main() -> None:
    """Play and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="tree of folders with queries.parquet and answers.parquet"
    )
    parser.add_argument("--embedding", type=Path, help="folder of a static embedding; default: hashing, no file")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="budgets, as shares of the way to the best"
    )
    parser.add_argument("--requests", type=int, default=2_000, help="requests per stream")
    parser.add_argument("--seeds", type=int, default=5, help="seeds")
    parser.add_argument("--processes", type=int, default=2, help="processes to play in")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    tasks = [
        Task(
            stream,
            {s: world.budget_usd(s) for s in options.shares},
            evidence_on(stream, evidence),
            seed,
            options.embedding,
        )
        for world, evidence in worlds_with_texts(options.data)
        for seed in range(options.seeds)
        for stream in [world.stream(seed, options.requests)]
    ]
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(table([outcome for found in pool.map(outcomes, tasks) for outcome in found]))


def evidence_on(stream: World, evidence: Evidence) -> Evidence:
    """Keep the evidence on the answers of one stream."""
    prompts, models = set(stream.prompts), set(stream.models)
    return {key: found for key, found in evidence.items() if key[0] in prompts and key[1] in models}


if __name__ == "__main__":
    main()
