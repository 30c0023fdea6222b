"""Versions of the policy in MLflow: parameters, estimates, data and aliases, as data and never as pickles.

The service's own table `policies` is the truth; MLflow gets a copy, brought up to date in whole: what its store lacks
is written, what has changed is changed. So a store that was down, deleted or restored catches up by itself. The work is
done by a process of its own (`python -m app.registry`), niced and bounded in time: MLflow takes seconds to import, a
hundred megabytes, and keeps files open that may be gone. Whatever goes wrong there is caught, told and tried again;
serving and learning know nothing of it.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

from learner.types import Parameters

MODEL = "headrace-policy"
CHAMPION, CHALLENGER = "champion", "challenger"
TIMEOUT_S = 90.0
NICE = 10
TOLD_CHARS = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the policy as MLflow shall have it.

    Args:
        parameters: What it is.
        metrics: Estimates and live figures.
        tags: What else is known: its state, and the data behind the figures.
        updated_at: Tells whether MLflow's copy is of now.
    """

    parameters: Parameters
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    updated_at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the registry could be written when that was last tried, and why not."""

    state: Literal["ok", "down"]
    reason: str


class Registry:
    """Keeps MLflow's copy.

    Args:
        data_dir: Holds `mlflow.db` and the artifacts.
        timeout_s: Most time for one attempt.
    """

    def __init__(self, data_dir: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._data_dir = data_dir.absolute()
        self._timeout_s = timeout_s
        self._is_kept = False
        self._standing = Standing("ok", "nothing was written yet")

    @property
    def standing(self) -> Standing:
        """Say how the registry is; a store that was deleted is noticed here."""
        if self._is_kept and not store_of(self._data_dir).exists():
            self._is_kept = False
            self._down(f"{store_of(self._data_dir)} is gone; it is written anew at the next attempt")
        return self._standing

    def expect_store(self) -> None:
        """Note that an earlier run has written the store."""
        self._is_kept = True

    async def mirror(
        self, versions: Sequence[Version], *, champion: str, challenger: str | None
    ) -> dict[str, str] | None:
        """Bring MLflow up to date.

        Args:
            versions: All versions.
            champion: The version that serves, by its name.
            challenger: The one that serves a share beside it.

        Returns:
            MLflow's version number by the policy's name; None where it could not be done, which `standing` tells.
        """
        wanted = {"versions": [asdict(v) for v in versions], CHAMPION: champion, CHALLENGER: challenger}
        try:
            async with asyncio.timeout(self._timeout_s):
                numbers = await self._ask(json.dumps(wanted).encode())
        except TimeoutError:
            self._down(f"no answer within {self._timeout_s:g} s")
            return None
        except (OSError, ValueError) as err:
            self._down(str(err))
            return None
        if self._standing.state == "down":
            log.info("policy registry is up again", versions=len(numbers))
        self._is_kept, self._standing = True, Standing("ok", f"versions in MLflow: {len(numbers)}")
        return numbers

    async def _ask(self, wanted: bytes) -> dict[str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(self._data_dir),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            told, said = await process.communicate(wanted)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise OSError(last_line(said) or f"MLflow's process ended with status {process.returncode}")
        numbers: dict[str, str] = json.loads(told)
        return numbers

    def _down(self, reason: str) -> None:
        if self._standing != Standing("down", reason):
            log.warning("policy registry is down; serving and learning go on", reason=reason)
        self._standing = Standing("down", reason)


def store_of(data_dir: Path) -> Path:
    """Return the file of MLflow's store."""
    return data_dir / "mlflow.db"


def last_line(said: bytes) -> str:
    """Return the end of what a process said on standard error: of a traceback, the error."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:TOLD_CHARS] if lines else ""


# -- in the process of its own ------------------------------------------------------------------------------------


def check_store(path: Path) -> None:
    """Refuse at once a store that cannot be written: MLflow itself would try again for minutes.

    Raises:
        OSError: its file or folder is missing, not a database, or not writable.
    """
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE headrace_probe (written INTEGER)")
            database.rollback()
    except sqlite3.Error as err:
        raise OSError(f"{path} cannot be written: {err}") from err


def write(data_dir: Path, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Write what is wanted and return MLflow's version numbers by the policies' names."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{store_of(data_dir)}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment_id = _experiment(client, data_dir)
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    known = {version.tags["policy"]: version for version in _versions(client)}
    numbers = {}
    for version in wanted["versions"]:
        name = Parameters(**version["parameters"]).name
        found = known.get(name) or _create(client, experiment_id, name, version["parameters"])
        if found.tags.get("updated_at") != str(version["updated_at"]):
            _update(client, found, version)
        numbers[name] = str(found.version)
    _point(client, CHAMPION, numbers.get(wanted[CHAMPION]))
    _point(client, CHALLENGER, numbers.get(wanted[CHALLENGER]))
    return numbers


def _experiment(client: Any, data_dir: Path) -> str:
    found = client.get_experiment_by_name(MODEL)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(MODEL, artifact_location=(data_dir / "mlflow").as_uri()))


def _versions(client: Any) -> list[Any]:
    found, page = [], None
    while True:
        versions = client.search_model_versions(f"name = '{MODEL}'", max_results=1_000, page_token=page)
        found += [version for version in versions if "policy" in version.tags]
        page = versions.token
        if not page:
            return found


def _create(client: Any, experiment_id: str, name: str, parameters: Mapping[str, Any]) -> Any:
    run = client.create_run(experiment_id, run_name=name)
    for parameter, value in parameters.items():
        client.log_param(run.info.run_id, parameter, value)
    client.set_terminated(run.info.run_id)
    tags = {"parameters": json.dumps(parameters), "policy": name}
    return client.create_model_version(MODEL, source=run.info.artifact_uri, run_id=run.info.run_id, tags=tags)


def _update(client: Any, found: Any, version: Mapping[str, Any]) -> None:
    for name, value in version["metrics"].items():
        client.log_metric(found.run_id, name, value)
    # The time comes last: what was cut off before it is done again.
    for name, value in {**version["tags"], "updated_at": str(version["updated_at"])}.items():
        client.set_model_version_tag(MODEL, found.version, name, value)


def _point(client: Any, alias: str, number: str | None) -> None:
    if number is not None:
        client.set_registered_model_alias(MODEL, alias, number)
    elif alias in client.get_registered_model(MODEL).aliases:
        client.delete_registered_model_alias(MODEL, alias)


def main(data_dir: Path) -> None:
    """Read what is wanted from standard input, write it, and print the numbers."""
    os.nice(NICE)
    # A self-hosted service tells nobody what it does.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    wanted = json.load(sys.stdin)
    check_store(store_of(data_dir))
    print(json.dumps(write(data_dir, wanted)))  # noqa: T201 - the process's reply


if __name__ == "__main__":
    main(Path(sys.argv[1]))
