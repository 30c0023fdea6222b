"""From utilities to a draw whose propensity is true, and what exploration may cost.

The first arm is always drawn from a distribution: a sharp softmax over the utilities, mixed with a share for every arm
worth exploring. Where answers can be compared, comparisons in the background teach most, and that share is small. Where
they cannot, only the answer that was served is ever rated: there an arm is tried as often as it may be the best
(Thompson 1933). The stored propensity is the probability of the arm under exactly this distribution.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from learner.types import FloatArray, Objective

TEMPERATURE = 0.004
# Utility below the best one's by which an arm is still drawn as one of the best, and not to find out.
NEAR = 4.0 * TEMPERATURE
DAY_S = 86_400.0
# Costs are known only after they were spent: this much of the caps is planned with.
MARGIN = 0.9
# Answers may turn out longer than foreseen: what is under way is held at so many times its expected cost.
CAUTION = 1.25
LEAST_USD = 1e-12
# So many requests' share of exploration may be spent before the first.
ADVANCE_REQUESTS = 10.0
# Logistic beliefs of this scale have a standard deviation of 1.
LOGISTIC_SCALE = math.sqrt(3.0) / math.pi
LEAST_DEVIATION = 1e-3
# Trials take the doubt about an arm for so much of what it is: most of it while the arm is new, little of it later on.
LEAST_WIDTH, MOST_WIDTH = 0.2, 0.9
NEW_COUNT = 8.0
# What is left for the preferred arm keeps importance weights below 50.
MOST_TRIALS = 0.98
# Log-odds of 32 evenly spaced probabilities: the quantiles of a standard logistic.
QUANTILES = np.log((np.arange(32) + 0.5) / (31.5 - np.arange(32)))
EVENLY = np.linspace(0.0, 1.0, len(QUANTILES))


def mix_with_floor(utilities: FloatArray, *, temperature: float, floors: FloatArray) -> FloatArray:
    """Turn utilities into a selection distribution in which arm i keeps at least `floors[i]`.

    p = (1 − Σ floors) · softmax(u / T) + floors: importance weights stay below 1 / min(floors > 0).

    Args:
        utilities: Expected quality minus λ times cost, shape (k,), finite.
        temperature: Softmax temperature > 0 in units of quality.
        floors: Least probability of every arm, shape (k,), sum in [0, 1].

    Returns:
        Probabilities, shape (k,), summing to 1.

    Raises:
        ValueError: no arm, a utility is not finite, or the floors do not fit.

    Example:
        >>> mix_with_floor(np.zeros(2), temperature=1.0, floors=np.full(2, 0.1))
        array([0.5, 0.5])
    """
    worth, least = utilities.tolist(), floors.tolist()
    if not worth or not math.isfinite(sum(worth)):
        raise ValueError(f"utilities must be finite and not empty, got {utilities}")
    reserved = sum(least)
    if temperature <= 0.0 or min(least) < 0.0 or reserved > 1.0:
        raise ValueError(f"need temperature > 0 and floors >= 0 that sum to at most 1, got {temperature}, {floors}")
    weight = np.exp(np.maximum((utilities - max(worth)) / temperature, -700.0))
    mixed: FloatArray = (1.0 - reserved) / sum(weight.tolist()) * weight + floors
    return mixed


def barred_arms(
    *, values: FloatArray, extra_usd: FloatArray, costs_usd: FloatArray, room_usd: float, most_usd: float
) -> list[int]:
    """Return the arms that must not be drawn: those that are not among the best, and for which there is no money.

    Args:
        values: Expected utility of each arm, shape (k,).
        extra_usd: What a try of each costs, USD ≥ 0, shape (k,).
        costs_usd: Expected cost of each, shape (k,).
        room_usd: The most that one try may cost; negative where nothing may be tried.
        most_usd: The most that a call may be expected to cost which is a try.
    """
    told = values.tolist()
    near = max(told) - NEAR
    each = zip(told, extra_usd.tolist(), costs_usd.tolist(), strict=True)
    return [
        i for i, (value, extra, cost) in enumerate(each)
        if value < near and (CAUTION * extra > room_usd or cost > most_usd)
    ]  # fmt: skip


def confined(probabilities: FloatArray, barred: list[int], best: int) -> FloatArray:
    """Give the probability of arms that must not be drawn to the best one, so that the others keep their floors.

    Args:
        probabilities: Shape (k,), summing to 1.
        barred: Arms that must not be drawn.
        best: One that may.
    """
    if not barred:
        return probabilities
    kept = probabilities.copy()
    kept[barred] = 0.0
    kept[best] += 1.0 - kept.sum()
    return kept


def given_up(*, values: FloatArray, costs_usd: FloatArray, lambda_: float, drawn: int) -> float:
    """Return the quality that drawing an arm is believed to give up against the preferred one, in [0, 1].

    It is the utility given up, apart from the price of the first call: that stands in the books in USD. At depth 1 it
    is the difference of the two qualities.

    Args:
        values: Expected utility of each arm, shape (k,).
        costs_usd: Expected cost of each, shape (k,).
        lambda_: Quality per USD.
        drawn: The arm that was drawn.
    """
    best = int(values.argmax())
    lost = float(values[best] - values[drawn] + lambda_ * (costs_usd[best] - costs_usd[drawn]))
    return min(max(lost, 0.0), 1.0)


def draw(probabilities: FloatArray, rng: np.random.Generator) -> int:
    """Draw an index with these probabilities, shape (k,), by one uniform number."""
    bounds = list(accumulate(probabilities.tolist()))
    return bisect_right(bounds, rng.random() * bounds[-1])


def floors_for(
    *, extra_usd: FloatArray, uncertainty: FloatArray, allowance_usd: float, most: float = 0.1
) -> FloatArray:
    """Share exploration among arms so that its expected extra cost per request stays within an allowance.

    Arms are explored in proportion to how uncertain they are per USD of extra cost.

    Args:
        extra_usd: Extra cost of each arm over the preferred one, USD per request, shape (k,); negative counts as 0.
        uncertainty: Standard deviation of each arm's quality, shape (k,).
        allowance_usd: Expected extra cost allowed per request, USD ≥ 0.
        most: Largest sum of all floors.

    Returns:
        Floors, shape (k,), sum ≤ `most`; expected extra cost ≤ `allowance_usd`.
    """
    if allowance_usd < LEAST_USD or not len(extra_usd):
        return np.zeros(len(extra_usd))
    extra = np.maximum(extra_usd, 0.0)
    price = extra + allowance_usd
    share = uncertainty / price
    share *= most / max(sum(share.tolist()), 1e-12)
    cost = float(share.dot(extra))
    floors: FloatArray = share * min(1.0, allowance_usd / max(cost, 1e-12))
    return floors


def trial_floors(
    *,
    qualities: FloatArray,
    prices: FloatArray,
    deviations: FloatArray,
    extra_usd: FloatArray,
    allowance_usd: float,
    barred: Sequence[int] = (),
) -> FloatArray:
    """Share exploration among arms as often as each may be the best; those that cost extra, as the allowance pays.

    Args:
        qualities: Expected quality of each arm, shape (k,), in (0, 1).
        prices: Its expected cost in units of quality, shape (k,).
        deviations: Standard deviation of its quality, shape (k,).
        extra_usd: What a try of each arm costs, USD ≥ 0, shape (k,); see `extra_usd`.
        allowance_usd: Expected extra cost allowed per request, USD ≥ 0.
        barred: Arms that must not be tried.

    Returns:
        Floors, shape (k,), sum < 1; expected extra cost ≤ `allowance_usd`.
    """
    share = MOST_TRIALS * best_probabilities(qualities - prices, narrowed(qualities, deviations))
    share[list(barred)] = 0.0
    paid = min(1.0, allowance_usd / max(float(share @ extra_usd), LEAST_USD))
    floors: FloatArray = np.where(extra_usd > 0.0, paid * share, share)
    return floors


def narrowed(qualities: FloatArray, deviations: FloatArray) -> FloatArray:
    """Return the deviations that trials go by, shape (k,): the more is known of an arm, the fewer tries its doubt buys.

    Drawing by the whole of it tries arms for longer than pays within the observations that are remembered; by half of
    it, now and then, a good arm with an unlucky start is never tried again (docs/decisions/0024-ease.md).

    Args:
        qualities: Expected quality of each arm, shape (k,), in (0, 1).
        deviations: Standard deviation of its quality, shape (k,).
    """
    variances = np.maximum(deviations, LEAST_DEVIATION) ** 2
    doubts_per_answer = variances / np.maximum(qualities * (1.0 - qualities), LEAST_DEVIATION)
    widths: FloatArray = np.minimum(LEAST_WIDTH + NEW_COUNT * doubts_per_answer, MOST_WIDTH) * deviations
    return widths


def best_probabilities(means: FloatArray, deviations: FloatArray) -> FloatArray:
    """Return how probable each of several independent unknowns is to be the largest, shape (k,), sum 1.

    The unknowns are taken as logistic: ∫ Π F_j dF_i is then a sum of elementary functions. It is taken over the mass of
    each between points, so that none is too narrow to be seen; near the best mean the points lie by its own quantiles.

    Args:
        means: Expectations, shape (k,).
        deviations: Standard deviations, shape (k,).
    """
    scale = LOGISTIC_SCALE * np.maximum(deviations, LEAST_DEVIATION)
    # Of equals, the narrowest needs its own points.
    best = min(range(len(means)), key=list(zip((-means).tolist(), deviations.tolist(), strict=True)).__getitem__)
    # Below the best one's own lower end nothing is ever the largest.
    low, high = means[best] - 8.0 * scale[best], (means + 8.0 * scale).max()
    points = np.concatenate((low + (high - low) * EVENLY, means[best] + scale[best] * QUANTILES))
    points.sort()
    beyond = (means[:, None] - points) / scale[:, None]
    below = 1.0 / (1.0 + np.exp(np.minimum(np.maximum(beyond, -500.0), 500.0)))
    logs = np.log(np.maximum(below, 1e-300))
    others = np.exp(np.add.reduce(logs, 0) - logs)
    between = 0.5 * (others[:, 1:] + others[:, :-1])
    # What lies below all points is never the largest, what lies above them always.
    mass = np.add.reduce((below[:, 1:] - below[:, :-1]) * between, 1) + (1.0 - below[:, -1])
    shares: FloatArray = mass / mass.sum()
    return shares


def extra_usd(*, values: FloatArray, costs_usd: FloatArray, lambda_: float) -> FloatArray:
    """Return what a try of each arm costs, USD ≥ 0, shape (k,): the utility it gives up, and never more than its bill.

    A dear arm that is worth nearly as much as the preferred one costs nearly nothing to try, whatever its bill: λ says
    what the better answer is worth.

    Args:
        values: Expected utility of each arm, shape (k,).
        costs_usd: Expected cost of each, shape (k,).
        lambda_: Quality per USD.
    """
    best = int(values.argmax())
    given_up = (float(values[best]) - values) / max(lambda_, 1e-9)
    extra: FloatArray = np.maximum(np.minimum(costs_usd - float(costs_usd[best]), given_up), 0.0)
    return extra


@dataclass(slots=True)
class Ledger:
    """What exploration has cost against what it may: a share of all spend, and USD a day.

    Args:
        max_share: Largest share of all spend, in [0, 1].
        max_usd_per_day: Largest spend in one day of 86,400 s.
        advance_usd: May be spent before any request was paid, so that learning can start.
    """

    max_share: float = 0.1
    max_usd_per_day: float = 5.0
    advance_usd: float = 0.0
    total_usd: float = 0.0
    explored_usd: float = 0.0
    day: int = 0
    today_usd: float = 0.0

    def spend(self, *, usd: float, explored_usd: float, at_s: float) -> None:
        """Account spend at a time in unix seconds; `explored_usd` is the part that exploration caused."""
        day = int(at_s // DAY_S)
        if day > self.day:
            self.day, self.today_usd = day, 0.0
        self.total_usd += usd
        self.explored_usd += explored_usd
        self.today_usd += explored_usd

    def advance(self, objective: Objective) -> None:
        """Let exploration spend before any request was paid, so that the first comparisons come early."""
        if objective.kind == "budget":
            self.advance_usd = ADVANCE_REQUESTS * self.max_share * float(objective.value or 0.0)

    @property
    def allowance_usd(self) -> float:
        """What exploration may plan to spend now, USD; never negative."""
        by_share = MARGIN * self.max_share * self.total_usd + self.advance_usd - self.explored_usd
        return max(0.0, min(by_share, MARGIN * self.max_usd_per_day - self.today_usd))

    @property
    def room_usd(self) -> float:
        """What one single draw may cost now, USD; never negative: what is left of the day's cap.

        The share is no bound on a single draw: dear arms, whose tries count most early on, would wait too long.
        """
        return max(0.0, self.max_usd_per_day - self.today_usd)


def shadow_arms(costs_usd: FloatArray, uncertainty: FloatArray, *, allowance_usd: float, most: int) -> list[int]:
    """Choose which arms to ask in the background for a comparison: the most uncertain per USD that the allowance pays.

    Args:
        costs_usd: Expected cost of each arm, USD, shape (k,).
        uncertainty: Worth of one more observation of each arm, shape (k,); 0 for arms that were asked already.
        allowance_usd: What may be spent on this comparison.
        most: Largest number of arms.
    """
    chosen: list[int] = []
    left = allowance_usd
    for i in np.argsort(-uncertainty / np.maximum(costs_usd, 1e-9)):
        if len(chosen) < most and uncertainty[i] > 0.0 and costs_usd[i] <= left:
            chosen.append(int(i))
            left -= float(costs_usd[i])
    return chosen
