import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engine import database_url, open_engine
from app.storage.journal import Journal
from app.storage.migrate import migrate
from app.storage.tables import CallRow, DecisionRow, FeedbackRow, JudgeScoreRow

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC

MakeDecision = Callable[..., DecisionRow]
MakeCall = Callable[..., CallRow]
MakeScore = Callable[..., JudgeScoreRow]
MakeFeedback = Callable[..., FeedbackRow]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrated")
    migrate(database_url("sqlite:///migrated.db", folder))
    return folder / "migrated.db"


@pytest.fixture
def url(migrated: Path, tmp_path: Path) -> URL:
    shutil.copy(migrated, tmp_path / "headrace.db")
    return database_url("sqlite:///headrace.db", tmp_path)


@pytest.fixture
async def engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def journal(engine: AsyncEngine) -> AsyncIterator[Journal]:
    journal = Journal(engine)
    await journal.open()
    yield journal
    await journal.close()


@pytest.fixture
def decision() -> MakeDecision:
    def make(inference_id: str = "inf-1", **values: Any) -> DecisionRow:
        given: dict[str, Any] = {
            "created_at": NOON,
            "requested_model": "auto",
            "objective": "budget",
            "stage": "learned",
            "arm": "small",
            "propensity": 0.75,
            "probabilities": {"small": 0.75, "large": 0.25},
            "lambda_": 1.0,
            "policy_version": "first@1",
            "feature_version": "1",
            "context": b"\x00\x00\x80?",
            "category": "maths",
        }
        return DecisionRow(id=inference_id, **(given | values))

    return make


@pytest.fixture
def call() -> MakeCall:
    def make(inference_id: str = "inf-1", **values: Any) -> CallRow:
        given: dict[str, Any] = {
            "step": 0,
            "model": "small",
            "purpose": "answer",
            "outcome": "ok",
            "cost_usd": 0.001,
            "account": "request",
            "created_at": NOON,
        }
        return CallRow(inference_id=inference_id, **(given | values))

    return make


@pytest.fixture
def score() -> MakeScore:
    def make(inference_id: str = "inf-1", **values: Any) -> JudgeScoreRow:
        given: dict[str, Any] = {"step": 0, "judge": "format", "score": 0.5, "created_at": NOON}
        return JudgeScoreRow(inference_id=inference_id, **(given | values))

    return make


@pytest.fixture
def feedback() -> MakeFeedback:
    def make(feedback_id: str = "fb-1", **values: Any) -> FeedbackRow:
        given: dict[str, Any] = {
            "inference_id": "inf-1",
            "metric": "thumbs",
            "value": True,
            "reward": 1.0,
            "received_at": NOON,
        }
        return FeedbackRow(id=feedback_id, **(given | values))

    return make
