"""A worker: threads that deal with what is due, kind by kind, however many workers there are elsewhere."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence
from functools import partial
from threading import Condition, Event, Thread

from server.base.errors import HitchpostError
from server.storage.database import database
from server.storage.due_rows import LATE_SECONDS
from server.storage.due_work import CHANNEL, Work

log = logging.getLogger(__name__)

LISTEN_SECONDS = 1.0


class _State:
    """Where a worker is with one kind; times are of time.monotonic()."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.look_at = 0.0
        self.busy = 0
        self.leased_at = time.monotonic()
        self.trouble = ""


class Worker:
    """Threads that take turns with the kinds; `name` says in the database who has a row.

    A kind is looked at when a NOTIFY names it, when there was more of it than one batch, and every so often,
    for what a lost NOTIFY left. One thread is kept free of each kind, so that a slow one does not hold up the
    others.
    """

    def __init__(self, kinds: Sequence[Work], threads: int) -> None:
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._most = max(1, threads - 1)
        self._states = {work.name: _State(work) for work in kinds}
        self._changed = Condition()
        self._stop = Event()
        self._threads = [Thread(target=self._run, name=f"due-{n}", daemon=True) for n in range(threads)]
        self._listener = Thread(target=self._listen, name="listen", daemon=True)

    def start(self) -> None:
        """Begins to work."""
        for thread in (*self._threads, self._listener):
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Takes nothing new, and waits for what it has, so long at most. Returns whether all of it ended.

        What did not is taken by another worker when the lease runs out.
        """
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def trouble(self) -> str | None:
        """Why the worker does not do its work, for the operator; None while it does.

        It has leased nothing of a kind although rows have been due for a minute. Raises as Database.run.
        """
        for state in self._states.values():
            idle = time.monotonic() - state.leased_at
            if idle > LATE_SECONDS and (late := state.work.backlog().late) > LATE_SECONDS:
                return f"{state.work.name}: due for {late:,.0f} s, and nothing leased for {idle:,.0f} s"
        return None

    def _run(self) -> None:
        while (state := self._next()) is not None:
            try:
                if state.work.turn(self.name, partial(self._look, state.work.name), self._stop):
                    state.leased_at = time.monotonic()
                state.trouble = ""
            except HitchpostError as error:
                self._report(state, error.for_operator)
            except Exception:
                log.exception("can't do what is due", extra={"kind": state.work.name})
            with self._changed:
                state.busy -= 1
                self._changed.notify()
        database.close()

    def _next(self) -> _State | None:
        """The kind that has waited longest of those whose time has come; None at the end."""
        with self._changed:
            while not self._stop.is_set():
                free = [state for state in self._states.values() if state.busy < self._most]
                state = min(free, key=lambda state: state.look_at, default=None)
                wait = state.look_at - time.monotonic() if state else None
                if state and wait is not None and wait <= 0:
                    state.busy += 1
                    state.look_at = time.monotonic() + state.work.every
                    return state
                self._changed.wait(wait)
        return None

    def _look(self, name: str) -> None:
        """This kind is to be looked at now."""
        with self._changed:
            if name in self._states:
                self._states[name].look_at = min(self._states[name].look_at, time.monotonic())
                self._changed.notify()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                for name in set(database.notifications(CHANNEL, LISTEN_SECONDS)):
                    self._look(name)
            except HitchpostError:
                # The threads say so; until it is back they find by looking what is due.
                self._stop.wait(LISTEN_SECONDS)
            except Exception:
                log.exception("can't listen for what is due")
                self._stop.wait(LISTEN_SECONDS)
        database.close()

    def _report(self, state: _State, cause: str) -> None:
        """Once, not at every look, as long as it is the same."""
        if cause != state.trouble:
            state.trouble = cause
            log.warning("will do later what is due", extra={"kind": state.work.name, "cause": cause})
