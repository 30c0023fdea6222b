"""`POST /v1/chat/completions` and `POST /v1/route`: OpenAI's surface over `app.routing`."""

import asyncio
import time
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.api.connection import ClientGone, while_connected
from app.api.deps import BodyDep, KeyDep, ServiceDep, key_id, raw_body, service_of
from app.errors import AppError
from app.exchange import Exchange
from app.providers.base import Completion
from app.schemas.chat import ChatRequest, parse_chat
from app.service import Service
from app.streams import PassThrough, held, may_escalate

router = APIRouter(prefix="/v1", tags=["inference"])

WAIT_FOR_HEADERS_S = 5.0
EVENT_STREAM = "text/event-stream"
CLIENT_CLOSED_REQUEST = 499
CHAT_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ChatRequest.model_json_schema()}}}
}


class Direct(APIRoute):
    """A route whose endpoint is given the request itself: the layers in between would cost as much as deciding does."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one with another method is refused as by any route."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


async def create_completion(http: Request) -> Response:
    """Answer a chat request with the models that suit it best; `model: "auto"` routes, a model's id pins it."""
    service, key = await service_of(http), await key_id(http)
    request, body = parse_chat(await raw_body(http))
    try:
        exchange = service.router.begin(request, body, user=request.user, key_id=key)
        if request.router.dry_run:
            return JSONResponse(described(exchange), headers=headers_of(exchange))
        service.router.hold(exchange)
        if request.stream:
            return await stream(http, exchange, service)
        done = await while_connected(http, service.router.complete(exchange))
        return Response(rendered(exchange, done), media_type="application/json", headers=told(exchange, service))
    except ClientGone:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except AppError as err:
        service.metrics.errors.labels(err.code or str(err.status)).inc()
        raise


completions = Direct(
    "/v1/chat/completions", create_completion, methods=["POST"], tags=["inference"], openapi_extra=CHAT_BODY
)


async def stream(http: Request, exchange: Exchange, service: Service) -> Response:
    """Answer in server-sent events: held until judged where the decision can escalate, else passed through."""
    exchange.streamed = True
    if not may_escalate(exchange):
        passing = PassThrough(service.router, exchange, lambda: told(exchange, service))
        pieces = await while_connected(http, passing.open())
        return StreamingResponse(pieces, media_type=EVENT_STREAM, headers=headers_of(exchange))
    answer = service.background.keep(service.router.complete(exchange))
    # Also where it is cancelled before it has begun.
    answer.add_done_callback(lambda _: service.router.settle(exchange))
    # Most answers stand within seconds: then headers tell all, and an error is an ordinary response.
    try:
        await while_connected(http, asyncio.wait({answer}, timeout=WAIT_FOR_HEADERS_S))
    except ClientGone:
        answer.cancel()
        await asyncio.wait({answer})
        raise
    if answer.done():
        answer.result()
    return StreamingResponse(held(exchange, answer), media_type=EVENT_STREAM, headers=told(exchange, service))


@router.post("/route", openapi_extra=CHAT_BODY)
async def route(raw: BodyDep, service: ServiceDep, key: KeyDep) -> JSONResponse:
    """Decide, with scores and reasons, and call no model."""
    request, body = parse_chat(raw)
    exchange = service.router.begin(request, body, user=request.user, key_id=key)
    return JSONResponse(described(exchange), headers=headers_of(exchange))


@router.get("/models")
async def list_models(service: ServiceDep, _: KeyDep) -> dict[str, Any]:
    """List the models that a request may name, the routed ones first."""
    routed = ["auto", "auto:cheap", "auto:balanced", "auto:best"]
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "headrace"} for name in routed]
    for model in service.pool.ids():
        created = int(service.pool.row(model).registered_at)
        rows.append({"id": model, "object": "model", "created": created, "owned_by": "pool"})
    return {"object": "list", "data": rows}


def rendered(exchange: Exchange, done: Completion) -> bytes:
    """Return the completion as the client gets it: the answer verbatim, under this service's id and with its cost."""
    own = {
        "id": exchange.id,
        "object": "chat.completion",
        "created": int(exchange.at),
        "model": exchange.answer_model,
        "usage": {**done.usage, "cost": exchange.cost_usd},
    }
    return orjson.dumps({**done.body, **own})


def headers_of(exchange: Exchange) -> dict[str, str]:
    """Return what the headers tell of a decision and how it went so far."""
    decision = exchange.decision
    confidence = exchange.confidence if exchange.confidence is not None else decision.qualities.get(decision.arm)
    return {
        "x-headrace-decision-id": exchange.id,
        "x-headrace-policy": decision.policy_version,
        "x-headrace-stage": exchange.stage,
        "x-headrace-attempts": str(exchange.attempts),
        "x-headrace-confidence": "" if confidence is None else f"{confidence:.4f}",
        "x-headrace-explored": str(int(exchange.is_explored)),
        "x-headrace-cost-usd": f"{exchange.cost_usd:.9f}",
        "x-headrace-overhead-ms": f"{exchange.overhead_ms:.2f}",
        "x-headrace-learning": exchange.learning,
    }


def told(exchange: Exchange, service: Service) -> dict[str, str]:
    """Count an answered request and return its headers."""
    if exchange.answer_model is not None:
        service.metrics.answered(
            model=exchange.answer_model,
            stage=exchange.stage,
            seconds=time.perf_counter() - exchange.started,
            overhead_ms=exchange.overhead_ms,
        )
    return headers_of(exchange)


def described(exchange: Exchange) -> dict[str, Any]:
    """Describe a decision: who would be asked first, how every model was rated, and why."""
    decision = exchange.decision
    models = {
        arm: {
            "utility": decision.scores[arm],
            "quality": decision.qualities[arm],
            "cost_usd": decision.costs_usd[arm],
            "probability": decision.probabilities.get(arm, 0.0),
        }
        for arm in decision.scores
    }
    return {
        "model": decision.arm,
        "panel": list(decision.panel),
        "stage": decision.stage,
        "category": decision.category,
        "familiarity": exchange.context.familiarity,
        "lambda": decision.lambda_,
        "propensity": decision.propensity,
        "policy": decision.policy_version,
        "explored": decision.explored,
        "control": decision.control,
        "may_escalate": may_escalate(exchange),
        "models": models,
        "reason": reason(exchange),
    }


def reason(exchange: Exchange) -> str:
    """Say in a sentence why this model comes first."""
    decision = exchange.decision
    if decision.stage == "pinned":
        return "the request names the model"
    if decision.control is not None:
        return f"drawn to measure savings: {decision.arm} answers alone, as the {decision.control} single model"
    if decision.explored:
        return f"drawn to find out what {decision.arm} is worth; the propensity is stored"
    if decision.panel:
        return f"asked together, {', '.join(decision.panel)} have the greatest expected quality minus λ times cost"
    best = max(decision.scores, key=lambda arm: decision.scores[arm])
    told_by = "past answers in this category" if decision.stage == "taxonomy" else "similar queries"
    return f"by {told_by}, starting with {best} has the greatest expected quality minus λ times cost"
