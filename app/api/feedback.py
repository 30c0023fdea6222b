"""`POST /v1/feedback`: what users thought of an answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Header

from app.api.deps import BodyDep, KeyDep, ServiceDep
from app.schemas.feedback import MAX_ITEMS, FeedbackItem

router = APIRouter(prefix="/v1", tags=["feedback"])


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _told(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ITEM = FeedbackItem.model_json_schema()
_ITEMS = {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": MAX_ITEMS}
_TEXT = {"type": "string"}
_MAYBE = {"anyOf": [_TEXT, {"type": "null"}]}
_STORED = [_object({"feedback_id": _TEXT}), _object({"feedback_ids": {"type": "array", "items": _TEXT}})]
_ERROR = _object({"error": _object({"message": _TEXT, "type": _TEXT, "param": _MAYBE, "code": _MAYBE})})

FEEDBACK_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": [_ITEM, _ITEMS]}}}}
}
FEEDBACK_REPLIES: dict[int | str, dict[str, Any]] = {
    202: _told("Stored: the id of the one item, or those of the list", {"anyOf": _STORED}),
    404: _told("No inference has the id, or none of the window the episode", _ERROR),
    409: _told("The Idempotency-Key was used before with another body", _ERROR),
    422: _told("An item is malformed or too late; nothing is stored", _ERROR),
}


# No model of the reply: it would be merged with what is documented here.
@router.post("/feedback", status_code=202, response_model=None, openapi_extra=FEEDBACK_BODY, responses=FEEDBACK_REPLIES)
async def record_feedback(
    raw: BodyDep,
    service: ServiceDep,
    key: KeyDep,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> dict[str, Any]:
    """Store one feedback, or a list of up to 1,000; answered once it is durable."""
    return await service.feedback.record(raw, idempotency_key=idempotency_key, key_id=key)
