"""What judges were told lately: the same question about the same answer need not be paid for twice."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from app.judges.judge import Prompt
from app.providers.base import Completion

MOST_REPLIES = 1_000


@dataclass(frozen=True, slots=True)
class Replies:
    """The latest replies by judge and content; in memory only, and no more than a thousand."""

    _kept: OrderedDict[str, Completion] = field(default_factory=OrderedDict)

    def get(self, judge: str, prompt: Prompt) -> Completion | None:
        """Return the reply that a judge got to a prompt about the same."""
        key = _key(judge, prompt)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, judge: str, prompt: Prompt, reply: Completion) -> None:
        """Remember a reply, and forget the one that was not used for longest."""
        self._kept[_key(judge, prompt)] = reply
        while len(self._kept) > MOST_REPLIES:
            self._kept.popitem(last=False)


def _key(judge: str, prompt: Prompt) -> str:
    digest = hashlib.sha256()
    for part in (judge, prompt.model, *prompt.about):
        # The length tells where a part ends; a client's text may hold half a surrogate pair.
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
