"""From a chat request to what the learner decides on: the query, its limits, and the body that goes upstream."""

from collections.abc import Mapping
from typing import Any

from app.errors import BadRequest
from app.providers.completion import text_of
from app.schemas.chat import ChatRequest, RouterOptions
from learner.types import Limits, Query

DIALS = {"auto": 1.0, "auto:balanced": 1.0, "auto:cheap": 4.0, "auto:best": 0.0}
QUERY_CHARS = 8_000
STEEPEST_DIAL = 1_000.0


def is_routed(model: str) -> bool:
    """Tell whether a request asks for routing instead of one model by name."""
    return model in DIALS


def query_of(body: Mapping[str, Any]) -> Query:
    """Read the query: the last user turn first, then the turns before it, newest first."""
    messages = body["messages"]
    users = [text_of(m.get("content")) for m in messages if m.get("role") == "user"]
    others = [text_of(m.get("content")) for m in messages if m.get("role") != "user"]
    return Query(
        text="\n".join([*reversed(users), *others])[:QUERY_CHARS],
        turns=max(1, len(users)),
        has_tools=bool(body.get("tools") or body.get("functions")),
        wants_json=(body.get("response_format") or {}).get("type") in ("json_object", "json_schema"),
        has_images=any(_has_image(m.get("content")) for m in messages),
    )


def _has_image(content: object) -> bool:
    parts = content if isinstance(content, list) else []
    return any(part.get("type") == "image_url" for part in parts)


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return what was asked, as judges and answer extraction see it: the text of the last user turn."""
    users = [text_of(m.get("content")) for m in body["messages"] if m.get("role") == "user"]
    return users[-1] if users else ""


def input_chars(body: Mapping[str, Any]) -> int:
    """Return the number of characters of all messages."""
    return sum(len(text_of(m.get("content"))) for m in body["messages"])


def upstream_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without what only this service understands."""
    return {key: value for key, value in body.items() if key not in ("router", "stream", "stream_options")}


def is_controllable(request: ChatRequest) -> bool:
    """Tell whether a control may answer: only where a request leaves it to the objective who answers, and how."""
    options = request.router
    is_plain = request.model in ("auto", "auto:balanced") and options.cost_quality is None
    return is_plain and not options.fusion and not options.decompose


def refuse_impossible(request: ChatRequest, query: Query) -> None:
    """Refuse a composed answer where there cannot be one.

    Raises:
        BadRequest: the request names one model, or wants what no answer made of several can be.
    """
    options = request.router
    mode = "fusion" if options.fusion else "decompose"
    reasons = {
        "and decompose cannot be combined: send one of them": options.fusion and options.decompose,
        f"chooses among several models, and the request names {request.model}: use auto": not is_routed(request.model),
        f"gives one answer, and the request wants n = {request.n}: leave out n": request.n > 1,
        "cannot compare or merge calls of tools: leave out tools": query.has_tools,
        "splits texts only, and the request has images: send text": options.decompose and query.has_images,
        "asks several models, and cascade allows one: leave out cascade": options.fusion
        and options.cascade in ("off", 1),
    }
    if options.fusion or options.decompose:
        for reason, applies in reasons.items():
            if applies:
                raise BadRequest(f"router.{mode} {reason}", param=f"router.{mode}")


def limits_of(request: ChatRequest, query: Query, chars: int, unavailable: frozenset[str]) -> Limits:
    """Return the hard filters and the dial of one request."""
    options = request.router
    needs = {"tools": query.has_tools, "vision": query.has_images, "json": query.wants_json}
    return Limits(
        allow=options.allow,
        deny=options.deny,
        needs=frozenset(name for name, needed in needs.items() if needed),
        input_tokens=chars // 4,
        max_cost_usd=options.max_cost_usd,
        min_quality=options.min_quality,
        depth=_depth(request, query),
        explore=options.explore is not False,
        price_factor=DIALS.get(request.model, 1.0) * _dial(options),
        unavailable=unavailable,
    )


def _depth(request: ChatRequest, query: Query) -> int | None:
    # Several choices, or an answer that calls tools, are one model's affair: a second model's cannot be compared.
    if request.n > 1 or query.has_tools or request.router.cascade == "off":
        return 1
    return None if request.router.cascade == "auto" else request.router.cascade


def _dial(options: RouterOptions) -> float:
    """Factor on λ: 0 for quality alone, 1 in the middle, and steeply up towards cost alone."""
    if options.cost_quality is None:
        return 1.0
    return min(options.cost_quality / max(1.0 - options.cost_quality, 1e-9), STEEPEST_DIAL)
