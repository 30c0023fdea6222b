"""The pool as the service serves it: entries from the file and from the API, their endpoints, and who fails just now.

Every change is an event of the log before it is in force. The breaker is apart from the learner: an upstream that fails
hard is left alone for a while whatever its answers were worth, and nothing is learned from its silence.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.errors import Conflict, ModelNotFound, Unprocessable
from app.providers.base import Endpoint
from app.schemas.pool import ModelEntry, ModelPatch
from app.storage.batch import Entry
from app.storage.journal import Journal
from app.storage.tables import ModelRow, Source
from learner.pool import ArmState

FAILURES_TO_OPEN = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0
PROBE_S = 60.0
DRAINING: ArmState = "draining"
RETIRED: ArmState = "retired"


@dataclass(slots=True)
class Breaker:
    """Leaves a failing upstream alone: after three failures in a row for 1 s, then twice as long each time, up to 15 s.

    After each pause one request tries it, while all others still go elsewhere.
    """

    failures: dict[str, int] = field(default_factory=dict)
    open_until: dict[str, float] = field(default_factory=dict)

    def failed(self, model: str, now_s: float) -> None:
        """Count a failure; the third in a row opens the breaker."""
        self.failures[model] = self.failures.get(model, 0) + 1
        beyond = self.failures[model] - FAILURES_TO_OPEN
        if beyond >= 0:
            self.open_until[model] = now_s + min(FIRST_PAUSE_S * 2.0**beyond, LONGEST_PAUSE_S)

    def tries(self, model: str, now_s: float) -> None:
        """Note that a request is about to call a model; one that was left alone is tried by this request only."""
        if self.failures.get(model, 0) >= FAILURES_TO_OPEN:
            self.open_until[model] = now_s + PROBE_S

    def succeeded(self, model: str) -> None:
        """Close the breaker."""
        self.failures.pop(model, None)
        self.open_until.pop(model, None)

    def unavailable(self, now_s: float) -> frozenset[str]:
        """Return the models to leave alone now."""
        return frozenset(model for model, until in self.open_until.items() if now_s < until)


class Pool:
    """The models that are served, by id.

    Args:
        journal: Where changes are logged.
        environ: Variables that hold the upstreams' keys.
    """

    def __init__(self, journal: Journal, environ: Mapping[str, str]) -> None:
        self._journal = journal
        self._environ = environ
        self._rows: dict[str, ModelRow] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._changing = asyncio.Lock()
        self.breaker = Breaker()

    async def open(self, stored: Iterable[ModelRow], configured: Iterable[ModelEntry], at: float) -> None:
        """Take over the stored models, then let the file win for those it names; what it no longer names retires.

        A model that was draining retires too: nothing is under way any more.
        """
        for row in stored:
            self._keep(row)
        # The first models of all are each other's equals: none of them arrives.
        is_new, named = not self._rows, {entry.id: entry for entry in configured}
        for entry in named.values():
            known = self._rows.get(entry.id)
            if not _is_served(known):
                await self._log(entry, "config", at, arrives=not is_new)
            elif known is not None and known.entry != entry.model_dump(mode="json"):
                await self._log(entry, "config", at)
        for row in list(self._rows.values()):
            is_gone = row.source == "config" and row.id not in named
            if row.retired_at is None and (is_gone or row.state == DRAINING):
                await self.retire(row.id, at)

    def entry(self, model: str) -> ModelEntry:
        """Return a served model's entry.

        Raises:
            ModelNotFound: there is no such model, or it is retired.
        """
        row = self._rows.get(model)
        if row is None or not _is_served(row):
            raise self._unknown(model, " any more: it is draining" if row and row.state == DRAINING else "")
        return ModelEntry.model_validate(row.entry)

    def _unknown(self, model: str, why: str = "") -> ModelNotFound:
        known = ", ".join(sorted(self.ids())) or "none"
        return ModelNotFound(f"The model {model!r} is not in the pool{why}; use auto or one of: {known}", param="model")

    def ids(self) -> list[str]:
        """Return the ids of the served models, in the order of their registration."""
        return [row.id for row in self._rows.values() if _is_served(row)]

    def rows(self) -> list[ModelRow]:
        """Return the models that are not retired, draining ones too, in the order of their registration."""
        return [row for row in self._rows.values() if row.retired_at is None]

    def row(self, model: str) -> ModelRow:
        """Return a model with its source and times, a draining one too.

        Raises:
            ModelNotFound: there is no such model, or it is retired.
        """
        row = self.history(model)
        if row.retired_at is not None:
            raise self._unknown(model)
        return row

    def history(self, model: str) -> ModelRow:
        """Return a model with its source and times, wherever its life stands.

        Raises:
            ModelNotFound: there never was such a model.
        """
        if model not in self._rows:
            raise self._unknown(model)
        return self._rows[model]

    def endpoint(self, model: str) -> Endpoint:
        """Return where a served model is called; the model is known to exist."""
        return self._endpoints[model]

    def unavailable(self) -> frozenset[str]:
        """Return the models whose upstream fails just now."""
        return self.breaker.unavailable(time.monotonic())

    def is_fake(self, model: str) -> bool:
        """Tell whether a model is answered by the built-in fake provider."""
        return bool(self._rows[model].entry["provider"] == "fake")

    async def register(self, entry: ModelEntry, at: float) -> ModelRow:
        """Add a model.

        Raises:
            Conflict: a model of that id is already served, or draining.
        """
        async with self._changing:
            known = self._rows.get(entry.id)
            if known is not None and known.state == DRAINING:
                raise Conflict(f"The model {entry.id!r} is draining; try again when it is retired", param="id")
            if _is_served(known):
                raise Conflict(f"The model {entry.id!r} is already in the pool; change it with PATCH", param="id")
            return await self._log(entry, "api", at, arrives=True)

    async def patch(self, model: str, patch: ModelPatch, at: float) -> ModelRow:
        """Change prices, limits or capabilities; in force at once.

        Raises:
            ModelNotFound: there is no such model.
        """
        async with self._changing:
            return await self._log(patch.applied_to(self.entry(model)), self._rows[model].source, at)

    async def drain(self, model: str, at: float) -> ModelRow:
        """Give a model no new requests; what has begun may still call it.

        Raises:
            ModelNotFound: there is no such model, or it is draining already.
        """
        async with self._changing:
            return await self._log(self.entry(model), self._rows[model].source, at, state=DRAINING)

    async def retire(self, model: str, at: float) -> ModelRow:
        """Serve a model no longer; its history stays.

        Raises:
            ModelNotFound: there is no such model.
        """
        async with self._changing:
            row = self.row(model)
            return await self._log(ModelEntry.model_validate(row.entry), row.source, at, state=RETIRED)

    async def _log(
        self, entry: ModelEntry, source: Source, at: float, *, state: ArmState = "registered", arrives: bool = False
    ) -> ModelRow:
        known = self._rows.get(entry.id)
        dumped = entry.model_dump(mode="json")
        row = ModelRow(
            id=entry.id,
            entry=dumped,
            source=source,
            state=state,
            registered_at=known.registered_at if known else at,
            updated_at=at,
            retired_at=at if state == RETIRED else None,
        )
        endpoint = self._endpoint_of(row)
        body = {"entry": dumped, "state": state, "arrives": arrives}
        await self._journal.append(Entry("model", entry.id, at, body, (row,)))
        self._rows[entry.id], self._endpoints[entry.id] = row, endpoint
        return row

    def _keep(self, row: ModelRow) -> None:
        self._rows[row.id], self._endpoints[row.id] = row, self._endpoint_of(row)

    def _endpoint_of(self, row: ModelRow) -> Endpoint:
        return endpoint_of(ModelEntry.model_validate(row.entry), self._environ)


def _is_served(row: ModelRow | None) -> bool:
    return row is not None and row.state not in (DRAINING, RETIRED)


def endpoint_of(entry: ModelEntry, environ: Mapping[str, str]) -> Endpoint:
    """Return where a model is called.

    Raises:
        Unprocessable: its address, or the key in its variable, cannot be used.
    """
    try:
        return Endpoint(
            model_id=entry.id,
            base_url=entry.base_url or "http://fake.invalid/v1",
            upstream_model=entry.upstream_model,
            api_key=environ.get(entry.api_key_env) if entry.api_key_env else None,
            input_usd_per_mtok=entry.price.input_usd_per_mtok,
            output_usd_per_mtok=entry.price.output_usd_per_mtok,
        )
    except ValueError as err:
        raise Unprocessable(str(err), param="api_key_env") from err
