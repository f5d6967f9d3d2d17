"""The web process: the OAuth callback, the methods over HTTP, /healthz and, where it is on, the sandbox
platform."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.accounts.attempts import Attempts
from server.base import errors
from server.web import docs, faults
from server.web.callback import CallbackPage
from server.web.pages import render
from server.web.threads import Threads

log = logging.getLogger(__name__)


class AccessLog:
    """One log line a request. Never its query, which can hold a code or a state.

    It has no status when the client went before it was answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), None

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:
            status = 500
            raise
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
    attempts: Attempts,
    alive: Callable[[], bool],
    wires: Mapping[str, ASGIApp],
    more: Sequence[BaseRoute],
    *,
    public_url: str,
    threads: int,
    running: Callable[[], AbstractAsyncContextManager[None]],
) -> Starlette:
    """The web application; `more` are what platforms need: the sandbox's pages, and who we are at Bluesky.

    `alive` must answer from memory. Callbacks have `threads` threads. `wires` serve calls of methods, each
    below its path, inside the block that `running` makes.
    """

    async def healthz(_request: Request) -> Response:
        serving = alive()
        return JSONResponse({"status": "SERVING" if serving else "NOT_SERVING"}, 200 if serving else 503)

    app = Starlette(
        routes=[
            Route("/", home),
            *CallbackPage(attempts, public_url, Threads(threads)).routes(),
            Route("/healthz", healthz),
            *docs.routes(),
            *(Route(path, wire) for path, wire in wires.items()),
            *more,
        ],
        middleware=[Middleware(AccessLog)],
        exception_handlers={
            HTTPException: faults.no_route,
            errors.HitchpostError: faults.known,
            Exception: faults.unexpected,
        },
        lifespan=lambda _: running(),
    )
    # Redirects would go to whatever host the request names, and take a callback's code along.
    app.router.redirect_slashes = False
    return app
