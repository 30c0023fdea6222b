"""Compare a finished run with each of its models alone and with a static mix of them at the same cost.

The static mix knows the models' true means and answers each request with a model drawn from fixed weights: the upper
concave hull of (cost, quality). It is what an operator could do without a router, so it is the bar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.demo.tally import Tally
from app.demo.worlds import Array, Mean, Outcomes, World

TWO_SIDED_95 = 1.96
POINTS = 100.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the stream over which the pool did not change.

    Attributes:
        quality: What each model would have earned, shape (n, k).
        usd: What each model would have billed, USD, shape (n, k).
        rewards: What the service earned, shape (n,).
        spent_usd: What the upstream billed in this stretch, background calls included.
        available: Columns of the models that were in the pool.
    """

    quality: Array
    usd: Array
    rewards: Array
    spent_usd: float
    available: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The service against single models and against the static mix, over one span of the stream.

    Attributes:
        span: Which requests, in words.
        us: The service's mean quality and mean spend per request.
        singles: The same of each model that was in the pool throughout the span.
        best: The single model of highest quality.
        mix_quality: Quality of the static mix at the service's spend.
        over_mix_points: Points of quality over the mix at equal cost.
        margin_points: Half width of the 95 % interval of `over_mix_points`, from the paired differences.
    """

    span: str
    us: Mean
    singles: Mapping[str, Mean]
    best: str
    mix_quality: float
    over_mix_points: float
    margin_points: float

    @property
    def saved_share(self) -> float:
        """Share of the best single model's cost that was saved; negative where the service cost more."""
        return 1.0 - self.us.usd / self.singles[self.best].usd if self.singles[self.best].usd > 0 else 0.0

    @property
    def saved_usd_per_1k(self) -> float:
        """USD saved per 1,000 requests against the best single model."""
        return (self.singles[self.best].usd - self.us.usd) * 1000

    @property
    def over_best_points(self) -> float:
        """Points of quality over the best single model."""
        return (self.us.quality - self.singles[self.best].quality) * POINTS


def hull(costs: Array, qualities: Array) -> list[int]:
    """Return the models on the upper concave hull, from the cheapest to the best.

    Args:
        costs: Mean cost of each model, shape (k,).
        qualities: Mean quality of each model, shape (k,).
    """
    out: list[int] = []
    for model in sorted(range(len(costs)), key=lambda m: (costs[m], -qualities[m])):
        if out and qualities[model] <= qualities[out[-1]]:
            continue
        while len(out) >= 2 and _is_under(costs, qualities, (out[-2], out[-1], model)):
            out.pop()
        out.append(model)
    return out


def _is_under(costs: Array, qualities: Array, trio: tuple[int, int, int]) -> bool:
    """Say whether the middle model lies on or under the line between the outer two."""
    left, middle, right = trio
    rise = (qualities[middle] - qualities[left]) * (costs[right] - costs[left])
    return bool(rise <= (qualities[right] - qualities[left]) * (costs[middle] - costs[left]))


def mix_weights(costs: Array, qualities: Array, usd: float) -> Array:
    """Return the weights of the best static mix whose mean cost is at most `usd`.

    Args:
        costs: Mean cost of each model, shape (k,).
        qualities: Mean quality of each model, shape (k,).
        usd: Mean cost to compare at. Below the cheapest model's cost the mix is that model: no mix is cheaper.

    Returns:
        Weights that sum to 1, shape (k,), at most two of them above 0.
    """
    corners = hull(costs, qualities)
    weights = np.zeros(len(costs))
    above = next((at for at, model in enumerate(corners) if costs[model] > usd), len(corners))
    if above in (0, len(corners)):
        weights[corners[max(0, above - 1)]] = 1.0
        return weights
    low, high = corners[above - 1], corners[above]
    weights[high] = (usd - costs[low]) / (costs[high] - costs[low])
    weights[low] = 1.0 - weights[high]
    return weights


def mix_rewards(segment: Segment) -> Array:
    """Return what the static mix at the segment's spend is expected to earn on each request, shape (n,)."""
    columns = list(segment.available)
    quality, usd = segment.quality[:, columns], segment.usd[:, columns]
    spend = segment.spent_usd / len(segment.rewards)
    rewards: Array = quality @ mix_weights(usd.mean(axis=0), quality.mean(axis=0), spend)
    return rewards


def compare(span: str, models: Sequence[str], segments: Sequence[Segment]) -> Comparison:
    """Compare over one or more segments; the mix of each segment has that segment's pool and spend."""
    rewards = np.concatenate([segment.rewards for segment in segments])
    mix = np.concatenate([mix_rewards(segment) for segment in segments])
    singles = single_means(models, segments)
    gain = (rewards - mix) * POINTS
    return Comparison(
        span=span,
        us=Mean(float(rewards.mean()), sum(segment.spent_usd for segment in segments) / len(rewards)),
        singles=singles,
        best=max(singles, key=lambda model: (singles[model].quality, -singles[model].usd)),
        mix_quality=float(mix.mean()),
        over_mix_points=float(gain.mean()),
        margin_points=float(TWO_SIDED_95 * gain.std() / np.sqrt(len(gain))),
    )


def single_means(models: Sequence[str], segments: Sequence[Segment]) -> dict[str, Mean]:
    """Return mean quality and cost of every model that was in the pool in all segments."""
    quality = np.concatenate([segment.quality for segment in segments]).mean(axis=0)
    usd = np.concatenate([segment.usd for segment in segments]).mean(axis=0)
    always = set.intersection(*(set(segment.available) for segment in segments))
    return {m: Mean(float(quality[at]), float(usd[at])) for at, m in enumerate(models) if at in always}


def comparisons(tally: Tally, truth: Outcomes) -> tuple[Comparison, Comparison]:
    """Return the comparison over the second half and over the whole run.

    Where a model joined in the middle, the mix of the whole run is put together from the mixes of the halves: it may
    not use a model before that is there.
    """
    world, bill = tally.world, tally.bill.total_usd
    everything = tuple(range(len(world.models)))
    early = tuple(at for at, model in enumerate(world.models) if model != world.late)
    first = segment_of(tally, truth, slice(0, world.arrival), tally.usd_at_arrival, early)
    second = segment_of(tally, truth, slice(world.arrival, None), bill - tally.usd_at_arrival, everything)
    whole = (first, second) if world.late else (segment_of(tally, truth, slice(None), bill, everything),)
    return compare("second half", world.models, (second,)), compare("whole run", world.models, whole)


def segment_of(tally: Tally, truth: Outcomes, rows: slice, spent_usd: float, available: tuple[int, ...]) -> Segment:
    """Cut a stretch out of a finished run."""
    return Segment(truth.quality[rows], truth.usd[rows], tally.rewards()[rows], spent_usd, available)


def verdict(comparison: Comparison) -> str:
    """Say in one sentence how the service stands against the static mix at the same cost."""
    gap, margin = comparison.over_mix_points, comparison.margin_points
    figure = f"{gap:+.1f} ± {margin:.1f} points"
    if gap < 0 and -gap > margin:
        return (
            f"BELOW the static mix at equal cost: {figure}; a fixed random mix of single models would have done better"
        )
    if gap < 0:
        return f"below the static mix at equal cost by less than can be told apart: {figure}"
    if gap <= margin:
        return f"no worse than the static mix at equal cost, by less than can be told apart: {figure}"
    return f"above the static mix at equal cost: {figure}"


def savings(comparison: Comparison) -> str:
    """Say in one sentence what was saved against the best single model, and at what quality."""
    saved = comparison.saved_usd_per_1k
    how, what = ("less", "saved") if saved >= 0 else ("MORE", "lost")
    return (
        f"{abs(comparison.saved_share):.1%} {how} than the best single model ({comparison.best}): "
        f"{abs(saved):.4g} USD {what} per 1,000 requests, {comparison.over_best_points:+.1f} points of quality"
    )


def budget_line(world: World, comparison: Comparison) -> str:
    """Say how the spend stands against the budget."""
    share = comparison.us.usd / world.usd_per_request
    return f"spent {share:.0%} of the budget of {world.usd_per_request * 1000:.4g} USD per 1,000 requests"
