"""A bounded sample of recent exchanges, in memory only: where quizzes find their queries, whatever is stored.

An exchange enters once it is answered, if its request allows exploration and answers to it can be compared. The newest
ones stay: at most `MOST` of them, of at most `MOST_BYTES` together, for at most `MOST_S`. Nothing of it is written
down, and a restart begins with an empty one.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import orjson

from app.exchange import Exchange
from learner.types import ANSWERING

MOST = 256
MOST_BYTES = 4 * 2**20
MOST_BYTES_EACH = 2**16
MOST_S = 86_400.0
BYTES_PER_LOGPROB = 32


@dataclass(slots=True)
class Sample:
    """The newest exchanges by id, oldest first, with the bytes that each may need; `taken` counts all so far."""

    exchanges: OrderedDict[str, Exchange] = field(default_factory=OrderedDict)
    sizes: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    taken: int = 0

    def take(self, exchange: Exchange) -> None:
        """Keep an exchange that has been answered, if it may be asked again; forget the oldest ones beyond bounds."""
        if exchange.id in self.sizes or not may_be_asked_again(exchange):
            return
        size = size_of(exchange)
        if size > MOST_BYTES_EACH:
            return
        self.exchanges[exchange.id], self.sizes[exchange.id] = exchange, size
        self.bytes += size
        self.taken += 1
        while len(self.exchanges) > MOST or self.bytes > MOST_BYTES:
            self._forget(next(iter(self.exchanges)))

    def since(self, at: float) -> list[Exchange]:
        """Return the exchanges from a time on, oldest first, and forget older ones."""
        for old in [id_ for id_, exchange in self.exchanges.items() if exchange.at < at]:
            self._forget(old)
        return list(self.exchanges.values())

    def _forget(self, id_: str) -> None:
        del self.exchanges[id_]
        self.bytes -= self.sizes.pop(id_)


def may_be_asked_again(exchange: Exchange) -> bool:
    """Tell whether a request allows that further models are asked, and their answers can be compared with its own."""
    if not exchange.limits.explore or exchange.limits.depth == 1 or exchange.decision.stage == "pinned":
        return False
    if exchange.composed is not None or exchange.query.has_images:
        return False
    return any(row.answer_group is not None and row.purpose in ANSWERING for row in exchange.rows)


def size_of(exchange: Exchange) -> int:
    """Estimate the bytes that an exchange needs, with as much again for further answers to it."""
    if exchange.context.input_chars > MOST_BYTES_EACH:
        return exchange.context.input_chars
    answers = sum(len(done.text) + BYTES_PER_LOGPROB * len(done.logprobs) for done in exchange.completions.values())
    return len(orjson.dumps(exchange.body)) + 2 * answers
