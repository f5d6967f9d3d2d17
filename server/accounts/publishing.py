"""An account as it is at the moment at which something is begun to be published in its name.

Whose it is is looked at here, as in ownership.py: what was scheduled while the account was one owner's, or
nobody's, is not published once it is another's.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts.rows import StoredTokens
from server.accounts.stored_tokens import decrypted
from server.base.platform_names import platform_name
from server.base.vault import Vault
from server.platforms import ClientApp, Platforms, Tokens
from server.projects.platform_apps import PlatformApps
from server.storage.statements import Command, Statement, jsonb


class NotUsable(Exception):
    """Nothing can be published in the account's name; the text is one of the codes below."""


OWNER_CHANGED = "OWNER_CHANGED"
DISCONNECTED = "ACCOUNT_DISCONNECTED"
NEEDS_REAUTH = "ACCOUNT_NEEDS_REAUTH"
TOKENS_EXPIRED = "TOKENS_EXPIRED"
TOKENS_UNREADABLE = "TOKENS_UNREADABLE"
APP_DELETED = "APP_DELETED"


class _Account(NamedTuple):
    platform: int
    same_owner: bool
    state: int
    platform_user_id: str
    username: str
    scopes: list[str]
    limits: dict[str, Any] | None
    access_token_expire_time: datetime | None
    expired: bool


class _Held(NamedTuple):
    access_token: memoryview
    refresh_token: memoryview | None
    context: memoryview | None
    connection: str | None
    platform_app_id: str | None
    refresh_failures: int


@dataclasses.dataclass(frozen=True, slots=True)
class Usable:
    """An account that can publish, with tokens and app.

    `expired`: its access token has, and new tokens may come (`can_refresh`), unless asking for them just
    fails. `fingerprint` tells these tokens from those before and after, and nothing of them.
    """

    platform: str
    platform_user_id: str
    username: str
    tokens: Tokens = dataclasses.field(repr=False)
    app: ClientApp | None
    app_id: str | None
    connection: str | None
    limits: Mapping[str, Any]
    expired: bool
    can_refresh: bool
    refresh_fails: bool
    fingerprint: str


_ACCOUNT = Statement(
    "accounts.of_target",
    """
    SELECT platform, external_id IS NOT DISTINCT FROM $owner::text, state, platform_user_id, username, scopes,
      limits, access_token_expire_time, COALESCE(access_token_expire_time <= now(), false)
    FROM social_account WHERE project_id = $project AND id = $account
    """,
    _Account._make,
)
_TOKENS = Statement(
    "accounts.tokens_of_target",
    """
    SELECT access_token, refresh_token, context, connection, platform_app_id, refresh_failures
    FROM social_account_token WHERE project_id = $project AND social_account_id = $account
    """,
    _Held._make,
)
_KEEP_LIMITS = Command(
    "accounts.keep_limits",
    "UPDATE social_account SET limits = $limits WHERE project_id = $project AND id = $account",
)


class PublishingAccounts:
    """The accounts of all projects, for who publishes."""

    def __init__(self, vault: Vault, platforms: Platforms, apps: PlatformApps) -> None:
        self._vault = vault
        self._platforms = platforms
        self._apps = apps

    def of(self, project_id: str, account_id: str, owner: str | None) -> Usable:
        """The account, if it is still this owner's, in the transaction that begins. Raises NotUsable."""
        account = _ACCOUNT.first(project=project_id, account=account_id, owner=owner)
        if account is None or not account.same_owner:
            raise NotUsable(OWNER_CHANGED)
        if account.state == pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH:
            raise NotUsable(NEEDS_REAUTH)
        held = _TOKENS.first(project=project_id, account=account_id)
        if account.state != pb.SOCIAL_ACCOUNT_STATE_CONNECTED or held is None:
            raise NotUsable(DISCONNECTED)
        try:
            return self._usable(project_id, account, held)
        except InvalidToken:
            raise NotUsable(TOKENS_UNREADABLE) from None

    def keep_limits(self, project_id: str, account_id: str, limits: Mapping[str, Any]) -> None:
        """What the platform has said of this account's posts."""
        _KEEP_LIMITS.run(project=project_id, account=account_id, limits=jsonb(dict(limits)))

    def _usable(self, project_id: str, account: _Account, held: _Held) -> Usable:
        name = platform_name(account.platform)
        way = self._platforms.named(held.connection, name)
        app = self._apps.of_tokens(project_id, way, held.platform_app_id) if way else None
        if app is None and held.platform_app_id is not None:
            raise NotUsable(APP_DELETED)
        stored = StoredTokens(held.access_token, held.refresh_token, held.context)
        tokens = dataclasses.replace(
            decrypted(stored, self._vault),
            expire_time=account.access_token_expire_time,
            scopes=tuple(account.scopes),
        )
        can_refresh = way is not None and way.can_refresh(tokens)
        if account.expired and not can_refresh:
            raise NotUsable(TOKENS_EXPIRED)
        return Usable(
            platform=name,
            platform_user_id=account.platform_user_id,
            username=account.username,
            tokens=tokens,
            app=app,
            app_id=held.platform_app_id,
            connection=held.connection,
            limits=account.limits or {},
            expired=account.expired,
            can_refresh=can_refresh,
            refresh_fails=held.refresh_failures > 0,
            fingerprint=hashlib.sha256(held.access_token).hexdigest()[:16],
        )
