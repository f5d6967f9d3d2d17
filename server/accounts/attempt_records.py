"""Attempts as they are stored, by the SHA-256 of their state, which is what a browser has of one."""

from datetime import datetime, timedelta
from typing import NamedTuple

from server.accounts.ownership import Claimant
from server.accounts.rows import ROW, account_row
from server.storage.forgetting import Forgetting
from server.storage.models import AuthSession
from server.storage.statements import Command, Statement, params


class Attempt(NamedTuple):
    """One try to connect, as it was begun; with `social_account_id` to reconnect that account alone."""

    state_hash: memoryview
    project_id: str
    external_id: str | None
    platform: int
    social_account_id: str | None
    code_verifier: memoryview
    redirect_url: str
    expire_time: datetime
    connection: str | None
    platform_app_id: str | None
    flow: memoryview | None
    require_confirmation: bool

    @property
    def claimant(self) -> Claimant:
        """In whose name it connects.

        It was checked when the attempt was begun. A scope that confined that call is the owner here, so
        that the attempt can do no more than the call that began it.
        """
        return Claimant(self.project_id, self.external_id)


INSERT = Command(
    "attempts.insert",
    AuthSession.insert(
        params(
            AuthSession.state_hash,
            AuthSession.project,
            AuthSession.external_id,
            AuthSession.platform,
            AuthSession.social_account_id,
            AuthSession.code_verifier,
            AuthSession.redirect_url,
            AuthSession.create_time,
            AuthSession.expire_time,
            AuthSession.connection,
            AuthSession.platform_app_id,
            AuthSession.flow,
            AuthSession.require_confirmation,
        )
    ),
)
# By its state alone: whose it is, is what is asked for.
FIND = Statement(
    "attempts.find",
    f"SELECT {', '.join(Attempt._fields)} FROM auth_session WHERE state_hash = $state_hash",
    Attempt._make,
)
CONSUME = Statement(
    "attempts.consume",
    """
    UPDATE auth_session SET consume_time = $now
    WHERE project_id = $project AND state_hash = $state_hash
      AND consume_time IS NULL AND expire_time > $now       -- of two that come at once, one gets the row
    RETURNING state_hash
    """,
    tuple[memoryview],
)
RELEASE = Command(
    "attempts.release",
    "UPDATE auth_session SET consume_time = NULL WHERE project_id = $project AND state_hash = $state_hash",
)
# What an attempt has to do with: the account to reconnect, or those that it has connected.
ACCOUNTS = Statement(
    "attempts.accounts",
    f"SELECT {ROW} FROM social_account WHERE project_id = $project AND id = ANY($ids)",
    account_row,
)
# Until a day after they can still say why they fail.
EXPIRED_ATTEMPTS = Forgetting("attempts", AuthSession.expire_time, timedelta(days=1))
