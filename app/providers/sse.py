"""Reading an upstream's server-sent events: from bytes, however they are cut, to checked chunks."""

from collections.abc import Iterator

import orjson

from app.providers.completion import NotACompletion
from app.streaming import Chunk


class ChunkReader:
    """Reads one stream. Feed it bytes as they come, and call `end` when there are no more.

    Args:
        limit_bytes: Size of the whole stream above which it is refused.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._has_choices = False
        self._has_finish_reason = False
        self.is_done = False
        """The stream said that it is over; what follows is ignored."""

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """Yield the chunks that `piece` completes.

        Raises:
            NotACompletion: The stream is too large, or an event is no chunk.
        """
        self._size_bytes += len(piece)
        if self._size_bytes > self._limit_bytes:
            raise NotACompletion(f"is larger than {self._limit_bytes} bytes")
        self._rest += piece
        if b"\n" not in piece:
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            event = self._event_ended_by(bytes(line).removesuffix(b"\r"))
            if event is not None and not self.is_done:
                yield from self._chunks(event)

    def end(self) -> Iterator[Chunk]:
        """Yield what the end of the stream completes, and check that it came to its end.

        Raises:
            NotACompletion: The stream holds no chunk, or stops before its end.
        """
        yield from self.feed(b"\n\n")
        if not self._has_choices:
            raise NotACompletion("is a stream without any chunk of a completion")
        if not (self.is_done or self._has_finish_reason):
            raise NotACompletion("is a stream that stops before its finish_reason and before [DONE]")

    def _event_ended_by(self, line: bytes) -> bytes | None:
        """Return the data of the event that an empty line ends; of all other lines, only `data` counts."""
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        if line or not self._data:
            return None
        data, self._data = b"\n".join(self._data), []
        return data

    def _chunks(self, data: bytes) -> Iterator[Chunk]:
        if data.strip() == b"[DONE]":
            self.is_done = True
            return
        chunk = _checked(data)
        choices = chunk["choices"]
        self._has_choices = self._has_choices or bool(choices)
        self._has_finish_reason = self._has_finish_reason or any(choice.get("finish_reason") for choice in choices)
        yield chunk


def _checked(data: bytes) -> Chunk:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as err:
        raise NotACompletion("is a stream with an event that is no JSON") from err
    if not isinstance(chunk, dict):
        raise NotACompletion("is a stream with an event that is no JSON object")
    choices = chunk.setdefault("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise NotACompletion("is a stream with a chunk whose choices are no list of objects")
    for choice in choices:
        choice["delta"] = choice.get("delta") or {}
    return chunk
