"""What the web process answers when there is no answer: pages for people, JSON for programs."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from grpc import StatusCode
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server import errors
from server.web.pages import render
from server.web.sentences import sentence

log = logging.getLogger(__name__)

# Who comes here is a program.
MACHINE_PATHS = ("/healthz", "/sandbox/token", "/sandbox/revoke", "/sandbox/profiles")
HTTP_STATUS = {
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.RESOURCE_EXHAUSTED: 503,
    StatusCode.DEADLINE_EXCEEDED: 503,
    StatusCode.INTERNAL: 500,
}
_WORDS = {
    404: ("There is no such page", "Part of the address may have been lost."),
    405: ("This page can't be used like that", "It is there to be opened, or a form leads to it."),
}
BACK = "If you were connecting an account, go back to the app that you came from and start again there."


def not_connected(status: int, message: str) -> Response:
    """The page of a connection that failed."""
    nothing: dict[str, list[str]] = {"accounts": [], "rejected": []}
    return render("result.html", status=status, ok=False, title="Not connected", message=message, **nothing)


# Asynchronous, all of them: Starlette would run others in threads that everybody shares.


async def no_route(request: Request, error: Exception) -> Response:
    """A path that there is not, or a method that it has not."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    if request.url.path in MACHINE_PATHS:
        return _json(status, HTTPStatus(status).phrase, headers)
    title, message = _WORDS.get(status, (HTTPStatus(status).phrase, ""))
    response = render("message.html", status, title=title, message=f"{message} {BACK}".strip())
    response.headers.update(headers or {})
    return response


async def known(request: Request, error: Exception) -> Response:
    """An error of ours that no page has caught, such as a database that is away."""
    if not isinstance(error, errors.HitchpostError):
        return await unexpected(request, error)
    status = HTTP_STATUS.get(error.code, 400)
    if request.url.path in MACHINE_PATHS:
        return _json(status, str(error))
    return not_connected(status, sentence(error))


async def unexpected(request: Request, error: Exception) -> Response:
    """A defect; the log has the details."""
    log.error("unexpected error", exc_info=error)
    if request.url.path in MACHINE_PATHS:
        return _json(500, str(errors.Internal()))
    return not_connected(500, sentence(errors.Internal()))


def _json(status: int, description: str, headers: Mapping[str, str] | None = None) -> Response:
    error = (
        "temporarily_unavailable" if status == 503 else "invalid_request" if status < 500 else "server_error"
    )
    return JSONResponse({"error": error, "error_description": description}, status, headers)
