"""Versions of the policy in MLflow: parameters, estimates and aliases, as data and never as pickles.

MLflow is imported where it is used, in a thread: it takes a second and a hundred megabytes, and no request waits for
it. The store is a SQLite file in the data directory. Serving and learning go on without it.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learner.types import Parameters

MODEL = "headrace-policy"
CHAMPION, CHALLENGER = "champion", "challenger"


class Registry:
    """Writes policy versions.

    Args:
        data_dir: Holds `mlflow.db` and the artifacts.
    """

    def __init__(self, data_dir: Path) -> None:
        self._uri = f"sqlite:///{data_dir.absolute()}/mlflow.db"
        self._artifacts = (data_dir.absolute() / "mlflow").as_uri()

    async def publish(self, parameters: Parameters, metrics: Mapping[str, float], *, alias: str) -> str:
        """Store a version with its estimates and point an alias at it; returns MLflow's version number."""
        return await asyncio.to_thread(self._publish, parameters, metrics, alias)

    def _publish(self, parameters: Parameters, metrics: Mapping[str, float], alias: str) -> str:
        client = self._client()
        experiment = client.get_experiment_by_name(MODEL)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(MODEL, artifact_location=self._artifacts)
        )
        run = client.create_run(experiment_id, run_name=parameters.name)
        for name, value in asdict(parameters).items():
            client.log_param(run.info.run_id, name, value)
        for name, value in metrics.items():
            client.log_metric(run.info.run_id, name, value)
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL)
        tags = {"parameters": json.dumps(asdict(parameters)), "policy": parameters.name}
        version = client.create_model_version(MODEL, source=run.info.artifact_uri, run_id=run.info.run_id, tags=tags)
        client.set_registered_model_alias(MODEL, alias, version.version)
        return str(version.version)

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
