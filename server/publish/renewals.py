"""Leases of long work go on: one thread renews those that are held for long, and ends when there are none."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Any

from server.base.errors import HitchpostError
from server.storage.database import database
from server.storage.due_work import Kind, Leased

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


class Renewals:
    """The leases of one kind that this process holds.

    Whoever has lost one learns that by what it records: nothing is interrupted.
    """

    def __init__(self, kind: Kind[Any], every: float = EVERY_SECONDS) -> None:
        self._kind = kind
        self._every = every
        self._held: dict[int, tuple[Leased[Any], float]] = {}
        self._changed = Condition()
        self._thread: Thread | None = None

    @contextmanager
    def of(self, leased: Leased[Any]) -> Iterator[None]:
        """The lease does not run out as long as the block lasts."""
        with self._changed:
            self._held[id(leased)] = leased, time.monotonic() + self._every
            if self._thread is None:
                self._thread = Thread(target=self._run, name="renew", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                del self._held[id(leased)]

    def _run(self) -> None:
        idle = False
        while True:
            with self._changed:
                now = time.monotonic()
                due = [leased for leased, at in self._held.values() if at <= now]
                if not self._held and idle:
                    self._thread = None
                    break
                idle = not self._held
                for leased in due:
                    self._held[id(leased)] = leased, now + self._every
            for leased in due:
                self._renew(leased)
            with self._changed:
                next_at = min((at for _, at in self._held.values()), default=time.monotonic() + self._every)
                self._changed.wait(max(0.0, next_at - time.monotonic()))
        database.close()

    def _renew(self, leased: Leased[Any]) -> None:
        try:
            self._kind.renew(leased)
        except HitchpostError as error:
            log.warning("a lease can't be renewed", extra={"cause": error.for_operator})
        except Exception:
            log.exception("can't renew a lease")
