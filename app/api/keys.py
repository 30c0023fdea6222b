"""`/v1/admin/keys`: the keys of the service's clients, each with its scopes and its budget."""

from fastapi import APIRouter

from app.api.deps import KeyDep, ServiceDep
from app.keys import budget_of
from app.schemas.keys import KeyCreated, KeyEntry, KeyList, KeyView
from app.service import Service
from app.storage.tables import KeyRow

router = APIRouter(prefix="/v1/admin/keys", tags=["admin"])

SHOWN_ONCE = "Keep the key now: it is stored nowhere and never shown again."
CLOSES = " It is the first one: from now on every request needs a key."


def view_of(row: KeyRow, service: Service) -> KeyView:
    """Return a key with what it has spent."""
    known = row.model_dump(include={"id", "name", "scopes", "objective", "created_at", "revoked_at"})
    spent_usd = service.budgets.spent_usd(row.id, service.router.clock())
    return KeyView.model_validate(known | {"budget": budget_of(row), "spent_usd": spent_usd})


@router.get("")
async def list_keys(service: ServiceDep, _: KeyDep) -> KeyList:
    """List all keys, revoked ones too, with what each has spent in the present period of its budget."""
    return KeyList(data=tuple(view_of(row, service) for row in service.keys.rows()))


@router.post("", status_code=201)
async def create_key(entry: KeyEntry, service: ServiceDep, _: KeyDep) -> KeyCreated:
    """Make a key; the answer is the only place where it ever stands. The first one closes an open service."""
    was_open = service.keys.is_open
    row, token = await service.keys.create(entry, service.router.clock())
    notice = SHOWN_ONCE + (CLOSES if was_open else "")
    return KeyCreated(**view_of(row, service).model_dump(), key=token, notice=notice)


@router.delete("/{id}")
async def revoke_key(id: str, service: ServiceDep, _: KeyDep) -> KeyView:
    """Revoke a key, at once and for ever; its history stays. Revoking it again changes nothing."""
    return view_of(await service.keys.revoke(id, service.router.clock()), service)
