"""How far to trust what is said of answers: how it comes about, whose it is, and what it is held against.

One part per concept: the channel, users and keys, honest quality, probes. The state tells them what was served, probed
and rated; they say how much one more rating counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from learner.answered import Answered
from learner.channel import Channel, Rates
from learner.demonstrations import verdicts
from learner.honest import HonestQuality
from learner.labels import believed
from learner.lessons import Lesson
from learner.merge import is_merge
from learner.probes import Probes
from learner.quality import GAMMA, Quality
from learner.raters import LEAST_WEIGHT, Raters, likelihood_of, rater_id
from learner.ratings import DEMONSTRATION
from learner.types import Demonstrated, FloatArray, Rated, Served

# Log-odds of trust that a key has beyond its users' when there is no other: their chance mistakes are no news of it.
ONLY_KEY_CREDIT = 3.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What somebody said of an inference, before it is learned.

    Args:
        event: Who said what.
        rated: The same as a rating; None for a demonstration that the served answer cannot be compared with, and where
            that answer was merged of others.
        arm: Whose answer was served; any of those it was merged of.
        arms: All arms that it labels.
        apart: Probability that the answer is good, before that and apart from what is believed of any model; None where
            nothing else tells.
        after: The same after it, taken at its full weight; None where it does not say.
        rates: How thumbs come about there.
    """

    event: Rated | Demonstrated
    rated: Rated | None
    arm: int
    arms: Sequence[int]
    apart: float | None
    after: float | None
    rates: Rates

    @classmethod
    def of(cls, event: Rated | Demonstrated, answered: Answered, rates: Rates, at: int | None) -> Heard:
        """Collect what is known when something is said of answer `at`; None where it was merged of them."""
        if at is None:
            return cls(event, None, answered.arms[0], answered.arms, None, None, rates)
        rated = as_rating(event)
        after = believed(rated, float(answered.right[at]), rates) if rated is not None else None
        return cls(event, rated, answered.arms[at], labelled(event, answered, at), answered.apart(at), after, rates)

    @property
    def share(self) -> float:
        """How much of one rating it is: what is said of an episode is shared by its answers."""
        share = self.event.share if isinstance(self.event, Rated) else None
        return 1.0 if share is None else share

    @property
    def own(self) -> Rated | None:
        """The rating of the answer itself; None where an episode does not say which answer was to blame."""
        return self.rated if self.rated is not None and self.rated.share is None else None

    def likelihood(self, quality: float | None) -> float | None:
        """Probability that an honest rater would have said this; a rating is read as its side of the middle.

        Where nothing tells of this answer, the model's quality over all queries does, as far as it is known: a category
        is moved too easily. None where nothing tells, or where it does not say whether the answer is good.
        """
        p = quality if self.apart is None else self.apart
        if self.own is None or p is None:
            return None
        return likelihood_of(self.rates if self.own.is_binary else Rates(), p, is_up=is_up(self.own))


@dataclass(slots=True)
class Trust:
    """The mutable parts.

    Args:
        ages: Labels that each arm has seen, shape (m,): the clock by which labels are forgotten.
        unsupported: Ratings that counted for nothing since they pushed away from what the probes support.
    """

    channel: Channel = field(default_factory=Channel)
    users: Raters = field(default_factory=Raters)
    keys: Raters = field(default_factory=Raters)
    honest: HonestQuality = field(default_factory=HonestQuality)
    probes: Probes = field(default_factory=Probes)
    ages: FloatArray = field(default_factory=lambda: np.zeros(0))
    unsupported: int = 0

    def make_room(self, arms: int, categories: int) -> None:
        """Grow to this many arms and categories."""
        self.ages = np.pad(self.ages, (0, max(arms - len(self.ages), 0)))
        self.channel.set_categories(categories)
        self.honest.make_room(arms, categories)
        self.probes.make_room(arms)

    # -- before anybody rates -------------------------------------------------------------------------------------

    def serve(self, event: Served, lesson: Lesson, arm: int) -> None:
        """Take in what was believed of an arm's answer when it was served."""
        self.channel.serve(event.context)
        lesson.seen = event.confidence
        if lesson.seen is not None:
            self.honest.serve(arm, event.context, lesson.seen)

    def tell(self, event: Served, lesson: Lesson, answered: Answered) -> None:
        """Revise what an answer is taken for that nobody has rated yet, now that more is known of it."""
        at = served_at(event, answered)
        if at is None or lesson.seen is None or False in lesson.weights:
            return
        p = answered.apart(at)
        if p is not None:
            self.channel.see(event.context, p, lesson.apart)
            lesson.apart = p

    def probe(self, event: Served, lesson: Lesson, answered: Answered) -> None:
        """Take in what the best judges say of an answer drawn at random."""
        self.tell(event, lesson, answered)
        at = served_at(event, answered)
        p = answered.apart(at) if at is not None else None
        if at is not None and p is not None:
            self.probes.observe(answered.arms[at], p)

    # -- when somebody does ---------------------------------------------------------------------------------------

    def weight(
        self,
        event: Rated | Demonstrated,
        lesson: Lesson,
        answered: Answered,
        rates: Rates,
        quality: Quality,
        at_s: float,
    ) -> float | None:
        """Return what a rating or demonstration counts for, in [0, 1], and learn from it how they come about.

        Args:
            event: What was said; what corrects or joins an earlier rating counts for what that did.
            lesson: What its inference has taught so far.
            answered: The answers.
            rates: How thumbs come about on such queries.
            quality: What is known of the arms by now, read where somebody is weighed by it.
            at_s: When it came, in unix seconds.

        Returns:
            The weight; None where no arm gave the answer.
        """
        known, at = lesson.weight(event), served_at(event.served, answered)
        if known is not None or (at is None and not (answered.arms and is_merge(event.served))):
            return known
        heard = Heard.of(event, answered, rates, at)
        weight = self._allowed(heard, quality, at_s) * self._supported(heard, quality)
        if weight > 0.0 and heard.own is not None:
            self._learn(heard.own, heard, weight, lesson)
        return weight

    def _allowed(self, heard: Heard, quality: Quality, at_s: float) -> float:
        """Return what its user and its key may still count for; too little to be learned is nothing."""
        said, arm = self._raters(heard.event), heard.arm
        if not said:
            return 1.0
        weight, (means, counts) = 1.0, quality.means()
        for raters, name in said:
            own = raters.labels(name, heard.arms, self.ages)
            # Users that all come by one key are weighed one by one; it is in doubt only where all of them press amiss.
            credit = ONLY_KEY_CREDIT if len(said) > 1 and raters is self.keys and not raters.others else 0.0
            # What they have taught themselves speaks neither for nor against them.
            known = {"mean": float(means[arm]), "count": float(counts[arm]), "age": float(self.ages[arm])}
            likelihood = heard.likelihood(raters.quality_apart(name, arm, **known))
            evidence = counts[list(heard.arms)]
            counts_for = raters.weigh(
                name, own, evidence, likelihood=likelihood, at_s=at_s, share=heard.share, credit=credit
            )
            weight = min(weight, counts_for)
        if weight < LEAST_WEIGHT:
            return 0.0
        # So much of a label is the query's, not the arm's.
        ease = float(quality.ease.weights.dot(heard.event.served.context.vector))
        for raters, name in said:
            values = means[list(heard.arms)]
            if heard.after is not None:
                values = np.where(np.array(heard.arms) == arm, heard.after - ease, values)
            raters.count(name, heard.arms, weight * heard.share, values, self.ages)
        return weight

    def _raters(self, event: Rated | Demonstrated) -> list[tuple[Raters, str]]:
        """Return who stands behind a rating, as user and as key; who has no name belongs to the crowd."""
        key = event.served.account
        user = None if event.user is None or event.user == key else rater_id(event.user, key)
        self.users.has_crowd |= user is None
        self.keys.has_crowd |= key is None
        return [(raters, name) for raters, name in ((self.users, user), (self.keys, key)) if name is not None]

    def _supported(self, heard: Heard, quality: Quality) -> bool:
        if heard.after is None or self.probes.supported(heard.arm) is None:
            return True
        allows = self.probes.allows(heard.arm, quality=float(quality.means()[0][heard.arm]), label=heard.after)
        self.unsupported += not allows
        return allows

    def _learn(self, own: Rated, heard: Heard, weight: float, lesson: Lesson) -> None:
        """Learn how ratings come about, and correct honest quality by one of them."""
        context, rates = own.served.context, heard.rates
        if lesson.seen is not None:
            self.honest.rate(heard.arm, context, lesson.seen, self._rectifier(own, rates, lesson.seen), weight)
        self.channel.rate(context, weight, is_binary=own.is_binary)
        if own.is_binary and lesson.apart is not None:
            belief = believed(own, lesson.apart, rates)
            self.channel.press(context, weight, is_up=is_up(own), belief=belief)

    def _rectifier(self, own: Rated, rates: Rates, seen: float) -> float:
        """Return what a rating adds to the belief in its answer, times the share of answers that get one."""
        if own.is_binary:
            return rates.rectifiers(seen)[is_up(own)] * self.channel.pressed
        return own.reward - seen

    # -- forgetting -----------------------------------------------------------------------------------------------

    def learned(self, arm: int) -> None:
        """Let the clock of an arm tick with a new label."""
        self.ages[arm] += 1.0

    def forgotten(self, arm: int, kept: float) -> None:
        """Let the clock of an arm leap where all but a share of its labels was forgotten at once."""
        self.ages[arm] += math.log(kept) / math.log(GAMMA)


def served_at(event: Served, answered: Answered) -> int | None:
    """Return which of the answers was served; None where it is none of them."""
    return answered.steps.index(event.answered_step) if event.answered_step in answered.steps else None


def as_rating(event: Rated | Demonstrated) -> Rated | None:
    """Return what was said as a rating of the served answer; None where that cannot be told from a demonstration."""
    if isinstance(event, Rated):
        return event
    verdict = verdicts(event.seal, event.served).get(event.served.answered_step or 0)
    return None if verdict is None else Rated(event.served, DEMONSTRATION, float(verdict), False, event.user)


def labelled(event: Rated | Demonstrated, answered: Answered, at: int) -> Sequence[int]:
    """Return the arms that get labels by what is said of answer `at`."""
    if answered.answers.after is not None:
        return answered.arms
    told = verdicts(event.seal, event.served) if isinstance(event, Demonstrated) else {}
    return [arm for arm, step in zip(answered.arms, answered.steps, strict=True) if step in told] or [answered.arms[at]]


def is_up(rated: Rated) -> bool:
    """Tell whether a rating speaks for the answer."""
    return rated.reward >= 0.5
