"""Everything that is learned, in one place, changed by one writer: a fold of the event log.

`apply` takes one event and its time; replaying the same events gives the same state, bit for bit, which is how the
service recovers. `view` publishes what readers need. Nothing here knows where events come from or where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from learner.accounts import Accounts
from learner.budget import LAMBDA_MIN, Controller, clip_lambda
from learner.cascade import Answers, Prospects
from learner.channel import Rates
from learner.cost import Cost
from learner.drift import KEPT_AFTER_ALARM, DriftMonitor
from learner.errors import InvalidObservation
from learner.exploration import MARGIN, Ledger
from learner.features import Features, components_of
from learner.gate import Contest, contest_of
from learner.joint import MAX_ANSWERS, Joint
from learner.labels import RatedLabels
from learner.lessons import Lesson, Lessons
from learner.merge import believed_merge, last_merge
from learner.outlook import looked_around
from learner.policy import Answered, View
from learner.pool import SERVING, Arm, serving
from learner.quality import UNLABELLED, Label, Quality
from learner.references import References
from learner.shares import note, share
from learner.stacker import Stacker
from learner.taxonomy import Taxonomy
from learner.traffic import Traffic
from learner.trust import Trust
from learner.types import (
    ANSWERING,
    Call,
    Demonstrated,
    Event,
    FloatArray,
    Limits,
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

DEVIATION_GAMMA = 0.98
ADVANCE_REQUESTS = 10.0
LOOK_AROUND_EVERY = 50
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
    drift: DriftMonitor = field(default_factory=DriftMonitor)
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
        state.comparable = np.zeros((2, len(state.taxonomy.names)))
        state.stated = np.zeros((2, len(state.taxonomy.names)))
        state.trust.make_room(0, len(state.taxonomy.names))
        state._advance()
        return state

    def apply(self, event: Event, at_s: float) -> None:
        """Fold one event into the state.

        Args:
            event: What happened.
            at_s: When, in unix seconds, as logged.

        Raises:
            InvalidObservation: the event names an unknown arm or a value out of range; the state is unchanged.
        """
        match event:
            case PoolChanged(arm):
                self._set_arm(arm)
            case ObjectiveChanged(objective, account):
                self._set_objective(objective, account)
            case ParametersChanged():
                self.parameters, self.contest = event.parameters, contest_of(event)
            case Served():
                self._serve(event, at_s)
            case Rated() | Demonstrated():
                self._hear(event, at_s)
            case Probed(served):
                self._serve(served, at_s)
                self._probe(served)
            case Recorded():
                self._read(event)
        self._view = None

    # -- the operator's events ----------------------------------------------------------------------------------

    def _set_arm(self, arm: Arm) -> None:
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
        self._tell_arm(index)

    def _patch_arm(self, index: int, arm: Arm) -> None:
        """Take what the operator says of a known arm; a new price moves every λ as the curve of spend foretells."""
        known = self.arms[index]
        before = self._lambdas_on_curve() if known.prices != arm.prices else {}
        # A patch says what the arm is, not how far its exploration has come; a retired arm may come back.
        keeps = arm.state == "registered" and known.state in SERVING
        self.arms[index] = replace(arm, state=known.state) if keeps else arm
        self._tell_arm(index)
        self._view = None
        after = self._lambdas_on_curve() if before else {}
        for account, lambda_ in after.items():
            controller, start = self.accounts.of(account), before[account]
            # At its lower end the curve says no more than that money was no object: there is nothing to scale then.
            moved = controller.lambda_ * lambda_ / start if start > 2.0 * LAMBDA_MIN else lambda_
            controller.lambda_ = clip_lambda(moved)

    def _tell_arm(self, index: int) -> None:
        categories = len(self.taxonomy.names)
        self.quality.set_arm(index, self.arms[index], categories)
        self.cost.set_arm(index, self.arms[index], categories)
        self.trust.make_room(len(self.arms), categories)

    # -- the price of money ---------------------------------------------------------------------------------------

    def _set_objective(self, objective: Objective | None, account: str | None) -> None:
        if self.accounts.has(account, objective):
            return
        self.accounts.set(account, None if objective is None else self._started(objective))
        if account is None:
            self._advance()

    def _started(self, objective: Objective) -> Controller:
        """Return a controller for an objective, its λ where the curve of spend meets the budget, if that is known."""
        usd = [arm.cost_usd(200, 250) for arm in self.arms if arm.is_routable]
        controller = Controller.of(objective, scale_usd=float(np.median(usd)) if usd else 1e-3)
        traffic = self._traffic()
        if objective.kind == "budget" and traffic is not None:
            controller.lambda_ = self._lambda_on_curve(traffic, float(objective.value or 0.0))
        return controller

    def _lambdas_on_curve(self) -> dict[str | None, float]:
        """Return the λ at which beliefs meet each budget, by account; nothing where there is no curve."""
        traffic = self._traffic()
        if traffic is None:
            return {}
        budgets = self.accounts.budgets_usd
        # Most keys share a few budgets, and a curve takes milliseconds.
        found = {usd: self._lambda_on_curve(traffic, usd) for usd in set(budgets.values())}
        return {account: found[usd] for account, usd in budgets.items()}

    def _lambda_on_curve(self, traffic: Traffic, budget_usd: float) -> float:
        return traffic.lambda_for(self.view(), budget_usd * (1.0 - MARGIN * self.ledger.max_share))

    def _traffic(self) -> Traffic | None:
        """Return what came lately; None before beliefs about it are worth the name, or while no arm is in service."""
        is_known = self.requests >= ENOUGH_FOR_CURVE and self.comparable[0].any()
        if not is_known or not serving(self.arms, Limits()):
            return None
        chars = float(self.cost.chars.sum() / max(self.cost.calls.sum(), 1.0))
        return Traffic(self.comparable[0], self.quality.view().cells, round(chars))

    def _advance(self) -> None:
        """Let exploration spend before any request was paid, so that the first comparisons come early."""
        objective = self.accounts.everybody.objective
        if objective.kind == "budget":
            self.ledger.advance_usd = ADVANCE_REQUESTS * self.ledger.max_share * float(objective.value or 0.0)

    # -- what users and upstreams did ---------------------------------------------------------------------------

    def _serve(self, event: Served, at_s: float) -> None:
        self._check(event.calls)
        fresh = [event.calls[i] for i in event.fresh]
        usd = sum(call.cost_usd for call in fresh)
        self.ledger.spend(usd=usd, explored_usd=sum(call.explored_usd for call in fresh), at_s=at_s)
        self.accounts.of(event.account).settle(
            spent_usd=usd, quality=self._served_quality(event), requests=float(event.is_request)
        )
        if event.is_first:
            self._believe(event)
            self._listen(event)
        if self.contest is not None and event.is_first:
            lesson, lambda_ = self.lessons.of(event.inference_id), self.accounts.of(event.account).lambda_
            self.contest.serve(event, lesson, lambda_=lambda_, usd=usd)
        self._see(event)
        for call in fresh:
            if call.outcome == "ok" and call.purpose in ANSWERING:
                self.cost.observe(self._positions[call.arm], event.context, call)
                note(self.stated, event.context, is_so=call.states_answer)
        if event.is_request:
            self._count(event)

    def _served_quality(self, event: Served) -> float:
        """Believed quality of the answer; only a quality floor has to know it."""
        if self.accounts.of(event.account).objective.kind != "quality_floor" or event.answered_step is None:
            return 0.0
        told = event.context, event.calls, event.scores
        if (merge := last_merge(event.calls)) is not None and merge.step == event.answered_step:
            return believed_merge(self.view(), *told).right
        return float(self.view().answered(*told).right.max(initial=0.0))

    def _listen(self, event: Served) -> None:
        """Learn what the judges' opinions are worth from who agrees with whom, and with what is believed anyway."""
        answers = sum(call.outcome == "ok" and call.purpose in ANSWERING for call in event.calls)
        self.stacker.count(event.scores, answers=answers, category=event.context.category)
        if event.scores:
            answered = self.view().answered(event.context, event.calls, event.scores)
            for belief, features in zip(answered.answers.prior.tolist(), answered.features, strict=True):
                self.stacker.listen(belief, features)
            self._view = None

    def _see(self, event: Served) -> None:
        """Learn from who agreed with whom, before anybody pressed a thumb."""
        answers = [call for call in event.calls if call.outcome == "ok" and call.purpose in ANSWERING]
        is_comparable = any(call.group is not None for call in answers)
        if event.is_first and answers:
            note(self.comparable, event.context, is_so=is_comparable)
        if not is_comparable or len(answers) < 2:
            return
        fresh = {event.calls[i].step for i in event.fresh if event.calls[i].purpose != "judge"}
        if all(call.step not in fresh for call in answers):
            return
        lesson = self.lessons.of(event.inference_id)
        answered = self._answered(event, lesson)
        known = sum(call.step not in fresh for call in answers)
        self.joint.observe(answered.answers.quality, answered.answers.groups, known=known)
        self.trust.tell(event, lesson, answered)
        rates = self.trust.channel.rates(event.context)
        self._learn(event, lesson, lesson.teach(self.view(), event, answered, rates)[0])

    def _believe(self, event: Served) -> None:
        """Note what is believed of an answer when it is served: ratings will tell how far that was right."""
        lesson = self.lessons.of(event.inference_id)
        self.trust.serve(event, lesson, self._answered(event, lesson))

    def _probe(self, event: Served) -> None:
        """Take in what the best judges say of an answer drawn at random."""
        lesson = self.lessons.of(event.inference_id)
        self.trust.probe(event, lesson, self._answered(event, lesson))

    def _hear(self, event: Rated | Demonstrated, at_s: float) -> None:
        """Learn from what somebody said of an inference, as far as that counts for anything."""
        served = event.served
        self._check(served.calls)
        if isinstance(event, Rated) and not 0.0 <= event.reward <= 1.0:
            raise InvalidObservation(f"a reward lies in [0, 1], got {event.reward}")
        lesson = self.lessons.of(served.inference_id)
        answered = self._answered(served, lesson)
        rates = self.trust.channel.rates(served.context)
        weight = self.trust.weight(event, lesson, answered, rates, self.quality.means(), at_s)
        if isinstance(event, Demonstrated) and weight != 0.0:
            self.references.demonstrate(event, components_of(served.context))
        if weight is None:
            return
        if lesson.hear(event, weight):
            self._relabel(served, lesson, answered, rates)
            if self.contest is not None:
                self.contest.hear(served, lesson, rates)

    def _relabel(self, served: Served, lesson: Lesson, answered: Answered, rates: Rates) -> None:
        """Learn what stands of all that was said of an inference, in place of what was learned of it before."""
        labels, rated = lesson.teach(self.view(), served, answered, rates)
        if rated is not None and not lesson.is_weighed:
            # A correction changes the labels; the stacker and the alarms have had their say on this answer.
            lesson.is_weighed = True
            self._weigh(rated, served.context.category)
        self._learn(served, lesson, labels)

    def _answered(self, event: Served, lesson: Lesson) -> Answered:
        """Judge an inference's answers by what was believed of their arms when each was first seen."""
        quality = self.view().quality.mean(event.context)
        for arm in {self._positions[call.arm] for call in event.calls if call.purpose in ANSWERING}:
            quality[arm] = lesson.quality.setdefault(arm, float(quality[arm]))
        return self.view().answered(event.context, event.calls, event.scores, quality)

    def _read(self, event: Recorded) -> None:
        """Learn from outcomes recorded elsewhere: every one a label, all together a comparison."""
        self._check(event.calls)
        if len(event.calls) != len(event.qualities) or not all(0.0 <= q <= 1.0 for q in event.qualities):
            raise InvalidObservation(f"every recorded call needs a quality in [0, 1], got {event.qualities}")
        arms = [self._positions[call.arm] for call in event.calls]
        view = self.view()
        answers = Answers.of(
            tuple(arms),
            [call.group for call in event.calls],
            quality=view.quality.mean(event.context),
            evidence=np.zeros(len(arms)),
            joint=view.joint,
        )
        note(self.comparable, event.context, is_so=answers.is_comparable)
        if answers.is_comparable and 1 < len(arms) <= MAX_ANSWERS:
            self.joint.observe(answers.quality, answers.groups)
        for arm, call, quality in zip(arms, event.calls, event.qualities, strict=True):
            self.cost.observe(arm, event.context, call)
            note(self.stated, event.context, is_so=call.states_answer)
            self.quality.observe(arm, event.context, Label(1.0, quality))
            self.observations += 1

    def _weigh(self, rated: RatedLabels, category: int) -> None:
        """Let one rating move the judges' weights, and raise an alarm where it was far from what was expected."""
        self.stacker.update(rated.features, rated.prior_logit, rated.value, category, rated.weight)
        self._deviate(rated.arm, rated.moved)
        arm = self.arms[rated.arm].id
        seen = rated.expected + rated.weight * (min(max(rated.value, 0.0), 1.0) - rated.expected)
        if self.drift.update(arm, y=seen, expected=rated.expected, at_observation=self.observations):
            self.quality.shrink(rated.arm, KEPT_AFTER_ALARM)
            self.trust.forgotten(rated.arm, KEPT_AFTER_ALARM)

    def _learn(self, event: Served, lesson: Lesson, labels: Mapping[int, Label]) -> None:
        """Take in labels, each in place of what was learned of the same answer before."""
        for arm, label in labels.items():
            if arm not in lesson.labels:
                self.trust.learned(arm)
            lesson.labels[arm] = self.quality.observe(arm, event.context, label, lesson.labels.get(arm, UNLABELLED))
            self.observations += 1

    def _count(self, event: Served) -> None:
        """Keep shares, categories, states and the first guess of λ in step with the traffic."""
        self.requests += 1
        self.shares *= 0.99
        answered = [c for c in event.calls if c.step == event.answered_step and c.purpose in ("answer", "synthesis")]
        for call in answered:
            self.shares[self._positions[call.arm]] += 0.01
        self.taxonomy = self.taxonomy.grow(components_of(event.context), event.context.familiarity)
        self._make_room(len(self.taxonomy.names))
        if self.requests % LOOK_AROUND_EVERY == 0:
            self._look_around()

    def _look_around(self) -> None:
        """Bring the arms' states, and what is worth exploring, up to date with the evidence."""
        means, counts = self.quality.means()
        typical = Prospects(
            quality=means,
            deviation=self.deviation,
            cost_usd=self.cost.means_usd(),
            lambda_=self.accounts.everybody.lambda_,
            comparable=float(share(self.comparable.sum(axis=1))),
            joint=self.joint.view(),
            depth=self.parameters.depth,
            margin=self.parameters.margin,
        )
        self.arms, self.upsides = looked_around(self.arms, counts, typical)

    def _make_room(self, categories: int) -> None:
        missing = categories - self.comparable.shape[1]
        if missing > 0:
            self.comparable = np.pad(self.comparable, ((0, 0), (0, missing)))
            self.stated = np.pad(self.stated, ((0, 0), (0, missing)))
            self.quality.set_categories(categories)
            self.cost.set_categories(categories)
            self.trust.make_room(len(self.arms), categories)

    def _deviate(self, index: int, moved: float) -> None:
        """Track how far the evidence on an answer moves the belief in it."""
        before = self.deviation[index] ** 2
        self.deviation[index] = np.sqrt(DEVIATION_GAMMA * before + (1.0 - DEVIATION_GAMMA) * moved**2)

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
        budget = everybody.objective.value if everybody.objective.kind == "budget" else None
        return View(
            arms=tuple(self.arms),
            positions=self._positions,
            feature_version=self.features.version,
            taxonomy=self.taxonomy,
            quality=self.quality.view(),
            cost=self.cost.view(),
            stacker=self.stacker.view(),
            joint=self.joint.view(),
            deviations=self.deviation.copy(),
            comparability=share(self.comparable),
            statedness=share(self.stated),
            lambda_=everybody.lambda_,
            lambdas=self.accounts.lambdas,
            upsides=self.upsides,
            allowance_usd=self.ledger.allowance_usd,
            request_usd=budget or everybody.spent_usd / max(everybody.requests, 1.0),
            parameters=self.parameters,
            references=self.references.view(),
            challenger=self.contest.challenger if self.contest is not None else None,
            share=self.contest.share if self.contest is not None else 0.0,
        )
