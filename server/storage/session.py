"""A thread's connection to PostgreSQL: what is prepared on it, and until when it should have its answer."""

import logging
import os
import selectors
import socket
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson
import psycopg2
from psycopg2.extras import register_default_json, register_default_jsonb

from server.storage import statement_log

log = logging.getLogger(__name__)


class Unconfirmed(psycopg2.OperationalError):
    """PostgreSQL has run the statement, but warns of it: a failover may lose what it wrote."""


class Session:
    """One connection, in autocommit mode. Other threads may call `cut` only."""

    def __init__(self, options: dict[str, Any], statement_seconds: float, generation: int) -> None:
        """Connects. Raises psycopg2.Error."""
        self.connection = psycopg2.connect(**options)
        self.connection.autocommit = True
        self.in_transaction = False
        # None after a cancellation: it may come late, and must not strike another statement.
        self.generation: int | None = generation
        # When PostgreSQL should have answered the statement that runs now, by time.monotonic().
        self.deadline: float | None = None
        self._statement_seconds = statement_seconds
        register_default_json(self.connection, loads=orjson.loads)
        register_default_jsonb(self.connection, loads=orjson.loads)
        self._cursor = self.connection.cursor()
        self._prepared: set[str] = set()
        self._channels: set[str] = set()
        self._warnings: list[str] = []
        self.backend: tuple[Any, ...] = ()
        # A handle of our own: libpq may close its own while another thread is about to use it.
        self._socket = socket.socket(fileno=os.dup(self.connection.fileno()))
        weakref.finalize(self, self._socket.close)

    def begin(self, settings: str) -> None:
        """Makes the settings, those of PostgreSQL's log too, and finds out which server process serves us."""
        who = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        hush = statement_log.hush(self.connection.server_version)
        [self.backend] = self.run("; ".join(filter(None, (settings, hush, who))))
        # What PostgreSQL has warned of until now, such as at the login, is no matter of a call.
        self._warnings = self.connection.notices
        self._warnings.clear()

    def prepare(self, name: str, sql: str) -> None:
        """Lets PostgreSQL parse and plan a statement, once."""
        if name not in self._prepared:
            self.run(sql)
            self._prepared.add(name)

    def run(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows, if the statement has any. Raises psycopg2.Error."""
        self.deadline = time.monotonic() + self._statement_seconds
        try:
            self._cursor.execute(sql, arguments)
            rows = self._cursor.fetchall() if self._cursor.description else []
        finally:
            self.deadline = None
        if self._warnings:
            self._refuse_warnings()
        return rows

    def notifications(self, channel: str, seconds: float) -> list[str]:
        """What was notified on the channel since the last time; waits for so long if there is nothing yet.

        The first time it listens from now on. Raises psycopg2.Error.
        """
        if channel not in self._channels:
            self.run(f'LISTEN "{channel}"')
            self._channels.add(channel)
        if not self.connection.notifies:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.select(seconds)
            self.connection.poll()
        payloads = [notify.payload for notify in self.connection.notifies]
        self.connection.notifies.clear()
        return payloads

    def cut(self) -> None:
        """Shuts the connection down, so that the thread that waits for an answer gets an error at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the session."""
        self.connection.close()

    def _refuse_warnings(self) -> None:
        """A COMMIT that has stopped waiting for its standby is a success, with a warning in any language."""
        said = "".join(self._warnings)
        self._warnings.clear()
        log.warning("PostgreSQL warned of a statement", extra={"cause": said.partition("\n")[0]})
        raise Unconfirmed(said)
