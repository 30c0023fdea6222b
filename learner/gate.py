"""A contest of two versions of the policy on live traffic: does the newer one earn as much as the one before it?

A contest begins with an event of the log that names a challenger and its share of the requests. A *canary* is a
candidate on its way up; in a *hold-back* the former champion keeps a share after its successor was promoted. Either
way each request is drawn for one of the two, so that what they earn differs by the policy alone. A request earns its
utility: how good the answer is believed to be, corrected by ratings, less λ times its cost. What the newer version
gains is followed by a confidence sequence, which may be looked at after every request without losing its level: by
betting, or empirical Bernstein (Howard, Ramdas, McAuliffe & Sekhon, Annals of Statistics 49 (2021) 1055, theorem 4;
Waudby-Smith & Ramdas, JRSS B 86 (2024) 1). The state holds the contest and folds it; what follows from its verdict is
another event of the log.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from learner.channel import Rates
from learner.evaluation import Estimate
from learner.lessons import Lesson
from learner.types import Parameters, ParametersChanged, Phase, Served

Verdict = Literal["worse", "not_worse", "undecided"]

# Chance that a contest ends with the wrong one of two verdicts, whenever it is looked at.
ALPHA = 0.05
# Half of it for either verdict.
ENOUGH = math.log(2.0 / ALPHA)
# Utility by which the newer version may be worse and still pass: no contest could ever show that it is exactly as good.
MARGIN = 0.02
# The first requests only tell what is usual.
WARM_UP = 30
# Of each version, before any verdict.
LEAST_REQUESTS = 20
MOST_REQUESTS = 20_000
# Of requests whose rating may still come.
REMEMBERED = 5_000
# Bets, as shares of the largest one that cannot ruin, mixed with equal weight: small ones find small gains.
BETS = (0.95, 0.7, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)
RISKS = tuple(-math.log1p(-bet) - bet for bet in BETS)


@dataclass(slots=True)
class Earned:
    """What one version's requests have earned."""

    requests: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, reward: float, *, requests: int = 1, sign: float = 1.0) -> None:
        """Count a reward; with `sign` -1 and 0 `requests`, take it back for another one."""
        self.requests += requests
        self.total += sign * reward
        self.squares += sign * reward * reward

    @property
    def mean(self) -> float | None:
        """Mean utility, None before the first request."""
        return self.total / self.requests if self.requests else None

    @property
    def variance(self) -> float | None:
        """Variance of the utility of one request."""
        return None if self.mean is None else max(self.squares / self.requests - self.mean**2, 0.0)


@dataclass(slots=True)
class Contest:
    """Two versions that serve at the same time, and what the newer one gains.

    Args:
        champion: Name of the version that serves most requests.
        challenger: The parameters of the other one.
        share: Probability with which a request is drawn for the challenger, in (0, 1).
        phase: Which of the two is the newer one: in a canary the challenger, in a hold-back the champion.
        since_s: When it began, in unix seconds: requests from before were drawn for others, or otherwise.
        warmed: Requests seen while warming up.
        usual: Their mean reward; rewards are held against it.
        sum: Σ of the gains of single requests, see `_gain`.
        squares: Σ of their squares.
        counted: Quality and price of the newest requests, by inference.
    """

    champion: str
    challenger: Parameters
    share: float
    phase: Phase
    since_s: float
    warmed: int = 0
    usual: float = 0.0
    sum: float = 0.0
    squares: float = 0.0
    champions: Earned = field(default_factory=Earned)
    challengers: Earned = field(default_factory=Earned)
    counted: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def serve(self, event: Served, lesson: Lesson, *, at_s: float, lambda_: float, usd: float) -> None:
        """Count a request that one of the two has decided.

        Args:
            event: The request.
            lesson: What is believed of its answer.
            at_s: When it came, in unix seconds.
            lambda_: Its price of money, quality per USD.
            usd: What it has cost.
        """
        if not event.is_request or at_s < self.since_s or event.policy not in (self.champion, self.challenger.name):
            return
        quality = lesson.seen if event.answered_step is not None else 0.0
        if quality is None:
            return  # An answer made of several is nobody's own.
        price = min(lambda_ * usd, 1.0)
        if self.warmed < WARM_UP:
            self.warmed += 1
            self.usual += (min(max(quality - price, 0.0), 1.0) - self.usual) / self.warmed
            return
        self.counted[event.inference_id] = quality, price
        while len(self.counted) > REMEMBERED:
            self.counted.popitem(last=False)
        self._add(event.policy, quality - price)

    def hear(self, event: Served, lesson: Lesson, rates: Rates) -> None:
        """Put what was said of an answer in place of what was believed of it."""
        known, quality = self.counted.get(event.inference_id), told_quality(lesson, rates)
        if known is None or quality is None or event.policy is None:
            return
        before, price = known
        self._add(event.policy, before - price, requests=0, sign=-1.0)
        self._add(event.policy, quality - price, requests=0)
        self.counted[event.inference_id] = quality, price

    def _add(self, policy: str, reward: float, *, requests: int = 1, sign: float = 1.0) -> None:
        is_challenger = policy == self.challenger.name
        (self.challengers if is_challenger else self.champions).add(reward, requests=requests, sign=sign)
        gain = self._gain(reward, is_newer=is_challenger == (self.phase == "canary"))
        self.sum += sign * gain
        self.squares += sign * gain * gain

    @property
    def newer_share(self) -> float:
        """Probability with which a request is drawn for the newer version."""
        return self.share if self.phase == "canary" else 1.0 - self.share

    def _gain(self, reward: float, *, is_newer: bool) -> float:
        """Return an estimate of what the newer version gains on one request, unbiased over the draw.

        It is the reward beyond the usual one, weighted by the inverse of the probability of whom it was drawn for.
        """
        p = self.newer_share
        return (reward - self.usual) * (1.0 / p if is_newer else -1.0 / (1.0 - p))

    @property
    def requests(self) -> int:
        """Requests counted, of both versions."""
        return self.champions.requests + self.challengers.requests

    def _reach(self) -> tuple[float, float]:
        """Return how far below and above 0 the gain of one request can lie, a reward being in [-1, 1]."""
        p = self.newer_share
        loss, win = 1.0 + self.usual, 1.0 - self.usual
        return max(loss / p, win / (1.0 - p)), max(win / p, loss / (1.0 - p))

    def gain(self) -> Estimate:
        """Return the mean utility that the newer version gains, with an interval that holds at all times."""
        n = max(self.requests, 1)
        below, above = self._reach()
        low = self.sum - boundary(self.squares, below)
        high = self.sum + boundary(self.squares, above)
        return Estimate(self.sum / n, max(low / n, -2.0), min(high / n, 2.0), float(self.requests))

    def verdict(self) -> Verdict | None:
        """Say how the newer version does; None as long as nothing is shown and the contest may go on."""
        if min(self.champions.requests, self.challengers.requests) < LEAST_REQUESTS:
            return None
        below, above = self._reach()
        if is_shown(-self.sum, self.squares, above):
            return "worse"
        if is_shown(self.sum + self.requests * MARGIN, self.squares, below):
            return "not_worse"
        return "undecided" if self.requests >= MOST_REQUESTS else None

    def figures(self) -> dict[str, Any]:
        """Describe the contest in plain numbers."""
        earned = {self.champion: self.champions, self.challenger.name: self.challengers}
        gain = self.gain()
        return {
            "phase": self.phase,
            "share": self.share,
            "requests": self.requests,
            "gain": {"mean": gain.mean, "low": gain.low, "high": gain.high},
            "versions": {
                name: {"requests": own.requests, "utility": own.mean, "variance": own.variance}
                for name, own in earned.items()
            },
        }


def contest_of(event: ParametersChanged, at_s: float) -> Contest | None:
    """Return the contest that a change of the policy begins at a time, None where it names no challenger."""
    if event.challenger is None:
        return None
    return Contest(event.parameters.name, event.challenger, event.share, event.phase, at_s)


def told_quality(lesson: Lesson, rates: Rates) -> float | None:
    """Return how good an answer is taken to be: as its rating says, as far as that counts, else as was believed."""
    said = lesson.own
    if said is None or lesson.seen is None:
        return lesson.seen
    told = rates.unflipped(said.reward) if said.is_binary else said.reward
    return lesson.seen + lesson.weights.get(False, 0.0) * (min(max(told, 0.0), 1.0) - lesson.seen)


def is_shown(total: float, squares: float, reach: float) -> bool:
    """Tell whether the evidence for a positive mean is enough."""
    # The largest bet alone, without what the spread costs it, is more than the evidence can be.
    return BETS[0] / reach * total > ENOUGH and evidence(total, squares, reach) > ENOUGH


def evidence(total: float, squares: float, reach: float) -> float:
    """Return the log of what betting on a positive mean has won; fair bets win more than log(1/α) with probability α.

    Each bet λ wins exp(λ Σx − ψ(λ r) Σx² / r²) with ψ(s) = −log(1 − s) − s, at most Π (1 + λ x), which cannot grow in
    expectation where the mean is not positive (Howard et al. 2021, theorem 4); the mean of several such is another.

    Args:
        total: Σx.
        squares: Σx².
        reach: r; no x is below −r.
    """
    won = [bet / reach * total - risk * squares / (reach * reach) for bet, risk in zip(BETS, RISKS, strict=True)]
    most = max(won)
    return most + math.log(sum(math.exp(each - most) for each in won) / len(won))


def boundary(squares: float, reach: float) -> float:
    """Return the sum that is evidence enough: the root of `evidence` in its total, by Newton's method from above."""
    slopes = [bet / reach for bet in BETS]
    losses = [risk * squares / (reach * reach) for risk in RISKS]
    # One bet alone would need as much; the mean of all is convex, so that each step stays above the root.
    total = min((ENOUGH + math.log(len(BETS)) + loss) / slope for slope, loss in zip(slopes, losses, strict=True))
    for _ in range(8):
        weights = [math.exp(s * total - loss - ENOUGH) for s, loss in zip(slopes, losses, strict=True)]
        height = math.log(sum(weights) / len(weights))
        total -= height * sum(weights) / sum(w * s for w, s in zip(weights, slopes, strict=True))
    return total


def dump(contest: Contest) -> dict[str, Any]:
    """Return a contest as plain values."""
    return asdict(contest)


def restore(values: dict[str, Any]) -> Contest:
    """Rebuild a contest from what `dump` returned."""
    counted = ((name, (quality, price)) for name, (quality, price) in values["counted"].items())
    known = {
        "challenger": Parameters(**values["challenger"]),
        "champions": Earned(**values["champions"]),
        "challengers": Earned(**values["challengers"]),
        "counted": OrderedDict(counted),
    }
    return Contest(**{**values, **known})
