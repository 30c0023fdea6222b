"""The benchmark's plots, as SVG that is the same for the same figures."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from learner.evaluation import interpolation
from scripts.bench.grid import ABLATIONS, HEADRACE, SWEPT
from scripts.bench.metrics import BINS, Interval
from scripts.bench.results import Results
from scripts.bench.worlds import World

COLOURS = ("#c1272d", "#999999", "#0072b2", "#56b4e9", "#009e73", "#b5a300", "#cc79a7", "#e69f00", "#5b3a8e")
COLUMNS = 3


def draw(results: Results, folder: Path) -> None:
    """Write `learning-frontier.svg`, `learning-ablation.svg` and `learning-calibration.svg`."""
    with styled():
        save(frontiers(results), folder / "learning-frontier.svg")
        save(ablations(results), folder / "learning-ablation.svg")
        save(calibrations(results), folder / "learning-calibration.svg")


def styled() -> AbstractContextManager[None]:
    """Keep text as text, and ids the same from run to run."""
    return matplotlib.rc_context({"svg.hashsalt": "headrace", "svg.fonttype": "none", "font.size": 8})


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date."""
    figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each of `count` worlds, and one more for the legend."""
    rows = -(-(count + 1) // COLUMNS)
    figure = Figure(figsize=(11, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).ravel())
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes


def frontiers(results: Results) -> Figure:
    """Quality over cost: one panel per world, one line per policy."""
    figure, axes = panels(len(results.worlds), 3.0)
    for axis, world in zip(axes, results.worlds, strict=False):
        frontier(axis, results, world)
    handles, names = axes[0].get_legend_handles_labels()
    axes[len(results.worlds)].legend(handles, names, loc="center", frameon=False)
    return figure


def frontier(axis: Axes, results: Results, world: World) -> None:
    """Draw one world's policies, single models and bounds."""
    costs, qualities = np.array(results.models(world)).T
    grid = np.geomspace(costs.min(), costs.max(), 200)
    mix = [100 * interpolation(costs, qualities, float(at)) for at in grid]
    axis.plot(1000 * grid, mix, "--", color="black", linewidth=1, label="interpolation")
    budgets = [world.budget_usd(share) for share in results.plan.shares]
    best = [100 * results.oracle(world, budget) for budget in budgets]
    axis.plot([1000 * b for b in budgets], best, ":", color="black", linewidth=1, label="oracle")
    axis.plot(1000 * costs, 100 * qualities, "x", color="black", markersize=4, label="single models")
    for policy, colour in zip(SWEPT, COLOURS, strict=True):
        curve = np.array(sorted(results.curve(world, policy)))
        width = 2.4 if policy == HEADRACE else 1.0
        axis.plot(1000 * curve[:, 0], 100 * curve[:, 1], ".-", color=colour, linewidth=width, label=policy)
    axis.set(xscale="log", title=world.name, xlabel="USD per 1,000 requests, background included", ylabel="quality")
    axis.set_ylim(bottom=100 * float(np.quantile(qualities, 0.25)) - 3)


def ablations(results: Results) -> Figure:
    """What is lost without each part: points with intervals, one panel per world."""
    figure, axes = panels(len(results.worlds), 2.6)
    for axis, world in zip(axes, results.worlds, strict=False):
        names = [name for name in ABLATIONS if results.has(world, name)]
        bars(axis, names, [results.lead(world, name) for name in names])
        axis.set(title=world.name, xlabel="points lost without it")
    return figure


def bars(axis: Axes, names: Sequence[str], leads: Sequence[Interval]) -> None:
    """Draw means with their intervals, the first on top."""
    at = np.arange(len(names))[::-1]
    means = np.array([lead.mean for lead in leads])
    ends = np.array([[lead.mean - lead.low, lead.high - lead.mean] for lead in leads]).T
    axis.errorbar(means, at, xerr=np.maximum(ends, 0.0), fmt="o", color=COLOURS[0], markersize=4, linewidth=1)
    axis.axvline(0.0, color="black", linewidth=0.6)
    axis.set_yticks(at, [name.removeprefix("- ") for name in names])


def calibrations(results: Results) -> Figure:
    """Stated probability against what came of it, in bins of equal mass, at the main budget."""
    figure, axes = panels(len(results.worlds), 3.0)
    for axis, world in zip(axes, results.worlds, strict=False):
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.6)
        reliability(axis, results, world)
        axis.set(title=world.name, xlabel="stated P(good)", ylabel="good", xlim=(0, 1), ylim=(0, 1))
    return figure


def reliability(axis: Axes, results: Results, world: World) -> None:
    """Draw Headrace's bins over all seeds."""
    part = results.plan.graded
    runs = [played for _, played in results.runs(world, HEADRACE, results.plan.main_share)]
    stated = np.concatenate([played.probability[part] for played in runs])
    came = np.concatenate([played.quality[part] for played in runs])
    bins = np.array_split(np.argsort(stated, kind="stable"), BINS)
    axis.plot([stated[b].mean() for b in bins], [came[b].mean() for b in bins], "o-", color=COLOURS[0], markersize=3)
