"""The gate in front of every endpoint: no request without a valid key of the right scope, no body beyond the limit.

A key is checked, in memory, before anything of the body is read. A body has to say that it is JSON: that keeps out the
pages of other sites, which a browser lets send anything else to a service on its own machine without asking it first.
"""

from collections.abc import Callable

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dashboard import FILES
from app.errors import AppError, BadRequest, Forbidden, Unauthorized, error_body
from app.keys import Keys
from app.problems import shown
from app.schemas.keys import KeyScope

# The dashboard's own files hold no data; what they show is asked for with a key.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/", *(f"/dashboard/{name}" for name in FILES)})
BEARER = b"Bearer "
TAKES_BODY = frozenset({"POST", "PUT", "PATCH"})
MAX_BODY_BYTES = 20 * 2**20


class Gate:
    """ASGI middleware that checks the key and leaves its id in the request's state.

    Args:
        app: What is behind the gate.
        keys: Gives the keys; where there is none, the service is open.
    """

    def __init__(self, app: ASGIApp, keys: Callable[[], Keys]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a 400, 401 or 403."""
        if scope["type"] == "http":
            try:
                scope.setdefault("state", {})["key_id"] = admitted(scope, self._keys())
                expect_json(scope)
            except AppError as refused:
                await JSONResponse(error_body(refused), refused.status)(scope, receive, send)
                return
            receive = limited(receive)
        await self._app(scope, receive, send)


def admitted(request: Scope, keys: Keys) -> str | None:
    """Return the id of the key that a request carries; None where it needs none.

    Raises:
        Unauthorized: it carries no valid key.
        Forbidden: the key lacks the scope.
    """
    if request["path"] in OPEN_PATHS or keys.is_open:
        return None
    key = keys.identify(token_in(request))
    if key is None:
        raise Unauthorized("The key is missing, wrong or revoked; send a valid one as 'Authorization: Bearer KEY'")
    wanted = scope_of(request["path"])
    if wanted not in key.scopes:
        raise Forbidden(
            f"The key {key.id} lacks the scope {wanted}, it has {', '.join(key.scopes)}; use another key, or have one "
            f"made with the scope {wanted}"
        )
    return key.id


def scope_of(path: str) -> KeyScope:
    """Return the scope that a path needs: `admin` for all that is neither inference nor feedback."""
    if path.startswith("/v1/feedback"):
        return "feedback"
    return "inference" if path.startswith("/v1/") and not path.startswith("/v1/admin") else "admin"


def token_in(request: Scope) -> bytes:
    """Return the token of the header `Authorization`, empty where there is none."""
    sent = next((value for name, value in request["headers"] if name == b"authorization"), b"")
    return bytes(sent[len(BEARER) :]) if sent.startswith(BEARER) else b""


def expect_json(request: Scope) -> None:
    """Refuse a body that is not declared as JSON, with the status and code that OpenAI has for it.

    Raises:
        BadRequest: there is a body, and no or another Content-Type.
    """
    if request["method"] not in TAKES_BODY:
        return
    headers = dict(request["headers"])
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return
    sent = headers.get(b"content-type", b"").decode("latin-1")
    kind = sent.partition(";")[0].strip().lower()
    if kind.startswith("application/") and kind.endswith(("/json", "+json")):
        return
    told = f"is {shown(sent)}" if sent else "is missing"
    mend = "send the body as JSON, with the header Content-Type: application/json"
    raise BadRequest(f"The header Content-Type {told}; {mend}", code="unsupported_content_type")


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
