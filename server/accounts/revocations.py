"""Revoking the tokens of accounts that were disconnected or deleted: due work, so that no caller waits for a
platform. They are kept, encrypted, until the platform has answered or a day has passed."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from server.accounts.refresh_records import Taken
from server.accounts.rows import StoredTokens
from server.accounts.stored_tokens import decrypted
from server.base import tracing
from server.base.identity import new_id
from server.base.platform_names import platform_name
from server.base.vault import Vault
from server.platforms import PlatformRefused, Platforms, PlatformUnreachable, TokensRefused
from server.projects.platform_apps import PlatformApps
from server.storage.due_work import CHANNEL, Kind, Leased, backoff
from server.storage.statements import Statement

log = logging.getLogger(__name__)

GIVE_UP = timedelta(days=1)


class Revocation(NamedTuple):
    """Tokens to be revoked, encrypted."""

    project_id: str
    id: str
    platform: int
    social_account_id: str
    access_token: memoryview
    refresh_token: memoryview | None
    context: memoryview | None
    connection: str | None
    platform_app_id: str | None
    create_time: datetime
    trace_context: str | None = None


# A platform is waited for 10 s: of a batch for one that does not answer six rows are tried, and the others
# given back.
KIND = Kind("revocations", "token_revocation", Revocation, batch=10, share=2, seconds=120)
# One account after the other: of two that have a login's last tokens, the second finds itself alone.
_LOCK_LOGIN = Statement(
    "revocations.lock_login",
    """
    SELECT social_account_id FROM social_account_token
    WHERE project_id = $project AND login_id IN (
      SELECT login_id FROM social_account_token WHERE project_id = $project AND social_account_id = $account)
    ORDER BY social_account_id FOR UPDATE
    """,
    tuple[str],
)
_MOVE = Statement(
    "revocations.move",
    f"""
    WITH erased AS (
      DELETE FROM social_account_token WHERE project_id = $project AND social_account_id = $account
      RETURNING access_token, refresh_token, context, connection, platform_app_id, login_id
    ), kept AS (
      INSERT INTO token_revocation (project_id, id, platform, social_account_id, access_token, refresh_token,
                                    context, connection, platform_app_id, create_time, due_time, attempt,
                                    trace_context)
      SELECT $project, $id, $platform, $account, access_token, refresh_token,
             context, connection, platform_app_id, now(), now(), 0, $trace::text
      FROM erased
      WHERE NOT EXISTS (                        -- another account of the login still uses the same tokens
        SELECT FROM social_account_token sibling
        WHERE sibling.project_id = $project AND sibling.login_id = erased.login_id
          AND sibling.social_account_id <> $account)
      RETURNING id
    )
    SELECT pg_notify('{CHANNEL}', '{KIND.name}') FROM kept     -- when the transaction commits
    """,
    tuple[Any, ...],
)

# Tokens that a platform gave for an account that was gone by then.
_REVOKE_LOST = Statement(
    "revocations.revoke_lost",
    f"""
    WITH lost AS (
      INSERT INTO token_revocation (project_id, id, platform, social_account_id, access_token, refresh_token,
                                    context, connection, platform_app_id, create_time, due_time, attempt,
                                    trace_context)
      SELECT $project, $id, $platform::smallint, $account, $access_token::bytea, $refresh_token::bytea,
             $context::bytea, $connection::text, $platform_app_id::text, now(), now(), 0,
             $trace::text
      WHERE NOT EXISTS (                        -- a new connection might end with them
        SELECT FROM social_account_token
        WHERE project_id = $project AND social_account_id = ANY($accounts))
      RETURNING id
    )
    SELECT pg_notify('{CHANNEL}', '{KIND.name}') FROM lost
    """,
    tuple[Any, ...],
)


def erase_and_revoke(project_id: str, account_id: str, platform: int, now: datetime) -> None:
    """Erases the account's tokens, if it has any, and has them revoked once the transaction commits.

    Tokens that the login's other accounts have, too, are revoked with the last of these.
    """
    _LOCK_LOGIN.all(project=project_id, account=account_id)
    _MOVE.all(
        project=project_id,
        account=account_id,
        platform=platform,
        id=new_id("tr", now),
        trace=tracing.carried(),
    )


def revoke_unless_connected(
    project_id: str, account_ids: Sequence[str], account: Taken, tokens: StoredTokens, now: datetime
) -> None:
    """Has new tokens of an account revoked, unless one of these has been connected again meanwhile."""
    _REVOKE_LOST.all(
        project=project_id,
        accounts=list(account_ids),
        id=new_id("tr", now),
        platform=account.platform,
        account=account.social_account_id,
        connection=account.connection,
        platform_app_id=account.platform_app_id,
        trace=tracing.carried(),
        **tokens._asdict(),
    )


class Revoker:
    """Asks platforms to revoke tokens."""

    def __init__(self, vault: Vault, platforms: Platforms, apps: PlatformApps) -> None:
        self._vault = vault
        self._platforms = platforms
        self._apps = apps

    def revoke(self, leased: Leased[Revocation]) -> None:
        """Revokes both tokens, or finds that it can't be done, now or ever. Raises as Database.run.

        To revoke them twice is no error (RFC 7009), so it does not matter whether a lease has run out.
        """
        row = leased.row
        way = self._platforms.named(row.connection, platform_name(row.platform))
        try:
            app = self._apps.of_tokens(row.project_id, way, row.platform_app_id) if way else None
            # There is nobody to ask about tokens of a platform that is not set up, or not any more.
            if way is not None and app is not None:
                way.revoke(app, decrypted(_stored(row), self._vault), way.deadline())
        except TokensRefused:
            # They are as dead as they should be.
            pass
        except PlatformRefused as refused:
            _report("the platform refuses to revoke tokens", row, refused)
        except (PlatformUnreachable, InvalidToken) as failed:
            if leased.lease_time - row.create_time < GIVE_UP:
                KIND.retry(leased, backoff(leased.attempt))
                return
            _report("gave up revoking tokens", row, failed)
        KIND.delete(leased)


def _stored(row: Revocation) -> StoredTokens:
    return StoredTokens(row.access_token, row.refresh_token, row.context)


def _report(message: str, row: Revocation, error: Exception) -> None:
    cause = str(error) or "no encryption key decrypts them"
    ids = {"project": row.project_id, "social_account_id": row.social_account_id, "revocation_id": row.id}
    log.warning(message, extra={**ids, "cause": cause})
