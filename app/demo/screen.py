"""Show a demonstration: live figures while it plays, tables when it is done.

On a terminal one panel is redrawn in place; anywhere else (CI, a pipe) a plain line appears every tenth of the way.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.demo.checks import Check
from app.demo.report import Comparison, budget_line, savings, verdict
from app.demo.tally import WINDOW, Tally
from app.demo.worlds import Mean, World

REFRESH_S = 0.25
BAR_CELLS = 40
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta", "bright_green")


@asynccontextmanager
async def showing(tally: Tally, console: Console) -> AsyncIterator[None]:
    """Keep the figures on the screen up to date while the context is open."""
    show = live(tally, console) if console.is_terminal else lines(tally, console)
    task = asyncio.create_task(show)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if not console.is_terminal:
            console.print(line(tally), soft_wrap=True)


async def live(tally: Tally, console: Console) -> None:
    """Redraw the panel until cancelled."""
    with Live(panel(tally), console=console, auto_refresh=False) as display:
        try:
            while True:
                await asyncio.sleep(REFRESH_S)
                display.update(panel(tally), refresh=True)
        finally:
            display.update(panel(tally), refresh=True)


async def lines(tally: Tally, console: Console) -> None:
    """Print a line at every tenth of the stream until cancelled."""
    tenths = 0
    while True:
        await asyncio.sleep(REFRESH_S)
        if len(tally.served) * 10 // tally.total > tenths and len(tally.served) < tally.total:
            tenths = len(tally.served) * 10 // tally.total
            console.print(line(tally), soft_wrap=True)


def line(tally: Tally) -> str:
    """Return the figures of this moment in one line."""
    shares = ", ".join(f"{model} {share:.0%}" for model, share in tally.shares().items() if share > 0)
    return (
        f"{len(tally.served)}/{tally.total}  {grade_name(tally.world)} of the last {WINDOW} "
        f"{tally.recent_quality():.3f}  {cost_text(tally)}  lambda {lambda_text(tally)}  {shares}"
    )


def panel(tally: Tally) -> RenderableType:
    """Draw progress, rolling quality, cost against budget, λ, shares and stages."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    done = Text(f" {len(tally.served)} of {tally.total}")
    grid.add_row("progress", row(ProgressBar(tally.total, len(tally.served), width=BAR_CELLS), done))
    grid.add_row(grade_name(tally.world), f"{tally.recent_quality():.3f}  (last {WINDOW})")
    grid.add_row("cost", cost_text(tally))
    grid.add_row("lambda", lambda_text(tally))
    grid.add_row("stages", ", ".join(f"{stage or '?'} {n}" for stage, n in tally.stages().items()))
    grid.add_row("feedback", f"{tally.feedback_sent} sent")
    if tally.errors:
        grid.add_row("errors", Text(f"{len(tally.errors)}: {tally.errors[-1][:100]}", style="red"))
    return Panel(Group(grid, Text(""), share_table(tally)), title="Headrace demo", title_align="left")


def share_table(tally: Tally) -> Table:
    """Draw one bar per model: its share of the last answers."""
    table = Table.grid(padding=(0, 2))
    for (model, share), colour in zip(tally.shares().items(), COLOURS * len(tally.world.models), strict=False):
        waiting = model == tally.world.late and not tally.joined
        note = f"joins at request {tally.world.arrival + 1}" if waiting else f"{share:.0%}"
        table.add_row(model, Text("█" * round(share * BAR_CELLS), style=colour), note)
    return table


def row(*cells: RenderableType) -> Table:
    """Put cells side by side."""
    grid = Table.grid()
    grid.add_row(*cells)
    return grid


def grade_name(world: World) -> str:
    """Return what a mean reward is called in this world."""
    return "accuracy" if world.metric == "thumbs" else "quality"


def cost_text(tally: Tally) -> str:
    """Return mean spend per 1,000 requests against the budget."""
    budget = tally.world.usd_per_request
    share = tally.usd_per_request / budget
    return f"${tally.usd_per_request * 1000:.4g} per 1,000 requests ({share:.0%} of the budget of ${budget * 1000:.4g})"


def lambda_text(tally: Tally) -> str:
    """Return λ as the service reports it."""
    return "-" if tally.price_of_usd is None else f"{tally.price_of_usd:.4g}"


def introduction(world: World) -> str:
    """Say what is going to be played, and by which budget."""
    late = f"; {world.late} joins in the middle" if world.late else ""
    return (
        f"{len(world.prompts)} requests: {world.name}\n"
        f"{len(world.models)} models{late}. Feedback ({world.metric}) on {world.feedback_share:.0%} of the answers.\n"
        f"Budget: ${world.usd_per_request * 1000:.4g} per 1,000 requests, all spend included."
    )


def results(world: World, comparisons: Sequence[Comparison]) -> RenderableType:
    """Draw the final table and the sentences under it."""
    table = Table(title="Headrace, each model alone, and a static mix", title_justify="left")
    table.add_column("", overflow="fold")
    for comparison in comparisons:
        table.add_column(f"{comparison.span}\n{grade_name(world)}", justify="right")
        table.add_column("\nUSD/1,000", justify="right")
    table.add_row("Headrace", *cells([comparison.us for comparison in comparisons]), style="bold")
    for model in world.models:
        label = f"{model} (joined late)" if model == world.late else model
        table.add_row(label, *cells([comparison.singles.get(model) for comparison in comparisons]))
    mixes = [Mean(comparison.mix_quality, comparison.us.usd) for comparison in comparisons]
    table.add_row("static mix at the same cost", *cells(mixes))
    spans = (
        f"The second half is requests {world.arrival + 1}-{len(world.prompts)}, the whole run 1-{len(world.prompts)}."
    )
    return Group(table, *(sentences(world, comparison) for comparison in comparisons), Text(spans))


def cells(means: Sequence[Mean | None]) -> list[str]:
    """Return quality and cost of each span as table cells."""
    return [cell for m in means for cell in ((f"{m.quality:.3f}", f"{m.usd * 1000:.4g}") if m else ("-", "-"))]


def sentences(world: World, comparison: Comparison) -> Text:
    """Put the findings of one span into words."""
    found = (savings(comparison), verdict(comparison), budget_line(world, comparison))
    return Text(f"{comparison.span}:\n" + "\n".join(f"  {sentence}" for sentence in found))


def check_table(checks: Sequence[Check]) -> Table:
    """Draw the checks of the loop."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(
            Text("PASS", "green") if check.holds else Text("FAIL", "bold red"), check.claim, Text(check.figures)
        )
    return table
