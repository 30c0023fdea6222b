"""Which requests are under way, told apart by whether they began before or after a model was taken out of service."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class UnderWay:
    """Requests that have begun and not ended, counted by generation: a new one begins whenever a model drains."""

    generation: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request for as long as it is under way."""
        mine = self.generation
        self.counts[mine] = self.counts.get(mine, 0) + 1
        try:
            yield
        finally:
            self.counts[mine] -= 1
            if not self.counts[mine]:
                del self.counts[mine]
                self._ended.set()

    def turn(self) -> int:
        """Begin a new generation and return the one before it."""
        self.generation += 1
        return self.generation - 1

    def is_over(self, generation: int) -> bool:
        """Tell whether no request of a generation, or of an earlier one, is under way."""
        return all(each > generation for each in self.counts)

    async def over(self, generation: int) -> None:
        """Wait until no request of a generation, or of an earlier one, is under way."""
        while not self.is_over(generation):
            self._ended.clear()
            await self._ended.wait()
