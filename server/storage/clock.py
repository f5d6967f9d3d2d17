"""The database's time. What has expired or is due must be so for every process, whatever its machine's clock
says: of a fleet's clocks one is wrong some day."""

import time
from datetime import UTC, datetime, timedelta

from server.storage.database import Database

PERIOD_SECONDS = 60.0


class DatabaseClock:
    """The database's time, asked for once a minute, by the call that needs it then.

    In between this machine's monotonic clock counts on, which nobody sets. Safe to use from many threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # The database's time when the monotonic clock was at zero.
        self._zero: datetime | None = None
        self._due = 0.0

    def __call__(self) -> datetime:
        """The time, in UTC. Raises what Database.fetch does when it asks in vain; the next call goes on with
        what was known before, if anything was."""
        zero = self._zero
        if zero is None or time.monotonic() >= self._due:
            # At once, so that other threads need not ask too.
            self._due = time.monotonic() + PERIOD_SECONDS
            # The first answer may have taken as long as it takes to connect.
            _, zero = min(self._ask(), self._ask())
            self._zero = zero
        return zero + timedelta(seconds=time.monotonic())

    def _ask(self) -> tuple[float, datetime]:
        """How long the answer took, in seconds, and what it makes of zero, half of that taken off."""
        asked = time.monotonic()
        [(now,)] = self._database.fetch("SELECT clock_timestamp()")
        answered = time.monotonic()
        return answered - asked, now.astimezone(UTC) - timedelta(seconds=(asked + answered) / 2)
