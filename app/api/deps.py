"""What endpoints share: the service, who is asking, and the body within its limit."""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from app.errors import TooLarge, Unauthorized
from app.service import Service

MAX_BODY_BYTES = 20 * 2**20
BEARER = "Bearer "


async def service_of(request: Request) -> Service:
    """Return the service of this application."""
    service: Service = request.app.state.service
    return service


async def key_id(request: Request) -> str | None:
    """Return the id of the key that a request carries; None where the service is open.

    Raises:
        Unauthorized: a key is configured and the request has none, or another one.
    """
    service = await service_of(request)
    wanted = service.environment.admin_key
    if wanted is None:
        return None
    sent = request.headers.get("Authorization", "")
    if not hmac.compare_digest(sent.encode(), (BEARER + wanted.get_secret_value()).encode()):
        raise Unauthorized("The key is missing or wrong; send it as 'Authorization: Bearer KEY'")
    return "bootstrap"


async def raw_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        TooLarge: it has more than 20 MiB; the rest is not read.
    """
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > MAX_BODY_BYTES:
            raise TooLarge(f"The body has more than {MAX_BODY_BYTES} bytes; send less")
    return bytes(pieces)


ServiceDep = Annotated[Service, Depends(service_of)]
KeyDep = Annotated[str | None, Depends(key_id)]
BodyDep = Annotated[bytes, Depends(raw_body)]
