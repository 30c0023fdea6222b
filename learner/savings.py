"""What the service saves, and what that does to quality: requests that a control answered against all others.

Who answers was drawn by lot with known chances, so the difference of two means, each weighed by the inverse of the
chance to be in its group, is caused by the service and by nothing else (Horvitz and Thompson 1952; self-normalised:
Hájek 1971). The quality of an answer is what was believed of it when it was served, corrected where it was rated by how
far that was off (`learner.honest`). Groups come as sums, which a database can make of any number of requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from learner.types import FloatArray

LEAST_REQUESTS = 30
LEAST_RATED = 10
Z = 1.96


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over n values v, each with the inverse w of the chance to be among them: Σw, Σw², Σw⁴, Σwv, Σw²v, Σw²v²."""

    n: int = 0
    w: float = 0.0
    ww: float = 0.0
    wwww: float = 0.0
    wv: float = 0.0
    wwv: float = 0.0
    wwvv: float = 0.0

    @classmethod
    def of(cls, values: FloatArray, chances: FloatArray) -> Sums:
        """Sum values, shape (n,), whose chances to be among them, in (0, 1], were `chances`, shape (n,)."""
        w = 1.0 / chances
        ww = w * w
        told = (
            w.sum(),
            ww.sum(),
            (ww * ww).sum(),
            (w * values).sum(),
            (ww * values).sum(),
            (ww * values * values).sum(),
        )
        return cls(len(values), *map(float, told))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n, self.w + other.w, self.ww + other.ww, self.wwww + other.wwww,
            self.wv + other.wv, self.wwv + other.wwv, self.wwvv + other.wwvv,
        )  # fmt: skip

    @property
    def effective_n(self) -> float:
        """Number of equally weighted values that would tell as much (Kish)."""
        return self.w**2 / self.ww if self.ww > 0.0 else 0.0

    @property
    def degrees(self) -> float:
        """Number of equally weighted values whose variance would be known as well; never more than `effective_n`."""
        return self.ww**2 / self.wwww if self.wwww > 0.0 else 0.0

    @property
    def mean(self) -> float:
        """The weighted mean; not a number without values."""
        return self.wv / self.w if self.w > 0.0 else math.nan

    def variance(self, *, least: float = 0.0) -> float:
        """Return the variance of the mean by linearisation, infinite for fewer than two values.

        Args:
            least: The least variance of a single value that is believed.
        """
        n = self.effective_n
        if n <= 1.0:
            return math.inf
        squares = (self.wwvv - 2.0 * self.mean * self.wwv + self.mean**2 * self.ww) / self.w**2
        return max(squares * n / (n - 1.0), least / n)


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that were answered in one way.

    Args:
        cost_usd: What each cost, all that it caused included.
        quality: What each answer was worth, in expectation in [0, 1].
        rated: How many of these answers were rated.
        models: How many requests each model was given, of a control.
    """

    cost_usd: Sums = Sums()
    quality: Sums = Sums()
    rated: int = 0
    models: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: Group) -> Group:
        return Group(
            self.cost_usd + other.cost_usd, self.quality + other.quality,
            self.rated + other.rated, self.models + other.models,
        )  # fmt: skip

    @property
    def quality_variance(self) -> float:
        """Variance of the mean quality, at least that of right and wrong answers: beliefs must not look certain.

        Where hardly any answer was rated, those few do not show how far the corrections spread: it is then taken to be
        what right and wrong answers give that are seen through so many ratings.
        """
        q = min(max(self.quality.mean, 0.05), 0.95)
        seen = 1.0 if self.rated >= LEAST_RATED else max(self.rated, 1) / max(self.quality.n, 1)
        return self.quality.variance(least=q * (1.0 - q) / seen)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; not numbers where there is nothing to estimate it from."""

    estimate: float
    low: float
    high: float

    @classmethod
    def around(cls, estimate: float, variance: float, n: float) -> Interval:
        """Return the interval of Student's t of n − 1 degrees around an estimate with this variance."""
        half = t_quantile(n - 1.0) * math.sqrt(variance) if math.isfinite(variance) else math.nan
        return cls(estimate, estimate - half, estimate + half)

    @classmethod
    def of_cost(cls, usd: Sums, n: float) -> Interval:
        """Return the interval of a mean cost, taken on the logarithm: a few requests cost many times the usual."""
        if not usd.mean > 0.0:
            return cls(usd.mean, usd.mean, usd.mean)
        log = cls.around(math.log(usd.mean), usd.variance() / usd.mean**2, n)
        return cls(usd.mean, math.exp(log.low), math.exp(log.high))

    def less(self, other: Interval) -> Interval:
        """Return the interval of a difference of independent means (Zou and Donner, Stat. Med. 27 (2008) 1693)."""
        difference = self.estimate - other.estimate
        below = math.hypot(self.estimate - self.low, other.high - other.estimate)
        above = math.hypot(self.high - self.estimate, other.estimate - other.low)
        return Interval(difference, difference - below, difference + above)

    def within(self, least: float, most: float) -> Interval:
        """Return what of the interval is possible at all."""
        return Interval(*(min(max(each, least), most) for each in (self.estimate, self.low, self.high)))

    def times(self, factor: float) -> Interval:
        """Return the interval in another unit; the factor is at least 0."""
        return Interval(factor * self.estimate, factor * self.low, factor * self.high)


@dataclass(frozen=True, slots=True)
class Savings:
    """What the service saved against one control.

    Args:
        auto: The requests that it answered itself.
        control: Those that the control answered.
        saved_usd: Cost of the control less that of the service, USD per request.
        saved_share: The same as a share of the control's cost.
        quality_points: Quality of the service less that of the control, in percentage points.
        reason: Why that is not enough to go by; empty where it is.
    """

    auto: Group
    control: Group
    saved_usd: Interval
    saved_share: Interval
    quality_points: Interval
    reason: str

    @property
    def saved_total_usd(self) -> Interval:
        """What was saved over all requests that the service answered itself."""
        return self.saved_usd.times(float(self.auto.cost_usd.n))


def savings(auto: Group, control: Group) -> Savings:
    """Hold the requests that the service answered against those that a control answered.

    Args:
        auto: Requests that could have become this control and did not become any.
        control: Those that did.
    """
    ours, theirs, n = auto.cost_usd, control.cost_usd, control.cost_usd.degrees
    quality = 100.0 * (auto.quality.mean - control.quality.mean)
    spread = 100.0**2 * (auto.quality_variance + control.quality_variance)
    return Savings(
        auto,
        control,
        Interval.of_cost(theirs, n).less(Interval.of_cost(ours, n)),
        _share(ours, theirs, n),
        Interval.around(quality, spread, control.quality.degrees).within(-100.0, 100.0),
        _reason(auto, control),
    )


def _share(ours: Sums, theirs: Sums, n: float) -> Interval:
    """Return the saved share 1 − ours / theirs; its interval is that of the logarithm of the ratio."""
    if not (ours.mean > 0.0 and theirs.mean > 0.0):
        return Interval(math.nan, math.nan, math.nan)
    variance = ours.variance() / ours.mean**2 + theirs.variance() / theirs.mean**2
    log = Interval.around(math.log(ours.mean / theirs.mean), variance, n)
    return Interval(1.0 - math.exp(log.estimate), 1.0 - math.exp(log.high), 1.0 - math.exp(log.low))


def _reason(auto: Group, control: Group) -> str:
    n, answers = control.cost_usd.n, control.quality.n
    telling = min(control.cost_usd.degrees, auto.cost_usd.degrees)
    # Sums of equal weights differ from their number by rounding.
    if telling < LEAST_REQUESTS - 1e-6:
        is_told_apart = n >= LEAST_REQUESTS or telling <= n - 1
        as_much = f", which tell as much as {telling:.1f} drawn with equal chances" if is_told_apart else ""
        return f"the control answered {n} requests{as_much}: from {LEAST_REQUESTS} on an interval says something"
    rated = min(control.rated, auto.rated)
    if rated < LEAST_RATED:
        return (
            f"{rated} rated answers on one side ({control.rated} of the control's {answers}) are few: until there are "
            f"{LEAST_RATED}, quality is what was believed and no more; the cost is measured"
        )
    return ""


def with_overhead(group: Group, usd: float) -> Group:
    """Add to the cost of every request of a group what was spent for no request in particular."""
    c = group.cost_usd
    squares = c.wwvv + 2.0 * usd * c.wwv + usd**2 * c.ww
    moved = replace(c, wv=c.wv + usd * c.w, wwv=c.wwv + usd * c.ww, wwvv=squares)
    return replace(group, cost_usd=moved)


def t_quantile(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t by Fisher's expansion; within 1 % from four degrees on."""
    d, z = max(degrees, 1.0), Z
    terms = (
        (z**3 + z) / 4.0,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96.0,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384.0,
    )
    return z + sum(term / d**k for k, term in enumerate(terms, 1))
