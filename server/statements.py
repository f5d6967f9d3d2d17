"""Statements, compiled once, and what they are built of.

`Statement` is the one mechanism that every query uses. Building and compiling a Peewee query costs far
more than PostgreSQL needs to run it, so a query is built once, with `param("name")` in place of each
value; what is kept is its SQL and the order of its parameters. A connection prepares it when it first
meets it, so that PostgreSQL plans it once, too. From then on running it is one EXECUTE, and each row
becomes a NamedTuple.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import peewee
from psycopg2.extras import Json

from server.database import database

Row = TypeVar("Row")


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


class Statement(Generic[Row]):
    """A query compiled once; `row` makes a row of the result out of its columns."""

    def __init__(self, query: peewee.Query, row: Callable[[tuple[Any, ...]], Row]) -> None:
        sql, self._params = query.bind(database.peewee).sql()
        self._row = row
        # Of its content: whoever else prepares this name on a shared connection means the same statement.
        self.name = f"hitchpost_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
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
