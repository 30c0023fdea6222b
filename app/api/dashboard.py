"""`GET /`: the dashboard. Its files are open, since a browser sends no key with a page; they hold no data."""

from functools import partial

from fastapi import APIRouter, Response

from app.dashboard import FILES, read

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


def served(name: str) -> Response:
    """Return one of the dashboard's files."""
    return Response(read(name), media_type=FILES[name], headers=SECURITY)


@router.get("/", response_class=Response)
async def show_dashboard() -> Response:
    """Show what the service does, what it learned and what it costs."""
    return served("index.html")


for file in FILES:
    router.add_api_route(
        f"/dashboard/{file}", partial(served, file), methods=["GET"], response_class=Response, name=file,
        summary=f"Return {file} of the dashboard", operation_id=f"dashboard-{file}",
    )  # fmt: skip
