"""Recorded worlds for the learning benchmark: what every model of a pool answered to every query, and what it billed.

Read once at the start of a run from a tree of folders (`queries.parquet` beside `answers.parquet` or
`outcomes.parquet`) and from the package `paretobandit`; then cut into seeded streams. Sources of a folder that were
answered by mostly the same models are one world. The pool of a world is chosen by price rank, never by quality.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.demo.recordings import from_paretobandit
from app.demo.worlds import Answer
from learner.answers import extract
from learner.types import FloatArray

IntArray = NDArray[np.int64]

MOST_MODELS = 8
NEARLY_ALL = 0.95
ALIKE = 0.5
# These bill hidden reasoning that the records do not hold: their recorded cost is far too low to be compared.
UNDERPRICED = ("o1-",)
TYPICAL_OUTPUT_TOKENS = 500.0
QUALITY_COLUMNS = ("correct", "reward_r1", "score")
THUMBS_SHARE, THUMB_FLIP, THUMB_DELAY = 0.3, 0.05, 20


@dataclass(frozen=True, slots=True)
class World:
    """Queries and the recorded outcomes of a pool; arrays have shape (queries, models), models ascend in price.

    Args:
        name: Folder and common name of its sources.
        prompts: One per query, none twice.
        models: Ids.
        prices: USD per million input and output tokens, one pair per model.
        quality: Of each answer, in [0, 1].
        usd: Bill of each call.
        input_tokens: Of each call.
        output_tokens: Of each call.
        groups: Equal answers to one query have equal numbers; −1 where an answer cannot be compared.
        rated_share: Share of the answers that are rated.
        delay: Requests between an answer and its rating.
    """

    name: str
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    prices: tuple[tuple[float, float], ...]
    quality: FloatArray
    usd: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    groups: IntArray
    rated_share: float = THUMBS_SHARE
    delay: int = THUMB_DELAY

    @property
    def is_graded(self) -> bool:
        """Whether answers are right or wrong, so that users press thumbs; else they give their rating."""
        return bool(np.isin(self.quality, (0.0, 1.0)).all())

    @property
    def is_comparable(self) -> bool:
        """Whether most answers can be compared with each other."""
        return bool((self.groups >= 0).mean() > 0.5)

    def take(self, rows: NDArray[np.int64]) -> "World":
        """Return the world with these queries only, in this order."""
        arrays = {name: getattr(self, name)[rows] for name in ("quality", "usd", "input_tokens", "output_tokens")}
        return replace(self, prompts=tuple(self.prompts[i] for i in rows), groups=self.groups[rows], **arrays)

    def stream(self, seed: int, n: int) -> "World":
        """Return `n` queries (all, where there are fewer) in the order of a seed."""
        return self.take(np.random.default_rng([seed, 1]).permutation(len(self.prompts))[:n])

    def budget_usd(self, share: float) -> float:
        """Return the budget per request at a share in [0, 1] of the way from the cheapest to the best model.

        The way is measured on the logarithm of mean cost: 0 is the cheapest model's cost, 1 that of the best one.
        """
        costs = self.usd.mean(axis=0)
        best = float(costs[int(self.quality.mean(axis=0).argmax())])
        return float(costs.min() * (best / costs.min()) ** share)


def read_worlds(data: Path | None) -> list[World]:
    """Read every world of a tree, and the stream of the package `paretobandit` last.

    Raises:
        ValueError: the tree has no folder of the known layout.
    """
    found = [] if data is None else [world for folder in folders(data) for world in read_folder(folder)]
    if data is not None and not found:
        raise ValueError(f"{data} holds no folder with queries.parquet beside answers.parquet or outcomes.parquet")
    return [*found, from_package()]


def folders(data: Path) -> list[Path]:
    """Return the folders below `data`, or `data` itself, that have the known layout."""
    return sorted(path.parent for path in data.glob("**/queries.parquet") if outcomes_file(path.parent).is_file())


def outcomes_file(folder: Path) -> Path:
    """Return the table of outcomes, preferring the one with answers."""
    answers = folder / "answers.parquet"
    return answers if answers.is_file() else folder / "outcomes.parquet"


def read_folder(folder: Path) -> Iterator[World]:
    """Yield the worlds of one folder."""
    queries = {str(row["query_id"]): row for row in rows_of(folder / "queries.parquet")}
    outcomes = outcomes_of(outcomes_file(folder))
    answered = Counter((queries[q]["source"], model) for q, model in outcomes if q in queries)
    sizes = Counter(str(row["source"]) for row in queries.values())
    complete = {
        source: {model for (of, model), n in answered.items() if of == source and n >= NEARLY_ALL * size}
        for source, size in sizes.most_common()
    }
    for sources, models in alike(complete):
        # Its own name for one of several worlds of a folder; the folder's name alone where there is one.
        name = common_start(sources).rstrip("_-/ ") if len(sources) < len(sizes) else ""
        chosen = [row for row in queries.values() if row["source"] in sources]
        yield world_of("/".join(filter(None, (folder.name, name))), chosen, outcomes, models)


def common_start(names: Sequence[str]) -> str:
    """Return the longest text that all names begin with."""
    first, last = min(names), max(names)
    at = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:at]


def alike(complete: Mapping[str, set[str]]) -> list[tuple[list[str], set[str]]]:
    """Put sources together whose models are mostly the same; returns them with the models they share."""
    worlds: list[tuple[list[str], set[str]]] = []
    for source, models in complete.items():
        for i, (sources, shared) in enumerate(worlds):
            if len(shared & models) > ALIKE * len(shared | models):
                worlds[i] = [*sources, source], shared & models
                break
        else:
            worlds.append(([source], models))
    return worlds


def rows_of(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read a table as one dictionary per row."""
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows


def outcomes_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Read outcomes by query and model: `quality`, `cost_usd`, and where recorded `output_tokens_est`, `answer`."""
    names = set(pq.read_schema(path).names)
    quality = next(name for name in QUALITY_COLUMNS if name in names)
    extra = ["answer"] if "answer" in names else ["response"]
    columns = ["query_id", "model", "cost_usd", quality, *({"output_tokens_est", *extra} & names)]
    outcomes = {}
    for row in rows_of(path, columns):
        model = str(row["model"])
        if not model.startswith(UNDERPRICED) and (str(row["query_id"]), model) not in outcomes:
            outcomes[str(row["query_id"]), model] = row | {"quality": float(row[quality])}
    return outcomes


def world_of(
    name: str,
    queries: Sequence[Mapping[str, Any]],
    outcomes: Mapping[tuple[str, str], Mapping[str, Any]],
    models: set[str],
) -> World:
    """Build a world of the queries that every chosen model answered."""
    ids = {str(row["prompt"]): str(row["query_id"]) for row in queries}
    known = {
        model: [outcomes[q, model]["cost_usd"] for q in ids.values() if (q, model) in outcomes] for model in models
    }
    pool = spread(sorted(models, key=lambda model: (float(np.mean(known[model])), model)))
    kept = {prompt: q for prompt, q in ids.items() if all((q, model) in outcomes for model in pool)}
    table = [[outcomes[q, model] for model in pool] for q in kept.values()]
    by_id = {str(row["query_id"]): row for row in queries}
    usd = np.array([[cell["cost_usd"] for cell in row] for row in table], dtype=float)
    asked = np.array([max(1, int(by_id[q].get("input_tokens_est") or 1)) for q in kept.values()])
    input_tokens = np.repeat(asked[:, None], len(pool), axis=1)
    output_tokens, prices = tokens_and_prices(table, usd, input_tokens)
    return World(
        name=name,
        prompts=tuple(kept),
        models=tuple(pool),
        prices=prices,
        quality=np.array([[cell["quality"] for cell in row] for row in table]),
        usd=usd,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        groups=np.array([grouped(row, prompt) for row, prompt in zip(table, kept, strict=True)]),
    )


def spread(models: Sequence[str]) -> list[str]:
    """Return at most `MOST_MODELS` models, evenly spaced in a list that ascends in price, its ends included."""
    at = np.linspace(0, len(models) - 1, min(MOST_MODELS, len(models))).round().astype(int)
    return [models[i] for i in dict.fromkeys(at.tolist())]


def tokens_and_prices(
    table: Sequence[Sequence[Mapping[str, Any]]], usd: FloatArray, input_tokens: IntArray
) -> tuple[IntArray, tuple[tuple[float, float], ...]]:
    """Return output tokens, shape (n, m), and prices that were fitted to the bills.

    Where no tokens were recorded, a mean call counts for `TYPICAL_OUTPUT_TOKENS` tokens of output.
    """
    if "output_tokens_est" in table[0][0]:
        output = np.array([[int(cell["output_tokens_est"] or 0) for cell in row] for row in table])
        return output, tuple(fitted(usd[:, m], input_tokens[:, m], output[:, m]) for m in range(usd.shape[1]))
    per_mtok = usd.mean(axis=0) * 1e6 / TYPICAL_OUTPUT_TOKENS
    return np.rint(usd * 1e6 / per_mtok).astype(int), tuple((0.0, float(price)) for price in per_mtok)


def fitted(usd: FloatArray, input_tokens: IntArray, output_tokens: IntArray) -> tuple[float, float]:
    """Fit prices per million tokens to bills by least squares; one price for both kinds where that fails."""
    tokens = np.column_stack([input_tokens, output_tokens]).astype(float)
    fit = np.linalg.lstsq(tokens, usd * 1e6, rcond=None)[0]
    if fit.min() < 0:
        fit = np.full(2, usd.sum() * 1e6 / max(1.0, tokens.sum()))
    return float(fit[0]), float(fit[1])


def grouped(row: Sequence[Mapping[str, Any]], prompt: str) -> list[int]:
    """Number equal answers of one query: recorded final answers, else what the product itself finds in the texts."""
    if "answer" in row[0]:
        keys: list[object] = [cell["answer"] if cell["answer"] else ("none", i) for i, cell in enumerate(row)]
    elif row[0].get("response"):
        found = [extract(str(cell["response"]), prompt) for cell in row]
        keys = [answer if answer.key else ("none", i) for i, answer in enumerate(found)]
    else:
        return [-1] * len(row)
    numbers: dict[object, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def from_package() -> World:
    """Read the evaluation stream of the package `paretobandit`, rated at once and always as its authors do."""
    recorded = from_paretobandit()

    async def answers() -> list[list[Answer | None]]:
        return [[await recorded.source(model, prompt) for model in recorded.models] for prompt in recorded.prompts]

    table = asyncio.run(answers())
    known = [i for i, row in enumerate(table) if None not in row]
    cells = [[cell for cell in table[i] if cell is not None] for i in known]
    # Fields by query, model and kind.
    fields = np.array([[(a.reward, a.input_tokens, a.output_tokens) for a in row] for row in cells])
    prices = [recorded.prices[model] for model in recorded.models]
    per_token = np.array([(price.input_usd_per_mtok, price.output_usd_per_mtok) for price in prices]) / 1e6
    usd = (fields[..., 1:] * per_token).sum(axis=2)
    order = np.argsort(usd.mean(axis=0))
    return World(
        name="paretobandit",
        prompts=tuple(recorded.prompts[i] for i in known),
        models=tuple(recorded.models[m] for m in order),
        prices=tuple((prices[m].input_usd_per_mtok, prices[m].output_usd_per_mtok) for m in order),
        quality=fields[:, order, 0],
        usd=usd[:, order],
        input_tokens=fields[:, order, 1].astype(int),
        output_tokens=fields[:, order, 2].astype(int),
        groups=np.full(usd.shape, -1),
        rated_share=1.0,
        delay=0,
    )
