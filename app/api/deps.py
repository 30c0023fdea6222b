"""What endpoints share: the service, who is asking, and the body."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Cookie, Header, Path

from app.errors import Unprocessable, refusal
from app.problems import Problem, unknown
from app.service import Service


async def service_of(request: Request) -> Service:
    """Return the service of this application."""
    service: Service = request.app.state.service
    return service


async def key_id(request: Request) -> str | None:
    """Return the id of the key that a request carries, as the gate found it; None where the service is open."""
    key: str | None = request.state.key_id
    return key


async def raw_body(request: Request) -> bytes:
    """Return the body, which the gate has limited to 20 MiB."""
    return await request.body()


async def only_known_parameters(request: Request) -> None:
    """Refuse a query with a parameter that the endpoint has not: a misspelt filter would answer for everything.

    Raises:
        Unprocessable: a parameter is unknown; the message names it, and the one that was meant.
    """
    sent = request.query_params.keys()
    if sent:
        fields = get_flat_params(request.scope["route"].dependant)
        # The fields of a model of parameters do not say where they come from.
        known = [field.alias for field in fields if not isinstance(field.field_info, Path | Header | Cookie)]
        problems = [Problem((name,), "", unknown(name, known)) for name in sent if name not in known]
        if problems:
            raise refusal(Unprocessable, problems)


ServiceDep = Annotated[Service, Depends(service_of)]
KeyDep = Annotated[str | None, Depends(key_id)]
BodyDep = Annotated[bytes, Depends(raw_body)]
