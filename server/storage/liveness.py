"""Whether the database can be written to, asked once a second, and known even while the answer is missing."""

import logging
import time
from threading import Event, Thread

from server.base.errors import HitchpostError
from server.storage.database import Database

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
# A check that takes longer counts as a no, whatever it may say later.
ANSWER_SECONDS = 3.0


class Liveness:
    """A thread that asks, one question at a time: a database that hangs holds no second one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._trouble: str | None = "The database has not answered yet"
        self._asked_at: float | None = None
        self._answered = Event()
        self._stopped = Event()

    def start(self) -> None:
        """Returns with the first answer, or when it is late."""
        Thread(target=self._run, name="liveness", daemon=True).start()
        self._answered.wait(ANSWER_SECONDS)

    def stop(self) -> None:
        """Asks no more."""
        self._stopped.set()

    def serving(self) -> bool:
        """What the last check found; no while one is late. Never waits."""
        return self.trouble() is None

    def trouble(self) -> str | None:
        """Why not, for the operator; None while it can be written to."""
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at >= ANSWER_SECONDS:
            return self._trouble or f"The database has not answered for {ANSWER_SECONDS:g} seconds"
        return self._trouble

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._asked_at = time.monotonic()
            self._trouble = self._ask()
            self._asked_at = None
            self._answered.set()
            self._stopped.wait(CHECK_SECONDS)
        self._database.close()

    def _ask(self) -> str | None:
        try:
            self._database.require_primary()
        except HitchpostError as error:
            return error.for_operator
        except Exception:
            log.exception("unexpected error while looking after the database")
            return "The check of the database failed"
        return None
