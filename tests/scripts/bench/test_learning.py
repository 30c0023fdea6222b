from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learner.features import Features
from scripts.bench import grid
from scripts.bench.grid import HEADRACE, POLICIES, Plan, Run, Task, fingerprint, finished, runs_on, tasks
from scripts.bench.play import Case, Played, Policy
from scripts.bench.plots import calibrations, draw, save, styled
from scripts.bench.report import report
from scripts.bench.results import Results
from scripts.bench.worlds import World
from tests.scripts.conftest import MakeWorld

PLAN = Plan(requests=32, seeds=2, shares=(0.4, 0.7), main_share=0.7)


@pytest.fixture(scope="module")
def worlds(make: MakeWorld) -> list[World]:
    return [make(80, name="tiny/seen"), make(80, is_comparable=False, name="tiny/blind")]


@pytest.fixture(scope="module")
def results(worlds: list[World], tmp_path_factory: pytest.TempPathFactory) -> Results:
    played: dict[Run, Played] = {}
    for task in tasks(worlds, PLAN, None, tmp_path_factory.mktemp("runs")):
        played |= finished(task)
    return Results(worlds, PLAN, played)


def test_every_policy_is_played_where_it_says_something(results: Results, worlds: list[World]) -> None:
    seen, blind = worlds
    assert set(results.policies(seen)) == set(POLICIES)
    assert "- stacker" not in results.policies(blind)
    assert {"learned alone", "- context"} <= set(results.policies(blind))
    assert results.shares(seen, HEADRACE) == [0.4, 0.7]
    assert results.shares(seen, "random mix") == [0.7]


def test_figures_are_read_from_the_second_half(results: Results, worlds: list[World]) -> None:
    runs = results.runs(worlds[0], "random mix", 0.7)
    expected = np.mean([played.quality[16:].mean() for _, played in runs])
    assert results.figures(worlds[0], "random mix", 0.7).quality == pytest.approx(expected)


def test_headrace_is_not_ahead_of_itself(results: Results, worlds: list[World]) -> None:
    lead = results.lead(worlds[0], HEADRACE)
    assert (lead.mean, lead.low, lead.high) == (0.0, 0.0, 0.0)


def test_the_report_holds_every_table(results: Results, worlds: list[World]) -> None:
    text = report(results)
    assert all(f"## {world.name}" in text for world in worlds)
    assert all(f"\n| {policy} |" in text for policy in POLICIES if policy != HEADRACE)
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_plots_are_the_same_for_the_same_figures(results: Results, tmp_path: Path) -> None:
    draw(results, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["learning-ablation.svg", "learning-calibration.svg", "learning-frontier.svg"]
    with styled():
        save(calibrations(results), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / names[1]).read_bytes()


def only(task: Task, policy: str) -> Task:
    return replace(task, runs=tuple(run for run in task.runs if run.policy == policy))


def test_a_run_that_was_kept_is_not_played_again(
    worlds: list[World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = only(tasks(worlds, PLAN, None, tmp_path)[0], "LinUCB")
    first = finished(task)

    def refuse(case: Case, policy: Policy) -> Played:
        raise AssertionError("played again")

    monkeypatch.setattr(grid, "play", refuse)
    again = finished(task)
    assert all(np.array_equal(first[run].quality, again[run].quality) for run in task.runs)


def test_a_run_s_name_depends_on_data_seed_and_budget(worlds: list[World], features: Features, tmp_path: Path) -> None:
    task = tasks(worlds, PLAN, None, tmp_path)[0]
    run, build = task.runs[0], POLICIES[HEADRACE]
    other = replace(task, stream=replace(task.stream, usd=2.0 * task.stream.usd))
    names = {
        fingerprint(task, run, features.version, build),
        fingerprint(other, run, features.version, build),
        fingerprint(task, replace(run, seed=1), features.version, build),
        fingerprint(replace(task, budgets={run.share: 1.0}), run, features.version, build),
        fingerprint(task, run, "other features", build),
    }
    assert len(names) == 5


def test_the_plan_sweeps_budgets_for_what_is_compared(worlds: list[World]) -> None:
    planned = list(runs_on(worlds[1], PLAN))
    assert ("kNN router", 0.4) in planned
    assert ("- context", 0.4) not in planned
    assert len(planned) == len(set(planned))
