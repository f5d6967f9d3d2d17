"""Whether the database answers: one thread asks once a second, and who wants to know is told from memory."""

import time
from threading import Event, Thread

from server.database import Database

CHECK_SECONDS = 1.0
# An answer that is older says nothing any more: the check hangs.
STALE_SECONDS = 5.0


class Heartbeat:
    """Asks on one connection of its own, however many want to know."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answered: float | None = None
        self._first_check = Event()
        self._stopped = Event()
        self._thread = Thread(target=self._watch, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Returns after the first check, or when that has taken too long."""
        self._thread.start()
        self._first_check.wait(STALE_SECONDS)

    def stop(self) -> None:
        """Asks no more."""
        self._stopped.set()

    def alive(self) -> bool:
        """Whether the database answered the last check, and did so in the last STALE_SECONDS."""
        answered = self._answered
        return answered is not None and time.monotonic() - answered < STALE_SECONDS

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self._answered = time.monotonic() if self._database.alive() else None
            self._first_check.set()
            self._stopped.wait(CHECK_SECONDS)
        self._database.close()
