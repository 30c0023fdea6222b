"""Embeddings: unit vectors, the same for ever."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from learner.embedding import MAX_CHARS, TOKENIZER, WEIGHTS, HashEmbedding, StaticEmbedding, is_complete

VECTORS = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]], dtype=np.float16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A static embedding of three words."""
    tokenizer = Tokenizer(WordLevel({"red": 0, "blue": 1, "green": 2}, unk_token="red"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / TOKENIZER))
    save_file({"embedding.weight": VECTORS}, tmp_path / WEIGHTS)
    return tmp_path


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_a_hashed_text_is_a_unit_vector_or_nothing(text: str) -> None:
    vector = HashEmbedding(size=32).embed(text)
    assert vector.shape == (32,)
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5) or not vector.any()


def test_a_text_without_words_is_the_zero_vector() -> None:
    assert not HashEmbedding().embed(" ... ").any()


def test_hashing_ignores_case_and_sees_the_order_of_words() -> None:
    embed = HashEmbedding().embed
    assert np.array_equal(embed("Red Blue"), embed("red blue"))
    assert not np.array_equal(embed("red blue"), embed("blue red"))
    assert embed("a red house by the sea") @ embed("the red house") > embed("a red house by the sea") @ embed("taxes")


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    long = "word " * (MAX_CHARS // 5)
    assert np.array_equal(HashEmbedding().embed(long + "more"), HashEmbedding().embed(long))


def test_fingerprints_tell_sizes_apart() -> None:
    assert HashEmbedding(size=8).fingerprint != HashEmbedding(size=16).fingerprint


def test_a_static_embedding_is_the_scaled_mean_of_its_tokens(folder: Path) -> None:
    static = StaticEmbedding(folder)
    assert static.size == 2
    assert static.embed("red blue") == pytest.approx(np.full(2, np.sqrt(0.5)))
    assert static.embed("green") == pytest.approx(np.array([0.6, 0.8]))


def test_a_static_embedding_of_nothing_is_zero(folder: Path) -> None:
    assert StaticEmbedding(folder).embed("").tolist() == [0.0, 0.0]


def test_the_fingerprint_is_that_of_the_weights(folder: Path) -> None:
    before = StaticEmbedding(folder).fingerprint
    assert StaticEmbedding(folder).fingerprint == before
    save_file({"embedding.weight": 2.0 * VECTORS}, folder / WEIGHTS)
    assert StaticEmbedding(folder).fingerprint != before


def test_a_folder_is_complete_with_both_files(folder: Path) -> None:
    assert is_complete(folder)
    (folder / TOKENIZER).unlink()
    assert not is_complete(folder)
