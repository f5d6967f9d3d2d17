"""Ends statements that PostgreSQL does not: it is frozen, out of reach, or waits for a standby that is gone.

libpq waits for an answer without any limit. Here a thread looks at all running statements a few times a
second; decision 11 has what that costs a call, and what else would.
"""

import logging
import time
import weakref
from collections.abc import Callable
from threading import Lock, Thread

from server.storage.session import Session

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
# After PostgreSQL should have ended the statement itself.
CANCEL_SECONDS = 1.0
CUT_SECONDS = 2.0


class Watchdog:
    """Looks after the sessions of a process, in a thread that the first of them starts."""

    def __init__(self, cancel: Callable[[Session], None]) -> None:
        """`cancel` asks PostgreSQL to give a session's statement up; it may take its time."""
        self._cancel = cancel
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._lock = Lock()
        self._started = False

    def watch(self, session: Session) -> None:
        """From now on no statement of this session takes much longer than it should."""
        with self._lock:
            self._sessions.add(session)
            if not self._started:
                self._started = True
                Thread(target=self._run, name="watchdog", daemon=True).start()

    @property
    def open_sessions(self) -> int:
        """How many sessions there are that nobody has closed."""
        with self._lock:
            return sum(not session.connection.closed for session in self._sessions)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            deadline = session.deadline
            overtime = 0.0 if deadline is None else time.monotonic() - deadline
            if overtime > CUT_SECONDS:
                log.warning("the database has not answered; a connection was cut")
                session.cut()
            elif overtime > CANCEL_SECONDS and session.generation is not None:
                session.generation = None
                # In a thread of its own, since it may wait, too; one at most for a session.
                Thread(target=self._cancel, args=[session], name="cancel", daemon=True).start()
