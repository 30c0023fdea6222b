"""`GET /`: the dashboard. Its files are open, since a browser sends no key with a page; they hold no data."""

from fastapi import APIRouter, Response

from app.dashboard import FILES, read
from app.errors import NotFound

router = APIRouter(tags=["dashboard"])

# Nothing from elsewhere, nothing inline, in nobody's frame.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/", response_class=Response)
async def show_page() -> Response:
    """Return the dashboard."""
    return await asset("index.html")


@router.get("/dashboard/{name}", response_class=Response)
async def asset(name: str) -> Response:
    """Return one of the dashboard's files."""
    if name not in FILES:
        raise NotFound(f"The dashboard has no file {name!r}; it has {', '.join(FILES)}", param="name")
    return Response(read(name), media_type=FILES[name], headers=SECURITY)
