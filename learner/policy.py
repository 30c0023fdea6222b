"""The readers' half of the learner: an immutable view that decides.

A `View` is published by the state after each batch of learning and swapped in by one assignment. Deciding is pure: the
same view, context, limits and generator give the same decision. `decide` chooses the first arm; after each answer
`next_step` says whether to stop, and with which answer, or whom to ask next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from learner.answered import Answered, judged
from learner.arrivals import Arrival
from learner.cascade import LEAST_COMPARABLE, Answers, Prospects, first_values, next_values
from learner.control import Chance, chances, with_control
from learner.cost import CostView
from learner.errors import FeatureMismatch
from learner.exploration import (
    LEAST_USD,
    NEAR,
    TEMPERATURE,
    barred_arms,
    confined,
    draw,
    extra_usd,
    floors_for,
    given_up,
    mix_with_floor,
    shadow_arms,
    trial_floors,
)
from learner.joint import JointView
from learner.opinions import Doubt, Prospect, most_wanted
from learner.pool import Arm, eligible, serving
from learner.quality import MOST_QUALITY, Belief, Predictor
from learner.references import ReferencesView
from learner.stacker import StackerView
from learner.taxonomy import Taxonomy
from learner.types import (
    Call,
    Context,
    Decision,
    FloatArray,
    Freeze,
    JudgeScore,
    Limits,
    Parameters,
    Stage,
)

# Evidence against an answer, in nats, from which on it is not served only in order to be rated.
TRIAL_FAILED = -1.0
# Log-odds by which an answer is as good as known to be right or wrong.
CERTAIN = 4.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Return the answer of call `step`; `confidence` is the calibrated probability that it is good."""

    step: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Call `arm` next; `gain` is the expected gain in utility."""

    arm: str
    gain: float


@dataclass(frozen=True, slots=True)
class View:
    """Everything a decision needs; arrays are indexed like `arms`, and `positions` says where the arm of an id is.

    `lambdas` holds the prices of money of accounts with objectives of their own, `lambda_` everybody else's; likewise
    `requests_usd` and `request_usd` what a request may cost on average. Exploration plans with `allowance_usd`, and
    none of its draws costs more than `room_usd`. `freeze` is there while nothing is learned. `challenger` is another
    version of the policy, drawn for a `share` of the requests.
    """

    arms: tuple[Arm, ...]
    positions: Mapping[str, int]
    feature_version: str
    taxonomy: Taxonomy
    quality: Predictor
    cost: CostView
    stacker: StackerView
    joint: JointView
    deviations: FloatArray
    comparability: FloatArray
    statedness: FloatArray
    lambda_: float
    lambdas: Mapping[str, float]
    left_over: frozenset[str | None]
    upsides: FloatArray
    allowance_usd: float
    room_usd: float
    request_usd: float
    requests_usd: Mapping[str, float]
    parameters: Parameters
    references: ReferencesView
    arrivals: Mapping[str, Arrival] = field(default_factory=dict)
    freeze: Freeze | None = None
    challenger: Parameters | None = None
    share: float = 0.0

    def drawn(self, rng: np.random.Generator) -> View:
        """Draw the version that decides a request."""
        if self.challenger is None or rng.random() >= self.share:
            return self
        return self.under(self.challenger.name)

    def under(self, policy: str) -> View:
        """Return the version that decided a request, by its name; the champion where that one serves no more."""
        if self.challenger is None or policy != self.challenger.name:
            return self
        return replace(self, parameters=self.challenger, challenger=None, share=0.0)

    def index(self, arm_id: str) -> int:
        """Return the position of an arm."""
        return self.positions[arm_id]

    def check(self, context: Context) -> None:
        """Refuse a context of other features.

        Raises:
            FeatureMismatch: its version is not this view's.
        """
        if context.version != self.feature_version:
            raise FeatureMismatch(f"the context has features {context.version}, this state {self.feature_version}")

    def price(self, limits: Limits) -> float:
        """Return the price of money for a request, in quality per USD: its account's λ times its dial."""
        return self.lambdas.get(limits.account or "", self.lambda_) * limits.price_factor

    def _depth(self, limits: Limits) -> int:
        """Return the most arms that may be asked."""
        return min(limits.depth or self.parameters.depth, self.parameters.depth)

    def _comparable(self, context: Context) -> float:
        """Return the probability that answers to a query can be compared, in [0, 1]."""
        return float(self.comparability[: len(context.categories)].dot(context.categories))

    def _sharpened(self, quality: FloatArray) -> FloatArray:
        """Draw beliefs about one query nearer to the arms' means, or away from them, as re-tuning found best."""
        if self.parameters.sharpness == 1.0:
            return quality
        moved = self.quality.means + self.parameters.sharpness * (quality - self.quality.means)
        return np.minimum(np.maximum(moved, 0.02), 0.98)

    def _believed(self, context: Context) -> Belief:
        """Return what is believed of every arm's answer to a query."""
        found = self.quality.predict(context)
        return found if self.parameters.sharpness == 1.0 else replace(found, mean=self._sharpened(found.mean))

    def _planned(self, quality: FloatArray, limits: Limits) -> FloatArray:
        """Return what to plan a request by, shape (m,): what is believed of every arm, or may be hoped of it.

        Hope rules where a budget is left over. What no plan uses is not learned of, and exploration is a share of a
        spend that stays small: so an arm which had an unlucky start would stay out for good, and the budget unspent.
        """
        account = limits.account if limits.account in self.lambdas else None
        if account not in self.left_over or not limits.explore or self.freeze is not None:
            return quality
        return np.minimum(quality + self.quality.doubts, MOST_QUALITY)

    def prospects(self, context: Context, limits: Limits, quality: FloatArray) -> Prospects:
        """Collect what is believed of every arm on one query, for the cascade; `quality` as predicted, shape (m,)."""
        return Prospects(
            quality=quality,
            deviation=self.deviations,
            cost_usd=self.cost.predict(context),
            lambda_=self.price(limits),
            comparable=self._comparable(context),
            joint=self.joint,
            depth=self._depth(limits),
            margin=self.parameters.margin,
        )

    def decide(
        self, context: Context, limits: Limits, rng: np.random.Generator, *, reserved_usd: float = 0.0
    ) -> Decision:
        """Choose the first arm for a query.

        Args:
            context: Features of the query.
            limits: The request's limits.
            rng: Draws the arm.
            reserved_usd: What exploration under way has reserved of the allowance.

        Raises:
            NoEligibleArm: the limits left no arm.
            FeatureMismatch: the context has other features.
        """
        self.check(context)
        allowed = eligible(self.arms, limits)
        belief = self._believed(context)
        prospects = self.prospects(context, limits, self._planned(belief.mean, limits))
        kept = self._affordable(allowed, belief, prospects.cost_usd, limits)
        index = np.array(kept)
        values, costs_usd = first_values(prospects, index), prospects.cost_usd.take(index)
        extra = extra_usd(values=values, costs_usd=costs_usd, lambda_=prospects.lambda_)
        # Who refuses exploration gets none of its draws, not even where it costs nothing.
        room_usd = self._room_usd(reserved_usd) if limits.explore else -1.0
        barred = barred_arms(
            values=values, extra_usd=extra, costs_usd=costs_usd, room_usd=room_usd, most_usd=limits.explore_usd
        )
        floors = self._floors(values, extra, costs_usd, belief, prospects, index, limits, barred, reserved_usd)
        mixed = mix_with_floor(values, temperature=TEMPERATURE, floors=floors)
        probabilities = confined(mixed, barred, int(values.argmax()))
        drawn = draw(probabilities, rng)
        scores, quality = values.tolist(), None
        explored = scores[drawn] < max(scores) - NEAR
        if explored:
            quality = given_up(values=values, costs_usd=costs_usd, lambda_=prospects.lambda_, drawn=drawn)
        ids = [self.arms[i].id for i in kept]
        decision = Decision(
            arm=ids[drawn],
            probabilities=dict(zip(ids, probabilities.tolist(), strict=True)),
            propensity=float(probabilities[drawn]),
            scores=dict(zip(ids, scores, strict=True)),
            qualities=dict(zip(ids, belief.mean.take(index).tolist(), strict=True)),
            costs_usd=dict(zip(ids, costs_usd.tolist(), strict=True)),
            lambda_=prospects.lambda_,
            stage=stage_of(belief, explored),
            explored_share=float(extra[drawn] / max(costs_usd[drawn], LEAST_USD)) if explored else None,
            policy_version=self.parameters.name,
            category=self.taxonomy.names[int(context.categories.argmax())],
            explored_quality=quality,
        )
        return with_control(decision, self._control_chances(prospects.cost_usd, kept, limits), rng)

    def _control_chances(self, costs_usd: FloatArray, kept: list[int], limits: Limits) -> tuple[Chance, ...]:
        return chances(
            self.arms, kept, limits, qualities=self.quality.means, typical_usd=self.cost.typical_usd,
            costs_usd=costs_usd, request_usd=self.requests_usd.get(limits.account or "", self.request_usd),
        )  # fmt: skip

    def _room_usd(self, reserved_usd: float) -> float:
        """Return what one draw may cost: the share may be overdrawn by one, the day's cap by none."""
        return max(self.room_usd - reserved_usd, 0.0) if self.allowance_usd > reserved_usd else 0.0

    @staticmethod
    def _affordable(kept: list[int], belief: Belief, cost_usd: FloatArray, limits: Limits) -> list[int]:
        """Keep arms within `max_cost_usd` and above `min_quality`; where none is, the cheapest, or the best."""
        if limits.max_cost_usd is not None:
            cheap = [i for i in kept if cost_usd[i] <= limits.max_cost_usd]
            kept = cheap or [min(kept, key=lambda i: cost_usd[i])]
        if limits.min_quality is not None:
            good = [i for i in kept if belief.mean[i] >= limits.min_quality]
            kept = good or [max(kept, key=lambda i: belief.mean[i])]
        return kept

    def _floors(
        self,
        values: FloatArray,
        extra: FloatArray,
        costs_usd: FloatArray,
        belief: Belief,
        prospects: Prospects,
        kept: NDArray[np.intp],
        limits: Limits,
        barred: list[int],
        reserved_usd: float,
    ) -> FloatArray:
        if not limits.explore or len(kept) < 2:
            return np.zeros(len(kept))
        allowance_usd = max(self.allowance_usd - reserved_usd, 0.0)
        deviations = np.sqrt(belief.variance.take(kept))
        if prospects.comparable < LEAST_COMPARABLE:
            return trial_floors(
                qualities=belief.mean.take(kept),
                prices=prospects.lambda_ * costs_usd,
                deviations=deviations,
                extra_usd=extra,
                allowance_usd=min(allowance_usd, self.request_usd),
                barred=barred,
            )
        if barred:
            deviations[barred] = 0.0
        return floors_for(
            extra_usd=costs_usd - float(costs_usd[int(values.argmax())]),
            uncertainty=deviations,
            allowance_usd=min(allowance_usd, 0.02 * self.request_usd),
            most=0.05,
        )

    def answered(
        self,
        context: Context,
        calls: Sequence[Call],
        scores: Sequence[JudgeScore],
        quality: FloatArray | None = None,
    ) -> Answered:
        """Judge the answers that are there: who agrees with whom, and what every signal says.

        Args:
            context: Features of the query.
            calls: All calls of the request so far.
            scores: The judges' scores.
            quality: What was believed of the arms before the answers, shape (m,); predicted where it is not given.
        """
        if quality is None:
            quality = self.quality.mean(context)
        done = [c for c in calls if c.is_answer and c.arm in self.positions]
        arms = tuple([self.positions[c.arm] for c in done])
        return judged(
            arms,
            done,
            scores,
            quality=quality[list(arms)],
            tokens=self.cost.expected_tokens(context, arms),
            usually_stated=float(self.statedness[: len(context.categories)] @ context.categories),
            category=context.category,
            stacker=self.stacker,
            joint=self.joint,
        )

    def next_step(
        self, context: Context, limits: Limits, calls: Sequence[Call], scores: Sequence[JudgeScore]
    ) -> Stop | Ask:
        """Say whether to return an answer or to ask one more arm.

        Args:
            context: Features of the query.
            limits: The request's limits; failing arms stand in `unavailable`.
            calls: All calls of the request so far, at least one of them answered.
            scores: The judges' scores of these answers.
        """
        quality = self._sharpened(self.quality.mean(context))
        answered = self.answered(context, calls, scores, quality)
        best, right = answered.answers.best, answered.right
        stop = Stop(answered.steps[best], float(right[best]))
        if self._is_good_trial(calls, answered.answers):
            return stop
        rest = self._rest(answered, context, limits, calls)
        if not rest:
            return stop
        prospects = self.prospects(context, limits, self._planned(quality, limits))
        stay, values = next_values(prospects, answered.answers, right, rest)
        gain = float(values.max() - stay)
        return Ask(self.arms[rest[int(values.argmax())]].id, gain) if gain > prospects.margin else stop

    @staticmethod
    def _is_good_trial(calls: Sequence[Call], answers: Answers) -> bool:
        """Tell whether the only answer was asked for to be rated, which it can be only if it is served.

        An answer that can be compared is not served for that: agreement tells more than a rating. Nor is one that its
        own evidence speaks against.
        """
        asked = [call for call in calls if call.purpose == "answer"]
        is_trial = len(asked) == 1 and asked[0].explored_share is not None and not answers.is_comparable
        return is_trial and float(answers.evidence[0]) > TRIAL_FAILED

    def _rest(self, answered: Answered, context: Context, limits: Limits, calls: Sequence[Call]) -> list[int]:
        """Return the arms that may still be asked."""
        if len(answered.arms) >= self._depth(limits):
            return []
        asked, joint = answered.arms, self.joint
        rest = [i for i in serving(self.arms, limits) if not any(i == k or joint.are_twins(i, k) for k in asked)]
        if limits.max_cost_usd is None:
            return rest
        left = limits.max_cost_usd - sum(call.cost_usd for call in calls)
        costs_usd = self.cost.predict(context).tolist()
        return [i for i in rest if costs_usd[i] <= left]

    def wanted_judge(
        self,
        context: Context,
        limits: Limits,
        calls: Sequence[Call],
        scores: Sequence[JudgeScore],
        costs_usd: Mapping[str, float],
    ) -> str | None:
        """Return the judge to ask about the newest answer; None where no opinion is worth its price and the delay.

        Args:
            context: Features of the query.
            limits: The request's limits.
            calls: All calls of the request so far, the last answer being the one to judge.
            scores: The judges' scores so far.
            costs_usd: Price of one opinion of each judge that was not asked about this answer yet.
        """
        if not costs_usd:
            return None
        quality = self._sharpened(self.quality.mean(context))
        answered = self.answered(context, calls, scores, quality)
        prospects = self.prospects(context, limits, self._planned(quality, limits))
        rest = self._rest(answered, context, limits, calls)
        bad, now, good = (prospect(answered.told(odds), prospects, rest) for odds in (-CERTAIN, 0.0, CERTAIN))
        return most_wanted(
            Doubt(bad, now, good),
            {judge: self.stacker.separation(judge, context.category) for judge in costs_usd},
            {judge: prospects.lambda_ * usd for judge, usd in costs_usd.items()},
            prospects.margin,
        )

    def shadows(
        self,
        context: Context,
        limits: Limits,
        asked: Sequence[str],
        rng: np.random.Generator,
        *,
        reserved_usd: float = 0.0,
    ) -> list[str]:
        """Choose arms to answer this query in the background, so that all learn from one comparison.

        Asks only where the exploration allowance, less what comparisons under way have reserved, pays for it; most
        queries get none, and none where answers can hardly ever be compared, or while nothing is learned: there a
        comparison teaches nothing.
        """
        if self.freeze is not None or self._comparable(context) < LEAST_COMPARABLE:
            return []
        costs = self.cost.predict(context)
        allowed = {i for i in serving(self.arms, limits) if self.arms[i].id not in asked}
        worth = np.array([upside if i in allowed else 0.0 for i, upside in enumerate(self.upsides)])
        budget = (self.allowance_usd - reserved_usd) * float(rng.uniform(0.2, 1.0))
        chosen = shadow_arms(costs, worth, allowance_usd=budget, most=self.parameters.shadow_arms)
        # A comparison of fewer than three answers says little about who is right.
        return [self.arms[i].id for i in chosen] if len(chosen) + len(asked) >= 3 else []


def prospect(answered: Answered, prospects: Prospects, rest: Sequence[int]) -> Prospect:
    """Return what could be done with the newest answer of a request."""
    right = answered.right
    going_on = float(next_values(prospects, answered.answers, right, rest)[1].max()) if rest else -math.inf
    return Prospect(float(right[-1]), float(right[:-1].max(initial=0.0)), going_on)


def stage_of(belief: Belief, explored: bool) -> Stage:
    """Name what decided: exploration, the learned router's context, or the taxonomy's cells."""
    if explored:
        return "explore"
    return "learned" if belief.is_contextual else "taxonomy"
