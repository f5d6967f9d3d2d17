"""Due work: the one way in which anything happens later.

A row that has a `due_time` is work to be done then; there is no second table of jobs that would have to agree
with it. A worker leases rows that are due, does what they ask for without a transaction, and records the
outcome, fenced by the attempt's number: whoever has lost the row in the meantime changes nothing. Time is
the database's. Decision 20 has the reasons.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from server.base import metrics, tracing
from server.base.errors import HitchpostError
from server.storage import due_rows
from server.storage.due_rows import Backlog, Queues
from server.storage.statements import Command, Statement

log = logging.getLogger(__name__)

# Who listens here is told the name of each kind that has become due.
CHANNEL = "hitchpost_due"
# Between two tries to record what can't be had again.
RECORD_PAUSE_SECONDS = 0.5
Row = TypeVar("Row", bound=tuple[Any, ...])

_WAKE = Command("due.wake", f"SELECT pg_notify('{CHANNEL}', $kind)")
_LATER = "now() + $seconds::float8 * interval '1 second'"
_NOBODYS = "lease_time = NULL, worker = NULL"


class Leased(NamedTuple, Generic[Row]):
    """A worker's hold on a row, since `lease_time`.

    `ran_out`: somebody has had the row before and never said how it ended, so that what it asks for may have
    been done.
    """

    row: Row
    attempt: int
    ran_out: bool
    lease_time: datetime


def wake(kind: str) -> None:
    """Tells every worker that rows of this kind are due, when the transaction commits."""
    _WAKE.run(kind=kind)


def backoff(attempt: int, *, first: float = 5.0, most: float = 3600.0) -> float:
    """How many seconds to wait after this attempt (from 1): twice as long each time, up to `most`.

    Between half of that and all of it, so that what failed together does not come back together.
    """
    return min(most, first * 2.0 ** min(attempt - 1, 60)) * random.uniform(0.5, 1.0)  # noqa: S311


def surely(record: Callable[[], object], seconds: float) -> None:
    """Records what nobody else knows. A database that is away is waited for, so long at most."""
    until = time.monotonic() + seconds
    while True:
        try:
            record()
            return
        except HitchpostError as error:
            if time.monotonic() >= until:
                raise
            log.warning("an outcome waits for the database", extra={"cause": error.for_operator})
            time.sleep(RECORD_PAUSE_SECONDS)


class Kind(Generic[Row]):
    """A table whose rows become due, and the statements that lease them and record how it ended.

    The table has `project_id`, the columns of `key`, `due_time`, `lease_time`, `attempt` and `worker`, and an
    index on (project_id, due_time) WHERE due_time IS NOT NULL. `row` is a NamedTuple whose fields are the
    columns that a handler needs, `project_id` and the key among them. A lease is for `seconds`, of `batch`
    rows at most and `share` of each project; both stand in the statement, so that PostgreSQL plans it once.
    `queues` says which of the rows that are due wait for others.
    Statements are named after `room` where others have the kind's name.
    """

    def __init__(
        self,
        name: str,
        table: str,
        row: type[Row],
        key: Sequence[str] = ("id",),
        *,
        batch: int,
        share: int,
        seconds: float,
        queues: Queues | None = None,
        room: str = "",
    ) -> None:
        self.name = name
        self.table = table
        self.seconds = seconds
        self._key = ("project_id", *key)
        self._columns: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
        self._row = row
        room = room or name
        self._lease = Statement(f"{room}.lease", self._lease_sql(table, batch, share, queues), self._leased)
        self._backlog = due_rows.backlog(room, table, "due_time", "now()", "lease_time", queues)
        # Only while the lease is ours: nobody has leased the row since, and no outcome has been recorded.
        this = " AND ".join(f"{column} = ${column}" for column in self._key)
        ours = f"{this} AND attempt = $attempt AND lease_time = $lease_time RETURNING project_id"
        self._done = _outcome(f"{room}.done", f"UPDATE {table} SET due_time = NULL, {_NOBODYS} WHERE {ours}")
        self._retry = _outcome(
            f"{room}.retry", f"UPDATE {table} SET due_time = {_LATER}, {_NOBODYS} WHERE {ours}"
        )
        self._renew = _outcome(f"{room}.renew", f"UPDATE {table} SET due_time = {_LATER} WHERE {ours}")
        self._delete = _outcome(f"{room}.delete", f"DELETE FROM {table} WHERE {ours}")

    def lease(self, worker: str) -> list[Leased[Row]]:
        """Takes a batch of rows that are due, each for `seconds` from now.

        Committed when this returns: not to be called in a transaction.
        """
        leased = self._lease.all(worker=worker, seconds=self.seconds)
        if again := sum(one.ran_out for one in leased):
            metrics.retaken(self.name, again)
        return leased

    def done(self, leased: Leased[Row]) -> bool:
        """Nothing is due any more; the row stays. Returns whether it was still ours, as all of these do."""
        return self._counted("done", self._record(self._done, leased))

    def retry(self, leased: Leased[Row], seconds: float, outcome: str = "retried") -> bool:
        """It is due again in so many seconds; with 0 it is given back."""
        return self._counted(outcome, self._record(self._retry, leased, seconds=seconds))

    def renew(self, leased: Leased[Row]) -> bool:
        """The lease goes on for `seconds` from now."""
        return self._record(self._renew, leased, seconds=self.seconds)

    def delete(self, leased: Leased[Row]) -> bool:
        """It has been dealt with, and the row goes."""
        return self._counted("done", self._record(self._delete, leased))

    def backlog(self) -> Backlog:
        """What waits for a worker just now."""
        return self._backlog.all()[0]

    def _lease_sql(self, table: str, batch: int, share: int, queues: Queues | None) -> str:
        """`due.lease_time` is of the lease before: set if it has run out, since each outcome erases it."""
        return f"""
    WITH RECURSIVE {due_rows.waiting(table, "due_time")},
    {due_rows.oldest(table, (*self._key, "lease_time"), "due_time", "now()", batch, share, queues)}
    UPDATE {table} t
    SET due_time = {_LATER}, lease_time = now(), attempt = t.attempt + 1, worker = $worker
    FROM due WHERE {" AND ".join(f"t.{column} = due.{column}" for column in self._key)}
    RETURNING due.lease_time, t.lease_time, t.attempt, {", ".join(f"t.{name}" for name in self._columns)}
        """

    def _leased(self, columns: tuple[Any, ...]) -> Leased[Row]:
        before, lease_time, attempt, *row = columns
        return Leased(self._row(*row), attempt, before is not None, lease_time)

    def _counted(self, outcome: str, recorded: bool) -> bool:
        if recorded:
            metrics.attempted(self.name, outcome)
        return recorded

    def _record(self, outcome: Statement[tuple[Any, ...]], leased: Leased[Row], **more: float) -> bool:
        values = dict(zip(self._columns, leased.row, strict=True))
        key = {column: values[column] for column in self._key}
        lease = {"attempt": leased.attempt, "lease_time": leased.lease_time}
        return bool(outcome.all(**key, **lease, **more))


class Work(Protocol):
    """A kind of due work as a worker sees it: its name, and how many seconds may pass between two looks."""

    name: str
    every: float

    def turn(self, worker: str, more: Callable[[], None], stop: Event) -> bool:
        """Deals with a batch, unless nothing is due; returns whether anything was.

        Calls `more` as soon as it has its batch, so that other threads go on with what is left. Ends early
        when `stop` is set. Raises what Database.run does.
        """

    def backlog(self) -> Backlog:
        """What waits for a worker just now."""


class Handling(Generic[Row]):
    """Leases rows of a kind and has each handled, outside of any transaction.

    `handle` records the outcome. If it fails in a way that nobody expected, the row is tried again later. The
    threads that look at the kind share a batch, so that none of its rows waits behind a slow one.
    """

    every = 1.0

    def __init__(
        self, kind: Kind[Row], handle: Callable[[Leased[Row]], None], every: float | None = None
    ) -> None:
        self.name = kind.name
        if every is not None:
            self.every = every
        self.backlog = kind.backlog
        self._kind = kind
        self._handle = handle
        # What was leased and nobody has begun, and until when it may be.
        self._batch: deque[tuple[Leased[Row], float]] = deque()

    def turn(self, worker: str, more: Callable[[], None], stop: Event) -> bool:
        """See Work. Rows that it does not come to in half the time of their lease are given back."""
        if not self._batch:
            until = time.monotonic() + self._kind.seconds / 2
            self._batch.extend((leased, until) for leased in self._kind.lease(worker))
        found = False
        while (taken := self._take()) is not None:
            found = True
            more()
            leased, until = taken
            if stop.is_set() or time.monotonic() >= until:
                self._kind.retry(leased, 0)
            elif tracing.on:
                made_in = getattr(leased.row, "trace_context", None)
                with tracing.due_work(self.name, leased.attempt, made_in):
                    self._attempt(leased)
            else:
                self._attempt(leased)
        return found

    def _take(self) -> tuple[Leased[Row], float] | None:
        try:
            return self._batch.popleft()
        except IndexError:
            return None

    def _attempt(self, leased: Leased[Row]) -> None:
        log.debug("due work begins", extra={"kind": self.name, "attempt": leased.attempt})
        try:
            self._handle(leased)
        except HitchpostError:
            # Most likely the database is away. The lease runs out, and somebody tries again.
            metrics.attempted(self.name, "failed")
            raise
        except Exception:
            log.exception("due work failed", extra={"kind": self.name, "attempt": leased.attempt})
            self._kind.retry(leased, backoff(leased.attempt), "failed")


def _outcome(name: str, sql: str) -> Statement[tuple[Any, ...]]:
    return Statement(name, sql, tuple[Any, ...])
