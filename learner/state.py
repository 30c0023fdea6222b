"""Everything that is learned, in one place, changed by one writer: a fold of the event log.

`apply` takes one event and its time; replaying the same events gives the same state, bit for bit, which is how the
service recovers. `view` publishes what readers need. Nothing here knows where events come from or where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from learner.accounts import Accounts
from learner.alarms import forget_praise, heed, revise
from learner.answered import Answered, judged
from learner.arrivals import Arrivals
from learner.budget import Controller
from learner.cascade import Prospects
from learner.channel import Rates
from learner.cost import Cost
from learner.drift import Alarm, DriftMonitor
from learner.errors import InvalidObservation
from learner.exploration import MARGIN, Ledger
from learner.features import Features, components_of
from learner.gate import Contest, contest_of
from learner.joint import Joint
from learner.labels import RatedLabels
from learner.lessons import Lesson, Lessons
from learner.outlook import is_due, looked_around
from learner.policy import View
from learner.pool import SERVING, Arm, serving
from learner.pricing import Curve, follow, started
from learner.quality import UNLABELLED, Label, Quality
from learner.recorded import read
from learner.recovery import Recovery
from learner.references import References
from learner.shares import expected, note, share, usual
from learner.stacker import Stacker
from learner.taxonomy import FAMILIAR_COSINE, Taxonomy
from learner.traffic import Traffic
from learner.trust import Trust
from learner.twins import Twins, compare
from learner.types import (
    ANSWERING,
    Call,
    Demonstrated,
    Event,
    FloatArray,
    Freeze,
    Frozen,
    Happened,
    Limits,
    Missed,
    Objective,
    ObjectiveChanged,
    Parameters,
    ParametersChanged,
    PoolChanged,
    Probed,
    Rated,
    Recorded,
    Served,
)

UNKNOWN_UPSIDE = 0.05
ENOUGH_FOR_CURVE = 200


@dataclass(slots=True)
class LearnerState:
    """The mutable state; build it with `LearnerState.start`."""

    features: Features
    taxonomy: Taxonomy
    quality: Quality
    accounts: Accounts
    ledger: Ledger
    parameters: Parameters = field(default_factory=Parameters)
    cost: Cost = field(default_factory=Cost)
    stacker: Stacker = field(default_factory=Stacker)
    joint: Joint = field(default_factory=Joint)
    twins: Twins = field(default_factory=Twins)
    drift: DriftMonitor = field(default_factory=DriftMonitor)
    recovery: Recovery = field(default_factory=Recovery)
    arrivals: Arrivals = field(default_factory=Arrivals)
    freeze: Freeze | None = None
    trust: Trust = field(default_factory=Trust)
    arms: list[Arm] = field(default_factory=list)
    lessons: Lessons = field(default_factory=Lessons)
    references: References = field(default_factory=References)
    contest: Contest | None = None
    deviation: FloatArray = field(default_factory=lambda: np.zeros(0))
    comparable: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    stated: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    observations: int = 0
    requests: int = 0
    upsides: FloatArray = field(default_factory=lambda: np.zeros(0))
    shares: FloatArray = field(default_factory=lambda: np.zeros(0))
    _view: View | None = None
    _positions: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._positions = {arm.id: i for i, arm in enumerate(self.arms)}

    @classmethod
    def start(
        cls, features: Features, objective: Objective, *, max_explore_share: float, max_explore_usd_per_day: float
    ) -> LearnerState:
        """Return the state before any event."""
        state = cls(
            features=features,
            taxonomy=features.seeds,
            quality=Quality(features.size),
            accounts=Accounts(Controller.of(objective, scale_usd=1e-3)),
            ledger=Ledger(max_explore_share, max_explore_usd_per_day),
        )
        state._make_room(len(state.taxonomy.names))
        state.ledger.advance(objective)
        return state

    def apply(self, event: Event, at_s: float) -> None:
        """Fold one event into the state.

        Args:
            event: What happened.
            at_s: When, in unix seconds, as logged.

        Raises:
            InvalidObservation: the event names an unknown arm or a value out of range; the state is unchanged.
        """
        self.drift.at_s = at_s
        match event:
            case Frozen(is_frozen, by):
                self.freeze = (self.freeze or Freeze(at_s, by)) if is_frozen else None
            case Missed(missed):
                self._learn_of(missed, at_s)
            case PoolChanged(arm, arrives):
                self._set_arm(arm, at_s if arrives else None)
            case ObjectiveChanged(objective, account):
                self._set_objective(objective, account)
            case ParametersChanged():
                self.parameters, self.contest = event.parameters, contest_of(event, at_s)
            case _:
                self._take(event, at_s)
        self._view = None

    # -- the operator's events ----------------------------------------------------------------------------------

    def _set_arm(self, arm: Arm, arrived_s: float | None) -> None:
        if arrived_s is not None:
            self.arrivals.arrive(arm.id, arrived_s, request=self.requests, explored_usd=self.ledger.explored_usd)
        index = self._positions.get(arm.id, len(self.arms))
        if index < len(self.arms):
            self._patch_arm(index, arm)
            return
        self.arms.append(arm)
        # A new mapping, since views hold the old one.
        self._positions = {**self._positions, arm.id: index}
        self.deviation = np.append(self.deviation, 0.0)
        self.shares = np.append(self.shares, 0.0)
        self.upsides = np.append(self.upsides, UNKNOWN_UPSIDE)
        self.recovery.add(self.requests)
        self._tell_arm(index)

    def _patch_arm(self, index: int, arm: Arm) -> None:
        """Take what the operator says of a known arm; a new price moves every λ as the curve of spend foretells."""
        known = self.arms[index]
        before = self._lambdas() if known.prices != arm.prices else {}
        # A patch says what the arm is, not how far its exploration has come; a retired arm may come back.
        keeps = arm.state == "registered" and known.state in SERVING
        self.arms[index] = replace(arm, state=known.state, reason=known.reason) if keeps else arm
        self._tell_arm(index)
        self._view = None
        follow(self.accounts, before, self._lambdas() if before else {})

    def _tell_arm(self, index: int) -> None:
        categories = len(self.taxonomy.names)
        self.quality.set_arm(index, self.arms[index], categories)
        self.cost.set_arm(index, self.arms[index], categories)
        self.trust.make_room(len(self.arms), categories)

    # -- the price of money ---------------------------------------------------------------------------------------

    def _set_objective(self, objective: Objective | None, account: str | None) -> None:
        if self.accounts.has(account, objective):
            return
        self.accounts.set(account, None if objective is None else started(objective, self.arms, self._curve()))
        if account is None:
            self.ledger.advance(self.accounts.everybody.objective)

    def _lambdas(self) -> dict[str | None, float]:
        curve = self._curve()
        return {} if curve is None else curve.lambdas(self.accounts.budgets_usd)

    def _curve(self) -> Curve | None:
        """Return what spend is foreseen; None before beliefs are worth the name, or while no arm is in service."""
        is_known = self.requests >= ENOUGH_FOR_CURVE and self.comparable[0].any()
        if not is_known or not serving(self.arms, Limits()):
            return None
        chars = float(self.cost.chars.sum() / max(self.cost.calls.sum(), 1.0))
        traffic = Traffic(self.comparable[0], self.quality.view().cells, round(chars))
        return Curve(traffic, self.view(), 1.0 - MARGIN * self.ledger.max_share)

    # -- what users and upstreams did ---------------------------------------------------------------------------

    def _take(self, event: Happened, at_s: float) -> None:
        """Keep the accounts of what happened, and learn of it; while frozen, that is told again afterwards."""
        served = event.served if isinstance(event, Probed) else event
        if isinstance(served, Served):
            self._pay(served, at_s)
            if served.is_request:
                self._count(served)
        if self.freeze is None:
            self._learn_of(event, at_s)
        if isinstance(served, Served):
            is_over = self.arrivals.follow(served, self.requests, self.shares, self.arms)
            if (is_over or (served.is_request and is_due(self.requests))) and self.freeze is None:
                self._look_around()

    def _pay(self, event: Served, at_s: float) -> None:
        self._check(event.calls)
        fresh = [event.calls[i] for i in event.fresh]
        usd = sum([call.cost_usd for call in fresh])
        self.ledger.spend(usd=usd, explored_usd=sum([call.explored_usd for call in fresh]), at_s=at_s)
        quality = 0.0 if event.answered_step is None else event.confidence or 0.0
        self.accounts.of(event.account).settle(spent_usd=usd, quality=quality, requests=float(event.is_request))

    def _learn_of(self, event: Happened, at_s: float) -> None:
        match event:
            case Rated() | Demonstrated():
                self._hear(event, at_s)
            case Recorded():
                self._read(event)
            case Probed(served):
                self._study(served)
                lesson = self.lessons.of(served.inference_id)
                self.trust.probe(served, lesson, self._answered(served, lesson))
            case Served():
                self._study(event)
                if event.is_request:
                    self._grow(event)

    def _study(self, event: Served) -> None:
        """Learn what an inference tells before anybody rates it."""
        self._check(event.calls)
        context, answers, lesson = event.context, event.answers, self.lessons.of(event.inference_id)
        category, arms = context.category, tuple([self._positions[call.arm] for call in answers])
        foreseen = self.cost.expected_tokens(context, arms)
        fresh = {event.calls[i].step for i in event.fresh}
        self._see(event, lesson, known=sum([call.step not in fresh for call in answers]), foreseen=foreseen)
        if self.contest is not None and event.is_first:
            usd, lambda_ = sum(call.cost_usd for call in event.calls), self.accounts.of(event.account).lambda_
            self.contest.serve(event, lesson, at_s=self.drift.at_s, lambda_=lambda_, usd=usd)
        for arm, call, tokens in zip(arms, answers, foreseen, strict=True):
            if call.step in fresh:
                self.cost.observe(arm, context, call)
                note(self.stated, context, is_so=call.states_answer)
                self._alarm(self.drift.called(call, category, expected=tokens, observation=self.observations))
                if self.recovery.answered(arm, self.requests):
                    self._look_around()

    def _see(self, event: Served, lesson: Lesson, *, known: int, foreseen: Sequence[float]) -> None:
        """Learn from who agreed with whom, and from the judges, before anybody pressed a thumb."""
        answers = event.answers
        if event.is_first:
            self._greet(event, lesson, answers)
        is_told = known < len(answers) > 1 and any(call.group is not None for call in answers)
        if not is_told and not (event.is_first and event.scores):
            # Nothing tells of a lone answer that nobody judged.
            return
        answered = self._answered(event, lesson, foreseen)
        self.trust.tell(event, lesson, answered)
        if event.is_first and event.scores:
            for belief, features in zip(answered.answers.prior.tolist(), answered.features, strict=True):
                self.stacker.listen(belief, features)
        if is_told:
            for pair in sorted(compare(answered.answers, self.joint, self.twins, known=known)):
                forget_praise(self.twins.between(pair), self.quality, self.stacker, self.trust)
            # Only a rating has to be read by how ratings come about.
            rates = self.trust.channel.rates(event.context) if lesson.weights else Rates()
            self._learn(event, lesson, lesson.teach(event, answered, rates)[0])

    def _greet(self, event: Served, lesson: Lesson, answers: Sequence[Call]) -> None:
        """Note what was believed of an answer when it was served: ratings will tell how far that was right."""
        for served in [call.arm for call in answers if call.step == event.answered_step]:
            self.trust.serve(event, lesson, self._positions[served])
        self.stacker.count(event.scores, answers=len(answers), category=event.context.category)
        if answers:
            note(self.comparable, event.context, is_so=any(call.group is not None for call in answers))

    def _hear(self, event: Rated | Demonstrated, at_s: float) -> None:
        """Learn from what somebody said of an inference, as far as that counts for anything."""
        served = event.served
        self._check(served.calls)
        if isinstance(event, Rated) and not 0.0 <= event.reward <= 1.0:
            raise InvalidObservation(f"a reward lies in [0, 1], got {event.reward}")
        lesson = self.lessons.of(served.inference_id)
        answered = self._answered(served, lesson)
        rates = self.trust.channel.rates(served.context)
        weight = self.trust.weight(event, lesson, answered, rates, self.quality, at_s)
        if isinstance(event, Demonstrated) and weight != 0.0:
            self.references.demonstrate(event, components_of(served.context))
        if weight is not None and lesson.hear(event, weight):
            self._relabel(served, lesson, answered, rates)
            if self.contest is not None:
                self.contest.hear(served, lesson, rates)

    def _relabel(self, served: Served, lesson: Lesson, answered: Answered, rates: Rates) -> None:
        """Learn what stands of all that was said of an inference, in place of what was learned of it before."""
        labels, rated = lesson.teach(served, answered, rates)
        if rated is not None and not lesson.is_weighed:
            # A correction changes the labels; the stacker and the alarms have had their say on this answer.
            lesson.is_weighed = True
            self._weigh(rated, served.context.category)
        self._learn(served, lesson, labels)

    def _answered(self, event: Served, lesson: Lesson, foreseen: Sequence[float] | None = None) -> Answered:
        """Judge an inference's answers by what was believed of their arms when each was first seen."""
        asked = {self._positions[call.arm] for call in event.calls if call.purpose in ANSWERING}
        lesson.quality |= self.quality.believed(event.context, asked - lesson.quality.keys())
        context, answers = event.context, event.answers
        arms = tuple([self._positions[call.arm] for call in answers])
        return judged(
            arms,
            answers,
            event.scores,
            quality=np.array([lesson.quality[arm] for arm in arms]),
            tokens=self.cost.expected_tokens(context, arms) if foreseen is None else foreseen,
            usually_stated=expected(self.stated, context) if any("unstated" in c.evidence for c in answers) else 1.0,
            category=context.category,
            stacker=self.stacker.view(),
            joint=self.joint.view(self.twins.pairs),
        )

    def _read(self, event: Recorded) -> None:
        self._check(event.calls)
        arms = [self._positions[call.arm] for call in event.calls]
        read(
            event, arms, joint=self.joint, twins=self.twins, quality=self.quality, cost=self.cost,
            comparable=self.comparable, stated=self.stated,
        )  # fmt: skip
        self.observations += len(arms)

    def _weigh(self, rated: RatedLabels, category: int) -> None:
        """Let one rating move the judges' weights, and raise an alarm where it was far from what was expected."""
        self.stacker.update(
            rated.features, rated.prior_logit, rated.value, category, rated.weight, is_binary=rated.is_binary
        )
        self.deviation[rated.arm] = rated.deviation(float(self.deviation[rated.arm]))
        arm, seen = self.arms[rated.arm].id, rated.seen
        self._alarm(self.drift.rated(arm, category, seen, rated.expected, observation=self.observations))

    def _alarm(self, alarms: list[Alarm]) -> None:
        for alarm in alarms:
            heed(alarm, self._positions[alarm.model], self.quality, self.trust, self.cost, self.recovery)
        if alarms:
            self._look_around()

    def _learn(self, event: Served, lesson: Lesson, labels: Mapping[int, Label]) -> None:
        """Take in labels, each in place of what was learned of the same answer before."""
        for arm, label in labels.items():
            if arm not in lesson.labels:
                self.trust.learned(arm)
            lesson.labels[arm] = self.quality.observe(arm, event.context, label, lesson.labels.get(arm, UNLABELLED))
            self.observations += 1

    def _count(self, event: Served) -> None:
        self.requests += 1
        self.shares *= 0.99
        answered = [c for c in event.calls if c.step == event.answered_step and c.purpose in ("answer", "synthesis")]
        for call in answered:
            self.shares[self._positions[call.arm]] += 0.01

    def _grow(self, event: Served) -> None:
        """Keep the categories in step with the traffic."""
        if event.context.familiarity < FAMILIAR_COSINE:
            self.taxonomy = self.taxonomy.grow(components_of(event.context), event.context.familiarity)
            self._make_room(len(self.taxonomy.names))

    def _look_around(self) -> None:
        """Bring the arms' states, and what is worth exploring, up to date with the evidence."""
        revise(self.recovery, self.arms, self.requests, self.quality, self.trust)
        means, counts = self.quality.means()
        typical = Prospects(
            quality=means,
            deviation=self.deviation,
            cost_usd=self.cost.means_usd(),
            lambda_=self.accounts.everybody.lambda_,
            comparable=usual(self.comparable),
            joint=self.joint.view(self.twins.pairs),
            depth=self.parameters.depth,
            margin=self.parameters.margin,
        )
        self.arms, self.upsides = looked_around(self.arms, counts, self.shares, typical, self.recovery.doubts)

    def _make_room(self, categories: int) -> None:
        missing = categories - self.comparable.shape[1]
        if missing > 0:
            self.comparable, self.stated = (
                np.pad(each, ((0, 0), (0, missing))) for each in (self.comparable, self.stated)
            )
            self.quality.set_categories(categories)
            self.cost.set_categories(categories)
            self.trust.make_room(len(self.arms), categories)

    def _check(self, calls: tuple[Call, ...]) -> None:
        if unknown := [call.arm for call in calls if call.arm not in self._positions]:
            raise InvalidObservation(f"these arms were never in the pool: {', '.join(sorted(unknown))}")

    # -- for readers ------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Publish an immutable copy of what deciding needs; the same one until the next event."""
        if self._view is None:
            self._view = self._publish()
        return self._view

    def _publish(self) -> View:
        everybody = self.accounts.everybody
        return View(
            arms=tuple(self.arms),
            positions=self._positions,
            feature_version=self.features.version,
            taxonomy=self.taxonomy,
            quality=self.quality.view(),
            cost=self.cost.view(),
            stacker=self.stacker.view(),
            joint=self.joint.view(self.twins.pairs),
            deviations=self.deviation.copy(),
            comparability=share(self.comparable),
            statedness=share(self.stated),
            lambda_=everybody.lambda_,
            lambdas=self.accounts.lambdas,
            left_over=self.accounts.left_over,
            upsides=self.upsides,
            allowance_usd=self.ledger.allowance_usd,
            room_usd=self.ledger.room_usd,
            request_usd=everybody.request_usd,
            requests_usd=self.accounts.requests_usd,
            parameters=self.parameters,
            references=self.references.view(),
            arrivals=self.arrivals.known,
            freeze=self.freeze,
            challenger=self.contest.challenger if self.contest is not None else None,
            share=self.contest.share if self.contest is not None else 0.0,
        )
