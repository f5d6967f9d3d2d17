"""Logs: one JSON object a line, on stderr."""

import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

import orjson
from pythonjsonlogger.json import JsonFormatter


def configure(level: str, stream: IO[str] = sys.stderr) -> None:
    """Sets up the process's log. Libraries may only warn: some log addresses, which can hold codes."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{process}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("server").setLevel(level)
    calls.write_to(stream if logging.getLogger("server").isEnabledFor(logging.INFO) else None)


class CallLog:
    """The line that every call leaves: a line of the log like any other, at level INFO.

    It is written without a LogRecord and its formatter, which would take as long as all else that is done
    for a call around its statement.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._process = os.getpid()

    def write_to(self, stream: IO[str] | None) -> None:
        """Where the lines go; None: nowhere."""
        self._file = None if stream is None else stream.fileno()

    def __call__(self, fields: dict[str, Any]) -> None:
        """Writes the line of a call that has ended."""
        if self._file is None:
            return
        line = {
            "time": datetime.now(UTC),
            "level": "INFO",
            "logger": "server.calls",
            "process": self._process,
            "message": "call",
            **fields,
        }
        # As with every logger: a call does not fail because its line can't be written.
        with suppress(OSError):
            os.write(self._file, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


calls = CallLog()
