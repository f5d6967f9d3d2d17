"""Errors as HTTP has them: a status, and problem+json (RFC 9457) for programs."""

import math
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

from server.base.errors import (
    EtagMismatch,
    HitchpostError,
    Internal,
    InvalidArgument,
    Kind,
    RateLimited,
    reason_name,
)
from server.rpc.call import Call

HTTP_STATUS = {
    Kind.INVALID_ARGUMENT: 400,
    Kind.FAILED_PRECONDITION: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.PERMISSION_DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.ALREADY_EXISTS: 409,
    Kind.ABORTED: 409,
    Kind.INTERNAL: 500,
    Kind.UNIMPLEMENTED: 501,
    Kind.UNAVAILABLE: 503,
    Kind.RESOURCE_EXHAUSTED: 503,
    Kind.DEADLINE_EXCEEDED: 503,
}
# Of a kind that is 503 otherwise, where the server is at its limit and not who calls.
TOO_MANY = 429


def problem(error: HitchpostError, status: int | None = None) -> JSONResponse:
    """The error with what google.rpc.Status has, too: code, reason, metadata, wrong fields, when to retry.

    Its kind has the status, unless one is given.
    """
    status = status or (TOO_MANY if isinstance(error, RateLimited) else HTTP_STATUS[error.kind])
    title = error.kind.name.replace("_", " ").capitalize()
    document = {"type": "about:blank", "title": title, "status": status, **facts(error)}
    return JSONResponse(document, status, _headers(error), "application/problem+json")


def facts(error: HitchpostError) -> dict[str, object]:
    """What a program wants to know of an error, whatever brings it there."""
    known: dict[str, object] = {
        "detail": str(error),
        "code": error.kind.name,
        "reason": reason_name(error),
        "metadata": error.metadata,
    }
    if isinstance(error, InvalidArgument):
        known["fields"] = [violation._asdict() for violation in error.violations]
    return known


def failed(call: Call, *, conditional: bool = False) -> JSONResponse:
    """Why a call ended without an answer. `conditional`: it had If-Match, whose failure is 412."""
    error = call.error or Internal()
    response = problem(error, 412 if conditional and isinstance(error, EtagMismatch) else None)
    response.headers["X-Request-Id"] = call.request_id
    return response


def bare_problem(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What HTTP itself refuses, such as a method that a path does not have."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return JSONResponse(document, status, headers, "application/problem+json")


def _headers(error: HitchpostError) -> dict[str, str]:
    """What HTTP wants beside a status: when to try again, in whole seconds, and how to show who asks."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers
