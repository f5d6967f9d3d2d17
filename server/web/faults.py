"""What the web process answers when there is no answer: pages for people, JSON for programs."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.base import errors
from server.web.pages import render
from server.web.problems import HTTP_STATUS, bare_problem, problem
from server.web.sentences import sentence

log = logging.getLogger(__name__)

# Who comes here is a program; below /sandbox one that speaks OAuth.
HEALTH_PATH, API_PATHS = "/healthz", ("/mcp", "/v1/")
OAUTH_PATHS = ("/sandbox/token", "/sandbox/revoke", "/sandbox/profiles", "/sandbox/media", "/sandbox/posts")
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
    if request.url.path in OAUTH_PATHS:
        return _oauth_error(status, HTTPStatus(status).phrase, headers)
    if _is_program(request):
        return bare_problem(status, headers)
    title, message = _WORDS.get(status, (HTTPStatus(status).phrase, ""))
    response = render("message.html", status, title=title, message=f"{message} {BACK}".strip())
    response.headers.update(headers or {})
    return response


async def known(request: Request, error: Exception) -> Response:
    """An error of ours that no page has caught, such as a database that is away."""
    if not isinstance(error, errors.HitchpostError):
        return await unexpected(request, error)
    return rendered(request, error)


async def unexpected(request: Request, error: Exception) -> Response:
    """A defect; the log has the details."""
    log.error("unexpected error", exc_info=error)
    return rendered(request, errors.Internal())


def rendered(request: Request, error: errors.HitchpostError) -> Response:
    """The error for whoever asks: a program, an OAuth client, or a person."""
    status = HTTP_STATUS[error.kind]
    if request.url.path in OAUTH_PATHS:
        return _oauth_error(status, str(error))
    if _is_program(request):
        return problem(error)
    return not_connected(status, sentence(error))


def _is_program(request: Request) -> bool:
    accepted, path = request.headers.get("accept", ""), request.url.path
    if path == HEALTH_PATH or path.startswith(API_PATHS):
        return True
    return "json" in accepted and "html" not in accepted


def _oauth_error(status: int, description: str, headers: Mapping[str, str] | None = None) -> Response:
    """RFC 6749, 5.2: what a client of the sandbox's endpoints reads."""
    error = (
        "temporarily_unavailable" if status == 503 else "invalid_request" if status < 500 else "server_error"
    )
    return JSONResponse({"error": error, "error_description": description}, status, headers)
