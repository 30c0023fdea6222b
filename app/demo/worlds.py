"""A world: the prompts of a demonstration, the models that answer them, and what each answer is worth.

A loader (recordings.py, local.py) makes it before the service starts; the upstream serves it, the player asks its
prompts and grades the replies by it, and the report compares the service with each of its models alone. The service
never sees a reward except as feedback.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from math import floor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CONTEXT_TOKENS = 128_000
KEY_VARIABLE = "HEADRACE_DEMO_UPSTREAM_KEY"


class DemoError(Exception):
    """The demonstration cannot run; the message says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model charges, in USD per million tokens."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of one call in USD."""
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer to one prompt, its reward in [0, 1] and the tokens it was billed for."""

    text: str
    reward: float
    input_tokens: int
    output_tokens: int


Array = NDArray[np.float64]
Source = Callable[[str, str], Awaitable[Answer | None]]


@dataclass(frozen=True, slots=True)
class World:
    """Prompts in stream order and the pool that answers them.

    Attributes:
        name: What the input is, for the screen.
        prompts: The stream, no prompt twice.
        prices: Price of each model; the order is that of the pool.
        late: The model that joins in the middle of the stream, if any.
        metric: The feedback metric that the rewards are sent as.
        feedback_share: Share of the answers that get feedback, 0..1.
        usd_per_request: The budget that the service is given, for the mean of all spend.
        source: Answers of `(model, prompt)`; None where the world has none.
    """

    name: str
    prompts: tuple[str, ...]
    prices: Mapping[str, Price]
    late: str | None
    metric: Literal["rating", "thumbs"]
    feedback_share: float
    usd_per_request: float
    source: Source

    @property
    def models(self) -> tuple[str, ...]:
        """Ids of all models, the late one included."""
        return tuple(self.prices)

    @property
    def arrival(self) -> int:
        """Position in the stream where the second half begins and the late model joins."""
        return len(self.prompts) // 2

    def first(self, n: int) -> "World":
        """Return the same world with its first `n` prompts only."""
        return replace(self, prompts=self.prompts[:n])

    def cost_usd(self, model: str, answer: Answer) -> float:
        """Return what `model` bills for this answer, in USD."""
        return self.prices[model].cost_usd(answer.input_tokens, answer.output_tokens)

    def pool_entry(self, model: str, base_url: str) -> dict[str, Any]:
        """Return the model as an entry of `models` in the configuration and of `POST /v1/admin/models`."""
        price = self.prices[model]
        return {
            "id": model,
            "provider": "openai",
            "base_url": base_url,
            "api_key_env": KEY_VARIABLE,
            "upstream_model": model,
            "context_tokens": CONTEXT_TOKENS,
            "price": {
                "input_usd_per_mtok": price.input_usd_per_mtok,
                "output_usd_per_mtok": price.output_usd_per_mtok,
            },
        }


def fold(text: str) -> str:
    """Fold white space, so that a re-wrapped prompt still finds its record."""
    return " ".join(text.split())


def tokens_for(cost_usd: float, price: Price, input_tokens: int) -> tuple[int, int]:
    """Return whole token counts whose price is the recorded cost.

    Args:
        cost_usd: What the call was billed, in USD.
        price: Price of the model.
        input_tokens: Estimate of the prompt's length; kept up to the remainder that output tokens cannot carry.

    Returns:
        Input and output tokens; their price is the cost to half an input token, and equal where the bill was made of
        whole tokens and the input price divides the output price.
    """
    units = cost_usd * 1e6
    output_tokens = 0
    if price.output_usd_per_mtok > 0:
        rest = (units - input_tokens * price.input_usd_per_mtok) / price.output_usd_per_mtok
        output_tokens = max(0, floor(rest + 1e-6))
    if price.input_usd_per_mtok > 0:
        rest = (units - output_tokens * price.output_usd_per_mtok) / price.input_usd_per_mtok
        input_tokens = max(0, round(rest))
    return input_tokens, output_tokens


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean quality (0..1) and mean cost (USD per request) of one model."""

    quality: float
    usd: float


def newcomer(means: Mapping[str, Mean], usd_per_request: float) -> str | None:
    """Choose the model whose arrival matters most: the best one that the budget affords for every request.

    The cheapest model is never the newcomer, so that the budget can be met before it comes; None where nothing is left.
    """
    cheapest = min(means, key=lambda model: means[model].usd)
    affordable = [m for m in means if m != cheapest and means[m].usd <= usd_per_request]
    return max(affordable, key=lambda model: means[model].quality, default=None)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What every model would have earned and billed on every prompt.

    Attributes:
        quality: Rewards in [0, 1], shape (n_prompts, n_models), in the order of the world.
        usd: Costs in USD, same shape.
    """

    quality: Array
    usd: Array


async def outcomes(world: World) -> Outcomes:
    """Ask every model every prompt, off the bill, for the comparison with single models.

    Raises:
        DemoError: A model has no answer to a prompt of the stream.
    """
    columns = await asyncio.gather(*(_column(world, model) for model in world.models))
    both = np.array(columns, dtype=np.float64).transpose(1, 0, 2)
    return Outcomes(quality=both[..., 0], usd=both[..., 1])


async def _column(world: World, model: str) -> list[tuple[float, float]]:
    out = []
    for prompt in world.prompts:
        answer = await world.source(model, prompt)
        if answer is None:
            raise DemoError(
                f"{model!r} has no recorded answer to {prompt[:60]!r}; every model needs one to every prompt"
            )
        out.append((answer.reward, world.cost_usd(model, answer)))
    return out
