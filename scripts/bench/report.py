"""The benchmark's tables, in Markdown."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from learner.evaluation import interpolation
from scripts.bench.grid import ABLATIONS, HALVES, HEADRACE, SWEPT
from scripts.bench.metrics import aiq, auc, quality_at, usd_for
from scripts.bench.results import Results
from scripts.bench.worlds import World

HALF_NAMES = dict(zip(HALVES, ("taxonomy alone", "learned alone"), strict=True))


def report(results: Results) -> str:
    """Write all tables."""
    plan = results.plan
    parts = [
        f"{plan.seeds} seeds of {plan.requests:,} requests; graded: the second half of each; "
        "intervals: 95 %, paired two-level bootstrap (seeds, then requests)."
    ]
    parts += ["## Hybrid against its halves", hybrid(results), "## Parts taken away", ablation(results)]
    for world in results.worlds:
        parts += [
            f"## {world.name}",
            described(results, world),
            main_table(results, world),
            sweep_table(results, world),
        ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def hybrid(results: Results) -> str:
    """Show how far the hybrid is ahead of taxonomy alone and of the learned router alone."""
    head = ["world", *(f"ahead of {name}, points" for name in HALF_NAMES.values())]
    rows = [[world.name, *(str(results.lead(world, half)) for half in HALVES)] for world in results.worlds]
    return table(head, [*rows, ["**all worlds**", *(f"**{results.pooled_lead(half)}**" for half in HALVES)]])


def ablation(results: Results) -> str:
    """Show what the learner loses without each part."""
    head = ["without", *(world.name for world in results.worlds)]
    rows = [
        [name.removeprefix("- "), *(str(results.lead(w, name)) if results.has(w, name) else "" for w in results.worlds)]
        for name in ABLATIONS
    ]
    return table(head, rows)


def described(results: Results, world: World) -> str:
    """Say what a world is, and list its models with the two bounds."""
    budget = world.budget_usd(results.plan.main_share)
    models = ", ".join(
        f"{name} {100 * quality:.1f} at ${1000 * usd:.3f}"
        for name, (usd, quality) in zip(world.models, results.models(world), strict=True)
    )
    costs, qualities = np.array(results.models(world)).T
    feedback = f"{'thumbs' if world.is_graded else 'ratings'} on {world.rated_share:.0%} of the answers"
    can = "can" if world.is_comparable else "cannot"
    return (
        f"{len(world.prompts):,} queries; {feedback}; answers {can} be compared; "
        f"budget ${1000 * budget:.3f} per 1,000: interpolation {100 * interpolation(costs, qualities, budget):.1f}, "
        f"oracle {100 * results.oracle(world, budget):.1f}. Single models (quality, cost per 1,000): {models}."
    )


def main_table(results: Results, world: World) -> str:
    """Show all policies at the main budget."""
    head = ["policy", "quality", "$ per 1,000", "of budget", "over interpolation", "Headrace ahead by"]
    return table([*head, "regret", "Brier", "ECE", "calls"], main_rows(results, world))


def main_rows(results: Results, world: World) -> Iterator[list[str]]:
    """Yield one row per policy."""
    for policy in results.policies(world):
        f = results.figures(world, policy, results.plan.main_share)
        ahead = "" if policy == HEADRACE else str(results.lead(world, policy))
        numbers = [f"{100 * f.quality:.1f}", f"{1000 * f.usd:.3f}", f"{f.compliance:.2f}"]
        rest = [f"{f.regret:.0f}", f"{f.brier:.3f}", f"{f.ece:.3f}", f"{f.calls:.2f}"]
        yield [
            f"**{policy}**" if policy == HEADRACE else policy,
            *numbers,
            str(results.points(world, policy)),
            ahead,
            *rest,
        ]


def sweep_table(results: Results, world: World) -> str:
    """Show the frontier: quality at every budget's cost, cost for the static mix's quality, and the areas."""
    budgets = [world.budget_usd(share) for share in results.plan.shares]
    head = ["frontier", *(f"quality at ${1000 * b:.3f}" for b in budgets), "$ for the mix's quality", "AIQ", "AUC"]
    curves = {policy: results.curve(world, policy) for policy in SWEPT if len(results.shares(world, policy)) > 1}
    curves["oracle"] = [(b, results.oracle(world, b)) for b in budgets]
    costs, qualities = np.array(results.models(world)).T
    curves["interpolation"] = [(b, interpolation(costs, qualities, b)) for b in budgets]
    wanted = interpolation(costs, qualities, world.budget_usd(results.plan.main_share))
    low, high = float(costs.min()), budgets[-1]
    rows = [
        [
            name,
            *(percent(quality_at(curve, b)) for b in budgets),
            dollars(usd_for(curve, wanted)),
            percent(aiq(curve, low, high)),
            percent(auc(curve, low, high)),
        ]
        for name, curve in curves.items()
    ]
    return table(head, rows)


def percent(value: float) -> str:
    """Write a quality in points; a dash where the curve does not go there."""
    return f"{100 * value:.1f}" if np.isfinite(value) else "-"


def dollars(usd: float) -> str:
    """Write a cost per 1,000 requests; a dash where it is never enough."""
    return f"{1000 * usd:.3f}" if np.isfinite(usd) else "-"
