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
from server.accounts.attempts import LIFETIME, Attempts
from server.accounts.callbacks import Callback
from server.accounts.outcomes import Outcome
from server.base import errors
from server.base.vault import fingerprint
from server.rpc import convert
from server.web.faults import BACK, not_connected, rendered
from server.web.pages import render
from server.web.sentences import SENTENCES
from server.web.threads import Threads

log = logging.getLogger(__name__)


class CallbackPage:
    """Ends the attempt and sends the browser on, or says how it went.

    A browser that reloads is told the same again: with the first answer it got a receipt, as a cookie.
    """

    def __init__(self, attempts: Attempts, public_url: str, threads: Threads) -> None:
        self._attempts = attempts
        self._path = f"{urlsplit(public_url).path}/callback"
        self._secure = public_url.startswith("https:")
        self._threads = threads

    def routes(self) -> list[Route]:
        """/callback/{platform}, and with a slash behind it, which some platforms want."""
        endpoint = self._threads.run(self._endpoint)
        return [Route(f"/callback/{{platform}}{ending}", endpoint, methods=["GET"]) for ending in ("", "/")]

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
            outcome = self._attempts.remembered(callback.state, shown)
            return _connected(outcome) if outcome else self._failed(request, callback, used)
        except errors.HitchpostError as error:
            return self._failed(request, callback, error)

    def _end(self, callback: Callback, platform: str) -> Response:
        receipt = secrets.token_urlsafe(32)
        response = _connected(self._attempts.complete(callback, platform=platform, receipt=receipt))
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

    def _failed(self, request: Request, callback: Callback, error: errors.HitchpostError) -> Response:
        log.info("callback failed", extra={"reason": errors.reason_name(error)})
        try:
            redirect_url = self._attempts.return_address(callback.state)
        except errors.DatabaseUnavailable:
            redirect_url = ""
        if redirect_url:
            return _send_back(redirect_url, status="failed", reason=_short(errors.reason_name(error)))
        return rendered(request, error)


def _cookie(callback: Callback) -> str:
    """One for each attempt: a browser may have several under way."""
    return f"hitchpost_{fingerprint(callback.state).hex()[:16]}"


def _connected(outcome: Outcome) -> Response:
    if outcome.confirmation_code:
        return _to_be_confirmed(outcome)
    if not outcome.redirect_url:
        return render(
            "result.html",
            ok=True,
            title="Connected",
            message="You can close this page now.",
            accounts=[convert.account(row) for row in outcome.connected],
            rejected=outcome.rejected,
        )
    return _send_back(
        outcome.redirect_url,
        status="partially_connected" if outcome.rejected else "connected",
        social_account_ids=",".join(row.id for row in outcome.connected),
        **({"reason": _short(outcome.rejected[0].reason)} if outcome.rejected else {}),
    )


def _to_be_confirmed(outcome: Outcome) -> Response:
    if not outcome.redirect_url:
        # It was begun to come back to a page of the caller's own, and did not.
        return not_connected(400, BACK)
    return _send_back(
        outcome.redirect_url, status="confirmation_required", confirmation_code=outcome.confirmation_code
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
