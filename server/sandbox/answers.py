"""What the sandbox's API answers: JSON, and errors as {"error": …, "error_description": …}."""

from collections.abc import Mapping
from typing import ClassVar

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Refused(Exception):
    """An error answer to a call, after which nothing has changed."""

    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error

    def answer(self) -> Response:
        """What is sent."""
        return failure(self.status, self.error, str(self), self.headers)


class InvalidToken(Refused):
    """The access token is none; with the challenge of RFC 6750, 3."""

    headers: ClassVar[Mapping[str, str]] = {
        "WWW-Authenticate": 'Bearer realm="sandbox", error="invalid_token"'
    }

    def __init__(self) -> None:
        super().__init__(401, "invalid_token", "The access token is unknown, expired or revoked.")


class HangUp(Response):
    """No answer at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI)
        """See BoundedProtocol.hang_up."""
        scope["state"]["hang_up"]()


def failure(
    status: int, error: str, description: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error."""
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status, NO_STORE | dict(headers or {}))


def see_other(url: str) -> RedirectResponse:
    """Where a form leads to."""
    return RedirectResponse(url, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
