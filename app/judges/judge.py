"""What a judge is: something that turns one answer into prompts for models, and their replies into scores.

A case is one answer with all that may be known of it. A judge is pure: `app.judging` asks its prompts, pays for them
and remembers the replies. Each kind of judge is one file beside this one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.providers.base import Completion
from learner.answers import Answer

VERDICT_TOKENS = 60

Opinion = Mapping[int, float]
"""A score in [0, 1] for the answer of each step that the judge has an opinion on."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that is there: by which step, of which model, what it says, and what it comes to."""

    step: int
    model: str
    text: str
    final: Answer


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge may know.

    Args:
        query: What was asked, as text.
        answer: The answer to be judged.
        rival: Another answer that differs from it, the one that most models gave; None where there is none.
        models: All models that have answered the request.
        category: Where the taxonomy places the query; a seed's name or a later one.
        conversation: The request's messages, and the form that it asked for.
        gives_logprobs: The model that answered says how probable its tokens are.
        embed: Turns a text into its embedding, a unit vector.
    """

    query: str
    answer: Given
    rival: Given | None
    models: frozenset[str]
    category: str
    conversation: Mapping[str, Any]
    gives_logprobs: bool
    embed: Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One upstream request of a judge.

    Args:
        model: Whom to ask.
        about: What it is about, without anything drawn at random: what is about the same has the same reply.
        messages: The chat.
        output_tokens: How long the reply will be.
        most_tokens: How long it may be.
        options: Further fields of the request.
    """

    model: str
    about: tuple[str, ...]
    messages: Sequence[Mapping[str, Any]]
    output_tokens: int = VERDICT_TOKENS
    most_tokens: int = 4 * VERDICT_TOKENS
    options: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Anything that gives opinions on answers."""

    @property
    def id(self) -> str:
        """Name of the judge, and of its feature in the stacker."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """Seconds that a reply may take; what upstreams may take where it says nothing."""
        ...

    def prompts(self, case: Case) -> Sequence[Prompt]:
        """Return what has to be asked for an opinion; nothing where the judge can have none."""
        ...

    def opinion(self, case: Case, replies: Sequence[Completion]) -> Opinion | None:
        """Read the replies, one for each prompt; None where they say nothing that counts."""
        ...
