import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.registry import CHALLENGER, CHAMPION, MODEL, Registry, Version, check_store, last_line, store_of, write
from learner.types import Parameters

HEAVY = ("mlflow", "torch", "sentence_transformers", "transformers", "model2vec", "matplotlib")


def test_importing_the_service_does_not_import_what_is_heavy() -> None:
    code = f"import sys, json, app.main, app.cli; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


def version(number: int, state: str, updated_at: float = 1.0, **metrics: float) -> Version:
    return Version(Parameters(version=number, depth=number), metrics, {"state": state}, updated_at)


def wanted(*versions: Version, champion: str, challenger: str | None = None) -> dict[str, Any]:
    return {"versions": [asdict(one) for one in versions], CHAMPION: champion, CHALLENGER: challenger}


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about its dependencies
def test_versions_are_written_once_with_parameters_figures_and_aliases_that_follow_their_life(tmp_path: Path) -> None:
    one, two = version(1, "champion", utility=0.5), version(2, "canary", gain=0.2)
    first = write(tmp_path, wanted(one, two, champion="headrace@1", challenger="headrace@2"))
    assert first == {"headrace@1": "1", "headrace@2": "2"}

    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    challenger = client.get_model_version_by_alias(MODEL, CHALLENGER)
    assert (str(challenger.version), challenger.tags["policy"], challenger.tags["state"]) == (
        "2",
        "headrace@2",
        "canary",
    )
    assert json.loads(challenger.tags["parameters"])["depth"] == 2
    run = client.get_run(challenger.run_id).data
    assert (run.metrics, run.params["depth"]) == ({"gain": 0.2}, "2")

    promoted = version(1, "retired", 2.0), version(2, "champion", 2.0, gain=0.3)
    assert write(tmp_path, wanted(*promoted, champion="headrace@2")) == first
    champion = client.get_model_version_by_alias(MODEL, CHAMPION)
    assert (str(champion.version), champion.tags["state"]) == ("2", "champion")
    assert client.get_run(champion.run_id).data.metrics == {"gain": 0.3}
    assert set(client.get_registered_model(MODEL).aliases) == {CHAMPION}
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 2


@pytest.mark.parametrize("spoil", ["folder", "text"])
def test_a_store_that_cannot_be_written_is_refused_at_once(tmp_path: Path, spoil: str) -> None:
    store = store_of(tmp_path)
    store.mkdir() if spoil == "folder" else store.write_text("no database " * 100)
    with pytest.raises(OSError, match=r"mlflow\.db cannot be written"):
        check_store(store)


def test_checking_a_store_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_store(store_of(tmp_path))
    assert store_of(tmp_path).stat().st_size == 0


async def test_an_attempt_that_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    registry = Registry(tmp_path, timeout_s=0.01)
    assert await registry.mirror([version(1, "champion")], champion="headrace@1", challenger=None) is None
    assert registry.standing.state == "down"
    assert "no answer within 0.01 s" in registry.standing.reason


async def test_an_attempt_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    task = asyncio.create_task(registry.mirror([version(1, "champion")], champion="headrace@1", challenger=None))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert registry.standing.state == "ok"


async def test_a_store_that_was_there_and_is_gone_is_down(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.standing.state == "ok"
    registry.expect_store()
    assert (registry.standing.state, "is gone" in registry.standing.reason) == ("down", True)


def test_the_last_line_of_a_traceback_is_its_error() -> None:
    assert last_line(b"Traceback:\n  File x\nOSError: gone\n") == "OSError: gone"
    assert last_line(b"") == ""
