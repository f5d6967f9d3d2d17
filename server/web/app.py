"""The web process: the OAuth callback, /healthz and, where it is on, the sandbox platform."""

import logging
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import errors
from server.connections import Connections
from server.web import faults
from server.web.callback import CallbackPage
from server.web.pages import render
from server.web.threads import Threads

log = logging.getLogger(__name__)


class AccessLog:
    """One log line a request. Never its query, which can hold a code or a state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            log.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 3),
                },
            )


async def home(_request: Request) -> Response:
    """GET /: what this address is, for somebody who has come here by themselves."""
    about = "This is where social platforms send you back to while you connect an account to an app."
    return render("message.html", title="Hitchpost", message=f"{about} {faults.BACK}")


def create(
    connections: Connections,
    alive: Callable[[], bool],
    sandbox: list[BaseRoute],
    *,
    public_url: str,
    threads: int,
) -> Starlette:
    """The web application; `sandbox` are the sandbox platform's routes, none where it is off.

    `alive` must answer from memory. Callbacks have `threads` threads.
    """

    async def healthz(_request: Request) -> Response:
        serving = alive()
        return JSONResponse({"status": "SERVING" if serving else "NOT_SERVING"}, 200 if serving else 503)

    app = Starlette(
        routes=[
            Route("/", home),
            CallbackPage(connections, public_url, Threads(threads)).route(),
            Route("/healthz", healthz),
            *sandbox,
        ],
        middleware=[Middleware(AccessLog)],
        exception_handlers={
            HTTPException: faults.no_route,
            errors.HitchpostError: faults.known,
            Exception: faults.unexpected,
        },
    )
    # Redirects would go to whatever host the request names, and take a callback's code along.
    app.router.redirect_slashes = False
    return app
