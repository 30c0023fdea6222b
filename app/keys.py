"""The keys that open the service: looked up in memory, stored as hashes, changed by the administrator.

A secret is shown once and has 256 random bits. Nobody can guess such a secret from its hash, so plain SHA-256 is
enough: a slow password hash would cost every request milliseconds and protect nothing more. A key is found by its id,
which is no secret; only the comparison of secrets has to take the same time for all of them.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from app.budgets import Budgets
from app.errors import Conflict, NotFound
from app.problems import shown
from app.schemas.keys import ALL_SCOPES, KeyBudget, KeyEntry, KeyScope
from app.storage.batch import Entry
from app.storage.journal import Journal
from app.storage.tables import KeyRow

BOOTSTRAP_ID = "bootstrap"
_TOKEN = re.compile(rb"sk-hr-([0-9a-f]{16})-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Key:
    """A valid key: who it is, what it opens, and the hash of its secret."""

    id: str
    scopes: tuple[KeyScope, ...]
    sha256: str = field(repr=False)

    def has(self, secret: bytes) -> bool:
        """Tell whether a secret is this key's; takes the same time for every wrong one."""
        return hmac.compare_digest(hashed(secret), self.sha256)


def hashed(secret: bytes) -> str:
    """Return the SHA-256 of a secret, in hexadecimal digits."""
    return hashlib.sha256(secret).hexdigest()


class Keys:
    """All keys of the service.

    Args:
        bootstrap: The key from the environment, with all scopes; None where there is none.
        journal: Stores keys.
        budgets: Keeps their accounts.
    """

    def __init__(self, bootstrap: SecretStr | None, journal: Journal, budgets: Budgets) -> None:
        secret = bootstrap.get_secret_value().encode() if bootstrap else None
        self._bootstrap = Key(BOOTSTRAP_ID, ALL_SCOPES, hashed(secret)) if secret else None
        self._journal = journal
        self._budgets = budgets
        self._rows: dict[str, KeyRow] = {}
        self._valid: dict[str, Key] = {}
        self._changing = asyncio.Lock()

    def open(self, stored: Iterable[KeyRow], spent_usd: Mapping[str, float], at: float) -> None:
        """Take over the stored keys, with what each has spent in its present period."""
        for row in stored:
            self._keep(row)
            self._budgets.open(row.id, budget_of(row), at, spent_usd=spent_usd.get(row.id, 0.0))

    @property
    def is_open(self) -> bool:
        """Whether there is no valid key at all, so that the service asks for none."""
        return self._bootstrap is None and not self._valid

    def identify(self, token: bytes) -> Key | None:
        """Return the valid key that a token is, None where it is none."""
        if self._bootstrap is not None and self._bootstrap.has(token):
            return self._bootstrap
        parts = _TOKEN.fullmatch(token)
        key = self._valid.get(parts[1].decode()) if parts else None
        return key if parts and key and key.has(parts[2]) else None

    def rows(self) -> list[KeyRow]:
        """Return all stored keys, revoked ones too, in the order of their creation."""
        return list(self._rows.values())

    async def create(self, entry: KeyEntry, at: float) -> tuple[KeyRow, str]:
        """Make a key, and return it with its token, which nothing keeps.

        Raises:
            Conflict: it would be the first key, and nobody could administer the service any more.
        """
        async with self._changing:
            if "admin" not in entry.scopes and not self._can_administer(self._valid.values()):
                raise Conflict(
                    f"The first key needs the scope admin, and this one would have {', '.join(entry.scopes)}: with it "
                    "the service asks for a key, and nobody could administer it any more. Make an admin key first, or "
                    "start the service with HEADRACE_ADMIN_KEY",
                    param="scopes",
                )
            secret = secrets.token_hex(32)
            row = _row_of(entry, hashed(secret.encode()), at)
            await self._store(row)
            self._budgets.open(row.id, entry.budget, at)
        return row, f"sk-hr-{row.id}-{secret}"

    async def revoke(self, key_id: str, at: float) -> KeyRow:
        """Make a key invalid, at once and for ever; a key that is invalid already stays as it is.

        Raises:
            NotFound: there is no such key.
            Conflict: nobody could administer the service any more.
        """
        async with self._changing:
            row = self._rows.get(key_id)
            if row is None:
                # Shown with care: somebody may have sent a whole key in place of its id.
                raise NotFound(f"There is no key {shown(key_id)}; GET /v1/admin/keys lists them", param="id")
            if row.revoked_at is None:
                if not self._can_administer(key for key in self._valid.values() if key.id != key_id):
                    raise Conflict(
                        f"The key {key_id} is the last one with the scope admin: without it nobody could administer "
                        "the service. Make another one first, or start the service with HEADRACE_ADMIN_KEY",
                        param="id",
                    )
                row = KeyRow(**(row.model_dump() | {"revoked_at": at}))
                await self._store(row)
            return row

    def objective_kind(self, key_id: str | None) -> str | None:
        """Return the kind of a key's own objective, None where it has none."""
        row = self._rows.get(key_id) if key_id is not None else None
        return str(row.objective["kind"]) if row is not None and row.objective else None

    def _can_administer(self, keys: Iterable[Key]) -> bool:
        return self._bootstrap is not None or any("admin" in key.scopes for key in keys)

    async def _store(self, row: KeyRow) -> None:
        # The learner keeps a λ for every key that has an objective of its own, as long as the key is valid.
        objective = row.objective if row.revoked_at is None else None
        await self._journal.append(
            Entry("key", row.id, row.revoked_at or row.created_at, {"objective": objective}, (row,))
        )
        self._keep(row)

    def _keep(self, row: KeyRow) -> None:
        self._rows[row.id] = row
        if row.revoked_at is None:
            self._valid[row.id] = Key(row.id, tuple(row.scopes), row.secret_sha256)
        else:
            self._valid.pop(row.id, None)


def _row_of(entry: KeyEntry, sha256: str, at: float) -> KeyRow:
    return KeyRow(
        id=secrets.token_hex(8),
        name=entry.name,
        secret_sha256=sha256,
        scopes=list(entry.scopes),
        budget_usd=entry.budget.usd if entry.budget else None,
        budget_per=entry.budget.per if entry.budget else None,
        objective=entry.objective.model_dump() if entry.objective else None,
        created_at=at,
    )


def budget_of(row: KeyRow) -> KeyBudget | None:
    """Return the budget of a stored key, None where it has none."""
    if row.budget_usd is None or row.budget_per is None:
        return None
    return KeyBudget(usd=row.budget_usd, per=row.budget_per)
