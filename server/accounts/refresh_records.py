"""Refreshes as they are stored: the row of an account's tokens is the work, due at its `due_time`.

Accounts of one login may have the same tokens. Whoever is to refresh one of them takes the leases of all, so
that the platform is asked once, whichever of them are due or leased by others. From then on `lease_time`
tells this taking from all others: numbers of attempts differ between the accounts, and begin anew when one is
disconnected and connected again.
"""

from datetime import datetime
from typing import Any, NamedTuple

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts.rows import StoredTokens
from server.base import metrics
from server.storage.database import database
from server.storage.due_work import Kind, Leased, wake
from server.storage.statements import Command, Statement


class Refresh(NamedTuple):
    """An account whose tokens are due."""

    project_id: str
    social_account_id: str
    login_id: str | None


class Taken(NamedTuple):
    """An account whose tokens are being refreshed, and they, encrypted."""

    social_account_id: str
    platform: int
    access_token: memoryview
    refresh_token: memoryview | None
    context: memoryview | None
    connection: str | None
    platform_app_id: str | None
    scopes: list[str]
    access_token_expire_time: datetime | None
    refresh_failures: int
    lease_time: datetime


# As for revocations: of a batch for a platform that does not answer six rows are tried, and the others given
# back.
KIND = Kind(
    "refreshes",
    "social_account_token",
    Refresh,
    ("social_account_id",),
    batch=10,
    share=2,
    seconds=120,
)
# Of several rows none is waited for while another is held: those who write them have orders of their own.
_HOLD = Statement(
    "refreshes.hold",
    """
    SELECT social_account_id FROM social_account_token
    WHERE project_id = $project AND login_id = $login
    FOR NO KEY UPDATE SKIP LOCKED
    """,
    tuple[str, ...],
)
_TAKE = Statement(
    "refreshes.take",
    """
    UPDATE social_account_token t
    SET due_time = now() + $seconds::float8 * interval '1 second', lease_time = now(),
        attempt = t.attempt + 1, worker = own.worker
    FROM social_account_token own, social_account a
    WHERE own.project_id = $project AND own.social_account_id = $account
      AND own.attempt = $attempt AND own.lease_time IS NOT NULL         -- the lease is ours
      AND t.project_id = $project AND t.social_account_id = ANY($held)
      AND a.project_id = $project AND a.id = t.social_account_id
      AND $account = ANY($held) AND NOT EXISTS (                        -- and we hold all of the login
        SELECT FROM social_account_token other
        WHERE other.project_id = $project AND other.login_id = own.login_id
          AND other.social_account_id <> ALL($held))
    RETURNING t.social_account_id, a.platform, t.access_token, t.refresh_token, t.context, t.connection,
      t.platform_app_id, a.scopes, a.access_token_expire_time, t.refresh_failures, t.lease_time
    """,
    Taken._make,
)
# As claims do: accounts before tokens, and accounts in the order of their profiles.
_LOCK_ACCOUNTS = Statement(
    "refreshes.lock_accounts",
    """
    SELECT id FROM social_account WHERE project_id = $project AND id = ANY($accounts)
    ORDER BY platform_user_id FOR NO KEY UPDATE
    """,
    tuple[str, ...],
)
_OURS = "project_id = $project AND social_account_id = ANY($accounts) AND lease_time = $lease_time"
_ENDED = "lease_time = NULL, worker = NULL"
_KEEP = Statement(
    "refreshes.keep",
    f"""
    WITH kept AS (
      UPDATE social_account_token
      SET access_token = $access_token, refresh_token = $refresh_token, context = $context,
          due_time = $due_time, refresh_failures = 0, {_ENDED}
      WHERE {_OURS}
      RETURNING social_account_id
    )
    UPDATE social_account
    SET access_token_expire_time = $expire_time, scopes = $scopes, version = version + 1, update_time = $now
    WHERE project_id = $project AND id IN (SELECT social_account_id FROM kept)
    RETURNING id
    """,
    tuple[str, ...],
)
_REFUSE = Statement(
    "refreshes.refuse",
    f"""
    WITH refused AS (
      UPDATE social_account_token SET due_time = NULL, {_ENDED} WHERE {_OURS} RETURNING social_account_id
    )
    UPDATE social_account
    SET state = {pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH}, reauth_reason = $reason,
        version = version + 1, update_time = $now
    WHERE project_id = $project AND id IN (SELECT social_account_id FROM refused)
    RETURNING id
    """,
    tuple[str, ...],
)
# Without seconds it is never.
_LATER = Statement(
    "refreshes.later",
    f"""
    UPDATE social_account_token
    SET due_time = now() + $seconds::float8 * interval '1 second', {_ENDED},
        refresh_failures = least(refresh_failures + 1, 1000)
    WHERE {_OURS}
    RETURNING social_account_id
    """,
    tuple[str, ...],
)
# Not sooner than a platform is to be asked again that has just failed, nor while it is being asked.
_ASK = Command(
    "refreshes.ask",
    """
    UPDATE social_account_token SET due_time = now()
    WHERE project_id = $project AND social_account_id = $account AND lease_time IS NULL
      AND refresh_failures = 0 AND (due_time IS NULL OR due_time > now())
    """,
)


def ask(project_id: str, account_id: str) -> None:
    """The account needs new tokens now: its access token has ended before its time, or just so."""
    _ASK.run(project=project_id, account=account_id)
    wake(KIND.name)


class Taking:
    """The accounts of one login, taken together, and what becomes of them.

    Each outcome returns the ids of those that were still ours; for the others it changes nothing: they were
    connected anew, disconnected or deleted, or the lease has run out and another worker has them.
    """

    def __init__(self, project_id: str, taken: list[Taken], account_id: str) -> None:
        self.project_id = project_id
        self.account_ids = [one.social_account_id for one in taken]
        # The one that was due; all have the same tokens.
        [self.account] = [one for one in taken if one.social_account_id == account_id]

    def keep(
        self,
        tokens: StoredTokens,
        *,
        expire_time: datetime | None,
        scopes: tuple[str, ...],
        due_time: datetime | None,
        now: datetime,
    ) -> list[str]:
        """The accounts have these tokens from now on, due again at `due_time`."""
        return self._record(
            _KEEP,
            **tokens._asdict(),
            expire_time=expire_time,
            scopes=list(scopes),
            due_time=due_time,
            now=now,
        )

    def refuse(self, reason: int, now: datetime) -> list[str]:
        """The persons have to connect again."""
        return self._record(_REFUSE, reason=reason, now=now)

    def later(self, seconds: float | None) -> list[str]:
        """They are due again in so many seconds, None is never."""
        return self._record(_LATER, seconds=seconds)

    def _record(self, outcome: Statement[tuple[str, ...]], **values: Any) -> list[str]:
        ours = {"project": self.project_id, "accounts": self.account_ids}
        with database.transaction():
            _LOCK_ACCOUNTS.all(**ours)
            recorded = outcome.all(**ours, lease_time=self.account.lease_time, **values)
        if recorded:
            metrics.attempted(KIND.name, "done" if values.get("seconds") is None else "retried")
        return [account_id for (account_id,) in recorded]


def take(leased: Leased[Refresh]) -> Taking | None:
    """Takes the account, and those of its login with the same tokens, for KIND.seconds from now.

    None if the lease is not ours any more, or another row of the login is being written.
    """
    row = leased.row
    if row.login_id is None:
        return _take(leased, [row.social_account_id])
    with database.transaction():
        held = _HOLD.all(project=row.project_id, login=row.login_id)
        return _take(leased, [account_id for (account_id,) in held])


def _take(leased: Leased[Refresh], held: list[str]) -> Taking | None:
    project_id, account_id, _ = leased.row
    taken = _TAKE.all(
        project=project_id, account=account_id, attempt=leased.attempt, held=held, seconds=KIND.seconds
    )
    return Taking(project_id, taken, account_id) if taken else None
