"""Sends what is due: begins a target, takes its steps, and records what became of it.

No transaction is open while a platform is asked. Whatever happens to a worker in between, nothing is
published a second time: docs/publishing.md has the rules, decision 28 the reasons.
"""

import logging
import time
from collections.abc import Callable

from server.accounts import refresh_records
from server.accounts.publishing import NotUsable, PublishingAccounts
from server.base.errors import HitchpostError
from server.posts.states import PENDING, PUBLISHED, SENDING
from server.publish import failures, outcomes, parts, rate_limits, records, steps
from server.publish.account_limits import AccountLimits
from server.publish.attempt import Attempt
from server.publish.publisher import PublishFailed, TokenExpired
from server.publish.publishers import Publishers
from server.publish.records import KIND, Target
from server.publish.renewals import Renewals
from server.publish.slow_servers import SLOW_SECONDS, SlowServers
from server.publish.steps import Later, LeaseLost, Unconfirmed
from server.storage.database import database
from server.storage.due_work import Leased

log = logging.getLogger(__name__)

# Another target of the account is being sent.
BUSY_SECONDS = 1.0
# For new tokens; and while asking for them fails.
REFRESH_SECONDS, REFRESH_FAILS_SECONDS = 2.0, 30.0
# For how long an outcome waits for a database that is away, and between two tries to record it.
RECORD_SECONDS, RECORD_PAUSE_SECONDS = 120.0, 0.5


class Sender:
    """The handler of targets that are due."""

    def __init__(self, accounts: PublishingAccounts, publishers: Publishers, servers: SlowServers) -> None:
        self._accounts = accounts
        self._servers = servers
        self._publishers = publishers
        self._limits = AccountLimits(accounts)
        self._renewals = Renewals(KIND)

    def send(self, leased: Leased[Target]) -> None:
        """Sends the target or the next of its follow-ups, or goes on with what somebody has begun.

        Raises as Database.run.
        """
        try:
            attempt = self._begin(leased)
        except records.Busy:
            KIND.retry(leased, BUSY_SECONDS)
            return
        if attempt is not None:
            with self._renewals.of(leased), self._servers.sending_to(attempt.scopes()["server"]):
                self._go_on(attempt)

    def _begin(self, leased: Leased[Target]) -> Attempt | None:
        """What may be sent now, and is SENDING; else None, and that is recorded. Raises Busy."""
        with database.transaction():
            records.lock(leased.row)
            attempt = _loaded(leased)
            if attempt is None:
                return None
            try:
                self._prepare(attempt)
            except PublishFailed as failure:
                outcomes.failed(attempt, failure)
            except Later as later:
                KIND.retry(leased, later.seconds)
            except LeaseLost:
                log.info("a lease was lost", extra=outcomes.ids(attempt))
            else:
                return attempt
        return None

    def _prepare(self, attempt: Attempt) -> None:
        """Raises PublishFailed, Later, LeaseLost, Busy."""
        row, stored = attempt.leased.row, attempt.stored
        try:
            attempt.account = self._accounts.of(row.project_id, row.social_account_id, stored.owner)
        except NotUsable as error:
            raise failures.unusable(str(error)) from None
        publisher = self._publishers.of(attempt.account.platform)
        if publisher is None:
            raise failures.unsupported()
        attempt.publisher = publisher
        if stored.late and attempt.index == 0 and attempt.fresh and not attempt.trying:
            raise failures.too_late()
        self._wait_for_tokens(attempt)
        scopes = attempt.scopes()
        pause = rate_limits.paused(row.project_id, scopes.values())
        if pause is not None:
            raise Later(pause)
        if not self._servers.has_room(scopes["server"]):
            raise Later(SLOW_SECONDS)
        if attempt.fresh:
            outcomes.begun(attempt)

    def _wait_for_tokens(self, attempt: Attempt) -> None:
        """Raises Later while the account's have expired or were refused, and new ones may come."""
        account, row = attempt.account, attempt.leased.row
        if not account.expired and account.fingerprint not in attempt.refused:
            return
        if attempt.since > failures.GIVE_UP:
            raise failures.tokens_refused()
        refresh_records.ask(row.project_id, row.social_account_id)
        raise Later(REFRESH_FAILS_SECONDS if account.refresh_fails else REFRESH_SECONDS)

    def _go_on(self, attempt: Attempt) -> None:
        """Takes the steps that are left. Once they are, what became of them waits for the database."""
        try:
            self._limits.ask(attempt)
            taken = steps.take(attempt)
        except Later as later:
            KIND.retry(attempt.leased, later.seconds)
        except LeaseLost:
            log.info("a lease was lost", extra=outcomes.ids(attempt))
        except PublishFailed as failed:
            failure = failed
            _surely(lambda: outcomes.failed(attempt, failure))
        except TokenExpired:
            _surely(lambda: self._expired(attempt))
        except Unconfirmed as unknown:
            code = str(unknown)
            _surely(lambda: outcomes.unconfirmed(attempt, code))
        else:
            _surely(lambda: outcomes.published(attempt, taken))

    def _expired(self, attempt: Attempt) -> None:
        row = attempt.leased.row
        if outcomes.refused(attempt, REFRESH_SECONDS):
            refresh_records.ask(row.project_id, row.social_account_id)


def _loaded(leased: Leased[Target]) -> Attempt | None:
    """The part that is next; None when the target is not ours any more, or nothing is left to be done."""
    stored = records.load(leased)
    if stored is None:
        return None
    if stored.state in (PENDING, SENDING):
        return Attempt(leased, stored, 0, stored.outcomes)
    if stored.state == PUBLISHED:
        decided, follow_up = parts.undecided(stored.follow_ups, stored.outcomes)
        if follow_up is not None:
            return Attempt(leased, stored, follow_up + 1, decided)
        records.end_follow_up(leased, decided, stored.steps, None)
        return None
    KIND.done(leased)
    return None


def _surely(record: Callable[[], object]) -> None:
    """Records what became of it. A database that is away is waited for: nobody else knows it."""
    until = time.monotonic() + RECORD_SECONDS
    while True:
        try:
            record()
            return
        except HitchpostError as error:
            if time.monotonic() >= until:
                raise
            log.warning("an outcome waits for the database", extra={"cause": error.for_operator})
            time.sleep(RECORD_PAUSE_SECONDS)
