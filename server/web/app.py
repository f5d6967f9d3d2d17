"""The web process: the OAuth callback, /healthz and, where it is on, the sandbox platform."""

import functools
import logging
import time
from collections.abc import Callable

import anyio
from anyio import to_thread
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import convert, errors
from server.connections import Callback, Connections, Finished
from server.web.pages import render

log = logging.getLogger(__name__)

HTTP_STATUS = {
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 503,
    StatusCode.INTERNAL: 500,
}


class CallbackPage:
    """Where platforms send browsers back to: ends the attempt and sends the browser on."""

    def __init__(self, connections: Connections, threads: int) -> None:
        self._connections = connections
        # Threads of their own: a callback waits for the platform, and the sandbox answers from this process.
        self._limiter = anyio.CapacityLimiter(threads)

    async def endpoint(self, request: Request) -> Response:
        """GET /callback/{platform}. HEAD is refused: a link preview must not end the attempt."""
        if request.method != "GET":
            return Response(status_code=405, headers={"Allow": "GET"})
        answer = functools.partial(self._answer, request.url.query, request.path_params["platform"])
        return await to_thread.run_sync(answer, limiter=self._limiter)

    def _answer(self, query: str, platform: str) -> Response:
        try:
            callback = Callback.from_query(query)
        except ValueError as error:
            return _failure_page(400, f"This address {error}.")
        try:
            finished = self._connections.finish(callback, platform=platform)
        except errors.HitchpostError as error:
            return self._failed(callback, error)
        return self._connected(callback, finished)

    def _connected(self, callback: Callback, finished: Finished) -> Response:
        redirect_url = self._connections.return_address(callback.state)
        if not redirect_url:
            return render(
                "result.html",
                ok=True,
                title="Connected",
                message="You can close this page now.",
                accounts=[convert.account(row) for row in finished.connected],
                rejected=[profile for profile, _ in finished.rejected],
            )
        return _send_back(
            redirect_url,
            status="partially_connected" if finished.rejected else "connected",
            social_account_ids=",".join(row.id for row in finished.connected),
            **({"reason": _short_reason(finished.rejected[0][1])} if finished.rejected else {}),
        )

    def _failed(self, callback: Callback, error: errors.HitchpostError) -> Response:
        log.info("callback failed", extra={"reason": errors.reason_name(error)})
        try:
            redirect_url = self._connections.return_address(callback.state)
        except errors.DatabaseUnavailable:
            redirect_url = ""
        if redirect_url:
            return _send_back(redirect_url, status="failed", reason=_short_reason(error))
        return _failure_page(HTTP_STATUS.get(error.code, 400), str(error))


def _short_reason(error: errors.HitchpostError) -> str:
    return errors.reason_name(error).removeprefix("ERROR_REASON_")


def _send_back(redirect_url: str, **parameters: str) -> Response:
    # The address that the browser leaves has a code in it, which must not travel on as a Referer.
    return RedirectResponse(
        URL(redirect_url).include_query_params(**parameters),
        status_code=302,
        headers={"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"},
    )


def _failure_page(status: int, message: str) -> Response:
    nothing: dict[str, list[str]] = {"accounts": [], "rejected": []}
    return render("result.html", status=status, ok=False, title="Not connected", message=message, **nothing)


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


def create(
    connections: Connections, alive: Callable[[], bool], sandbox: list[BaseRoute], threads: int
) -> Starlette:
    """The web application; `sandbox` are the sandbox platform's routes, none where it is off."""

    def healthz(request: Request) -> Response:  # noqa: ARG001
        serving = alive()
        return JSONResponse({"status": "SERVING" if serving else "NOT_SERVING"}, 200 if serving else 503)

    def unavailable(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return _failure_page(503, str(error))

    def unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001
        log.error("unexpected error", exc_info=error)
        return _failure_page(500, "Something went wrong here. Please try again.")

    callback = CallbackPage(connections, threads)
    return Starlette(
        routes=[
            Route("/callback/{platform}", callback.endpoint),
            Route("/healthz", healthz),
            *sandbox,
        ],
        middleware=[Middleware(AccessLog)],
        exception_handlers={errors.DatabaseUnavailable: unavailable, Exception: unexpected},
    )
