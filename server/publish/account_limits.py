"""What a platform says of an account's posts, asked by the way: at most once an hour for each account."""

import logging
import time
from threading import Lock

from server.accounts.publishing import PublishingAccounts
from server.publish.attempt import Attempt

log = logging.getLogger(__name__)

EVERY_SECONDS, CALL_SECONDS = 3600.0, 10.0
# Of so many accounts it is remembered when they were asked for.
MOST = 10_000


class AccountLimits:
    """Asks for them, and keeps them with the account. Safe to use from many threads."""

    def __init__(self, accounts: PublishingAccounts) -> None:
        self._accounts = accounts
        self._asked: dict[tuple[str, str], float] = {}
        self._lock = Lock()

    def ask(self, attempt: Attempt) -> None:
        """They are the attempt's from now on. What the publisher was told before, or is known to all, serves
        as well: no failure to learn more keeps a post from being sent."""
        row = attempt.leased.row
        if not self._is_time((row.project_id, row.social_account_id)):
            return
        try:
            limits = attempt.publisher.limits(attempt.sender(), time.monotonic() + CALL_SECONDS)
        except Exception as error:
            log.info("limits are not known", extra={"cause": type(error).__name__})
            return
        if limits is not None:
            attempt.limits = limits
            self._accounts.keep_limits(row.project_id, row.social_account_id, limits)

    def _is_time(self, account: tuple[str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            if now < self._asked.get(account, -EVERY_SECONDS) + EVERY_SECONDS:
                return False
            if len(self._asked) >= MOST:
                self._asked.clear()
            self._asked[account] = now
            return True
