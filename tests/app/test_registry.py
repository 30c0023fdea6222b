import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.registry import CHALLENGER, CHAMPION, MODEL, Registry
from learner.types import Parameters

HEAVY = ("mlflow", "torch", "sentence_transformers", "transformers", "model2vec", "matplotlib")


def test_importing_the_service_does_not_import_what_is_heavy() -> None:
    code = f"import sys, json, app.main, app.cli; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about its dependencies
async def test_versions_are_written_with_their_parameters_estimates_and_alias(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first = await registry.publish(Parameters(), {"utility": 0.5}, alias=CHAMPION)
    second = await registry.publish(Parameters(version=2, depth=2), {"utility": 0.7, "gain": 0.2}, alias=CHALLENGER)
    assert (first, second) == ("1", "2")

    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    champion = client.get_model_version_by_alias(MODEL, CHAMPION)
    challenger = client.get_model_version_by_alias(MODEL, CHALLENGER)
    assert (str(champion.version), str(challenger.version)) == ("1", "2")
    assert challenger.tags["policy"] == "headrace@2"
    assert json.loads(challenger.tags["parameters"])["depth"] == 2
    assert client.get_run(challenger.run_id).data.metrics == {"utility": 0.7, "gain": 0.2}
