"""Who may have an account. Nowhere else is this decided.

- A profile that is nobody's goes to whoever connects it, and to an owner for good.
- What has an owner stays theirs, also disconnected: whoever connects it for another, or for none, is refused.
- Only a transfer moves an account from one owner to another.

Each of these is the condition of one statement, decided by the database: either the row comes back, or not
one byte of it has changed. What a call may reach at all is said in scope.py.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts.refresh_times import RefreshTimes
from server.accounts.rows import ROW, AccountRow, Connection, StoredTokens, account_row
from server.base import errors
from server.base.identity import Caller, confine, new_id
from server.base.platform_names import platform_name
from server.platforms import Profile
from server.storage.statements import Statement, jsonb


class Claimant(NamedTuple):
    """In whose name a profile is connected: a project's, for one of its owners, or with None for nobody.

    A call becomes one by `claimant`, which checks its scope. An attempt keeps the one it was begun for, and
    acts for it whoever's browser comes back, with no API key: see `Attempt.claimant`.
    """

    project_id: str
    owner: str | None


_CLAIM = Statement(
    "accounts.claim",
    f"""
    WITH claimed AS (
      INSERT INTO social_account AS account (
        project_id, id, platform, platform_user_id, external_id, username, display_name,
        profile_photo_url, state, scopes, access_token_expire_time, metadata, version,
        create_time, update_time, connect_time, reauth_reason, limits)
      VALUES (
        $project, $id, $platform, $platform_user_id, $external_id, $username, $display_name,
        $profile_photo_url, $state, $scopes, $access_token_expire_time, $metadata, 1,
        $now, $now, $now, NULL, $limits)
      ON CONFLICT (project_id, platform, platform_user_id) DO UPDATE SET
        external_id = COALESCE(account.external_id, excluded.external_id),  -- claims what is nobody's
        username = excluded.username,
        display_name = excluded.display_name,
        profile_photo_url = excluded.profile_photo_url,
        state = excluded.state,
        scopes = excluded.scopes,
        access_token_expire_time = excluded.access_token_expire_time,
        metadata = COALESCE(NULLIF(excluded.metadata, '{{}}'), account.metadata),
        version = account.version + 1,
        update_time = excluded.update_time,
        connect_time = excluded.connect_time,
        reauth_reason = NULL,
        limits = COALESCE(excluded.limits, account.limits)
      WHERE account.external_id IS NULL
         OR account.external_id = excluded.external_id        -- `= NULL` is never true
      RETURNING account.*
    ), kept AS (
      INSERT INTO social_account_token AS token (
        project_id, social_account_id, access_token, refresh_token, context, connection, platform_app_id,
        login_id, due_time, attempt, refresh_failures)
      SELECT $project, id, $access_token::bytea, $refresh_token::bytea, $context::bytea, $connection::text,
        $platform_app_id::text, $login_id::text, $refresh_time::timestamptz, 0, 0
      FROM claimed
      ON CONFLICT (project_id, social_account_id) DO UPDATE SET
        access_token = excluded.access_token,
        -- A platform that sends no refresh token this time has not taken the last one back.
        refresh_token = COALESCE(excluded.refresh_token, token.refresh_token),
        -- An import does not say how its tokens were had: as those before.
        context = COALESCE(excluded.context, token.context),
        connection = COALESCE(excluded.connection, token.connection),
        platform_app_id = COALESCE(excluded.platform_app_id, token.platform_app_id),
        login_id = excluded.login_id,
        due_time = CASE WHEN token.refresh_token IS NULL THEN excluded.due_time
          ELSE $refresh_time_kept::timestamptz END,
        -- Whoever is refreshing the tokens before has lost them.
        lease_time = NULL,
        worker = NULL,
        refresh_failures = 0
    )
    SELECT {ROW} FROM claimed
    """,
    account_row,
)
_UPDATE = Statement(
    "accounts.update",
    f"""
    WITH updated AS (
      UPDATE social_account
      SET external_id = $external_id, metadata = $metadata, version = version + 1, update_time = $now
      WHERE project_id = $project AND id = $id
        AND (external_id IS NULL OR external_id = $external_id)  -- an owner is set once
      RETURNING *
    )
    SELECT {ROW} FROM updated
    """,
    account_row,
)
_TRANSFER = Statement(
    "accounts.transfer",
    f"""
    WITH transferred AS (
      UPDATE social_account SET external_id = $to_id, version = version + 1, update_time = $now
      WHERE project_id = $project AND id = $id AND external_id = $from_id
      RETURNING *
    ), recorded AS (
      INSERT INTO audit_event (
        id, project_id, api_key_id, action, social_account_id, from_external_id, to_external_id, create_time)
      SELECT $event, $project, $key, 'transfer', id, $from_id, $to_id, $now FROM transferred
    )
    SELECT {ROW} FROM transferred
    """,
    account_row,
)


def claimant(caller: Caller, external_id: str | None) -> Claimant:
    """In whose name the call connects a profile: the owner's that it names, else its scope's.

    Raises OwnerMismatch when it names another than it is confined to.
    """
    if external_id is None:
        return Claimant(caller.project_id, caller.owner)
    confine(caller, external_id)
    return Claimant(caller.project_id, external_id)


def claim(
    claimant: Claimant,
    platform: int,
    profile: Profile,
    tokens: StoredTokens,
    metadata: Mapping[str, str],
    now: datetime,
    connection: Connection = Connection(),  # noqa: B008 (immutable)
    refresh_times: RefreshTimes = RefreshTimes(),  # noqa: B008
) -> AccountRow:
    """Connects the profile in this name, or reconnects it. Raises OwnedByAnother."""
    account = _CLAIM.first(
        project=claimant.project_id,
        external_id=claimant.owner,
        id=new_id("sa", now),
        platform=platform,
        platform_user_id=profile.platform_user_id,
        username=profile.username,
        display_name=profile.display_name,
        profile_photo_url=profile.profile_photo_url,
        state=pb.SOCIAL_ACCOUNT_STATE_CONNECTED,
        scopes=list(profile.tokens.scopes),
        access_token_expire_time=profile.tokens.expire_time,
        metadata=jsonb(metadata),
        limits=jsonb(profile.limits) if profile.limits else None,
        now=now,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        context=tokens.context,
        connection=connection.row,
        platform_app_id=connection.platform_app_id,
        login_id=connection.login_id,
        refresh_time=refresh_times.alone,
        refresh_time_kept=refresh_times.with_kept,
    )
    if account is None:
        raise errors.OwnedByAnother(platform=platform_name(platform))
    return account


def update(
    caller: Caller, account_id: str, external_id: str | None, metadata: Mapping[str, str], now: datetime
) -> AccountRow:
    """Sets the metadata of an account that the caller has locked, and the owner of one that has none.

    Raises ExternalIdImmutable when it has another.
    """
    updated = _UPDATE.first(
        project=caller.project_id, id=account_id, external_id=external_id, metadata=jsonb(metadata), now=now
    )
    if updated is None:
        raise errors.ExternalIdImmutable
    return updated


def transfer(caller: Caller, account_id: str, from_id: str, to_id: str, now: datetime) -> AccountRow:
    """Gives an account that the caller has locked to another owner, and records it.

    Raises OwnerMismatch when it is not `from_id`'s, or one of the two is not whom the call is confined to.
    """
    confine(caller, from_id, to_id)
    moved = _TRANSFER.first(
        project=caller.project_id,
        id=account_id,
        from_id=from_id,
        to_id=to_id,
        now=now,
        event=new_id("ae", now),
        key=caller.key_id,
    )
    if moved is None:
        raise errors.OwnerMismatch
    return moved
