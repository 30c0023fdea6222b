"""What a client is told where models fail: the one that was named, or all that were tried."""

from app.errors import AppError, BadRequest, UpstreamFailed, UpstreamRateLimited, UpstreamTimeout
from app.exchange import Exchange
from app.providers.base import CallFailed


def rejected(error: CallFailed) -> BadRequest:
    """Tell the client what the upstream said of its request."""
    said = (error.upstream_error or {}).get("message") or error.message
    return BadRequest(f"The model refused the request: {str(said)[:500]}", code="upstream_rejected")


def nobody_answered(exchange: Exchange) -> AppError:
    """Say that every model that may answer failed, and how."""
    tried = [row for row in exchange.rows if row.purpose == "answer"]
    said = ", ".join(f"{row.model}: {row.status_code or row.outcome}" for row in tried)
    message = f"No model answered ({said}); try again later, or check the pool's upstreams"
    if all(row.outcome == "timeout" for row in tried):
        return UpstreamTimeout(message)
    if all(row.status_code == 429 for row in tried):
        return UpstreamRateLimited(message)
    if all(row.status_code in (400, 413, 422) for row in tried):
        return BadRequest(f"Every model refused the request ({said})", code="upstream_rejected")
    return UpstreamFailed(message)
