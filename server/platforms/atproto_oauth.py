"""The OAuth client of the AT Protocol: pushed requests (RFC 9126), PKCE, DPoP, and servers that are found.

https://atproto.com/specs/oauth says what must be checked, and by whom.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx2

from server.platforms.dpop import ALGORITHM, Dpop
from server.platforms.facts import PASSING_ERRORS
from server.platforms.failures import REFUSALS, PlatformRefused, PlatformUnreachable, TokensRefused
from server.platforms.strangers import Strangers, error_code, json_object, text

# Such as a nonce that ended between two requests, or a clock that is wrong: no word about the tokens.
OF_THE_MOMENT = {*PASSING_ERRORS, "invalid_dpop_proof", "use_dpop_nonce"}


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """Who decides about an account: its name, and where it is asked what."""

    issuer: str
    authorize_url: str
    push_url: str
    token_url: str
    revoke_url: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token endpoint issued, and for which account."""

    did: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expire_time: datetime | None
    scopes: tuple[str, ...]


async def issuer_of(strangers: Strangers, client: httpx2.AsyncClient, pds: str) -> str:
    """Who decides about the accounts at this server (RFC 9728). Raises as authorization_server."""
    body = json_object(await client.get(f"{pds}/.well-known/oauth-protected-resource"))
    servers = body.get("authorization_servers")
    if body.get("resource") != pds or not isinstance(servers, list) or len(servers) != 1:
        raise PlatformRefused("the server does not say which one authorization server it has")
    return strangers.origin(servers[0])


async def authorization_server(
    strangers: Strangers, client: httpx2.AsyncClient, issuer: str
) -> AuthorizationServer:
    """What it says of itself (RFC 8414). Raises PlatformRefused for one that lacks what the protocol demands,
    PlatformUnreachable.
    """
    body = json_object(await client.get(f"{issuer}/.well-known/oauth-authorization-server"))
    if body.get("issuer") != issuer:
        raise PlatformRefused("the authorization server has another name")
    if not _supports(body):
        raise PlatformRefused("the authorization server lacks what the AT Protocol demands")
    return AuthorizationServer(
        issuer,
        strangers.endpoint(body.get("authorization_endpoint")),
        strangers.endpoint(body.get("pushed_authorization_request_endpoint")),
        strangers.endpoint(body.get("token_endpoint")),
        strangers.endpoint(body["revocation_endpoint"]) if body.get("revocation_endpoint") else "",
    )


def _supports(body: Mapping[str, Any]) -> bool:
    demanded = {
        "scopes_supported": "atproto",
        "response_types_supported": "code",
        "grant_types_supported": "authorization_code",
        "code_challenge_methods_supported": "S256",
        "dpop_signing_alg_values_supported": ALGORITHM,
    }
    flags = (
        "authorization_response_iss_parameter_supported",
        "require_pushed_authorization_requests",
        "client_id_metadata_document_supported",
    )
    has = [isinstance(body.get(name), list) and value in body[name] for name, value in demanded.items()]
    return all(has) and all(body.get(flag) is True for flag in flags)


async def push(
    client: httpx2.AsyncClient,
    dpop: Dpop,
    server: AuthorizationServer,
    us: Mapping[str, str],
    parameters: Mapping[str, str],
) -> str:
    """Tells the server what the browser is going to ask for. The address to send the browser to.

    `us` are AtprotoClient.parameters. Raises PlatformRefused, PlatformUnreachable.
    """
    body = await _asked(client, dpop, server.push_url, {**us, **parameters})
    query = {"client_id": us["client_id"], "request_uri": text(body, "request_uri", 2048)}
    return str(httpx2.URL(server.authorize_url).copy_merge_params(query))


async def grant(
    client: httpx2.AsyncClient,
    dpop: Dpop,
    server: AuthorizationServer,
    us: Mapping[str, str],
    parameters: Mapping[str, str],
    now: datetime,
) -> Grant:
    """Tokens for a code, or for a refresh token. Raises as push."""
    body = await _asked(client, dpop, server.token_url, {**us, **parameters})
    scopes = text(body, "scope").split()
    if str(body.get("token_type")).lower() != "dpop" or "atproto" not in scopes:
        raise PlatformRefused("tokens that are not of the AT Protocol")
    expires_in = body.get("expires_in")
    return Grant(
        text(body, "sub", 255),
        text(body, "access_token"),
        text(body, "refresh_token") if body.get("refresh_token") else None,
        now + timedelta(seconds=int(expires_in)) if expires_in is not None else None,
        tuple(scopes),
    )


async def revoke(
    client: httpx2.AsyncClient, dpop: Dpop, server: AuthorizationServer, us: Mapping[str, str], token: str
) -> None:
    """Ends the session that the token is of. One that is not known is no error (RFC 7009). Raises as push."""
    if server.revoke_url:
        response = await dpop.request(client, "POST", server.revoke_url, data={**us, "token": token})
        if not response.is_success:
            raise _failure(response)


async def _asked(
    client: httpx2.AsyncClient, dpop: Dpop, url: str, parameters: Mapping[str, str]
) -> dict[str, Any]:
    response = await dpop.request(client, "POST", url, data=parameters)
    if not response.is_success:
        raise _failure(response)
    return json_object(response)


def _failure(response: httpx2.Response) -> PlatformRefused | PlatformUnreachable:
    code = error_code(response)
    if code in OF_THE_MOMENT:
        return PlatformUnreachable(code)
    if code == "invalid_grant":
        return TokensRefused(code)
    return PlatformRefused(code if code in REFUSALS else f"HTTP {response.status_code}")
