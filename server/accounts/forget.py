"""An owner's accounts, tokens and attempts, erased: `hitchpost accounts forget`. Decision 25 has the reasons.

Posts that name the accounts go first (posts/forget.py), apps of platforms last, since tokens are revoked by
them (projects/owned_apps.py). Accounts that a call holds are passed by at first.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from server.accounts import revocations
from server.storage.database import database
from server.storage.statements import Command, Statement

# Accounts, and audit events, that one transaction reads.
BATCH, EVENTS = 100, 10_000

_COUNT = Statement(
    "accounts.count_owned",
    """
    SELECT
      (SELECT count(*) FROM social_account WHERE project_id = $project AND external_id = $owner),
      (SELECT count(*) FROM auth_session WHERE project_id = $project AND external_id = $owner)
    """,
    tuple[int, int],
)
_OF_OWNER = Statement(
    "accounts.of_owner",
    "SELECT id FROM social_account WHERE project_id = $project AND external_id = $owner AND id = ANY($ids)",
    lambda row: str(row[0]),
)
_TAKE = Statement(
    "accounts.take",
    f"""
    SELECT id, platform FROM social_account WHERE project_id = $project AND external_id = $owner
    ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    """,
    tuple[str, int],
)
_ERASE = Command(
    "accounts.erase", "DELETE FROM social_account WHERE project_id = $project AND id = ANY($ids)"
)
_APPS = Statement(
    "revocations.apps",
    "SELECT DISTINCT platform_app_id FROM token_revocation WHERE project_id = $project",
    lambda row: row[0],
)
_ERASE_ATTEMPTS = Command(
    "attempts.erase",
    """
    DELETE FROM auth_session attempt
    WHERE attempt.project_id = $project AND (attempt.external_id = $owner OR attempt.social_account_id IN (
      SELECT account.id FROM social_account account
      WHERE account.project_id = $project AND account.external_id = $owner
    ))
    """,
)
# What attempts of others have brought: accounts that are the owner's now, or the owner's profiles, refused.
# Whoever reloads that page is told that the attempt is used. OFFSET 0: account by account, by the key.
_ERASE_RESULTS = Command(
    "attempts.erase_results",
    """
    UPDATE auth_session attempt SET result = NULL, receipt_hash = NULL
    WHERE attempt.project_id = $project AND attempt.result IS NOT NULL AND (
      EXISTS (
        SELECT FROM jsonb_array_elements_text(attempt.result -> 'connected') connected(id), LATERAL (
          SELECT FROM social_account account
          WHERE account.project_id = $project AND account.id = connected.id
            AND account.external_id = $owner OFFSET 0
        ) theirs
      ) OR EXISTS (
        SELECT FROM jsonb_array_elements(attempt.result -> 'rejected') refused(profile), LATERAL (
          SELECT FROM social_account account
          WHERE account.project_id = $project AND account.platform = attempt.platform
            AND account.platform_user_id = refused.profile ->> 0 AND account.external_id = $owner OFFSET 0
        ) theirs
      )
    )
    """,
)
_ERASE_NAME = Statement(
    "audit.erase_name",
    f"""
    WITH page AS (
      SELECT event.id FROM audit_event event WHERE event.project_id = $project AND event.id > $after
      ORDER BY event.id LIMIT {EVENTS}
    ), erased AS (
      UPDATE audit_event event
      SET from_external_id = NULLIF(event.from_external_id, $owner),
          to_external_id = NULLIF(event.to_external_id, $owner)
      WHERE event.project_id = $project
        AND event.id > $after AND event.id <= (SELECT max(page.id) FROM page)
        AND (event.from_external_id = $owner OR event.to_external_id = $owner)
    )
    SELECT max(page.id) FROM page
    """,
    tuple[Any, ...],
)


def count(project_id: str, owner: str) -> tuple[int, int]:
    """How many accounts the owner has, and how many attempts to connect."""
    return _COUNT.all(project=project_id, owner=owner)[0]


def of_owner(project_id: str, owner: str, ids: Collection[str]) -> set[str]:
    """Those of these accounts that are the owner's."""
    return set(_OF_OWNER.all(project=project_id, owner=owner, ids=list(ids)))


def erase_accounts(project_id: str, owner: str, now: datetime) -> int:
    """Erases up to BATCH accounts that nobody holds, as DeleteSocialAccount does; returns how many.

    Raises SocialAccountHasPosts when a post names one of them, ConcurrentWrite when a call that connects one
    anew and this would wait for each other.
    """
    with database.transaction():
        taken = _TAKE.all(project=project_id, owner=owner)
        for account_id, platform in taken:
            revocations.erase_and_revoke(project_id, account_id, platform, now)
        _ERASE.run(project=project_id, ids=[account_id for account_id, _ in taken])
    return len(taken)


def apps_in_use(project_id: str) -> set[str]:
    """The apps whose secrets are needed until tokens are revoked."""
    return {app for app in _APPS.all(project=project_id) if app is not None}


def erase_attempts(project_id: str, owner: str) -> None:
    """Erases the owner's attempts, and what others' have found out of the owner. Before the accounts."""
    _ERASE_ATTEMPTS.run(project=project_id, owner=owner)
    _ERASE_RESULTS.run(project=project_id, owner=owner)


def erase_name(project_id: str, owner: str) -> None:
    """Takes the owner's name out of the audit log; that something happened, when and by which key, stays."""
    after: str | None = ""
    while after is not None:
        [(after,)] = _ERASE_NAME.all(project=project_id, owner=owner, after=after)
