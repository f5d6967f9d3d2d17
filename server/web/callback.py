"""The OAuth callback: where platforms send browsers back to."""

import logging
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from generated.hitchpost.v1 import error_reason_pb2 as pb
from server import convert, errors
from server.connections import LIFETIME, Callback, Connections, Finished
from server.vault import fingerprint
from server.web.faults import HTTP_STATUS, not_connected
from server.web.pages import render
from server.web.sentences import SENTENCES, sentence
from server.web.threads import Threads

log = logging.getLogger(__name__)


class CallbackPage:
    """Ends the attempt and sends the browser on, or says how it went.

    A browser that reloads is told the same again: with the first answer it got a receipt, as a cookie.
    """

    def __init__(self, connections: Connections, public_url: str, threads: Threads) -> None:
        self._connections = connections
        self._path = f"{urlsplit(public_url).path}/callback"
        self._secure = public_url.startswith("https:")
        self._threads = threads

    def route(self) -> Route:
        """/callback/{platform}."""
        return Route("/callback/{platform}", self._threads.run(self._endpoint), methods=["GET"])

    def _endpoint(self, request: Request) -> Response:
        if request.method != "GET":
            # A link preview asks by HEAD, and must not end the attempt.
            raise HTTPException(405, headers={"Allow": "GET"})
        try:
            callback = Callback.from_query(request.url.query)
        except ValueError:
            return not_connected(400, SENTENCES[pb.ERROR_REASON_FIELD_INVALID])
        platform = request.path_params["platform"]
        try:
            return self._end(callback, platform)
        except errors.AuthStateUsed as used:
            shown = request.cookies.get(_cookie(callback), "")
            finished = self._connections.remembered(callback.state, shown)
            return _connected(finished) if finished else self._failed(callback, used)
        except errors.HitchpostError as error:
            return self._failed(callback, error)

    def _end(self, callback: Callback, platform: str) -> Response:
        receipt = secrets.token_urlsafe(32)
        response = _connected(self._connections.finish(callback, platform=platform, receipt=receipt))
        response.set_cookie(
            _cookie(callback),
            receipt,
            max_age=int(LIFETIME.total_seconds()),
            path=f"{self._path}/{platform}",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )
        return response

    def _failed(self, callback: Callback, error: errors.HitchpostError) -> Response:
        log.info("callback failed", extra={"reason": errors.reason_name(error)})
        try:
            redirect_url = self._connections.return_address(callback.state)
        except errors.DatabaseUnavailable:
            redirect_url = ""
        if redirect_url:
            return _send_back(redirect_url, status="failed", reason=_short(errors.reason_name(error)))
        return not_connected(HTTP_STATUS.get(error.code, 400), sentence(error))


def _cookie(callback: Callback) -> str:
    """One for each attempt: a browser may have several under way."""
    return f"hitchpost_{fingerprint(callback.state).hex()[:16]}"


def _connected(finished: Finished) -> Response:
    if not finished.redirect_url:
        return render(
            "result.html",
            ok=True,
            title="Connected",
            message="You can close this page now.",
            accounts=[convert.account(row) for row in finished.connected],
            rejected=finished.rejected,
        )
    return _send_back(
        finished.redirect_url,
        status="partially_connected" if finished.rejected else "connected",
        social_account_ids=",".join(row.id for row in finished.connected),
        **({"reason": _short(finished.rejected[0].reason)} if finished.rejected else {}),
    )


def _short(reason: str) -> str:
    return reason.removeprefix("ERROR_REASON_")


def _send_back(redirect_url: str, **parameters: str) -> Response:
    # The address that the browser leaves has a code in it, which must not travel on as a Referer.
    return RedirectResponse(
        URL(redirect_url).include_query_params(**parameters),
        status_code=302,
        headers={"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"},
    )
