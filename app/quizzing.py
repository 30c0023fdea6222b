"""Quizzes: a model that arrives answers recent queries in the background, beside models whose answers are known.

The queries come from the sample in memory, whatever is stored. Each answer joins the inference whose query it is and
teaches as a comparison does. What a question costs is reserved before it is asked and until it is learned. Where the
allowance does not pay for it yet, its price is held back from comparisons, so that it comes to be paid; but no quiz
takes more than its part: every quiz under way has the same right to what exploration spends, and so have comparisons.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.background import Background
from app.exchange import Exchange
from app.sample import MOST_S, Sample
from app.storage.batch import Entry
from app.storage.tables import CallRow
from learner.arrivals import Arrival
from learner.exploration import CAUTION, MARGIN
from learner.features import components_of
from learner.policy import View
from learner.pool import refusal, serving
from learner.promise import Caps
from learner.quiz import Question, information, pick
from learner.types import Context, FloatArray

MOST_AT_ONCE = 4
CHOOSE_EVERY = 8
SLICE = 1
# The question whose price is held back, by the name under which it is.
NEXT = "next"
# The upstream refused the request, so it is up.
REFUSALS = (400, 413, 422)


@dataclass(slots=True)
class Quiz:
    """One arm's quiz, as far as this process has come with it.

    Args:
        arm: Who is asked.
        at_s: When it arrived; a model that comes back has another quiz.
        before: Questions that were asked before this process began with it.
        asked: Where the questions lie that it was asked since, by inference.
        told: What each exchange would tell, with the number of its calls when that was found out.
        queue: What to ask next.
        chosen_at: Exchanges that the sample had taken when the queue was last chosen.
        reserved_usd: What its questions under way have reserved.
    """

    arm: str
    at_s: float
    before: int
    asked: dict[str, FloatArray] = field(default_factory=dict)
    told: dict[str, tuple[int, float]] = field(default_factory=dict)
    queue: list[Question] = field(default_factory=list)
    chosen_at: int = 0
    is_choosing: bool = False
    reserved_usd: float = 0.0

    def left(self, arrival: Arrival) -> int:
        """Return how many questions are still to be asked, those under way not counted."""
        return arrival.size - max(arrival.asked, self.before + len(self.asked))


@dataclass(slots=True)
class Quizzing:
    """Keeps the sample, and asks the questions of all quizzes.

    Args:
        background: Makes the calls, and knows what exploration has reserved.
        caps: The most that exploration may cost.
        clock: Seconds since 1970.
    """

    background: Background
    caps: Caps
    clock: Callable[[], float]
    sample: Sample = field(default_factory=Sample)
    _quizzes: dict[str, Quiz] = field(default_factory=dict)
    _under_way: int = 0
    _is_closed: bool = False

    @property
    def contexts(self) -> list[Context]:
        """Features of the queries in the sample, oldest first."""
        return [exchange.context for exchange in self.sample.since(self.clock() - MOST_S)]

    def take(self, exchange: Exchange) -> None:
        """Keep an answered exchange in the sample, and ask what may be asked now."""
        self.sample.take(exchange)
        self.look()

    def look(self) -> None:
        """Ask the questions that the allowance pays for, and hold back the price of the one whose turn it is."""
        self._hold(0.0)
        view = self.background.learning.view
        if not view.arrivals or self._is_closed or view.freeze is not None:
            return
        quizzes = self._open(view)
        for quiz in quizzes:
            self._choose_soon(quiz)
        ready = sorted((quiz for quiz in quizzes if quiz.queue), key=lambda quiz: self._turn(view, quiz))
        choosing = [self._spent_usd(view, quiz) for quiz in quizzes if quiz.is_choosing]
        for quiz in ready:
            # Who chooses its questions just now does not lose its turn by that.
            if any(self._spent_usd(view, quiz) > spent_usd for spent_usd in choosing):
                return
            if not self._ask_next(view, quiz, parts=1 + len(quizzes)):
                return

    def close(self) -> None:
        """Ask nothing more: what is under way shall end."""
        self._is_closed = True

    def _open(self, view: View) -> list[Quiz]:
        """Return the quizzes that ask something more now."""
        down = self.background.pool.unavailable()
        found = []
        for id_, arrival in view.arrivals.items():
            arm = view.arms[view.index(id_)]
            if not arm.is_routable or arrival.is_over(arm.state) or id_ in down:
                continue
            quiz = self._quizzes.get(id_)
            if quiz is None or quiz.at_s != arrival.at_s:
                quiz = self._quizzes[id_] = Quiz(id_, arrival.at_s, arrival.asked)
            if quiz.left(arrival) > 0:
                found.append(quiz)
        return found

    def _turn(self, view: View, quiz: Quiz) -> float:
        """Return what a quiz will have spent once its next question is asked: the least comes first."""
        return self._spent_usd(view, quiz) + quiz.queue[0].cost_usd

    @staticmethod
    def _spent_usd(view: View, quiz: Quiz) -> float:
        return view.arrivals[quiz.arm].quiz_usd + quiz.reserved_usd

    def _ask_next(self, view: View, quiz: Quiz, *, parts: int) -> bool:
        """Ask a quiz' next question; False where the money for it is not there, or enough is under way."""
        price_usd = CAUTION * quiz.queue[0].cost_usd
        if self._under_way >= MOST_AT_ONCE:
            return False
        if price_usd <= view.allowance_usd - self.background.learning.reserved_usd(self.clock()):
            self._start(quiz, quiz.queue.pop(0))
            return True
        if self._turn(view, quiz) <= self._part_usd(view, quiz, parts) + view.request_usd:
            self._hold(quiz.queue[0].cost_usd)
            return False
        return True

    def _part_usd(self, view: View, quiz: Quiz, parts: int) -> float:
        """Return an equal part of what exploration has spent since a model arrived."""
        explored_usd = self.background.journal.spend.total.exploration_usd - view.arrivals[quiz.arm].explored_usd
        return max(explored_usd, 0.0) / parts

    def _hold(self, usd: float) -> None:
        """Keep the expected cost of a question back from whatever else explores."""
        exploring = self.background.learning.exploring
        exploring.release("quiz", NEXT)
        exploring.hold("quiz", NEXT, usd)

    def waits_for(self, arm: str) -> str:
        """Say what a quiz that is not over is doing."""
        quiz = self._quizzes.get(arm)
        if self.background.learning.view.freeze is not None:
            return "learning is frozen"
        if quiz is None or (not quiz.queue and not quiz.reserved_usd):
            return "it waits for requests whose answers can be compared"
        return "it is asked just now" if quiz.reserved_usd else "it waits until the exploration allowance pays for it"

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _choose_soon(self, quiz: Quiz) -> None:
        is_news = self.sample.taken - quiz.chosen_at >= CHOOSE_EVERY
        if not quiz.queue and not quiz.is_choosing and is_news:
            quiz.is_choosing, quiz.chosen_at = True, self.sample.taken
            self.background.keep(self._choose(quiz))

    async def _choose(self, quiz: Quiz) -> None:
        """Fill the queue of a quiz from the sample; requests go on meanwhile."""
        try:
            questions = await self._questions(quiz)
            asked = list(quiz.asked.values())
            # A dearer question could never be paid for.
            budget_usd = MARGIN / CAUTION * self.caps.max_usd_per_day
            quiz.queue = pick(questions, asked=asked, most=MOST_AT_ONCE, budget_usd=budget_usd)
        finally:
            quiz.is_choosing = False
        if quiz.queue:
            # Only where there was nothing to ask is it worth waiting for further requests before the next choice.
            quiz.chosen_at = 0
        self.look()

    async def _questions(self, quiz: Quiz) -> list[Question]:
        told: dict[str, tuple[int, float]] = {}
        questions = []
        for at, exchange in enumerate(self.sample.since(self.clock() - MOST_S)):
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            view = self.background.learning.view
            if exchange.id in quiz.asked or not self._may_ask(view, quiz.arm, exchange):
                continue
            index, calls = view.index(quiz.arm), len(exchange.rows)
            known = quiz.told.get(exchange.id)
            if known is None or known[0] != calls:
                known = calls, information(view, index, exchange.context, exchange.calls, exchange.judged)
            told[exchange.id] = known
            usd = float(view.cost.predict(exchange.context)[index])
            questions.append(Question(exchange.id, components_of(exchange.context), known[1], usd))
        quiz.told = told
        return questions

    def _may_ask(self, view: View, arm: str, exchange: Exchange) -> bool:
        """Tell whether the request's limits allow this model, and it was not asked the same already."""
        if any(row.model == arm for row in exchange.rows) or (exchange.id, arm) in self.background.asking:
            return False
        limits = replace(exchange.limits, unavailable=self.background.pool.unavailable())
        index = view.index(arm)
        is_allowed = refusal(view.arms[index], limits) is None and index in serving(view.arms, limits)
        return is_allowed and view.freeze is None

    # -- asking -------------------------------------------------------------------------------------------------------

    def _start(self, quiz: Quiz, question: Question) -> None:
        quiz.asked[question.id] = question.place
        quiz.reserved_usd += question.cost_usd
        self.background.learning.exploring.hold("quiz", f"{question.id} {quiz.arm}", question.cost_usd)
        self._under_way += 1
        self.background.keep(self._ask(quiz, question))

    async def _ask(self, quiz: Quiz, question: Question) -> None:
        try:
            exchange = self.sample.exchanges.get(question.id)
            if exchange is None or not self._may_ask(self.background.learning.view, quiz.arm, exchange):
                # Forgotten, or forbidden by now: it was never asked.
                del quiz.asked[question.id]
            else:
                await self._answered(quiz, exchange)
        finally:
            quiz.reserved_usd -= question.cost_usd
            self.background.learning.exploring.release("quiz", f"{question.id} {quiz.arm}")
            self._under_way -= 1
        self.look()

    async def _answered(self, quiz: Quiz, exchange: Exchange) -> None:
        """Have one question answered, and wait until the allowance knows of it."""
        background = self.background
        background.pool.breaker.tries(quiz.arm, time.monotonic())
        row = await background.call(exchange, quiz.arm, "quiz")
        # A question is spent when it is asked, which may be a day after its request.
        row.created_at = self.clock()
        self._note(row)
        seq = await background.journal.append(Entry("comparison", exchange.id, self.clock(), {}, (row,)))
        if seq is not None:
            await background.learning.learned(seq)

    def _note(self, row: CallRow) -> None:
        if row.outcome == "ok" or row.status_code in REFUSALS:
            self.background.pool.breaker.succeeded(row.model)
        else:
            self.background.pool.breaker.failed(row.model, time.monotonic())
