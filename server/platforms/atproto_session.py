"""A session by an app password: com.atproto.server.createSession and its like (the protocol's older way in).

What the server answers is believed only of accounts that are at that server; see bluesky.py.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from server.platforms.failures import PlatformRefused, PlatformUnreachable, TokensRefused
from server.platforms.strangers import error_code, json_object, text

# https://docs.bsky.app/docs/api/com-atproto-server-create-session and -refresh-session
LOGIN_REFUSALS = {"AuthenticationRequired", "AccountTakedown", "AuthFactorTokenRequired", "InvalidRequest"}
SESSION_REFUSALS = {
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationRequired",
    "AuthMissing",
    "AccountTakedown",
}


class WrongPassword(PlatformRefused):
    """The server does not let this account in with this password."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a server issued: for which account, and when the access token ends, if it says."""

    did: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expire_time: datetime | None


async def create(client: httpx2.AsyncClient, server: str, identifier: str, password: str) -> Session:
    """Signs in. Raises WrongPassword, PlatformUnreachable."""
    response = await client.post(
        _method(server, "createSession"), json={"identifier": identifier, "password": password}
    )
    if response.is_success:
        return _session(json_object(response))
    if (code := error_code(response)) in LOGIN_REFUSALS:
        raise WrongPassword(code)
    raise PlatformUnreachable(f"HTTP {response.status_code}")


async def refresh(client: httpx2.AsyncClient, server: str, refresh_token: str) -> Session:
    """New tokens for a refresh token, which ends. Raises TokensRefused, PlatformUnreachable."""
    response = await client.post(_method(server, "refreshSession"), headers=_bearer(refresh_token))
    return _session(_accepted(response))


async def account(client: httpx2.AsyncClient, server: str, access_token: str) -> str:
    """The DID of the account whose token it is, as this server knows it. Raises as refresh."""
    response = await client.get(_method(server, "getSession"), headers=_bearer(access_token))
    return text(_accepted(response), "did")


async def delete(client: httpx2.AsyncClient, server: str, refresh_token: str) -> None:
    """Ends the session. One that the server no longer knows is no error. Raises PlatformUnreachable."""
    response = await client.post(_method(server, "deleteSession"), headers=_bearer(refresh_token))
    if not response.is_success:
        error_code(response)


def _accepted(response: httpx2.Response) -> dict[str, Any]:
    if response.is_success:
        return json_object(response)
    if (code := error_code(response)) in SESSION_REFUSALS:
        raise TokensRefused(code)
    raise PlatformUnreachable(f"HTTP {response.status_code}")


def _session(body: dict[str, Any]) -> Session:
    access_token = text(body, "accessJwt")
    return Session(text(body, "did", 255), access_token, text(body, "refreshJwt"), _expire_time(access_token))


def _expire_time(token: str) -> datetime | None:
    """When a JWT says that it ends: nothing else does. It is no proof of anything, and so is not verified."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, LookupError, TypeError, ArithmeticError, OSError, RecursionError):
        return None


def _method(server: str, name: str) -> str:
    return f"{server}/xrpc/com.atproto.server.{name}"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
