"""Do the intervals of off-policy evaluation hold? Replays on recorded answers, where the truth is known.

The product's learner serves a stream of recorded queries; after a warm-up, what would have come of every first arm is
worked out for each request from the complete records, under the logging policy and under every target. That is the
population. A replay draws requests from it, first arms by their exact propensities, and thumbs on some of the answers,
and hands the log to the product's own estimators. The truth is the target's mean over the population. The table says
how often the 95 % intervals held it. docs/evaluation.md says how to read it.
"""

import argparse
import math
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from learner.embedding import Embedder, HashEmbedding, StaticEmbedding
from learner.evaluation import Estimate
from learner.features import Features
from learner.hindsight import Hindsight, rewards
from learner.lessons import Lesson, Lessons
from learner.offpolicy import Foreseen, Routed, foresee
from learner.policy import Ask, Stop, View
from learner.ratings import Rating
from learner.robust import KINDS, NAMES, Kind, Log, Name, Target, support, value
from learner.seeds import SEEDS
from learner.state import LearnerState
from learner.types import Call, Context, Limits, Parameters, Query, Served
from scripts.bench.headrace import Headrace, Parts
from scripts.bench.play import Case, Question, Remembering, Rewards
from scripts.bench.worlds import THUMB_FLIP, World, read_worlds

IN_FORCE = Parameters()
TARGETS = {
    "near": replace(IN_FORCE, sharpness=0.75, margin=0.005),
    "far": replace(IN_FORCE, sharpness=0.25, depth=1),
    "deterministic": IN_FORCE,
}
BUDGET_SHARE = 0.6
LEAST_CHANCE = 1e-6

Truth = dict[str, tuple[float, float]]
"""Mean quality and cost by policy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One request with all that could have come of it, by first arm.

    Args:
        arms: The eligible ones.
        probabilities: With which the log draws each.
        routed: The log's own way from each.
        quality: Of the answer served there.
        foreseen: What each policy would have done with that.
        truth: Mean quality, cost and λ of each policy, by the complete records; the deterministic one last.
    """

    arms: tuple[str, ...]
    probabilities: tuple[float, ...]
    routed: tuple[Routed, ...]
    quality: tuple[float, ...]
    foreseen: tuple[list[Foreseen], ...]
    truth: tuple[tuple[float, float], ...]


class Population(Headrace):
    """The learner of the benchmark, which notes before every request what could have come of it."""

    def __init__(self, case: Case, *, warm_up: int, mix: float) -> None:
        super().__init__(case, Parts(parameters=IN_FORCE, is_retuned=False))
        self._warm_up, self._mix = warm_up, mix
        self.rows: list[Row] = []

    @property
    def state(self) -> LearnerState:
        """What it has learned."""
        return self._state

    def note(self, position: int) -> None:
        """Work out everything that could come of a request."""
        if position < self._warm_up:
            return
        view = self._state.view()
        context = self._features.context(Query(self._world.prompts[position]), view.taxonomy)
        decision = view.decide(context, Limits(), np.random.default_rng(0))
        k = len(decision.probabilities)
        logged = {arm: (1.0 - self._mix) * p + self._mix / k for arm, p in decision.probabilities.items()}
        arms = tuple(arm for arm, p in logged.items() if p > LEAST_CHANCE)
        ways = [self._way(view, context, position, arm) for arm in arms]
        routed = [Routed(served, arm, logged, view.lambda_, p) for arm, (served, p) in zip(arms, ways, strict=True)]
        policies = (IN_FORCE, *TARGETS.values())
        self.rows.append(Row(
            arms, tuple(logged[arm] for arm in arms), tuple(routed),
            tuple(self._outcome(served, position)[0] for served, _ in ways),
            tuple(foresee(view, each, policies)[0] for each in routed),
            tuple(self._truth(view, context, position, at) for at in range(len(policies))),
        ))  # fmt: skip

    def _truth(self, view: View, context: Context, position: int, at: int) -> tuple[float, float]:
        """Return a policy's mean quality and cost on one request."""
        policy = (IN_FORCE, *TARGETS.values())[at]
        playing = replace(view, parameters=policy)
        decision = playing.decide(context, Limits(), np.random.default_rng(0))
        chances = dict(decision.probabilities)
        if at == len(TARGETS):
            chances = {max(decision.probabilities, key=lambda arm: decision.probabilities[arm]): 1.0}
        kept = {arm: p for arm, p in chances.items() if p > LEAST_CHANCE}
        outcomes = [self._outcome(self._way(playing, context, position, arm)[0], position) for arm in kept]
        mean = np.array(list(kept.values())) @ np.array(outcomes) / sum(kept.values())
        return float(mean[0]), float(mean[1])

    def _way(self, view: View, context: Context, position: int, first: str) -> tuple[Served, float]:
        """Follow a view's policy from a first arm through the records."""
        decision = view.decide(context, Limits(), np.random.default_rng(0))
        is_tried = decision.scores[first] < max(decision.scores.values()) - 0.016
        question = Question(self._world, position, context)
        calls: list[Call] = []
        step: Ask | Stop = Ask(first, 0.0)
        while isinstance(step, Ask):
            call = self._call(question, step.arm, len(calls), "answer")
            calls.append(replace(call, explored_share=0.0 if not calls and is_tried else None))
            step = view.next_step(context, Limits(), calls, ())
        served = Served(str(position), context, tuple(calls), (), step.step, tuple(range(len(calls))))
        return served, step.confidence

    def _outcome(self, served: Served, position: int) -> tuple[float, float]:
        """Return the quality and cost that the records have for a way."""
        given = next(call for call in served.calls if call.step == served.answered_step)
        quality = float(self._world.quality[position, self._world.models.index(given.arm)])
        return quality, sum(call.cost_usd for call in served.calls)


def populate(world: World, features: Features, *, n: int, warm_up: int, mix: float) -> Population:
    """Let the learner serve a stream, and note all that could have come of its requests."""
    stream = world.stream(0, warm_up + n)
    learner = Population(Case(stream, features, stream.budget_usd(BUDGET_SHARE), 0), warm_up=warm_up, mix=mix)
    said = Rewards(stream, 0)
    given: list[int] = []
    for at, prompt in enumerate(stream.prompts):
        learner.note(at)
        question = Question(stream, at, features.context(Query(prompt), features.seeds))
        given.append(learner.serve(question).model)
        rated = at - stream.delay
        if rated >= 0 and said.is_rated[rated]:
            learner.learn(rated, said.of(rated, given[rated]))
    return learner


@dataclass(frozen=True, slots=True)
class Replay:
    """One log drawn from a population.

    Args:
        log: What was logged.
        targets: The policy in force, and every target.
    """

    log: Log
    targets: dict[str, Target]


def drawn(population: Population, rng: np.random.Generator, *, n: int, labelled: float, is_binary: bool) -> Replay:
    """Draw a log: requests, first arms, and who says what of the answers."""
    hindsight = Hindsight((IN_FORCE, *TARGETS.values()))
    lessons: OrderedDict[str, Lesson] = OrderedDict()
    for i, at in enumerate(rng.integers(len(population.rows), size=n)):
        row = population.rows[at]
        chances = np.array(row.probabilities)
        a = int(rng.choice(len(chances), p=chances / chances.sum()))
        routed = replace(row.routed[a], served=replace(row.routed[a].served, inference_id=str(i)))
        hindsight.requests.append(routed)
        hindsight.foreseen.append(row.foreseen[a])
        if rng.random() < labelled:
            slips = is_binary and rng.random() < THUMB_FLIP
            said = 1.0 - row.quality[a] if slips else row.quality[a]
            rating = Rating(said, is_binary)
            lessons[str(i)] = Lesson(ratings={("thumbs", False): rating}, weights={False: 1.0})
    state = population.state
    state.lessons = Lessons(recent=lessons)
    rewarded = rewards(state, hindsight.requests)
    targets = {name: hindsight.target(i, rewarded) for i, name in enumerate(("in force", *TARGETS))}
    targets["deterministic"] = greedy(targets["deterministic"])
    return Replay(hindsight.log(), targets)


def greedy(target: Target) -> Target:
    """Return the policy that always starts with the likeliest arm."""
    only = np.zeros_like(target.probabilities)
    only[np.arange(len(only)), target.probabilities.argmax(axis=1)] = 1.0
    return replace(target, probabilities=only)


def truths(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the mean quality, cost and utility of every policy over a population."""
    found = {}
    lambda_ = np.array([row.routed[0].lambda_ for row in rows])
    for i, name in enumerate(("in force", *TARGETS)):
        quality, usd = np.array([row.truth[i] for row in rows]).T
        found[name] = {
            "quality": float(quality.mean()), "cost_usd": float(usd.mean()),
            "utility": float((quality - lambda_ * usd).mean()),
        }  # fmt: skip
    return found


def measure(population: Population, *, replays: int, n: int, labelled: float, is_binary: bool) -> list[str]:
    """Replay, and return the lines of the table."""
    truth = truths(population.rows)
    found: dict[tuple[str, Kind, Name, bool], list[Estimate]] = defaultdict(list)
    shares: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seed in range(replays):
        replay = drawn(population, np.random.default_rng([seed, 5]), n=n, labelled=labelled, is_binary=is_binary)
        base = replay.targets["in force"]
        for name in TARGETS:
            told = support(replay.log, replay.targets[name])
            shares[name].append((told.effective_n, told.unsupported, told.model))
            for kind in KINDS:
                target = replay.targets[name]
                for estimator in NAMES:
                    found[name, kind, estimator, False].append(value(replay.log, target, kind, estimator))
                found[name, kind, "dr", True].append(value(replay.log, target, kind, "dr", base))
    lines = []
    for (name, kind, estimator, is_gain), estimates in found.items():
        expected = truth[name][kind] - (truth["in force"][kind] if is_gain else 0.0)
        ess, unsupported, model = np.mean(shares[name], axis=0)
        lines.append(f"| {name} | {'gain in ' if is_gain else ''}{kind} | {estimator} | " + told_of(estimates, expected)
                     + f" | {ess:.0f} | {unsupported:.1%} | {model:.1%} |")  # fmt: skip
    return lines


def told_of(estimates: Sequence[Estimate], truth: float) -> str:
    """Return coverage, mean width, bias and truth as cells."""
    usable = [one for one in estimates if math.isfinite(one.mean)]
    covered = sum(one.low <= truth <= one.high for one in usable) / max(len(usable), 1)
    width = float(np.mean([one.high - one.low for one in usable])) if usable else math.nan
    bias = float(np.mean([one.mean for one in usable])) - truth if usable else math.nan
    return f"{covered:.1%} | {width:.3g} | {bias:+.2g} | {truth:.3g}"


HEAD = (
    "| target | of | estimator | coverage | width | bias | truth | ess | unsupported | on the model |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
)


def main() -> None:
    """Print a table for every world."""
    options = read_options()
    embedder: Embedder = StaticEmbedding(options.embedding) if options.embedding else HashEmbedding()
    features = Features(Remembering(embedder), tuple((seed.name, seed.examples) for seed in SEEDS))
    for world in read_worlds(options.data):
        if options.worlds and world.name not in options.worlds:
            continue
        population = populate(world, features, n=options.population, warm_up=options.warm_up, mix=options.mix)
        lines = measure(
            population, replays=options.replays, n=options.n, labelled=options.labelled, is_binary=world.is_graded
        )
        print(f"\n### {world.name}: {len(world.models)} models, {len(population.rows)} requests\n\n{HEAD}")
        print("\n".join(lines), flush=True)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="tree of folders with queries.parquet and outcomes; default: none")
    parser.add_argument("--worlds", nargs="*", help="names of the worlds to use; default: all")
    parser.add_argument("--embedding", type=Path, help="folder of a static embedding; default: hashing, no file")
    parser.add_argument("--replays", type=int, default=200, help="logs to draw")
    parser.add_argument("--n", type=int, default=500, help="requests of one log")
    parser.add_argument("--population", type=int, default=800, help="requests to draw from")
    parser.add_argument("--warm-up", type=int, default=200, help="requests served before")
    parser.add_argument("--labelled", type=float, default=0.3, help="share of the answers that get a thumb")
    parser.add_argument("--mix", type=float, default=0.0, help="share of the log's draws that is uniform")
    return parser.parse_args()


if __name__ == "__main__":
    main()
