"""`POST /v1/feedback`: what users thought of an answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Header

from app.api.deps import BodyDep, KeyDep, ServiceDep
from app.schemas.feedback import FeedbackItem

router = APIRouter(prefix="/v1", tags=["feedback"])

FEEDBACK_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": FeedbackItem.model_json_schema()}}}
}


@router.post("/feedback", status_code=202, openapi_extra=FEEDBACK_BODY)
async def record_feedback(
    raw: BodyDep,
    service: ServiceDep,
    key: KeyDep,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> dict[str, Any]:
    """Store one feedback, or a list of up to 1,000; answered once it is durable."""
    return await service.feedback.record(raw, idempotency_key=idempotency_key, key_id=key)
