"""The database of a process: one connection per thread, kept and healed, and statements compiled once.

`Statement` is the one mechanism that every query uses. Building and compiling a Peewee query costs far
more than PostgreSQL needs to run it, so a query is built once, with `param("name")` in place of each
value; what is kept is its SQL and the order of its parameters. A connection prepares it when it first
meets it, so that PostgreSQL plans it once, too. From then on running it is one EXECUTE, and each row
becomes a NamedTuple. `transaction()` groups statements; outside of one each commits by itself.
"""

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Generic, NoReturn, TypeVar

import orjson
import peewee
import psycopg2
from psycopg2 import errors as pg
from psycopg2.extras import Json, register_default_json, register_default_jsonb

from server import errors, statement_log, unreachable

Row = TypeVar("Row")

# What a violated constraint means to the caller, by the constraint's name.
CONSTRAINT_ERRORS: dict[str, type[errors.HitchpostError]] = {
    "social_post_target_social_account_id_fkey": errors.SocialAccountHasPosts,
}


class _Session:
    """A thread's connection, and what has been done on it."""

    def __init__(self, options: dict[str, Any], generation: int) -> None:
        self.connection = psycopg2.connect(**options)
        self.connection.autocommit = True
        self.generation = generation
        self.in_transaction = False
        register_default_json(self.connection, loads=orjson.loads)
        register_default_jsonb(self.connection, loads=orjson.loads)
        self._cursor = self.connection.cursor()
        if hush := statement_log.hush(self.connection.server_version):
            self._cursor.execute(hush)
        self._prepared: set[str] = set()

    def prepare(self, statement: "Statement[Any]") -> None:
        """Lets PostgreSQL parse and plan the statement, once."""
        if statement.name not in self._prepared:
            self._cursor.execute(statement.prepare)
            self._prepared.add(statement.name)

    def run(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows, if the statement has any."""
        self._cursor.execute(sql, arguments)
        return self._cursor.fetchall() if self._cursor.description else []


class Database:
    """Connections that notice when the server went away and came back.

    `peewee` is what models are bound to and migrations run on; calls are served without it.
    """

    def __init__(self) -> None:
        self.peewee = peewee.PostgresqlDatabase(None)
        self._options: dict[str, Any] = {}
        self._generation = 0
        self._thread = threading.local()

    def configure(self, url: str, statement_timeout: timedelta) -> None:
        """Says where the database is; connections open when they are first needed."""
        milliseconds = int(statement_timeout.total_seconds() * 1000)
        url = url.replace("postgres://", "postgresql://", 1)
        common: dict[str, Any] = {"application_name": "hitchpost", "connect_timeout": 3}
        self._options = {
            "dsn": url,
            # PostgreSQL would compile what it guesses to be costly, which takes longer than to read a page.
            "options": f"-c statement_timeout={milliseconds} -c timezone=UTC -c jit=off",
            **common,
        }
        # Without the timeout: building an index may take longer than a call may.
        self.peewee.init(url, options="-c timezone=UTC", **common)

    def run(self, statement: "Statement[Any]", arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs the statement on this thread's connection and returns its rows, if it has any.

        Raises DatabaseUnavailable, StatementTimeout, ConcurrentWrite, or what CONSTRAINT_ERRORS says.
        """
        try:
            session = self._session()
            session.prepare(statement)
            return session.run(statement.execute, arguments)
        except psycopg2.Error as error:
            self._translate(error)

    def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The same for SQL that is run once or seldom, with %s for each argument."""
        try:
            return self._session().run(sql, arguments)
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
                session.run("COMMIT")
            except BaseException:
                # A connection that is gone has nothing left to roll back.
                with suppress(psycopg2.Error):
                    session.run("ROLLBACK")
                raise
            finally:
                session.in_transaction = False
        except psycopg2.Error as error:
            self._translate(error)

    def close(self) -> None:
        """Closes this thread's connections; its next statement opens another."""
        self.peewee.close()
        session = getattr(self._thread, "session", None)
        if session is not None:
            session.connection.close()
            self._thread.session = None

    def alive(self) -> bool:
        """Whether the database answers."""
        return self.trouble() is None

    def trouble(self) -> str | None:
        """Why the database does not answer, for the operator; None when it does."""
        try:
            self.fetch("SELECT 1")
        except errors.HitchpostError as error:
            return error.for_operator
        return None

    def _session(self) -> _Session:
        """This thread's, with a new connection if any thread has found the server gone since."""
        session: _Session | None = getattr(self._thread, "session", None)
        if session is not None and (session.generation == self._generation or session.in_transaction):
            return session
        self.close()
        self._thread.session = session = _Session(self._options, self._generation)
        return session

    def _translate(self, error: psycopg2.Error) -> NoReturn:
        session = getattr(self._thread, "session", None)
        if session is not None and session.connection.closed:
            self._generation += 1
        domain_error = _domain_error(error)
        if domain_error is None:
            raise error
        raise domain_error from error


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
    return None


class Param(str):
    """The name of a value that is not known yet, where a query has its value."""


def param(name: str) -> peewee.Value:
    """Stands in a query for the keyword argument `name` of the statement's calls."""
    return peewee.Value(Param(name), converter=False)


def params(*fields: peewee.Field) -> dict[peewee.Field, peewee.Value]:
    """The same for several columns of an insert, each named like its field."""
    return {field: param(field.name) for field in fields}


def typed(*fields: peewee.Field) -> list[peewee.Cast]:
    """The same where PostgreSQL can't tell the columns' types: in the SELECT of an INSERT."""
    return [param(field.name).cast(sql_type(field)) for field in fields]


def sql_type(field: peewee.Field) -> str:
    """PostgreSQL's name of a column's type."""
    return str(database.peewee.field_types.get(field.field_type, field.field_type)).lower()


def any_of(field: peewee.Field, name: str) -> peewee.Expression:
    """`field = ANY(list)`: one shape of statement for a list of any length."""
    return field == peewee.fn.ANY(param(name))


def json_row(columns: Iterable[peewee.Node]) -> peewee.Function:
    """A whole row as one JSON array, times in it as ISO 8601.

    psycopg2 takes longer for the name and the value of one column than orjson takes for a row.
    """
    return peewee.fn.json_build_array(*columns)


def jsonb(value: Any) -> Json:
    """A value for a jsonb column."""
    return Json(value)


_numbers = itertools.count(1)


class Statement(Generic[Row]):
    """A query compiled once; `row` makes a row of the result out of its columns."""

    def __init__(self, query: peewee.Query, row: Callable[[tuple[Any, ...]], Row]) -> None:
        sql, self._params = query.bind(database.peewee).sql()
        self._row = row
        self.name = f"hitchpost_{next(_numbers)}"
        positions = itertools.count(1)
        self.prepare = f"PREPARE {self.name} AS " + re.sub("%s", lambda _: f"${next(positions)}", sql)
        self.execute = f"EXECUTE {self.name}"
        if self._params:
            self.execute += f" ({', '.join(['%s'] * len(self._params))})"

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """What `execute` is run with."""
        return [values[p] if type(p) is Param else p for p in self._params]

    def all(self, **values: Any) -> list[Row]:
        """Runs the statement with these parameters and returns every row."""
        return [self._row(row) for row in database.run(self, self.arguments(values))]

    def first(self, **values: Any) -> Row | None:
        """The first row, or None."""
        rows = self.all(**values)
        return rows[0] if rows else None


database = Database()
