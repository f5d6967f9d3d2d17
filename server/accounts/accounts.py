"""Social accounts: what is read of them, and what changes them. Who may have one: ownership.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import lists, ownership, refresh_times, revocations, scope, stored_tokens
from server.accounts.ownership import Claimant
from server.accounts.rows import ROW, AccountRow, Connection, account_row
from server.base import errors
from server.base.identity import Caller, Clock, confine
from server.base.platform_names import platform_name
from server.base.vault import Vault
from server.platforms import Platforms, Profile
from server.storage.database import database
from server.storage.listing import Found
from server.storage.statements import Command, Statement

_GET_SQL = f"SELECT {ROW} FROM social_account WHERE project_id = $project AND id = $id"
_GET = Statement("accounts.get", _GET_SQL, account_row)
_LOCK = Statement("accounts.lock", f"{_GET_SQL} FOR UPDATE", account_row)
_DISCONNECT = Statement(
    "accounts.disconnect",
    f"""
    WITH disconnected AS (
      UPDATE social_account
      SET state = {pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED}, access_token_expire_time = NULL,
          reauth_reason = NULL, version = version + 1, update_time = $now
      WHERE project_id = $project AND id = $id
      RETURNING *
    )
    SELECT {ROW} FROM disconnected
    """,
    account_row,
)
_DELETE = Command("accounts.delete", "DELETE FROM social_account WHERE project_id = $project AND id = $id")


class Accounts:
    """The accounts of all projects, for who calls or claims."""

    def __init__(self, clock: Clock, vault: Vault, platforms: Platforms) -> None:
        self._clock = clock
        self._vault = vault
        self._platforms = platforms

    def get(self, caller: Caller, account_id: str) -> AccountRow:
        """One account. Raises SocialAccountNotFound, OwnerMismatch."""
        return _reached(caller, _GET, account_id)

    def list_page(
        self, caller: Caller, filters: Mapping[str, Sequence[Any]], after: str | None, size: int
    ) -> Found[AccountRow]:
        """A page of accounts as lists.find has it, of the owner that the call is confined to.

        Raises OwnerMismatch when it filters by another owner, or by an account that is not theirs.
        """
        if caller.owner is not None:
            confine(caller, *filters.get("external_ids", ()))
            scope.check_owners(caller, filters.get("social_account_ids", ()))
            filters = {**filters, "external_ids": [caller.owner]}
        return lists.find(caller.project_id, filters, after, size)

    def import_profile(
        self,
        caller: Caller,
        platform: int,
        external_id: str | None,
        profile: Profile,
        metadata: Mapping[str, str],
    ) -> AccountRow:
        """Connects a profile whose tokens the caller has. Raises OwnerMismatch, OwnedByAnother."""
        return self.claim(ownership.claimant(caller, external_id), platform, profile, metadata)

    def claim(
        self,
        claimant: Claimant,
        platform: int,
        profile: Profile,
        metadata: Mapping[str, str] | None = None,
        connection: Connection = Connection(),  # noqa: B008 (immutable)
    ) -> AccountRow:
        """Connects the profile in this name, or reconnects it. Raises OwnedByAnother."""
        now, tokens = self._clock(), stored_tokens.encrypted(profile.tokens, self._vault)
        way = self._platforms.named(connection.row, platform_name(platform))
        times = refresh_times.of_claimed(way, profile.tokens, now)
        return ownership.claim(claimant, platform, profile, tokens, metadata or {}, now, connection, times)

    def update(self, caller: Caller, account_id: str, etag: str, changes: Mapping[str, Any]) -> AccountRow:
        """Sets `metadata` and `external_id`, whichever `changes` has.

        Raises ExternalIdImmutable when the account has another external_id, EtagMismatch, and as get.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            external_id = changes.get("external_id", account.external_id)
            metadata = changes.get("metadata", account.metadata)
            return ownership.update(caller, account_id, external_id, metadata, self._clock())

    def transfer(self, caller: Caller, account_id: str, from_id: str, to_id: str, etag: str) -> AccountRow:
        """Gives the account to another owner. Raises EtagMismatch, and as ownership.transfer and get."""
        with database.transaction():
            _locked(caller, account_id, etag)
            return ownership.transfer(caller, account_id, from_id, to_id, self._clock())

    def disconnect(self, caller: Caller, account_id: str, etag: str) -> AccountRow:
        """Erases the tokens and keeps record and owner. Raises EtagMismatch, and as get.

        The platform is asked to revoke them later; see revocations.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            if account.state == pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED:
                return account
            now = self._clock()
            revocations.erase_and_revoke(caller.project_id, account_id, account.platform, now)
            return _DISCONNECT.all(id=account_id, project=caller.project_id, now=now)[0]

    def delete(self, caller: Caller, account_id: str, etag: str) -> None:
        """Erases the account and its tokens, as disconnect does.

        Raises SocialAccountHasPosts, EtagMismatch, and as get.
        """
        with database.transaction():
            account = _locked(caller, account_id, etag)
            revocations.erase_and_revoke(caller.project_id, account_id, account.platform, self._clock())
            _DELETE.run(id=account_id, project=caller.project_id)


def _reached(caller: Caller, statement: Statement[AccountRow], account_id: str) -> AccountRow:
    account = statement.first(id=account_id, project=caller.project_id)
    if account is None:
        raise errors.SocialAccountNotFound(id=account_id)
    confine(caller, account.external_id)
    return account


def _locked(caller: Caller, account_id: str, etag: str) -> AccountRow:
    account = _reached(caller, _LOCK, account_id)
    if etag not in ("", account.etag):
        raise errors.EtagMismatch
    return account
