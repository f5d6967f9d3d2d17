"""The database of a process: one connection per thread, kept and healed, and statements compiled once.

`Statement` is the one mechanism that every query uses. Building and compiling a Peewee query costs far
more than PostgreSQL needs to run it, so a query is built once, with `param("name")` in place of each
value; what is kept is its SQL and the order of its parameters. Running it is one psycopg2 execute, and
each row becomes a NamedTuple. `transaction()` groups statements; outside of one each commits by itself.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Generic, TypeVar

import peewee
import psycopg2
from psycopg2 import errors as pg
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from server import errors

Row = TypeVar("Row")

# What a violated constraint means to the caller, by the constraint's name.
CONSTRAINT_ERRORS: dict[str, type[errors.HitchpostError]] = {
    "social_post_target_social_account_id_fkey": errors.SocialAccountHasPosts,
}


class Database:
    """Peewee's database, with connections that notice when the server went away and came back.

    `peewee` is what models and migrations are bound to.
    """

    def __init__(self) -> None:
        self.peewee = peewee.PostgresqlDatabase(None)
        self._generation = 0
        self._thread = threading.local()

    def configure(self, url: str, statement_timeout: timedelta) -> None:
        """Says where the database is; connections open when they are first needed."""
        milliseconds = int(statement_timeout.total_seconds() * 1000)
        self.peewee.init(
            url.replace("postgres://", "postgresql://", 1),
            application_name="hitchpost",
            connect_timeout=3,
            options=f"-c statement_timeout={milliseconds} -c timezone=UTC",
        )

    def fetch(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        """Runs one statement on this thread's connection and returns its rows, if it has any.

        Raises DatabaseUnavailable, StatementTimeout, ConcurrentWrite, or what CONSTRAINT_ERRORS says.
        """
        with self._translated(), self.live_connection().cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside commit together, or none; a transaction inside another joins it."""
        if self.peewee.in_transaction():
            yield
            return
        with self._translated():
            self.live_connection()
            with self.peewee.atomic():
                yield

    def live_connection(self) -> Connection:
        """This thread's connection, opened anew if any thread has found the server gone since."""
        if getattr(self._thread, "generation", None) != self._generation and not self.peewee.in_transaction():
            self.close()
            self._thread.generation = self._generation
        connection: Connection = self.peewee.connection()
        return connection

    def close(self) -> None:
        """Closes this thread's connection; its next statement opens another."""
        self.peewee.close()

    def alive(self) -> bool:
        """Whether the database answers."""
        try:
            self.fetch("SELECT 1", [])
        except errors.HitchpostError:
            return False
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (psycopg2.Error, peewee.PeeweeException) as error:
            driver_error = error if isinstance(error, psycopg2.Error) else error.__context__
            domain_error = _domain_error(driver_error)
            if domain_error is None:
                raise
            if not self.peewee.is_closed() and self.peewee.connection().closed:
                self._generation += 1
            raise domain_error from error


def _domain_error(error: BaseException | None) -> errors.HitchpostError | None:
    match error:
        case pg.QueryCanceled():
            return errors.StatementTimeout()
        case pg.DeadlockDetected() | pg.SerializationFailure() | pg.LockNotAvailable():
            return errors.ConcurrentWrite()
        case psycopg2.IntegrityError() if error.diag.constraint_name in CONSTRAINT_ERRORS:
            return CONSTRAINT_ERRORS[error.diag.constraint_name]()
        case psycopg2.OperationalError() | psycopg2.InterfaceError():
            return errors.DatabaseUnavailable()
    return None


class Param(str):
    """The name of a value that is not known yet, where a query has its value."""


def param(name: str) -> peewee.Value:
    """Stands in a query for the keyword argument `name` of the statement's calls."""
    return peewee.Value(Param(name), converter=False)


def params(*fields: peewee.Field) -> dict[peewee.Field, peewee.Value]:
    """The same for several columns of an insert, each named like its field."""
    return {field: param(field.name) for field in fields}


def any_of(field: peewee.Field, name: str) -> peewee.Expression:
    """`field = ANY(list)`: one shape of statement for a list of any length."""
    return field == peewee.fn.ANY(param(name))


def jsonb(value: Any) -> Json:
    """A value for a jsonb column."""
    return Json(value)


class Statement(Generic[Row]):
    """A query compiled once; `row` makes a row of the result out of its columns."""

    def __init__(self, query: peewee.Query, row: Callable[[tuple[Any, ...]], Row]) -> None:
        self.sql, self._params = query.sql()
        self._row = row

    def all(self, **values: Any) -> list[Row]:
        """Runs the statement with these parameters and returns every row."""
        arguments = [values[p] if type(p) is Param else p for p in self._params]
        return [self._row(row) for row in database.fetch(self.sql, arguments)]

    def first(self, **values: Any) -> Row | None:
        """The first row, or None."""
        rows = self.all(**values)
        return rows[0] if rows else None


database = Database()
