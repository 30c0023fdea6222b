"""Worlds that were recorded: real prompts, and for every model what it answered, how good it was and what it billed.

Read once at the start of a demonstration. Two layouts are known: the evaluation stream inside the PyPI package
`paretobandit`, and a folder with `queries.parquet` and `answers.parquet`.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from app.demo.worlds import Answer, DemoError, Mean, Price, Source, World, fold, newcomer, tokens_for

PARETOBANDIT_STREAMS = ("val.jsonl", "test_holdout.jsonl")
PARETOBANDIT_USD_PER_REQUEST = 6.6e-4
BUDGET_SHARE_OF_BEST = 0.25
THUMBS_SHARE = 0.3
CHARACTERS_PER_TOKEN = 4
# Says nothing that could be taken for an answer: no model's name, digit or option letter for judges to compare.
WORDLESS = (
    "This reply was recorded without its words: the public record keeps only what it was worth and what was billed."
)
QUERY_COLUMNS = ["query_id", "source", "prompt", "input_tokens_est", "stream_pos"]
ANSWER_COLUMNS = ["query_id", "model", "response", "correct", "output_tokens_est", "cost_usd"]

Records = Mapping[str, Mapping[str, Answer]]


def from_paretobandit(seed: int = 0) -> World:
    """Load the public evaluation stream of the package `paretobandit` (Apache-2.0), shuffled with `seed`.

    The package is only read, never imported. It keeps the rewards and bills of three production models, but not their
    words: the answer text says so.

    Raises:
        DemoError: The package is not installed.
    """
    try:
        package = Path(str(distribution("paretobandit").locate_file("pareto_bandit")))
    except PackageNotFoundError as err:
        remedy = "run `pip install 'headrace[demo]'`, or give another input with --data DIR"
        raise DemoError(f"the package paretobandit, which holds the default input, is not installed: {remedy}") from err
    prices = _catalogue(json.loads((package / "config" / "models.json").read_text()))
    rows = [row for name in PARETOBANDIT_STREAMS for row in _lines(package / "data" / "examples" / name)]
    random.Random(seed).shuffle(rows)
    records = {m: {fold(row["prompt"]): _outcome(row, m, prices[m]) for row in rows} for m in rows[0]["arms"]}
    prices = {model: prices[model] for model in records}
    return World(
        name="the evaluation stream of the package paretobandit (recorded rewards and bills of real models)",
        prompts=tuple(dict.fromkeys(row["prompt"] for row in rows)),
        prices=prices,
        late=newcomer(means_of(records, prices), PARETOBANDIT_USD_PER_REQUEST),
        metric="rating",
        feedback_share=1.0,
        usd_per_request=PARETOBANDIT_USD_PER_REQUEST,
        source=replay(records),
    )


def from_folder(folder: Path) -> World:
    """Load the largest source of a folder with `queries.parquet` and `answers.parquet`.

    All models that answered every query of that source make the pool; the budget is a quarter of what the best of them
    costs. Prices are fitted to the recorded bills.

    Raises:
        DemoError: A file or a column is missing, or fewer than two models answered everything.
    """
    queries = _table(folder / "queries.parquet", QUERY_COLUMNS)
    source = Counter(str(row["source"]) for row in queries).most_common(1)[0][0]
    stream = sorted((row for row in queries if row["source"] == source), key=lambda row: int(row["stream_pos"]))
    rows = _complete(_table(folder / "answers.parquet", ANSWER_COLUMNS), stream)
    if len(rows) < 2:
        raise DemoError(f"{folder}: {len(rows)} models answered all queries of {source!r}; a pool needs at least two")
    prices = {model: fitted_price(stream, answers) for model, answers in rows.items()}
    records = {m: {fold(q["prompt"]): _answer(q, rows[m][q["query_id"]], prices[m]) for q in stream} for m in rows}
    means = means_of(records, prices)
    usd = BUDGET_SHARE_OF_BEST * max(means.values(), key=lambda mean: mean.quality).usd
    return World(
        name=f"{source} from {folder} (recorded answers)",
        prompts=tuple({fold(row["prompt"]): row["prompt"] for row in stream}.values()),
        prices=prices,
        late=newcomer(means, usd),
        metric="thumbs",
        feedback_share=THUMBS_SHARE,
        usd_per_request=usd,
        source=replay(records),
    )


def replay(records: Records) -> Source:
    """Return a source that looks answers up by model and folded prompt."""

    async def source(model: str, prompt: str) -> Answer | None:
        return records.get(model, {}).get(fold(prompt))

    return source


def means_of(records: Records, prices: Mapping[str, Price]) -> dict[str, Mean]:
    """Return mean reward and mean cost of every model over all its records."""
    return {model: _mean(list(answers.values()), prices[model]) for model, answers in records.items()}


def _mean(answers: Sequence[Answer], price: Price) -> Mean:
    usd = [price.cost_usd(answer.input_tokens, answer.output_tokens) for answer in answers]
    return Mean(float(np.mean([answer.reward for answer in answers])), float(np.mean(usd)))


def fitted_price(queries: Sequence[Mapping[str, Any]], answers: Mapping[str, Mapping[str, Any]]) -> Price:
    """Fit a price per token to the recorded bills by least squares; one price for both kinds where that fails."""
    rows = [answers[query["query_id"]] for query in queries]
    tokens = np.array([(q["input_tokens_est"], a["output_tokens_est"]) for q, a in zip(queries, rows, strict=True)])
    bills = np.array([row["cost_usd"] for row in rows], dtype=float) * 1e6
    fit = np.linalg.lstsq(tokens.astype(float), bills, rcond=None)[0]
    if fit.min() < 0:
        fit = np.full(2, bills.sum() / max(1, tokens.sum()))
    return Price(round(float(fit[0]), 6), round(float(fit[1]), 6))


def _catalogue(models: Mapping[str, Any]) -> dict[str, Price]:
    return {m["model_id"]: Price(m["input_cost_per_m"], m["output_cost_per_m"]) for m in models["models"]}


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _outcome(row: Mapping[str, Any], model: str, price: Price) -> Answer:
    """Make an answer of a recorded reward and bill."""
    outcome = row["arms"][model]
    estimate = max(1, len(row["prompt"]) // CHARACTERS_PER_TOKEN)
    return Answer(WORDLESS, float(outcome["reward"]), *tokens_for(float(outcome["cost"]), price, estimate))


def _answer(query: Mapping[str, Any], row: Mapping[str, Any], price: Price) -> Answer:
    tokens = tokens_for(float(row["cost_usd"]), price, int(query["input_tokens_est"]))
    return Answer(str(row["response"]), float(row["correct"]), *tokens)


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DemoError(f"{path} does not exist: --data wants a folder with queries.parquet and answers.parquet")
    missing = sorted(set(columns) - set(pq.read_schema(path).names))
    if missing:
        raise DemoError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(columns)}")
    rows: list[dict[str, Any]] = pq.read_table(path, columns=list(columns)).to_pylist()
    if not rows:
        raise DemoError(f"{path} has no rows")
    return rows


def _complete(rows: Sequence[Mapping[str, Any]], stream: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Group the answers by model, for the models that answered every query of the stream."""
    wanted = {query["query_id"] for query in stream}
    by_model: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["query_id"] in wanted:
            by_model.setdefault(str(row["model"]), {})[row["query_id"]] = row
    return {model: by_model[model] for model in sorted(by_model) if len(by_model[model]) == len(wanted)}
