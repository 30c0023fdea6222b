from collections.abc import Iterable
from typing import Any

import pytest

from app.providers.completion import NotACompletion
from app.providers.sse import ChunkReader

TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"caf\xc3\xa9"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def read(pieces: Iterable[bytes]) -> list[dict[str, Any]]:
    reader = ChunkReader(limit_bytes=10_000)
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    return chunks + list(reader.end())


def test_a_stream_reads_the_same_however_it_is_cut() -> None:
    stream = TEXT + END + DONE
    whole = read([stream])
    assert [chunk["choices"][0]["delta"] for chunk in whole] == [{"content": "café"}, {}]
    for size in (1, 2, 7, 50):
        assert read(stream[start : start + size] for start in range(0, len(stream), size)) == whole


@pytest.mark.parametrize(
    "stream",
    [
        (TEXT + END + DONE).replace(b"\n", b"\r\n"),
        b": keep-alive\n\nevent: message\nid: 1\n" + TEXT + b"\n\n" + END + DONE,
        (TEXT + END + DONE).replace(b"data: ", b"data:"),
        TEXT + END + DONE.strip(),
        TEXT + END.strip(),
        TEXT + END + DONE + b"data: anything\n\n",
        TEXT.replace(b',"delta"', b',\ndata: "delta"') + END,
    ],
)
def test_what_the_standard_allows_and_upstreams_do_is_read_alike(stream: bytes) -> None:
    assert read([stream]) == read([TEXT + END + DONE])


def test_a_chunk_that_only_counts_tokens_has_no_choices() -> None:
    assert read([TEXT, DONE.replace(b"[DONE]", b'{"usage":{}}'), DONE])[-1] == {"usage": {}, "choices": []}


def test_a_choice_without_a_delta_gets_an_empty_one() -> None:
    stream = b'data: {"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}\n\n'
    assert read([stream])[0]["choices"][0]["delta"] == {}


@pytest.mark.parametrize(
    ("stream", "what"),
    [
        (b"", "without any chunk"),
        (DONE, "without any chunk"),
        (b"<html>bad gateway</html>\n", "without any chunk"),
        (TEXT, "stops before its finish_reason"),
        (TEXT + b'data: {"choices":[{"ind\n\n', "no JSON"),
        (b"data: 5\n\n", "no JSON object"),
        (b'data: {"choices":{}}\n\n', "no list of objects"),
        (b'data: {"choices":[1]}\n\n', "no list of objects"),
        (TEXT * 500, "larger than 10000 bytes"),
        (b"data: " + b"x" * 20_000, "larger than 10000 bytes"),
    ],
)
def test_what_is_no_whole_stream_of_chunks_is_refused(stream: bytes, what: str) -> None:
    with pytest.raises(NotACompletion, match=what):
        read([stream])
