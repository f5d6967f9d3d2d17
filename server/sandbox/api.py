"""The sandbox platform as apps see it: tokens, revocation (RFC 7009) and profiles, all as JSON."""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.base.identity import Clock
from server.sandbox import grants
from server.sandbox.answers import NO_STORE, InvalidToken, Refused, failure
from server.sandbox.requests import (
    CLIENT_ID,
    SCOPES,
    BadRequest,
    bearer_token,
    form,
    handle,
    single_values,
)

EXPIRES_IN = int(grants.LIFETIMES["access"].total_seconds())
DEFAULT_SCOPE = "profile.read posts.write"

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class SandboxApi:
    """The endpoints. `public_url` has no final slash."""

    def __init__(self, public_url: str, clock: Clock) -> None:
        self._public_url = public_url
        self._clock = clock

    def token(self, request: Request) -> Response:
        """POST /sandbox/token."""
        return _answer(self._token, request)

    def revoke(self, request: Request) -> Response:
        """POST /sandbox/revoke."""
        return _answer(self._revoke, request)

    def profiles(self, request: Request) -> Response:
        """GET /sandbox/profiles: the accounts that the token's person shared.

        A login's token brings new tokens for each account; an account's token brings that account alone.
        """
        now = self._clock()
        grant = grants.find("access", bearer_token(request), now)
        if grant is None:
            return InvalidToken().answer()
        data = [self._profile(grant, handle, now) for handle in grant.detail["accounts"]]
        return JSONResponse({"data": data}, headers=NO_STORE)

    def _token(self, fields: dict[str, str]) -> dict[str, Any]:
        now = self._clock()
        try:
            match fields.get("grant_type"):
                case "authorization_code":
                    return _token_answer(_redeem(fields, now))
                case "refresh_token":
                    return _token_answer(grants.refresh(_required(fields, "refresh_token"), now))
                case "password":
                    return _token_answer(_sign_in(fields, now))
                case None:
                    raise Refused(400, "invalid_request", "grant_type is required")
        except grants.InvalidGrant:
            raise Refused(400, "invalid_grant", "The grant is unknown, expired, used or revoked.") from None
        raise Refused(400, "unsupported_grant_type", "Use authorization_code, refresh_token or password.")

    def _revoke(self, fields: dict[str, str]) -> dict[str, Any]:
        grants.revoke(_required(fields, "token"), self._clock())
        return {}

    def _profile(self, grant: grants.Grant, handle: str, now: datetime) -> dict[str, Any]:
        profile: dict[str, Any] = {
            "id": profile_id(handle),
            "username": handle,
            "name": display_name(handle),
            "picture": f"{self._public_url}/sandbox/avatars/{handle}.svg",
        }
        if not grant.detail["login"]:
            return profile
        pair = grants.issue_profile_tokens(grant, handle, now)
        return profile | {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "expires_in": EXPIRES_IN,
        }


def profile_id(handle: str) -> str:
    """The account's id: the same for every login that manages it."""
    return f"sbx_u_{hashlib.sha256(handle.encode()).hexdigest()[:12]}"


def display_name(handle: str) -> str:
    """A name for a handle: `acme.coffee` is Acme Coffee."""
    return " ".join(re.findall(r"[a-z0-9]+", handle)).title() or handle


def _answer(action: Callable[[dict[str, str]], dict[str, Any]], request: Request) -> Response:
    try:
        fields = single_values(form(request).multi_items())
        if _required(fields, "client_id") != CLIENT_ID:
            raise Refused(401, "invalid_client", "client_id is not known")
        return JSONResponse(action(fields), headers=NO_STORE)
    except BadRequest as error:
        return failure(400, "invalid_request", str(error))
    except Refused as error:
        return error.answer()


def _required(fields: dict[str, str], name: str) -> str:
    if not fields.get(name):
        raise Refused(400, "invalid_request", f"{name} is required")
    return fields[name]


def _redeem(fields: dict[str, str], now: datetime) -> grants.TokenPair:
    verifier = _required(fields, "code_verifier")
    if not _VERIFIER.fullmatch(verifier):
        raise Refused(400, "invalid_request", "code_verifier must be 43 to 128 unreserved characters")
    return grants.redeem_code(_required(fields, "code"), _required(fields, "redirect_uri"), verifier, now)


def _sign_in(fields: dict[str, str], now: datetime) -> grants.TokenPair:
    """Tokens without a browser (RFC 6749, 4.3). Nobody has a password here, so any one will do."""
    scopes = tuple(dict.fromkeys(fields.get("scope", DEFAULT_SCOPE).split()))
    if not scopes or not set(scopes) <= SCOPES.keys():
        raise Refused(400, "invalid_scope", f"scope must be some of: {' '.join(SCOPES)}")
    return grants.issue_tokens(handle(_required(fields, "username")), scopes, now)


def _token_answer(pair: grants.TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": EXPIRES_IN,
        "refresh_token": pair.refresh_token,
        "scope": " ".join(pair.scopes),
    }
