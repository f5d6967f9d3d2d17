"""Social accounts and the ownership boundary around them.

Who may have a profile is decided in one place, the conditional upsert `_CLAIM`, by the database: either
the row comes back, or the profile is another owner's and not one byte of it has changed. Everybody else
reaches an account through `_owned`, which knows the project and the owner scope.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import peewee
from peewee import EXCLUDED, fn

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server import errors
from server.database import database
from server.identity import Caller, Clock, new_id
from server.models import AuditEvent, SocialAccount, SocialAccountToken
from server.platforms import OAuth2Platform, PlatformRefused, PlatformUnreachable, Profile, Tokens
from server.statements import Statement, any_of, json_row, jsonb, param, params, typed
from server.vault import Vault

log = logging.getLogger(__name__)


class AccountRow(NamedTuple):
    """A social account as it is stored, tokens aside; times are ISO 8601."""

    id: str
    platform: int
    platform_user_id: str
    external_id: str | None
    username: str
    display_name: str
    profile_photo_url: str
    state: int
    scopes: list[str]
    access_token_expire_time: str | None
    metadata: dict[str, str]
    version: int
    create_time: str
    update_time: str
    connect_time: str

    @property
    def etag(self) -> str:
        """Changes with every change of the row."""
        return str(self.version)


class StoredTokens(NamedTuple):
    """An account's tokens, encrypted."""

    access_token: memoryview
    refresh_token: memoryview | None


def account_row(columns: tuple[Any, ...]) -> AccountRow:
    """An account out of ROW."""
    return AccountRow._make(columns[0])


_COLUMNS = [getattr(SocialAccount, name) for name in AccountRow._fields]
ROW = json_row(_COLUMNS)
_CHANGED = {SocialAccount.version: SocialAccount.version + 1, SocialAccount.update_time: param("now")}
_THIS = (SocialAccount.id == param("id")) & (SocialAccount.project == param("project"))
_ERASED = {
    SocialAccount.state: pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED,
    SocialAccount.access_token_expire_time: None,
}

# The truth table of ownership. COALESCE claims an unowned profile; the WHERE lets only the owner, or an
# owner for an unowned profile, through; `= NULL` is never true, so that an attempt without an owner
# can't have an owned profile.
_CLAIMED = (
    SocialAccount.insert(params(SocialAccount.project, *_COLUMNS))
    .on_conflict(
        conflict_target=[SocialAccount.project, SocialAccount.platform, SocialAccount.platform_user_id],
        update={
            SocialAccount.external_id: fn.COALESCE(SocialAccount.external_id, EXCLUDED.external_id),
            SocialAccount.username: EXCLUDED.username,
            SocialAccount.display_name: EXCLUDED.display_name,
            SocialAccount.profile_photo_url: EXCLUDED.profile_photo_url,
            SocialAccount.state: EXCLUDED.state,
            SocialAccount.scopes: EXCLUDED.scopes,
            SocialAccount.access_token_expire_time: EXCLUDED.access_token_expire_time,
            SocialAccount.metadata: fn.COALESCE(
                fn.NULLIF(EXCLUDED.metadata, peewee.SQL("'{}'::jsonb")), SocialAccount.metadata
            ),
            SocialAccount.version: SocialAccount.version + 1,
            SocialAccount.update_time: EXCLUDED.update_time,
            SocialAccount.connect_time: EXCLUDED.connect_time,
        },
        where=SocialAccount.external_id.is_null() | (SocialAccount.external_id == EXCLUDED.external_id),
    )
    .returning(*_COLUMNS)
    .cte("claimed")
)
_TOKENS: "list[peewee.Field[Any]]" = [SocialAccountToken.access_token, SocialAccountToken.refresh_token]
# A platform that sends no refresh token this time has not taken the last one back.
_KEPT = (
    SocialAccountToken.insert_from(
        peewee.Select([_CLAIMED], [_CLAIMED.c.id, *typed(*_TOKENS)]),
        [SocialAccountToken.social_account, *_TOKENS],
    )
    .on_conflict(
        conflict_target=[SocialAccountToken.social_account],
        update={
            SocialAccountToken.access_token: EXCLUDED.access_token,
            SocialAccountToken.refresh_token: fn.COALESCE(
                EXCLUDED.refresh_token, SocialAccountToken.refresh_token
            ),
        },
    )
    .cte("kept")
)
_CLAIM = Statement(
    peewee.Select(
        [_CLAIMED], [json_row(getattr(_CLAIMED.c, column.column_name) for column in _COLUMNS)]
    ).with_cte(_CLAIMED, _KEPT),
    account_row,
)
_ERASE_TOKENS = Statement(
    SocialAccountToken.delete()
    .where(SocialAccountToken.social_account == param("id"))
    .returning(SocialAccountToken.access_token, SocialAccountToken.refresh_token),
    StoredTokens._make,
)
_GET = Statement(SocialAccount.select(ROW).where(_THIS), account_row)
_LOCK = Statement(SocialAccount.select(ROW).where(_THIS).for_update(), account_row)
_UPDATE = Statement(
    SocialAccount.update(
        {
            SocialAccount.external_id: param("external_id"),
            SocialAccount.metadata: param("metadata"),
            **_CHANGED,
        }
    )
    .where(_THIS)
    .returning(ROW),
    account_row,
)
_DISCONNECT = Statement(
    SocialAccount.update({**_ERASED, **_CHANGED}).where(_THIS).returning(ROW), account_row
)
_DELETE = Statement(SocialAccount.delete().where(_THIS), tuple[Any, ...])
_AUDIT = Statement(
    AuditEvent.insert(
        params(
            AuditEvent.id,
            AuditEvent.project,
            AuditEvent.api_key_id,
            AuditEvent.action,
            AuditEvent.social_account_id,
            AuditEvent.from_external_id,
            AuditEvent.to_external_id,
            AuditEvent.create_time,
        )
    ),
    tuple[Any, ...],
)


class Owned(NamedTuple):
    """Whose an account is."""

    id: str
    owner: str | None
    platform: int


_OWNED = SocialAccount.select(SocialAccount.id, SocialAccount.external_id, SocialAccount.platform).where(
    any_of(SocialAccount.id, "ids") & (SocialAccount.project == param("project"))
)
# They can't be deleted until the transaction ends.
HELD = _OWNED.order_by(SocialAccount.id).for_update("FOR KEY SHARE")  # type: ignore[arg-type]
_OWNERS = Statement(_OWNED, Owned._make)
_HOLD = Statement(HELD, Owned._make)


def platform_name(platform: int) -> str:
    """`sandbox` for PLATFORM_SANDBOX."""
    return platform_pb2.Platform.Name(platform).removeprefix("PLATFORM_").lower()


def scoped_owner(caller: Caller, external_id: str | None) -> str | None:
    """The owner that a write is for: the one it names, else the one the call is confined to.

    Raises OwnerMismatch when it names another than the call is confined to.
    """
    if external_id is None:
        return caller.owner
    if caller.owner not in (None, external_id):
        raise errors.OwnerMismatch
    return external_id


def check_owners(caller: Caller, ids: Sequence[str]) -> None:
    """Raises OwnerMismatch when one of these accounts is not the owner's that the call is confined to."""
    if caller.owner is not None and ids:
        _refuse_other_owners(caller, _OWNERS.all(ids=list(ids), project=caller.project_id))


def hold(caller: Caller, ids: Sequence[str]) -> None:
    """Keeps these accounts from being deleted until the transaction ends. Raises as check_usable."""
    check_usable(caller, ids, _HOLD.all(ids=list(ids), project=caller.project_id))


def check_usable(caller: Caller, ids: Sequence[str], found: Sequence[Owned]) -> None:
    """Whether a post may name the accounts, given those of them that were found.

    Raises SocialAccountNotFound for one that is not in the project, OwnerMismatch as check_owners.
    """
    missing = set(ids) - {account.id for account in found}
    if missing:
        raise errors.SocialAccountNotFound(id=min(missing))
    _refuse_other_owners(caller, found)


def _refuse_other_owners(caller: Caller, accounts: Sequence[Owned]) -> None:
    if caller.owner is not None and any(account.owner != caller.owner for account in accounts):
        raise errors.OwnerMismatch


def _owned(caller: Caller, statement: Statement[AccountRow], account_id: str) -> AccountRow:
    account = statement.first(id=account_id, project=caller.project_id)
    if account is None:
        raise errors.SocialAccountNotFound(id=account_id)
    if caller.owner not in (None, account.external_id):
        raise errors.OwnerMismatch
    return account


def get(caller: Caller, account_id: str) -> AccountRow:
    """One account. Raises SocialAccountNotFound, OwnerMismatch."""
    return _owned(caller, _GET, account_id)


class Accounts:
    """What changes accounts."""

    def __init__(self, vault: Vault, clock: Clock, platforms: Mapping[int, OAuth2Platform]) -> None:
        self._vault = vault
        self._clock = clock
        self._platforms = platforms

    def claim(
        self,
        project_id: str,
        platform: int,
        external_id: str | None,
        profile: Profile,
        metadata: Mapping[str, str] | None = None,
    ) -> AccountRow:
        """Connects the profile for this owner (None: for none), or reconnects it. Raises OwnedByAnother."""
        now = self._clock()
        refresh_token = profile.tokens.refresh_token
        account = _CLAIM.first(
            id=new_id("sa", now),
            project=project_id,
            external_id=external_id,
            platform=platform,
            platform_user_id=profile.platform_user_id,
            username=profile.username,
            display_name=profile.display_name,
            profile_photo_url=profile.profile_photo_url,
            state=pb.SOCIAL_ACCOUNT_STATE_CONNECTED,
            scopes=list(profile.tokens.scopes),
            access_token_expire_time=profile.tokens.expire_time,
            metadata=jsonb(metadata or {}),
            version=1,
            create_time=now,
            update_time=now,
            connect_time=now,
            access_token=self._vault.encrypt(profile.tokens.access_token),
            refresh_token=self._vault.encrypt(refresh_token) if refresh_token else None,
        )
        if account is None:
            raise errors.OwnedByAnother(platform=platform_name(platform))
        return account

    def update(self, caller: Caller, account_id: str, etag: str, changes: Mapping[str, Any]) -> AccountRow:
        """Sets `metadata` and `external_id`, whichever `changes` has.

        Raises ExternalIdImmutable when the account has another external_id, EtagMismatch, and as get.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            external_id = changes.get("external_id", account.external_id)
            if account.external_id not in (None, external_id):
                raise errors.ExternalIdImmutable
            metadata = changes.get("metadata", account.metadata)
            return self._write(caller, account_id, external_id=external_id, metadata=jsonb(metadata))

    def transfer(self, caller: Caller, account_id: str, from_id: str, to_id: str, etag: str) -> AccountRow:
        """Gives the account to another owner, and records it.

        Raises OwnerMismatch, EtagMismatch, and as get.
        """
        now = self._clock()
        with database.transaction():
            account = _locked(caller, account_id, etag)
            if account.external_id != from_id or caller.owner not in (None, to_id):
                raise errors.OwnerMismatch
            _AUDIT.all(
                id=new_id("ae", now),
                project=caller.project_id,
                api_key_id=caller.key_id,
                action="transfer",
                social_account_id=account_id,
                from_external_id=from_id,
                to_external_id=to_id,
                create_time=now,
            )
            return self._write(caller, account_id, external_id=to_id, metadata=jsonb(account.metadata))

    def disconnect(
        self, caller: Caller, account_id: str, etag: str, deadline: float = math.inf
    ) -> AccountRow:
        """Erases the tokens and keeps record and owner. Raises EtagMismatch, and as get.

        The platform, which is told, is not waited for past the caller's deadline.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            if account.state == pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED:
                return account
            erased = _ERASE_TOKENS.first(id=account_id)
            disconnected = _DISCONNECT.all(id=account_id, project=caller.project_id, now=self._clock())[0]
        self._revoke(account, erased, deadline)
        return disconnected

    def delete(self, caller: Caller, account_id: str, etag: str, deadline: float = math.inf) -> None:
        """Erases the account and its tokens, as disconnect does.

        Raises SocialAccountHasPosts, EtagMismatch, and as get.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            erased = _ERASE_TOKENS.first(id=account_id)
            _DELETE.all(id=account_id, project=caller.project_id)
        self._revoke(account, erased, deadline)

    def _write(self, caller: Caller, account_id: str, **columns: Any) -> AccountRow:
        return _UPDATE.all(id=account_id, project=caller.project_id, now=self._clock(), **columns)[0]

    def _revoke(self, account: AccountRow, erased: StoredTokens | None, deadline: float) -> None:
        """Asks the platform to end the tokens, which are gone here whatever it answers."""
        platform = self._platforms.get(account.platform)
        if platform is None or erased is None:
            return
        tokens = Tokens(
            access_token=self._vault.decrypt(erased.access_token),
            refresh_token=self._vault.decrypt(erased.refresh_token) if erased.refresh_token else None,
            expire_time=None,
            scopes=(),
        )
        try:
            platform.revoke(tokens, platform.deadline(deadline))
        except (PlatformRefused, PlatformUnreachable) as error:
            log.warning("tokens not revoked at the platform", extra={"id": account.id, "cause": str(error)})


def _locked(caller: Caller, account_id: str, etag: str) -> AccountRow:
    account = _owned(caller, _LOCK, account_id)
    if etag not in ("", account.etag):
        raise errors.EtagMismatch
    return account
