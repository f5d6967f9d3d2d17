"""Logs: one JSON object a line, on stderr."""

import atexit
import logging
import os
import select
import sys
import time
from collections import deque
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from typing import IO, Any

import orjson
from pythonjsonlogger.json import JsonFormatter

from server.base import tracing

# What every line begins with, in this order.
FIRST = ("time", "level", "logger", "process", "message")
# How long a line waits for the writer at most, unless what it writes to is slow.
FLUSH_SECONDS = 0.05
# Lines that wait for the writer, some 10 MB. Further ones are lost, counted, and the count is logged.
MAX_WAITING = 20_000
# What a pipe takes as a whole, so that other processes' lines don't come in between.
_WHOLE_BYTES = select.PIPE_BUF


log = logging.getLogger(__name__)


class _Log:
    """The process's log: where it goes, the level that the settings say, and whether it is DEBUG for now."""

    stream: IO[str] = sys.stderr
    level = "INFO"
    debugging = False


def configure(level: str, stream: IO[str] = sys.stderr) -> None:
    """Sets up the process's log. Libraries may only warn: some log addresses, which can hold codes."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _OneOrder(
            "{levelname}{name}{process}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _Log.stream, _Log.level, _Log.debugging = stream, level, False
    _set(level)


def debug(on: bool) -> None:
    """Makes the level DEBUG, or again what the settings say. The log says so, whatever its level was."""
    if on:
        _set("DEBUG")
    log.info("the level of the log changes", extra={"to": "DEBUG" if on else _Log.level})
    if not on:
        _set(_Log.level)
    _Log.debugging = on


def debugging() -> bool:
    """Whether the level is DEBUG for now."""
    return _Log.debugging


def _set(level: str) -> None:
    server = logging.getLogger("server")
    server.setLevel(level)
    calls.write_to(_Log.stream if server.isEnabledFor(logging.INFO) else None)


class _OneOrder(JsonFormatter):
    """What all lines have, in the order of FIRST, then the trace and whatever else a line says."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """See BaseJsonFormatter."""
        first = {key: log_data[key] for key in FIRST}
        return {**first, **tracing.log_fields(tracing.current()), **log_data}


class CallLog:
    """The line that every call leaves: a line of the log like any other, at level INFO.

    It is written without a LogRecord and its formatter, which would take as long as all else that is done
    for a call around its statement; and by a thread of its own, since each write gives up the interpreter's
    lock. Lines are in the order in which calls ended, and are written at least ten times a second. `flush`
    writes what waits, as an exit does; a kill -9 loses those of the last tenth of a second, and those
    that a slow reader has kept waiting.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._process = os.getpid()
        # (time, fields) of each line, and an Event of each flush, set once all lines before it are written.
        self._waiting: deque[tuple[float, dict[str, Any]] | Event] = deque()
        self._lost = 0
        self._lock = Lock()
        self._wake = Event()
        self._writer: Thread | None = None

    def write_to(self, stream: IO[str] | None) -> None:
        """Where the lines go from now on; None: nowhere."""
        self.flush()
        self._file = None if stream is None else stream.fileno()
        if self._file is not None and self._writer is None:
            self._writer = Thread(target=self._run, name="call log", daemon=True)
            self._writer.start()

    def __call__(self, fields: dict[str, Any]) -> None:
        """Notes the line of a call that has ended. Never waits for whoever reads the log."""
        if self._file is None:
            return
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((time.time(), fields))
        else:
            self._lose(1)

    def flush(self, seconds: float = 2.0) -> bool:
        """Whether all lines until now have been written in time."""
        if self._writer is None:
            return True
        done = Event()
        self._waiting.append(done)
        self._wake.set()
        return done.wait(seconds)

    def _run(self) -> None:
        while True:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        """Writes all there are, as many in one write as stay whole."""
        gathered = b""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if isinstance(waiting, Event):
                self._write(gathered)
                gathered = b""
                waiting.set()
                continue
            line = self._line(*waiting)
            if len(gathered) + len(line) > _WHOLE_BYTES:
                self._write(gathered)
                gathered = b""
            gathered += line
        self._write(gathered)
        self._tell_lost()

    def _line(self, when: float, fields: dict[str, Any], level: str = "INFO", message: str = "call") -> bytes:
        first = (datetime.fromtimestamp(when, UTC), level, "server.calls", self._process, message)
        line = {**dict(zip(FIRST, first, strict=True)), **fields}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _write(self, lines: bytes) -> None:
        """Writes them to the end, however little is taken at a time."""
        file, left = self._file, lines
        while left and file is not None:
            try:
                left = left[os.write(file, left) :]
            except BlockingIOError:
                select.select([], [file], [], FLUSH_SECONDS)
            except OSError:
                # As with every logger: nothing fails because a line can't be written.
                self._lose(left.count(b"\n"))
                return

    def _lose(self, lines: int) -> None:
        with self._lock:
            self._lost += lines

    def _tell_lost(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            self._write(self._line(time.time(), {"lost": lost}, "WARNING", "lines of calls were lost"))


calls = CallLog()
atexit.register(calls.flush)
