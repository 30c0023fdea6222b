"""What fusion and decomposition share: calls that run at once, texts quoted as data, and one answer made of several.

Everything between the marks is a user's or a model's text. The model that reads it is told to obey none of it, and the
marks are drawn after the texts are there, so that no text can contain them.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from app.exchange import Exchange
from app.requests import input_chars, upstream_body
from app.storage.tables import CallRow, Purpose
from learner.merge import Merged, believed_merge
from learner.panel import most_useful
from learner.policy import View
from learner.types import Context, Limits

CHARS_PER_TOKEN = 4


class Caller(Protocol):
    """The router, as far as a composed answer needs it."""

    @property
    def view(self) -> View:
        """What is believed now."""
        ...

    async def call(
        self,
        exchange: Exchange,
        arm: str,
        *,
        purpose: Purpose = "answer",
        body: Mapping[str, Any] | None = None,
        expected_usd: float | None = None,
    ) -> CallRow | None:
        """Call one arm and record it; None where it failed."""
        ...

    async def judge(self, exchange: Exchange, row: CallRow) -> None:
        """Let the judges whose opinion is worth its price see an answer."""
        ...

    def part_of(self, exchange: Exchange, text: str, *, limit_usd: float) -> Exchange:
        """Begin a part of a request: a query of its own, with a decision of its own."""
        ...

    async def answer_part(self, part: Exchange) -> None:
        """Have a part answered; it has no `answered_step` afterwards where nobody could."""
        ...


@contextmanager
def at_once(exchange: Exchange) -> Iterator[None]:
    """Count the time of calls that run at once only once as time spent waiting."""
    before, began = exchange.upstream_s, time.perf_counter()
    try:
        yield
    finally:
        exchange.upstream_s = before + time.perf_counter() - began


def new_mark() -> str:
    """Return a line that no text which exists already can contain."""
    return f"====={secrets.token_hex(8)}====="


def quoted(mark: str, texts: Sequence[tuple[str, str]]) -> str:
    """Write texts under their titles, verbatim, between marks."""
    return "\n".join([*(f"{mark} {title}\n{text}" for title, text in texts), mark])


def with_note(body: Mapping[str, Any], note: str) -> dict[str, Any]:
    """Return the body for an upstream with a note below the last user turn, so that turns still alternate."""
    *before, last = body["messages"]
    if last.get("role") != "user" or last.get("content") is None:
        return {**upstream_body(body), "messages": [*before, last, {"role": "user", "content": note}]}
    content = last["content"]
    noted = f"{content}\n\n{note}" if isinstance(content, str) else [*content, {"type": "text", "text": note}]
    return {**upstream_body(body), "messages": [*before, {**last, "content": noted}]}


def asked_with(exchange: Exchange, body: Mapping[str, Any]) -> tuple[Context, Limits]:
    """Return context and limits of a request whose query is the exchange's and whose text is longer or shorter."""
    chars = input_chars(body)
    failed = {row.model for row in exchange.rows if row.outcome != "ok" and row.purpose != "judge"}
    limits = replace(
        exchange.limits,
        input_tokens=chars // CHARS_PER_TOKEN,
        unavailable=exchange.limits.unavailable | failed,
    )
    return replace(exchange.context, input_chars=chars), limits


def expected_usd(view: View, context: Context, arm: str) -> float:
    """Return what a call of an arm is expected to cost."""
    return float(view.cost.predict(context)[view.index(arm)])


def serving_for(
    caller: Caller, exchange: Exchange, body: Mapping[str, Any], wanted: str | None, *, limit_usd: float
) -> tuple[str, float] | None:
    """Choose who plans or merges: the wanted model where it may and fits the limit, else the most useful one.

    Returns:
        The model and its expected cost; None where no model fits.
    """
    view = caller.view
    context, limits = asked_with(exchange, body)
    arm = most_useful(view, context, limits, limit_usd=limit_usd, wanted=wanted)
    return (arm, expected_usd(view, context, arm)) if arm is not None else None


async def merge(caller: Caller, exchange: Exchange, body: Mapping[str, Any], wanted: str | None) -> Merged | None:
    """Have a model make one answer of several, and judge that answer like any other.

    Args:
        caller: The router.
        exchange: The request; the merged answer becomes its last call.
        body: What the merging model is sent.
        wanted: The model that shall merge; the view's choice where it is None or may not.

    Returns:
        What is believed of the merged answer; None where nobody could merge for the money that is left.
    """
    chosen = serving_for(caller, exchange, body, wanted, limit_usd=exchange.left_usd)
    if chosen is None:
        return None
    arm, usd = chosen
    row = await caller.call(exchange, arm, purpose="synthesis", body=body, expected_usd=usd)
    if row is None:
        return None
    await caller.judge(exchange, row)
    return believed_merge(caller.view, exchange.context, exchange.calls, exchange.judged)
