"""What the sandbox platform has issued: logins, codes and tokens, each kept only by its hash.

A token's detail names the code it descends from (`code`) and its `family`: the tokens that one refresh
token turned into. Each profile of a login begins a family of its own, so revoking one spares the rest.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from server.base.vault import fingerprint
from server.storage.database import database
from server.storage.forgetting import Forgetting
from server.storage.sandbox_models import SandboxGrant as G
from server.storage.statements import Command, Statement, jsonb, param, params

PREFIXES = {"login": "sbx_login_", "code": "sbx_code_", "access": "sbx_at_", "refresh": "sbx_rt_"}
LIFETIMES = {
    "login": timedelta(days=30),
    "code": timedelta(seconds=60),
    "access": timedelta(hours=1),
    "refresh": timedelta(days=60),
}


class Grant(NamedTuple):
    """What a secret stands for: the handle it was issued to, and what its kind needs."""

    handle: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """Two new tokens and the scopes they have."""

    access_token: str
    refresh_token: str
    scopes: tuple[str, ...]


class InvalidGrant(Exception):
    """The code or token is unknown, expired, used or revoked, or was issued for something else."""


_LIVE = (G.hash == param("hash")) & (G.kind == param("kind")) & (G.expire_time > param("now"))
_FIND = Statement("sandbox.find", G.select(G.handle, G.detail).where(_LIVE), Grant._make)
_SPEND = Statement(
    "sandbox.spend", G.update(kind="spent").where(_LIVE).returning(G.handle, G.detail), Grant._make
)
_INSERT = Command("sandbox.insert", G.insert(params(G.hash, G.kind, G.handle, G.detail, G.expire_time)))
_DELETE = Command("sandbox.delete", G.delete().where((G.hash == param("hash")) & (G.kind == param("kind"))))
_DELETE_MATCHING = Command("sandbox.delete_matching", G.delete().where(G.detail.contains(param("detail"))))
EXPIRED_GRANTS = Forgetting("grants", G.expire_time, timedelta(0))


def issue(kind: str, handle: str, detail: dict[str, Any], now: datetime) -> str:
    """A new secret of this kind; it is returned here and never again."""
    secret = PREFIXES[kind] + secrets.token_urlsafe(32)
    _INSERT.run(
        hash=fingerprint(secret),
        kind=kind,
        handle=handle,
        detail=jsonb(detail),
        expire_time=now + LIFETIMES[kind],
    )
    return secret


def find(kind: str, secret: str, now: datetime) -> Grant | None:
    """The live grant of this secret, if there is one."""
    return _FIND.first(hash=fingerprint(secret), kind=kind, now=now)


def forget_login(secret: str) -> None:
    """Signs a login out."""
    _DELETE.run(hash=fingerprint(secret), kind="login")


def redeem_code(code: str, redirect_uri: str, code_verifier: str, now: datetime) -> TokenPair:
    """The login's tokens, once. Raises InvalidGrant; a second use also revokes what the first one brought."""
    grant = find("code", code, now)
    challenge = create_s256_code_challenge(code_verifier)
    if grant and (grant.detail["redirect_uri"], grant.detail["challenge"]) != (redirect_uri, challenge):
        raise InvalidGrant
    origin = fingerprint(code).hex()
    with database.transaction():
        spent = _SPEND.first(hash=fingerprint(code), kind="code", now=now)
        if spent:
            return _issue_pair(spent.handle, _token_detail(spent.detail, origin, origin, login=True), now)
    _DELETE_MATCHING.run(detail=jsonb({"code": origin}))
    raise InvalidGrant


def refresh(refresh_token: str, now: datetime) -> TokenPair:
    """New tokens for old. Raises InvalidGrant; a token that was used before also revokes its family."""
    with database.transaction():
        spent = _SPEND.first(hash=fingerprint(refresh_token), kind="refresh", now=now)
        if spent:
            return _issue_pair(spent.handle, spent.detail, now)
    if reused := find("spent", refresh_token, now):
        _delete_family(reused)
    raise InvalidGrant


def issue_profile_tokens(login: Grant, handle: str, now: datetime) -> TokenPair:
    """Tokens that act for one account that the login shared, and for nothing else."""
    family = secrets.token_hex(16)
    detail = _token_detail(login.detail | {"accounts": [handle]}, login.detail["code"], family, login=False)
    return _issue_pair(handle, detail, now)


def issue_tokens(handle: str, scopes: tuple[str, ...], now: datetime) -> TokenPair:
    """Tokens that act for one account, of which no login needs to know."""
    family = secrets.token_hex(16)
    source = {"accounts": [handle], "scopes": scopes}
    return _issue_pair(handle, _token_detail(source, family, family, login=False), now)


def revoke(token: str, now: datetime) -> None:
    """Ends an access token, or a refresh token with its whole family; an unknown one is no error."""
    if grant := find("refresh", token, now):
        _delete_family(grant)
    _DELETE.run(hash=fingerprint(token), kind="access")


def _delete_family(grant: Grant) -> None:
    # A spent code has no family; without this check an empty pattern would match every row.
    if family := grant.detail.get("family"):
        _DELETE_MATCHING.run(detail=jsonb({"family": family}))


def _token_detail(source: dict[str, Any], code: str, family: str, *, login: bool) -> dict[str, Any]:
    return {
        "accounts": source["accounts"],
        "scopes": source["scopes"],
        "code": code,
        "family": family,
        "login": login,
    }


def _issue_pair(handle: str, detail: dict[str, Any], now: datetime) -> TokenPair:
    return TokenPair(
        issue("access", handle, detail, now), issue("refresh", handle, detail, now), tuple(detail["scopes"])
    )
