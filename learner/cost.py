"""What an answer of each arm will cost and how long it will take, learned from the tokens of past calls.

Prices are known and act at once; only token counts are learned: input tokens per character of the request, and output
tokens per category, shrunk to the arm's mean and that to the pool's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from learner.lately import Lately
from learner.pool import Arm
from learner.types import Call, Context, FloatArray

GAMMA = 0.997
PRIOR_OUTPUT_TOKENS = 250.0
PRIOR_INPUT_TOKENS = 150.0
PRIOR_TOKENS_PER_CHAR = 0.25
PRIOR_CHARS = 400.0
PRIOR_COUNT = 3.0

Number = TypeVar("Number", float, FloatArray)


@dataclass(frozen=True, slots=True)
class CostView:
    """An immutable copy that predicts.

    Args:
        input_usd_per_token: Price, shape (m,).
        output_usd_per_token: Price, shape (m,).
        tokens_per_char: Input tokens per character, shape (m,).
        output_tokens: Per arm and category, shape (m, k).
        typical_usd: Expected cost of one call over all queries, shape (m,).
    """

    input_usd_per_token: FloatArray
    output_usd_per_token: FloatArray
    tokens_per_char: FloatArray
    output_tokens: FloatArray
    typical_usd: FloatArray

    def predict(self, context: Context) -> FloatArray:
        """Return the expected cost of one call in USD, shape (m,)."""
        out = self.output_tokens[:, : len(context.categories)].dot(context.categories)
        into = self.tokens_per_char * context.input_chars
        cost: FloatArray = into * self.input_usd_per_token + out * self.output_usd_per_token
        return cost

    def expected_tokens(self, context: Context, arms: Sequence[int]) -> list[float]:
        """Return the expected output tokens of some arms."""
        return tokens_of(self.output_tokens, context, arms)


class Foreseen(NamedTuple):
    """Output tokens by arm and category, (m, k); calls behind the mean of each arm incl. the prior, (m,)."""

    tokens: FloatArray
    calls: FloatArray


@dataclass(slots=True)
class Cost:
    """Discounted sums of every arm; the arm order is the state's.

    Args:
        arms: The pool.
        sums: Calls and output tokens by category, shape (m, 2, k): what is known of an arm lies together.
        chars: Characters asked, shape (m,).
        input_tokens: What these came to, shape (m,).
        seconds: Latency, shape (m,).
        lately: What was foreseen lately, by which calls are measured.
    """

    arms: list[Arm] = field(default_factory=list)
    sums: FloatArray = field(default_factory=lambda: np.zeros((0, 2, 0)))
    chars: FloatArray = field(default_factory=lambda: np.zeros(0))
    input_tokens: FloatArray = field(default_factory=lambda: np.zeros(0))
    seconds: FloatArray = field(default_factory=lambda: np.zeros(0))
    lately: Lately[Foreseen] = field(default_factory=Lately)
    _usd_per_mtok: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    _view: CostView | None = None

    def set_arm(self, index: int, arm: Arm, categories: int) -> None:
        """Add an arm at the end, or replace its prices."""
        if index < len(self.arms):
            self.arms[index] = arm
        else:
            self.arms.append(arm)
            self.sums = np.concatenate([self.sums.reshape(-1, 2, categories), np.zeros((1, 2, categories))])
            for name in ("chars", "input_tokens", "seconds"):
                setattr(self, name, np.append(getattr(self, name), 0.0))
        self.set_prices()

    def set_prices(self) -> None:
        """Take the prices from the arms."""
        self._view = self.lately.fitted = None
        self._usd_per_mtok = np.array([(arm.input_usd_per_mtok, arm.output_usd_per_mtok) for arm in self.arms]).T

    def set_categories(self, categories: int) -> None:
        """Make room for categories that were added."""
        missing = categories - self.sums.shape[2]
        if missing > 0:
            self._view = self.lately.fitted = None
            self.sums = np.pad(self.sums, ((0, 0), (0, 0), (0, missing)))

    def observe(self, index: int, context: Context, call: Call) -> None:
        """Learn the tokens and the latency of one call that was answered."""
        self._view = None
        known = self.lately.fitted or self.measure()
        self.lately.learned(index, 1.0 / float(known.calls[index]))
        sums, shares = self.sums[index], context.categories
        sums *= GAMMA
        calls, tokens = sums[0, : len(shares)], sums[1, : len(shares)]
        calls += shares
        tokens += call.output_tokens * shares
        self.chars[index] = self.chars[index] * GAMMA + context.input_chars
        self.input_tokens[index] = self.input_tokens[index] * GAMMA + call.input_tokens
        self.seconds[index] = self.seconds[index] * GAMMA + call.latency_s

    def forget(self, index: int, kept: float, category: int | None = None) -> None:
        """Forget all but a share of what is known of an arm's calls, or of those of one category."""
        self._view = self.lately.fitted = None
        before = float(self.calls[index].sum())
        forgotten = slice(None) if category is None else category
        self.sums[index, :, forgotten] *= kept
        share = float(self.calls[index].sum()) / max(before, 1e-9)
        for sums in (self.chars, self.input_tokens, self.seconds):
            sums[index] *= share

    @property
    def calls(self) -> FloatArray:
        """Calls by category, shape (m, k)."""
        calls: FloatArray = self.sums[:, 0]
        return calls

    @property
    def output_tokens(self) -> FloatArray:
        """Output tokens of these, shape (m, k)."""
        tokens: FloatArray = self.sums[:, 1]
        return tokens

    def foreseen(self) -> Foreseen:
        """Return what output is foreseen by now."""
        calls, tokens = self._totals()
        means = shrunk(calls, tokens, shrunk(sum(calls.tolist()), sum(tokens.tolist()), PRIOR_OUTPUT_TOKENS))
        return Foreseen(shrunk(self.calls, self.output_tokens, means[:, None]), calls + PRIOR_COUNT)

    def measure(self) -> Foreseen:
        """Return what output was foreseen lately, for lessons."""
        return self.lately.told(self.foreseen)

    def expected_tokens(self, context: Context, arms: Sequence[int]) -> list[float]:
        """Return the output tokens of some arms that were foreseen lately."""
        return tokens_of(self.measure().tokens, context, arms)

    def _totals(self) -> FloatArray:
        """Calls and output tokens, shape (2, m)."""
        totals: FloatArray = np.add.reduce(self.sums, 2).T
        return totals

    def means_usd(self) -> FloatArray:
        """Expected cost of one call of each arm over all queries, USD, shape (m,)."""
        calls, tokens = self._totals()
        out, calls = shrunk(calls, tokens, PRIOR_OUTPUT_TOKENS), calls + PRIOR_COUNT
        into = (self.input_tokens + PRIOR_COUNT * PRIOR_INPUT_TOKENS) / calls
        usd: FloatArray = (into * self._usd_per_mtok[0] + out * self._usd_per_mtok[1]) / 1e6
        return usd

    def view(self) -> CostView:
        """Return an immutable copy for readers; the same one until something is learned."""
        if self._view is None:
            self._view = self._publish()
        return self._view

    def _publish(self) -> CostView:
        into, out = self._usd_per_mtok / 1e6
        ratio = (self.input_tokens + PRIOR_CHARS * PRIOR_TOKENS_PER_CHAR) / (self.chars + PRIOR_CHARS)
        return CostView(
            into, out, tokens_per_char=ratio, output_tokens=self.foreseen().tokens, typical_usd=self.means_usd()
        )


def tokens_of(table: FloatArray, context: Context, arms: Sequence[int]) -> list[float]:
    """Read the output tokens of some arms from a table by arm and category, shape (m, k)."""
    tokens = table[:, : len(context.categories)].dot(context.categories).tolist()
    return [tokens[arm] for arm in arms]


def shrunk(calls: Number, tokens: Number, to: Number | float) -> Number:
    """Return output tokens per call, shrunk to what is usual."""
    return (tokens + PRIOR_COUNT * to) / (calls + PRIOR_COUNT)
