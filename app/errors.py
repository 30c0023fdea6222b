"""Every error a client can be told, and its one rendering: OpenAI's error object.

    AppError                     status  type                   code
    ├─ BadRequest                400     invalid_request_error
    ├─ Unauthorized              401     authentication_error   invalid_api_key
    ├─ Forbidden                 403     permission_error       insufficient_scope
    ├─ NotFound                  404     invalid_request_error  not_found
    │  ├─ ModelNotFound          404     invalid_request_error  model_not_found
    │  └─ InferenceNotFound      404     invalid_request_error  inference_not_found
    ├─ MethodNotAllowed          405     invalid_request_error  method_not_allowed
    ├─ Conflict                  409     invalid_request_error  conflict
    ├─ TooLarge                  413     invalid_request_error  request_too_large
    ├─ Unprocessable             422     invalid_request_error
    ├─ BudgetExceeded            429     insufficient_quota     budget_exceeded
    ├─ InternalError             500     server_error           internal_error
    ├─ UpstreamFailed            502     upstream_error         upstream_failed
    │  ├─ UpstreamTimeout        504     upstream_error         upstream_timeout
    │  └─ UpstreamRateLimited    429     rate_limit_error       upstream_rate_limited
    └─ Unavailable               503     server_error           unavailable
    ConfigError                  the configuration file; seen by the operator, never by a client

A service raises one of these with a message that says what was wrong, the value, and how to mend it; the handlers
below turn it, and whatever the framework or a defect raises, into the body that the official client reads.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.problems import Problem, problems_in, shown

_TOLD_PROBLEMS = 5
_CHAT_PATHS = ("/v1/chat", "/v1/route")


class AppError(Exception):
    """An error that a client is told.

    Args:
        message: What was wrong, the value, and how to mend it; no secrets.
        param: The field of the request that it concerns, such as `messages[0].role`.
        code: A machine-readable word, where the class has no fitting one.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code


class BadRequest(AppError):
    """The chat request is malformed, or cannot be answered by any model."""

    status = 400
    type = "invalid_request_error"


class Unauthorized(AppError):
    """The key is missing, unknown or revoked."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(AppError):
    """The key is valid and lacks the scope."""

    status = 403
    type = "permission_error"
    code = "insufficient_scope"


class NotFound(AppError):
    """There is nothing of that name."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """The pool has no such model."""

    code = "model_not_found"


class InferenceNotFound(NotFound):
    """Feedback names an inference that this service never made."""

    code = "inference_not_found"


class MethodNotAllowed(AppError):
    """The path exists and does not take this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(AppError):
    """The request contradicts what is stored, such as a used Idempotency-Key with another body."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class TooLarge(AppError):
    """The body is larger than the service accepts."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class Unprocessable(AppError):
    """An admin or feedback body is malformed, or a value is of the wrong type or range."""

    status = 422
    type = "invalid_request_error"


class BudgetExceeded(AppError):
    """The hard limit of the key is used up."""

    status = 429
    type = "insufficient_quota"
    code = "budget_exceeded"


class InternalError(AppError):
    """The service itself failed; the details are in its log."""

    code = "internal_error"


class UpstreamFailed(AppError):
    """No upstream gave an answer."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"


class UpstreamTimeout(UpstreamFailed):
    """The upstream did not answer in time."""

    status = 504
    code = "upstream_timeout"


class UpstreamRateLimited(UpstreamFailed):
    """The upstream refused because of its own rate limit."""

    status = 429
    type = "rate_limit_error"
    code = "upstream_rate_limited"


class Unavailable(AppError):
    """The service cannot answer now: not ready yet, or no model of the pool is up."""

    status = 503
    code = "unavailable"


class ConfigError(Exception):
    """The configuration file cannot be used.

    Args:
        problems: One line each, `FILE:LINE: key.path: what, the value, how to mend`, in the order of the file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


_BY_STATUS: dict[int, type[AppError]] = {
    kind.status: kind for kind in (Unauthorized, Forbidden, NotFound, MethodNotAllowed, TooLarge, Unprocessable)
}

AnyAppError = TypeVar("AnyAppError", bound=AppError)


def refusal(kind: type[AnyAppError], problems: Sequence[Problem]) -> AnyAppError:
    """Build the error for an input with one or more problems; `param` is the place of the first."""
    told = [str(problem) for problem in problems[:_TOLD_PROBLEMS]]
    untold = len(problems) - len(told)
    return kind("; ".join(told) + (f"; and {untold} more" if untold else ""), param=problems[0].path or None)


def error_body(error: AppError) -> dict[str, dict[str, str | None]]:
    """Render an error as OpenAI's error object, as the official client reads it."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def install_handlers(app: FastAPI) -> None:
    """Make the application answer every error with OpenAI's error object."""
    app.exception_handler(AppError)(_answer_app_error)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(HTTPException)(_answer_http)
    app.exception_handler(Exception)(_answer_defect)


async def _answer_app_error(_: Request, error: AppError) -> JSONResponse:
    return _response(error)


async def _answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    return _response(_from_validation(error, _malformed(request)))


async def _answer_http(request: Request, error: HTTPException) -> JSONResponse:
    return _response(_from_http(request, error), error.headers)


async def _answer_defect(_: Request, __: Exception) -> JSONResponse:
    # Starlette raises the exception again after this answer, so that the server logs it with its traceback.
    return _response(InternalError("The service failed on this request; try again, or see the service's log"))


def _response(error: AppError, headers: Any = None) -> JSONResponse:
    return JSONResponse(error_body(error), status_code=error.status, headers=headers)


def _malformed(request: Request) -> type[AppError]:
    return BadRequest if request.url.path.startswith(_CHAT_PATHS) else Unprocessable


def _from_validation(error: RequestValidationError, kind: type[AppError]) -> AppError:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return kind(f"The body is not valid JSON: {first['ctx']['error']} at character {first['loc'][-1]}")
    # FastAPI puts where the value came from ("body", "query", "path") in front; it is no part of the field's path.
    errors: list[Any] = [{**each, "loc": each["loc"][1:] or each["loc"]} for each in error.errors()]
    return refusal(kind, problems_in(errors, error.body))


def _from_http(request: Request, error: HTTPException) -> AppError:
    asked = shown(f"{request.method} {request.url.path}")
    if error.status_code == 404:
        return NotFound(f"Nothing is at {asked}; /docs lists the paths")
    if error.status_code == 405:
        return MethodNotAllowed(f"{asked} is not allowed; use {(error.headers or {}).get('Allow', 'another method')}")
    if error.status_code == 400:
        return _malformed(request)(error.detail)
    return _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else InternalError)(error.detail)
