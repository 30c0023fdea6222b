"""Seals: keyed hashes of answers and of what queries hang on, so that these can be compared and need not be kept.

The key is a file of the data directory, made at the first start and never in the database: whoever has the database
alone cannot try out what a short answer may have been. Where the key is lost, seals of the old one equal no new one,
which is seen, and taken for not knowing: a seal is the first four letters of the key's own hash, then the text's hash.
"""

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from app.storage.errors import StorageUnavailable
from learner.answers import Answer
from learner.references import UNSURE, hangs_on

FILE = "seal.key"
KEY_BYTES = 32


class Seals:
    """Makes seals with one key.

    Args:
        key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._name = blake2b(key, digest_size=2).hexdigest()

    @classmethod
    def open(cls, folder: Path) -> "Seals":
        """Read the key of a data directory, or make it.

        Raises:
            StorageUnavailable: it can be neither read nor written.
        """
        path = folder / FILE
        try:
            if not path.is_file() or path.stat().st_size != KEY_BYTES:
                _make(path)
            return cls(path.read_bytes())
        except OSError as err:
            raise StorageUnavailable(f"{path} cannot be used: {err.strerror}; set HEADRACE_DATA_DIR") from err

    def query(self, text: str) -> str:
        """Seal what a query hangs on."""
        return self._seal(hangs_on(text))

    def answer(self, found: Answer, text: str, *, is_sure: bool = True) -> str:
        """Seal an answer: its normal form, or where it has none, its text.

        Args:
            found: What was read from the text.
            text: The whole answer.
            is_sure: Whether it was read with its question known; a short text is then an answer in its final form.
        """
        said = found.key if found.kind != "free" else " ".join(text.split())
        unsure = "" if is_sure or found.kind != "short" else UNSURE
        return f"{found.kind}:{self._seal(said)}{unsure}"

    def whole(self, content: bytes) -> str:
        """Seal what only its like may equal, byte for byte, such as a request's body."""
        return self._name + blake2b(content, digest_size=32, key=self._key).hexdigest()

    def _seal(self, text: str) -> str:
        return self._name + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).hexdigest()


def _make(path: Path) -> None:
    """Write a key that only this user can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
