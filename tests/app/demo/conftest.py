from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.demo.recordings import replay
from app.demo.worlds import Answer, Price, World

PRICES = {"small": Price(0.1, 0.2), "middle": Price(0.5, 1.5), "large": Price(2.0, 8.0)}


@pytest.fixture
def make_world() -> Callable[..., World]:
    """A world of n prompts: `small` is right on even ones, `middle` on all but every fourth, `large` on all."""

    def make(n: int = 20, **changes: Any) -> World:
        prompts = tuple(f"What is question {at}?" for at in range(n))
        wrong: dict[str, Callable[[int], bool]] = {
            "small": lambda at: at % 2 == 1,
            "middle": lambda at: at % 4 == 3,
            "large": lambda at: at < 0,
        }
        records = {
            model: {
                prompt: Answer(f"{model} says {at}", float(not wrong[model](at)), 10 + at, 5)
                for at, prompt in enumerate(prompts)
            }
            for model in PRICES
        }
        settings: dict[str, Any] = {
            "name": "made up",
            "prompts": prompts,
            "prices": PRICES,
            "late": "middle",
            "metric": "thumbs",
            "feedback_share": 1.0,
            "usd_per_request": 1e-4,
            "source": replay(records),
        }
        return World(**(settings | changes))

    return make


@pytest.fixture
def recorded_folder(tmp_path: Path) -> Path:
    """Two sources; in the larger one (24 queries) `partial` left out one query; `stray` answered the smaller only."""

    def length(at: int) -> int:
        return 20 + at

    queries = [
        {
            "query_id": f"{source}-{at}",
            "source": source,
            "prompt": f"{source} question {at}?",
            "input_tokens_est": length(at),
            "stream_pos": 100 - at,
        }
        for source, n in (("big", 24), ("little", 5))
        for at in range(n)
    ]
    prices = {
        "cheap": (0.1, 0.1),
        "middling": (0.2, 0.4),
        "dear": (5.0, 15.0),
        "partial": (1.0, 1.0),
        "stray": (1.0, 1.0),
    }
    answers = [
        {
            "query_id": query["query_id"],
            "model": model,
            "response": f"{model} on {query['query_id']}",
            "correct": model == "dear" or (model == "middling" and at % 4 != 0) or at % 2 == 0,
            "output_tokens_est": 30 + 7 * at % 40,
            "cost_usd": (length(at if at < 24 else at - 24) * price_in + (30 + 7 * at % 40) * price_out) / 1e6,
        }
        for at, query in enumerate(queries)
        for model, (price_in, price_out) in prices.items()
        if not (model == "partial" and at == 3) and not (model == "stray" and query["source"] == "big")
    ]
    pq.write_table(pa.Table.from_pylist(queries), tmp_path / "queries.parquet")
    pq.write_table(pa.Table.from_pylist(answers), tmp_path / "answers.parquet")
    return tmp_path
