"""The database of a process: one connection per thread, kept and healed.

Calls run statements (`statements.py`) on their thread's connection. `transaction()` groups them;
outside of one each commits by itself.

A process has one database, `database` below, which is told once where it is, and is imported by whoever
runs statements. Nothing else goes unsaid: clocks, secrets and platforms are handed to constructors. What
watches or mends a database (`Liveness`, `DatabaseClock`, migrations, doctor) takes the one that it is for.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import peewee
import psycopg2
from psycopg2 import errors as pg

from server.base import errors, metrics, tracing
from server.storage import unreachable
from server.storage.session import Session
from server.storage.watchdog import CUT_SECONDS, Watchdog

if TYPE_CHECKING:
    from server.storage.statements import Prepared

# What a violated constraint means to the caller, by the constraint's name.
CONSTRAINT_ERRORS: dict[str, type[errors.HitchpostError]] = {
    "social_post_target_social_account_id_fkey": errors.SocialAccountHasPosts,
}


class Database:
    """Connections that notice when the server went away and came back.

    `peewee` is what models are bound to and migrations run on; calls are served without it.
    """

    def __init__(self) -> None:
        self.peewee = peewee.PostgresqlDatabase(None)
        self._options: dict[str, Any] = {}
        self._settings = ""
        self._statement_seconds = 0.0
        self._watchdog = Watchdog(self._cancel)
        self._generation = 0
        self._thread = threading.local()

    def configure(self, url: str, statement_timeout: timedelta) -> None:
        """Says where the database is; connections open when they are first needed."""
        seconds = statement_timeout.total_seconds()
        url = url.replace("postgres://", "postgresql://", 1)
        self._options = {"dsn": url, **_connecting(seconds)}
        self._statement_seconds = seconds
        # Not as start-up options, which poolers drop or refuse. Without jit = off PostgreSQL would compile
        # what it guesses to be costly, which takes longer than to read a page. A plan made while a table was
        # small would read all of it until the next ANALYZE, however much has come since: so by its indexes.
        self._settings = (
            f"SET statement_timeout = {int(seconds * 1000)}; SET timezone = 'UTC'; SET jit = off; "
            "SET enable_seqscan = off; SET client_min_messages = warning"
        )
        # Without the limits: building an index may take longer than a call may.
        self.peewee.init(url, **_connecting(seconds))

    def run(self, statement: "Prepared", arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs the statement on this thread's connection and returns its rows, if it has any.

        Raises DatabaseUnavailable, StatementTimeout, ConcurrentWrite, or what CONSTRAINT_ERRORS says.
        """
        if tracing.on:
            with tracing.statement(statement.label):
                return self._run(statement, arguments)
        return self._run(statement, arguments)

    def _run(self, statement: "Prepared", arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        start = time.monotonic()
        try:
            session = self._session()
            session.prepare(statement.name, statement.prepare)
            return session.run(statement.execute, arguments)
        except psycopg2.Error as error:
            metrics.statement_failed(statement.label, _error_label(error))
            self._translate(error)
        finally:
            metrics.statement_ran(statement.label, time.monotonic() - start)

    def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The same for SQL that is run once or seldom, with %s for each argument."""
        try:
            return self._session().run(sql, arguments)
        except psycopg2.Error as error:
            self._translate(error)

    def notifications(self, channel: str, seconds: float) -> list[str]:
        """The payloads that were notified on the channel since this thread asked last; waits for so long at
        most. What is notified while it has no connection is lost. Raises as run."""
        try:
            return self._session().notifications(channel, seconds)
        except psycopg2.Error as error:
            self._translate(error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside commit together, or none; a transaction inside another joins it."""
        try:
            session = self._session()
            if session.in_transaction:
                yield
                return
            session.run("BEGIN")
            session.in_transaction = True
            try:
                yield
            except BaseException:
                # A connection that is gone has nothing left to roll back.
                with suppress(psycopg2.Error):
                    session.run("ROLLBACK")
                raise
            else:
                # Nor has a COMMIT that failed.
                session.run("COMMIT")
            finally:
                session.in_transaction = False
        except psycopg2.Error as error:
            self._translate(error)

    @property
    def connections(self) -> int:
        """How many are open in this process, beside Peewee's."""
        return self._watchdog.open_sessions

    def close(self) -> None:
        """Closes this thread's connections; its next statement opens another."""
        self.peewee.close()
        session = getattr(self._thread, "session", None)
        if session is not None:
            session.close()
            self._thread.session = None

    def require_primary(self) -> None:
        """Returns when the database answers and can be written to; if it can't, every thread connects anew.

        Raises DatabaseUnavailable, StatementTimeout.
        """
        [(read_only,)] = self.fetch("SHOW transaction_read_only")
        if read_only == "on":
            self._generation += 1
            raise errors.DatabaseUnavailable(unreachable.READ_ONLY)

    def keeps_sessions(self) -> bool:
        """Whether a connection stays with one server process; a pooler in transaction mode swaps them."""
        try:
            with closing(self._connect()) as one, closing(self._connect()) as other:
                seen = {(session, _backend(session)) for session in (one, one, other) * 3}
        except psycopg2.Error as error:
            self._translate(error)
        return len(seen) == len({pid for _, pid in seen}) == 2

    def _session(self) -> Session:
        """This thread's, with a new connection if any thread has found the server gone since."""
        session: Session | None = getattr(self._thread, "session", None)
        if session is not None and (session.generation == self._generation or session.in_transaction):
            return session
        self.close()
        self._thread.session = session = self._connect()
        return session

    def _connect(self) -> Session:
        session = Session(self._options, self._statement_seconds, self._generation)
        self._watchdog.watch(session)
        session.begin(self._settings)
        return session

    def _cancel(self, session: Session) -> None:
        """Has PostgreSQL give up what the session waits for.

        By a connection of its own: psycopg2's cancel() keeps the interpreter's lock until the server answers.
        The time when the server process began tells it from another server's with the same number.
        """
        running = "FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
        with suppress(psycopg2.Error), closing(self._connect()) as other:
            other.run(f"SELECT pg_cancel_backend(pid) {running}", session.backend)

    def _translate(self, error: psycopg2.Error) -> NoReturn:
        session = getattr(self._thread, "session", None)
        if session is not None and (session.connection.closed or _is_away(error)):
            self._generation += 1
        domain_error = _domain_error(error)
        if domain_error is None:
            raise error
        raise domain_error from error


def _backend(session: Session) -> int:
    """The process id of the server process that serves the session just now."""
    [(pid,)] = session.run("SELECT pg_backend_pid()")
    return int(pid)


def _connecting(seconds: float) -> dict[str, Any]:
    """How libpq connects, and when it gives a server up that is out of reach."""
    return {
        "application_name": "hitchpost",
        # Of each host in turn, and of all that connecting takes.
        "connect_timeout": 3,
        # Among several hosts the primary; a single one that can't be written to is as good as none.
        "target_session_attrs": "read-write",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": int((seconds + CUT_SECONDS) * 1000),
    }


def _is_away(error: psycopg2.Error) -> bool:
    """Whether the server ends sessions, or has become one that can't be written to."""
    return isinstance(error, pg.ReadOnlySqlTransaction) or (error.pgcode or "").startswith("57P")


def _domain_error(error: psycopg2.Error) -> errors.HitchpostError | None:
    match error:
        case pg.QueryCanceled():
            return errors.StatementTimeout()
        case pg.DeadlockDetected() | pg.SerializationFailure() | pg.LockNotAvailable():
            return errors.ConcurrentWrite()
        case psycopg2.IntegrityError() if error.diag.constraint_name in CONSTRAINT_ERRORS:
            return CONSTRAINT_ERRORS[error.diag.constraint_name]()
        case psycopg2.OperationalError() | psycopg2.InterfaceError() | pg.ReadOnlySqlTransaction():
            return unreachable.explained(error)
        # What libpq itself has to say, such as of a connection that the server closed: it has no SQLSTATE.
        case psycopg2.DatabaseError() if type(error) is psycopg2.DatabaseError:
            return unreachable.explained(error)
    return None


def _error_label(error: psycopg2.Error) -> str:
    """A reason of ours, or the class of an SQLSTATE."""
    known = _domain_error(error)
    return errors.reason_name(known) if known else f"SQLSTATE {(error.pgcode or '')[:2]}"


database = Database()
