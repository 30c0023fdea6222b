"""Did the loop close? The checks behind the exit status of the demonstration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.demo.tally import Tally

LEDGER_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about a finished run, whether it holds, and the figures behind it."""

    claim: str
    holds: bool
    figures: str


def loop_checks(tally: Tally, ledger: Mapping[str, Any], learner: Mapping[str, Any]) -> list[Check]:
    """Check a finished run.

    Args:
        tally: The account of the run.
        ledger: The service's `/v1/admin/spend`.
        learner: The service's `/v1/admin/learner`.
    """
    return [
        answers_came(tally),
        answers_are_verbatim(tally),
        *late_model(tally),
        money(tally, ledger),
        events(tally, learner),
    ]


def answers_came(tally: Tally) -> Check:
    """Check that every request was answered and nothing went wrong."""
    first = f"; first error: {tally.errors[0]}" if tally.errors else ""
    holds = len(tally.served) == tally.total and not tally.errors
    return Check("every request was answered", holds, f"{len(tally.served)} of {tally.total}{first}")


def answers_are_verbatim(tally: Tally) -> Check:
    """Check that every answer is that of the model it names, word for word."""
    altered = sum(not answer.verbatim for answer in tally.served)
    return Check("every answer is verbatim that of the model it names", altered == 0, f"{altered} are not")


def late_model(tally: Tally) -> list[Check]:
    """Check that the late model, where the world has one, could be registered."""
    if tally.world.late is None:
        return []
    return [Check("a model joined the pool at run time", tally.joined, tally.world.late)]


def money(tally: Tally, ledger: Mapping[str, Any]) -> Check:
    """Check that the service's ledger equals the upstream's bill within LEDGER_TOLERANCE."""
    total, bill = float(ledger.get("total_usd", 0.0)), tally.bill.total_usd
    holds = bill > 0 and abs(total / bill - 1) <= LEDGER_TOLERANCE
    return Check("the spend ledger equals the upstream's bill", holds, f"ledger ${total:.6f}, bill ${bill:.6f}")


def events(tally: Tally, learner: Mapping[str, Any]) -> Check:
    """Check that every feedback that was accepted has been counted once."""
    counted = int(learner.get("feedback_events", 0))
    holds = counted == tally.feedback_sent > 0
    return Check("every feedback was counted", holds, f"{tally.feedback_sent} sent, {counted} counted")
