"""What is counted and timed, for whoever watches a node: every metric there is, and how it is told.

The supervisor names a folder in which the processes of a node keep their numbers, so that any of them can
tell those of all. Without one a process has its own alone. docs/metrics.md has the list, decision 29 the
reasons.
Labels are words of ours, never what a caller has sent: methods, statements, kinds, platforms, codes.
"""

import atexit
import os
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from server.base.version import VERSION

Key = TypeVar("Key")
_Seconds = dict[Key, deque[float]]
# Of each, until they are counted. Of more the oldest are lost.
MOST_NOTED = 20_000
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FOLDER, PROCESS = "PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROC_NAME"
_process = os.environ.get(PROCESS)
if FOLDER in os.environ and _process:
    # By default files are named after process ids: whatever dies again and again would leave ever more.
    values.ValueClass = values.MultiProcessValue(lambda: _process)  # type: ignore[no-untyped-call]

# A series more for each, of when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
# How a gauge is put together from those of a node's processes that live.
_SUM, _MIN, _LAST = "livesum", "livemin", "livemostrecent"
_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATEMENT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_PLATFORM_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _counter(name: str, help_text: str, *labels: str) -> Counter:
    return Counter(f"hitchpost_{name}", help_text, labels, registry=REGISTRY)


def _gauge(name: str, help_text: str, mode: str, *labels: str) -> Gauge:
    return Gauge(f"hitchpost_{name}", help_text, labels, registry=REGISTRY, multiprocess_mode=mode)  # type: ignore[arg-type] # one of its literals


class _Histogram(Histogram):
    def observe_all(self, seconds: Sequence[float]) -> None:
        """The same as observing each, in one go."""
        self._sum.inc(sum(seconds))
        for bucket, number in Tally(bisect_left(self._upper_bounds, one) for one in seconds).items():
            self._buckets[bucket].inc(number)


def _histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> _Histogram:
    return _Histogram(f"hitchpost_{name}", help_text, labels, registry=REGISTRY, buckets=buckets)


build_info = _gauge("build_info", "1, with this server's version.", _LAST, "version")
schema_version = _gauge("schema_version", "Number of the last migration that was applied.", _LAST)

_calls = _counter(
    "calls_total", "Calls that were answered, on every wire.", "method", "wire", "code", "reason"
)
_call_seconds = _histogram(
    "call_duration_seconds", "From a call's coming to its answer.", _CALL_BUCKETS, "method"
)
_calls_shed = _counter("calls_shed_total", "Calls that were refused since too much was under way.", "lane")
calls_waiting = _gauge("calls_waiting", "Calls that wait for a thread.", _SUM, "lane")
calls_open = _gauge("calls_open", "Calls that are open at gRPC workers.", _SUM)
bytes_under_way = _gauge("bytes_under_way", "Bytes of messages that gRPC workers hold.", _SUM, "direction")

_statement_seconds = _histogram(
    "statement_duration_seconds", "Of database statements.", _STATEMENT_BUCKETS, "statement"
)
_statement_errors = _counter(
    "statement_errors_total", "Database statements that failed.", "statement", "error"
)
database_connections = _gauge("database_connections", "Open connections to the database.", _SUM, "role")
database_up = _gauge("database_up", "Whether the database can be written to.", _MIN, "role")

due_work_due = _gauge("due_work_due", "Rows that are due.", _LAST, "kind")
due_work_late = _gauge("due_work_late_seconds", "How late the oldest of the due rows is.", _LAST, "kind")
due_work_ran_out = _gauge("due_work_leases_ran_out", "Due rows whose lease has run out.", _LAST, "kind")
_due_work_attempts = _counter("due_work_attempts_total", "Due rows dealt with.", "kind", "outcome")
_due_work_retaken = _counter("due_work_retaken_total", "Rows taken after a lease that ran out.", "kind")
worker_serving = _gauge("worker_serving", "Whether the worker does its work.", _LAST)

_platform_calls = _counter("platform_calls_total", "Requests to platforms.", "platform", "outcome")
_platform_seconds = _histogram(
    "platform_call_duration_seconds",
    "From a request to the head of its answer.",
    _PLATFORM_BUCKETS,
    "platform",
)
_targets_settled = _counter(
    "targets_settled_total", "Targets of posts of which it is known.", "platform", "state", "category"
)
targets_stuck = _gauge("targets_stuck", "Targets that have been SENDING for too long.", _LAST)
targets_unconfirmed = _gauge("targets_unconfirmed", "Targets that wait for ResolveSocialPostTarget.", _LAST)
certificate_expiry = _gauge(
    "tls_certificate_expiry_seconds", "Unix time at which a certificate ends.", _MIN, "file"
)


class _Noted:
    """What was noted of calls and statements, and is not counted yet: what they are, and their seconds.

    Counting takes several times as long as noting, and less when much is counted at once.
    """

    def __init__(self) -> None:
        self.on = True
        # By method, wire, code and reason, and by statement. What is kept of each is numbers alone, which the
        # garbage collector does not look at.
        self.calls: _Seconds[tuple[str, str, str, str]] = {}
        self.statements: _Seconds[str] = {}
        self.counting = Lock()


_noted = _Noted()


def start() -> None:
    """Says which build this is."""
    build_info.labels(VERSION).set(1)


def switch_off() -> None:
    """Leaves calls and statements out, of which there are many."""
    _noted.on = False


def expect_lane(lane: str) -> None:
    """From now on it is told that nothing was shed: else the first that is would be no increase."""
    _calls_shed.labels(lane)


def expect_kind(kind: str) -> None:
    """The same of due work."""
    _due_work_retaken.labels(kind)
    for outcome in ("done", "retried", "failed"):
        _due_work_attempts.labels(kind, outcome)


def call_ended(method: str, wire: str, code: str, reason: str, seconds: float) -> None:
    """A call was answered; `reason` is "" unless it failed."""
    if _noted.on:
        _note(_noted.calls, (method, wire, code, reason), seconds)


def call_shed(lane: str) -> None:
    """A call of this lane was refused, since too much is under way."""
    _calls_shed.labels(lane).inc()


def statement_ran(statement: str, seconds: float) -> None:
    """A statement has ended, well or not."""
    if _noted.on:
        _note(_noted.statements, statement, seconds)


def statement_failed(statement: str, error: str) -> None:
    """`error` is a reason of ours, or a class of SQLSTATE."""
    _statement_errors.labels(statement, error).inc()


def platform_called(platform: str, outcome: str, seconds: float) -> None:
    """A platform was asked: ok, refused, rate_limited, failed, unreachable or timeout."""
    _platform_calls.labels(platform, outcome).inc()
    _platform_seconds.labels(platform).observe(seconds)


def settled(platform: str, state: str, category: str) -> None:
    """It is known what became of a target; `category` is why it FAILED, or is UNCONFIRMED."""
    _targets_settled.labels(platform, state, category).inc()


def attempted(kind: str, outcome: str, rows: int = 1) -> None:
    """Due work was dealt with: done, retried or failed."""
    _due_work_attempts.labels(kind, outcome).inc(rows)


def retaken(kind: str, rows: int) -> None:
    """Rows were taken whose lease had run out."""
    _due_work_retaken.labels(kind).inc(rows)


def count() -> None:
    """Counts what was noted. To be called a few times a second."""
    with _noted.counting:
        for key, took in _taken(_noted.calls):
            _calls.labels(*key).inc(len(took))
            _call_seconds.labels(key[0]).observe_all(took)
        for statement, took in _taken(_noted.statements):
            _statement_seconds.labels(statement).observe_all(took)


def _note(noted: "_Seconds[Key]", key: Key, seconds: float) -> None:
    try:
        noted[key].append(seconds)
    except KeyError:
        # Another thread may just have done the same.
        noted.setdefault(key, deque(maxlen=MOST_NOTED)).append(seconds)


def _taken(noted: "_Seconds[Key]") -> Iterator[tuple[Key, Sequence[float]]]:
    """All that is there now; nobody else takes."""
    for key, waiting in list(noted.items()):
        if took := [waiting.popleft() for _ in range(len(waiting))]:
            yield key, took


def environment(folder: Path, process: str) -> Mapping[str, str]:
    """What a process finds in its environment that keeps its numbers in this folder, by this name."""
    return {FOLDER: str(folder), PROCESS: process}


def forget_process(folder: Path, process: str) -> None:
    """The process has ended: what it had just now counts no longer, what it has counted stays."""
    mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


def text(folder: Path | None = None) -> bytes:
    """Everything as Prometheus reads it: of all processes that keep their numbers in the folder; without one,
    of those that this process belongs to."""
    count()
    place = str(folder) if folder else os.environ.get(FOLDER) if _process else None
    if place is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, place)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


atexit.register(count)
