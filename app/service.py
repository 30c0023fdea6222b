"""Everything one running service is made of, built and taken apart in one visible place.

This is the only module that wires the rooms together; each of them takes what it needs as plain arguments.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.alerts import Alerts
from app.background import Background
from app.budgets import Budgets, period_start
from app.draining import Draining
from app.evaluation import Evaluator
from app.exploring import Exploring
from app.feedback import Feedback
from app.hearing import Hearing
from app.jobs import Jobs
from app.judging import Judging
from app.keys import Keys
from app.learning import Learning
from app.objective import Objectives, to_learner
from app.policies import Policies
from app.pool import Pool
from app.probing import Probing
from app.providers.base import Provider
from app.providers.fake import FakeProvider
from app.providers.openai_compatible import OpenAICompatibleProvider
from app.quizzing import Quizzing
from app.registry import Registry
from app.routing import Router
from app.seals import Seals
from app.sentiment import open_sentiment
from app.settings import Environment, Settings
from app.storage import repository
from app.storage.engine import database_url, hold, open_engine
from app.storage.journal import Journal
from app.storage.migrate import migrate
from app.telemetry import Metrics
from learner.embedding import Embedder, HashEmbedding, StaticEmbedding, distil, is_complete
from learner.features import Features
from learner.promise import Caps
from learner.seeds import SEEDS
from learner.state import LearnerState

# Beyond the longest upstream call, what is under way at the end has so long to be stored.
DRAIN_MORE_S = 10.0
# The journal's thread needs the interpreter a dozen times a commit. Python's 5 ms each time would make a commit under
# load take as long as all requests that came meanwhile, and then leave nothing to do until it is durable.
THREADS_WAIT_S = 0.0005

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that endpoints use."""

    settings: Settings
    environment: Environment
    engine: AsyncEngine
    journal: Journal
    learning: Learning
    pool: Pool
    router: Router
    feedback: Feedback
    objectives: Objectives
    policies: Policies
    jobs: Jobs
    metrics: Metrics
    background: Background
    keys: Keys
    budgets: Budgets
    draining: Draining
    alerts: Alerts
    embedding: str
    evaluator: Evaluator


def open_embedding(settings: Settings, data_dir: Path) -> Embedder:
    """Return the embedding: the configured file, the data directory's, one distilled now, or hashing without a file."""
    folder = settings.embedding.path if settings.embedding else data_dir / "embedding"
    if is_complete(folder):
        return StaticEmbedding(folder)
    try:
        log.info("distilling the static embedding; this takes half a minute, once", folder=str(folder))
        distil(folder)
    except ModuleNotFoundError:
        log.warning(
            "no embedding file: queries are told apart by their words alone; "
            "install headrace[embeddings] once, or set embedding.path",
            folder=str(folder),
        )
        return HashEmbedding()
    return StaticEmbedding(folder)


def start_state(settings: Settings, embedder: Embedder) -> LearnerState:
    """Return the learner's state before any event."""
    features = Features(embedder, tuple((seed.name, seed.examples) for seed in SEEDS))
    return state_before(settings, features)


def state_before(settings: Settings, features: Features) -> LearnerState:
    """Return the same with features that are there already."""
    return LearnerState.start(
        features,
        to_learner(settings.objective),
        max_explore_share=settings.exploration.max_share,
        max_explore_usd_per_day=settings.exploration.max_usd_per_day,
    )


@asynccontextmanager
async def open_service(
    settings: Settings,
    environment: Environment,
    environ: Mapping[str, str],
    *,
    providers: dict[str, Provider] | None = None,
    embedder: Embedder | None = None,
    seed: int | None = None,
    schedule: bool = True,
) -> AsyncIterator[Service]:
    """Build a service, recover what was learned, and take all of it down again in order.

    Args:
        settings: The configuration.
        environment: Data directory and bootstrap key.
        environ: Variables that hold the upstreams' keys.
        providers: In place of the real ones, by the `provider` of a model's entry.
        embedder: In place of the data directory's.
        seed: Seeds every draw; fresh entropy where none is given.
        schedule: Run the jobs on their schedule.

    Raises:
        StorageUnavailable: the database cannot be reached or written.
        NewerDatabase: a later version has migrated it.
        DatabaseHeld: another process serves from it.
        ConfigError: comments are to be scored, and the extra that does it is missing.
    """
    async with AsyncExitStack() as stack:
        engine = _open_database(settings, environment, stack)
        state = start_state(settings, embedder or open_embedding(settings, environment.data_dir))
        service = _wire(settings, environment, environ, engine=engine, state=state, providers=providers, seed=seed)
        stack.push_async_callback(_close_upstreams, service)
        await _start(service, schedule=schedule)
        stack.push_async_callback(_stop, service)
        yield service


def _open_database(settings: Settings, environment: Environment, stack: AsyncExitStack) -> AsyncEngine:
    """Hold, migrate and open the database until the stack ends."""
    url = database_url(settings.storage.url, environment.data_dir)
    stack.enter_context(hold(url))
    migrate(url)
    engine = open_engine(url)
    stack.push_async_callback(engine.dispose)
    return engine


def _wire(
    settings: Settings,
    environment: Environment,
    environ: Mapping[str, str],
    *,
    engine: AsyncEngine,
    state: LearnerState,
    providers: dict[str, Provider] | None,
    seed: int | None,
) -> Service:
    """Connect all parts; nothing runs yet."""
    timeout_s, keep_content = settings.timeouts.upstream_s, settings.storage.content
    comparisons, first_arm, probes = (np.random.default_rng(draws) for draws in np.random.SeedSequence(seed).spawn(3))
    calling = providers or {"openai": OpenAICompatibleProvider(), "fake": FakeProvider()}
    metrics = Metrics()
    alerts = Alerts(engine, settings.alerts.webhook_url, metrics, time.time)
    exploring = Exploring(settings.exploration.max_usd_per_day, lambda day: journal.spend.on(day).exploration_usd)
    learning = Learning(state, engine, exploring, alerts.take)
    journal = Journal(engine, learning.take)
    pool = Pool(journal, environ)
    objectives = Objectives(journal)
    budgets = Budgets()
    keys = Keys(environment.admin_key, journal, budgets)
    seals = Seals.open(environment.data_dir)
    background = Background(learning, journal, pool, calling, comparisons, time.time, timeout_s)
    judging = Judging(settings.judges, pool, timeout_s=timeout_s)
    hearing = Hearing(judging, learning, first_arm)
    probing = Probing(judging, background, probes, settings.feedback.probe_share)
    caps = Caps(settings.exploration.max_share, settings.exploration.max_usd_per_day)
    quizzing = Quizzing(background, caps, time.time)
    router = Router(
        learning.features, learning, journal, pool, calling, hearing,
        background, probing, quizzing, first_arm, time.time, timeout_s, keep_content,
        lambda key_id: keys.objective_kind(key_id) or objectives.current.kind, budgets, seals, settings.decompose,
        settings.control.share,
    )  # fmt: skip
    policies = Policies(journal, learning, Registry(environment.data_dir), metrics, background.keep, time.time)
    given = settings.feedback
    feedback = Feedback(
        learning, journal, settings.metrics, time.time, keep_content, given.window_days, seals,
        open_sentiment() if given.comment_sentiment else None,
    )  # fmt: skip
    return Service(
        settings, environment, engine, journal, learning, pool, router,
        feedback, objectives, policies, Jobs(engine, learning, policies, time.time), metrics, background,
        keys, budgets, Draining(pool, learning, background, time.time), alerts, learning.features.version,
        Evaluator(engine, partial(state_before, settings, learning.features)),
    )  # fmt: skip


async def _start(service: Service, *, schedule: bool) -> None:
    folded = await service.learning.recover()
    await service.journal.open()
    service.learning.start()
    service.alerts.start()
    now = time.time()
    spent_usd = await repository.spend_by_key(
        service.engine, day=period_start("day", now), month=period_start("month", now)
    )
    service.keys.open(await repository.list_keys(service.engine), spent_usd, now)
    await service.pool.open(await repository.list_models(service.engine), service.settings.models, now)
    await service.objectives.open(service.engine, service.settings.objective, now)
    await service.learning.settled()
    await service.policies.open(await repository.list_policies(service.engine))
    if schedule:
        service.jobs.start()
    # What lives as long as the process need not be looked through again and again by the garbage collector.
    gc.collect()
    gc.freeze()
    # A request makes thousands of objects and no cycles: looking after every 700th of them takes a tenth of its time.
    gc.set_threshold(20_000, 25, 50)
    sys.setswitchinterval(THREADS_WAIT_S)
    log.info(
        "ready", events_folded=folded, models=len(service.pool.ids()), features=service.embedding,
        policy=asdict(service.learning.view.parameters),
    )  # fmt: skip


async def _stop(service: Service) -> None:
    service.jobs.stop()
    service.evaluator.stop()
    service.router.quizzing.close()
    await service.policies.mirror.stop()
    # Every call is to be accounted, however late its answer; but what waits for something else must not hold the stop.
    with suppress(TimeoutError):
        async with asyncio.timeout(service.settings.timeouts.upstream_s + DRAIN_MORE_S):
            await service.background.drain()
    await service.journal.close()
    await service.learning.stop()
    await service.alerts.stop()
    await service.jobs.run("snapshot")


async def _close_upstreams(service: Service) -> None:
    await service.router.hearing.close()
    for provider in service.router.providers.values():
        await provider.close()
