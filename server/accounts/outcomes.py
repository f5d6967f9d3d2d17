"""What attempts bring, and how it is remembered for the browser that reloads."""

from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from server.accounts.accounts import Accounts
from server.accounts.attempt_records import ACCOUNTS, Attempt
from server.accounts.rows import AccountRow, Connection
from server.base import errors
from server.base.identity import new_id
from server.base.vault import fingerprint
from server.platforms import Profile
from server.storage.statements import Command, Statement, jsonb


class Rejected(NamedTuple):
    """A profile that was refused, and the reason as ErrorInfo has it."""

    platform_user_id: str
    username: str
    reason: str


class Outcome(NamedTuple):
    """What an attempt brought: both lists by username, then by platform_user_id.

    `redirect_url` is where the browser wants to end; empty for nowhere. With a `confirmation_code` nothing is
    connected yet.
    """

    connected: list[AccountRow]
    rejected: list[Rejected]
    redirect_url: str
    confirmation_code: str = ""


class _Remembered(NamedTuple):
    """The same as it is stored: `result` has the ids of `connected`, and `rejected`; None of what is to be
    confirmed."""

    project_id: str
    owner: str | None
    redirect_url: str
    result: dict[str, list[Any]] | None


_REMEMBER = Command(
    "attempts.remember",
    """
    UPDATE auth_session SET receipt_hash = $receipt_hash, result = $result
    WHERE project_id = $project AND state_hash = $state_hash
    """,
)
# By state and receipt alone, which is all that the browser has.
_REMEMBERED = Statement(
    "attempts.remembered",
    """
    SELECT project_id, external_id, redirect_url, result FROM auth_session
    WHERE state_hash = $state_hash AND receipt_hash = $receipt_hash AND expire_time > $now
    """,
    _Remembered._make,
)


def connect(accounts: Accounts, attempt: Attempt, profiles: list[Profile], now: datetime) -> Outcome:
    """Claims each profile in the attempt's name, within the caller's transaction.

    Raises SocialAccountNotFound when the account to reconnect was deleted meanwhile.
    """
    outcome = Outcome([], [], attempt.redirect_url)
    login = new_id("lg", now)
    # In one order for everybody, so that two logins with the same pages can't wait for each other.
    for profile in sorted(profiles, key=attrgetter("platform_user_id")):
        try:
            connection = Connection(
                attempt.connection, attempt.platform_app_id, login if profile.shares_tokens else None
            )
            account = accounts.claim(attempt.claimant, attempt.platform, profile, connection=connection)
        except errors.OwnedByAnother as refused:
            outcome.rejected.append(
                Rejected(profile.platform_user_id, profile.username, errors.reason_name(refused))
            )
            continue
        if attempt.social_account_id not in (None, account.id):
            # Deleted while the person was away: what came back is another record.
            raise errors.SocialAccountNotFound(id=attempt.social_account_id or "")
        outcome.connected.append(account)
    for found in (outcome.connected, outcome.rejected):
        found.sort(key=attrgetter("username", "platform_user_id"))
    return outcome


def remember(attempt: Attempt, receipt: str, outcome: Outcome) -> None:
    """Keeps the outcome for who has the receipt, as long as the attempt lives."""
    result = {"connected": [account.id for account in outcome.connected], "rejected": outcome.rejected}
    _REMEMBER.run(
        project=attempt.project_id,
        state_hash=attempt.state_hash,
        receipt_hash=fingerprint(receipt),
        result=jsonb(result),
    )


def confirmation_code(receipt: str) -> str:
    """The code that belongs to a receipt: who has the receipt can be told it again, and it is not stored.

    It gives no receipt away.
    """
    return fingerprint(f"confirmation {receipt}").hex()


def remembered(state: str, receipt: str, now: datetime) -> Outcome | None:
    """What was kept; None without anything to say.

    Accounts that have been deleted since are left out, and those that were given to another owner than the
    attempt was begun for.
    """
    kept = _REMEMBERED.first(state_hash=fingerprint(state), receipt_hash=fingerprint(receipt), now=now)
    if kept is None:
        return None
    if kept.result is None:
        return Outcome([], [], kept.redirect_url, confirmation_code(receipt))
    found = ACCOUNTS.all(project=kept.project_id, ids=kept.result["connected"])
    there = {account.id: account for account in found if kept.owner in (None, account.external_id)}
    connected = [there[account_id] for account_id in kept.result["connected"] if account_id in there]
    rejected = [Rejected(*profile) for profile in kept.result["rejected"]]
    return Outcome(connected, rejected, kept.redirect_url) if connected else None
