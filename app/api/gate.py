"""The gate in front of every endpoint: no request without a valid key, and no body beyond the limit.

A key is checked before anything of the body is read.
"""

import hmac
from collections.abc import Callable

from fastapi.responses import JSONResponse
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthorized, error_body

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
BEARER = "Bearer "
MAX_BODY_BYTES = 20 * 2**20


class Gate:
    """ASGI middleware that checks the key and leaves its id in the request's state.

    Args:
        app: What is behind the gate.
        admin_key: Gives the key that is asked for; None leaves the service open.
    """

    def __init__(self, app: ASGIApp, admin_key: Callable[[], SecretStr | None]) -> None:
        self._app = app
        self._admin_key = admin_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a 401."""
        if scope["type"] == "http":
            wanted = self._admin_key()
            if wanted is not None and scope["path"] not in OPEN_PATHS and not carries(Headers(scope=scope), wanted):
                refused = Unauthorized("The key is missing or wrong; send it as 'Authorization: Bearer KEY'")
                await JSONResponse(error_body(refused), refused.status)(scope, receive, send)
                return
            scope.setdefault("state", {})["key_id"] = None if wanted is None else "bootstrap"
            receive = limited(receive)
        await self._app(scope, receive, send)


def limited(receive: Receive) -> Receive:
    """Count the body as it is read, and end the request with a 413 where it grows beyond the limit."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body has more than {MAX_BODY_BYTES} bytes; send less")
        return message

    return counted


def carries(headers: Headers, key: SecretStr) -> bool:
    """Tell whether a request carries the key; takes the same time for every wrong one."""
    sent = headers.get("Authorization", "")
    return hmac.compare_digest(sent.encode(), (BEARER + key.get_secret_value()).encode())
