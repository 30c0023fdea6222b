"""What endpoints share: the service, who is asking, and the body."""

from typing import Annotated

from fastapi import Depends, Request

from app.service import Service


async def service_of(request: Request) -> Service:
    """Return the service of this application."""
    service: Service = request.app.state.service
    return service


async def key_id(request: Request) -> str | None:
    """Return the id of the key that a request carries, as the gate found it; None where the service is open."""
    key: str | None = request.scope["state"]["key_id"]
    return key


async def raw_body(request: Request) -> bytes:
    """Return the body, which the gate has limited to 20 MiB."""
    return await request.body()


ServiceDep = Annotated[Service, Depends(service_of)]
KeyDep = Annotated[str | None, Depends(key_id)]
BodyDep = Annotated[bytes, Depends(raw_body)]
