"""The command line: four commands work on the database; the rest, in `app.client`, are clients of a running service."""

import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvicorn
from rich.console import Console
from rich.progress import Progress

from app import config_file, freeze_commands  # noqa: F401 - importing it adds its commands
from app.client import JsonOption, fail, keys_app, models_app, out
from app.errors import AppError, ConfigError
from app.evaluation_commands import evaluate
from app.feedback_commands import feedback_app
from app.main import create_app
from app.policy_commands import policy_app
from app.pool import endpoint_of
from app.refold import replayed, tell_replay
from app.savings_commands import show_savings
from app.sentiment import open_sentiment
from app.service import open_embedding, open_service
from app.settings import Environment, Settings, read_environment
from app.spend_commands import spend
from app.storage import repository
from app.storage.engine import database_url, hold, open_engine
from app.storage.errors import StorageError
from app.storage.migrate import migrate as migrate_database
from app.telemetry import configure_logging
from app.warm_start import UnusableData, entries, read_outcomes, unknown_models

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Headrace routes LLM requests and learns from feedback."
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration file.")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(feedback_app, name="feedback")
app.add_typer(policy_app, name="policy")
policy_app.command("evaluate")(evaluate)
app.add_typer(config_app, name="config")
app.command("savings")(show_savings)
app.command()(spend)

T = TypeVar("T")

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file (HEADRACE_CONFIG).")]


def main() -> None:
    """Run the command line."""
    app()


@app.callback()
def prepare() -> None:
    """Route LLM requests to the cheapest models that answer them well, and learn from feedback."""
    configure_logging()


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors that an operator can mend into a message and exit status 1."""
    try:
        yield
    except (ConfigError, StorageError, AppError, UnusableData) as err:
        fail(str(err))


def settings_from(config: Path | None, environment: Environment) -> Settings:
    """Read the configuration file named on the command line or in the environment; defaults where none is."""
    path = config or environment.config_path
    return config_file.load(path, os.environ) if path else Settings()


def tell_unset(settings: Settings) -> None:
    """Name the variables of upstream keys that are not set: a local server may need none, all others refuse."""
    console = Console(stderr=True)
    for entry in settings.models:
        if entry.api_key_env and not os.environ.get(entry.api_key_env):
            told = f"{entry.api_key_env} is not set: the model {entry.id} is called without a key."
            console.print(told, style="yellow", markup=False, soft_wrap=True)


@app.command()
def serve(
    config: ConfigOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Beyond loopback only with a key.")] = "127.0.0.1",
) -> None:
    """Serve, learn and schedule, in one process."""
    environment = read_environment(os.environ)
    with explained():
        settings = settings_from(config, environment)
        url = database_url(settings.storage.url, environment.data_dir)
        with hold(url):
            migrate_database(url)
            needs_loopback = asyncio.run(is_open(settings, environment))
        for entry in settings.models:
            endpoint_of(entry, os.environ)
        if settings.feedback.comment_sentiment:
            open_sentiment()
    tell_unset(settings)
    if needs_loopback:
        if host not in LOOPBACK:
            fail(f"Without a key the service binds to loopback only, not to {host}; set HEADRACE_ADMIN_KEY", 2)
        Console(stderr=True).print("No key is configured: the service is open, on loopback only.", style="yellow")
    application = create_app(lambda: open_service(settings, environment, os.environ))
    uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False, proxy_headers=False)


async def is_open(settings: Settings, environment: Environment) -> bool:
    """Tell whether there is no valid key, neither in the environment nor in the migrated database."""
    engine = open_engine(database_url(settings.storage.url, environment.data_dir))
    try:
        stored = any(row.revoked_at is None for row in await repository.list_keys(engine))
        return environment.admin_key is None and not stored
    finally:
        await engine.dispose()


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the database to this version; `serve` does it by itself."""
    environment = read_environment(os.environ)
    with explained():
        url = database_url(settings_from(config, environment).storage.url, environment.data_dir)
        with hold(url):
            migrate_database(url)
    out.print(f"The database {url.render_as_string()} is up to date.", soft_wrap=True)


@app.command()
def embedding(config: ConfigOption = None) -> None:
    """Make the static embedding in the data directory, once; needs the extra `embeddings`."""
    environment = read_environment(os.environ)
    with explained():
        made = open_embedding(settings_from(config, environment), environment.data_dir)
    out.print(f"The embedding {made.fingerprint} is ready in {environment.data_dir}.", soft_wrap=True)


@app.command()
def learn(
    data: Annotated[Path, typer.Option(help="Parquet file of recorded outcomes.")],
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Teach recorded outcomes (prompt, model, response, quality, cost_usd, input_tokens, output_tokens)."""
    environment = read_environment(os.environ)
    with explained():
        settings = settings_from(config, environment)
        told = asyncio.run(teach(settings, environment, data))
    if json_:
        print(json.dumps(told))  # noqa: T201 - the command's output
    else:
        out.print(f"Learned {told['queries']} queries, {told['observations']} observations in all.")
        if told["unknown_models"]:
            out.print(f"Left out, not in the pool: {', '.join(told['unknown_models'])}", style="yellow")


async def teach(settings: Settings, environment: Environment, data: Path) -> dict[str, Any]:
    """Read a file whole, then log and learn it; returns what was learned."""
    outcomes = read_outcomes(data)
    async with open_service(settings, environment, os.environ, schedule=False) as service:
        known = service.pool.ids()
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task("learning", total=len(outcomes))
            logged = 0
            for group in batched(entries(outcomes, service.learning.features, known, service.router.clock), 200):
                await asyncio.gather(*(service.journal.append(entry) for entry in group))
                logged += len(group)
                progress.update(bar, completed=logged)
            await service.learning.settled()
        report = service.learning.report()
    unknown = unknown_models(outcomes, known)
    return {"queries": logged, "observations": report["observations"], "unknown_models": unknown}


@app.command()
def replay(config: ConfigOption = None, json_: JsonOption = False) -> None:
    """Fold the whole log again, and compare what comes of it with the stored snapshots."""
    environment = read_environment(os.environ)
    with explained():
        told = asyncio.run(replayed(settings_from(config, environment), environment))
    if json_:
        print(json.dumps(told))  # noqa: T201 - the command's output
    else:
        tell_replay(told)
    if told["differs"]:
        raise typer.Exit(1)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, the last one shorter."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="A folder of recorded answers, not the default stream.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Real small models on this machine's processor.")] = False,
    short: Annotated[bool, typer.Option("--short", help="About 150 queries, then stop and report.")] = False,
    n: Annotated[int | None, typer.Option(min=20, help="Number of queries.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 8000, or a free one.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Do not keep serving at the end.")] = False,
) -> None:
    """Route real queries before your eyes, and keep serving."""
    from app.demo.run import DemoOptions, run

    raise typer.Exit(run(DemoOptions(short=short, data=data, local=local, n=n, port=port, stay=not leave)))


@config_app.command("check")
def check_config(config: Annotated[Path, typer.Argument()]) -> None:
    """Check a configuration file; every problem with its line."""
    with explained():
        settings = config_file.load(config, os.environ)
    tell_unset(settings)
    out.print(f"{config} is right: {len(settings.models)} models, objective {settings.objective.kind}.", soft_wrap=True)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration file."""
    print(json.dumps(config_file.schema(), indent=2))  # noqa: T201 - the command's output
