"""Lanes: threads that serve calls of one kind, and the calls that wait for one of them.

Reads, writes and calls that wait for a platform have a lane each, so that none of them waits for a thread
that another kind holds. Within a lane, calls for one row take half of the threads at most.
"""

import logging
from collections import Counter, deque
from collections.abc import Collection, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

log = logging.getLogger(__name__)


class Work(Protocol):
    """A call that is ready to be served. `rows` are the rows that it may have to wait for."""

    @property
    def rows(self) -> Collection[str]: ...

    def serve(self) -> None:
        """Does the work and answers."""


class Lane:
    """Serves what is put into it, in order but for calls whose row is busy, which don't hold up others."""

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._max_waiting = max_waiting
        self._ready: SimpleQueue[Work | None] = SimpleQueue()
        self._rows = _Rows(max(1, threads // 2), max(1, max_waiting // 2))

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._ready.qsize() + self._rows.waiting

    def put(self, work: Work) -> bool:
        """Serves it as soon as a thread is free. False when too many wait already, also for its row."""
        if self.waiting >= self._max_waiting:
            return False
        if work.rows:
            entered = self._rows.enter(work)
            if not entered:
                return entered is None
        self._ready.put(work)
        return True

    def start(self) -> None:
        """Starts the threads."""
        for number in range(self._threads):
            Thread(target=self._run, name=f"{self._name}_{number}", daemon=True).start()

    def stop(self) -> None:
        """Lets the threads end once there is nothing left to serve."""
        for _ in range(self._threads):
            self._ready.put(None)

    def _run(self) -> None:
        while (work := self._ready.get()) is not None:
            try:
                work.serve()
            except Exception:
                # Whatever happens with a call, its thread has to go on to the next.
                log.exception("unexpected error while a call was served")
            if work.rows:
                for next_one in self._rows.leave(work):
                    self._ready.put(next_one)
            # Else its request would stay in memory until the next call.
            del work


class _Rows:
    """Which rows calls are at work on, and the calls that wait for a row.

    A call enters all its rows or none, so that calls which wait hold nothing.
    """

    def __init__(self, most_at_work: int, most_waiting: int) -> None:
        self._most_at_work = most_at_work
        self._most_waiting = most_waiting
        self._at_work: Counter[str] = Counter()
        self._parked: dict[str, deque[Work]] = {}
        self._lock = Lock()
        self.waiting = 0

    def enter(self, work: Work) -> bool | None:
        """Whether it may go on now; None: it waits for a row; False: too many wait for that row."""
        with self._lock:
            busy = self._busy(work.rows)
            if busy is None:
                self._at_work.update(work.rows)
                return True
            if len(self._parked.get(busy, ())) >= self._most_waiting:
                return False
            self._park(work, busy)
            return None

    def leave(self, work: Work) -> Sequence[Work]:
        """Gives the call's rows free, and returns the calls that may go on now: they have entered."""
        entered = []
        with self._lock:
            self._at_work.subtract(work.rows)
            for row in work.rows:
                if not self._at_work[row]:
                    del self._at_work[row]
            for row in work.rows:
                while row in self._parked and self._at_work[row] < self._most_at_work:
                    next_one = self._unpark(row)
                    busy = self._busy(next_one.rows)
                    if busy is not None:
                        self._park(next_one, busy)
                        continue
                    self._at_work.update(next_one.rows)
                    entered.append(next_one)
        return entered

    def _busy(self, rows: Collection[str]) -> str | None:
        return next((row for row in rows if self._at_work[row] >= self._most_at_work), None)

    def _park(self, work: Work, row: str) -> None:
        self._parked.setdefault(row, deque()).append(work)
        self.waiting += 1

    def _unpark(self, row: str) -> Work:
        work = self._parked[row].popleft()
        if not self._parked[row]:
            del self._parked[row]
        self.waiting -= 1
        return work
