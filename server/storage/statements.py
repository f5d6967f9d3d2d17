"""Statements, compiled once, and what they are built of.

Every query has a name and is prepared by a connection when it first meets it, so that PostgreSQL parses and
plans it once; from then on running it is one EXECUTE. A query is SQL text with `$name` where a value
goes, or for the simple ones a Peewee query with `param("name")` there, which is compiled once, too:
building and compiling it costs far more than PostgreSQL needs to run it.
"""

import hashlib
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import peewee
from psycopg2.extras import Json

from server.storage.database import database

Row = TypeVar("Row")
_PARAMETER = re.compile(r"\$([a-z][a-z_]*)")


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


class Prepared:
    """A named query; `name` is seen in pg_prepared_statements, such as `posts.create_1f0c9a24`; `label` in
    metrics, such as `posts.create`."""

    def __init__(self, name: str, query: peewee.Query | str) -> None:
        sql, self._params = _compiled(query)
        self.label = name
        # With its content: whoever else prepares this name on a shared connection means the same statement.
        self.name = f"{name}_{hashlib.sha256(sql.encode()).hexdigest()[:8]}"
        # PostgreSQL would cut a longer one.
        assert len(self.name) < 64, self.name
        self.prepare = f'PREPARE "{self.name}" AS {sql}'
        self.execute = f'EXECUTE "{self.name}"'
        if self._params:
            self.execute += f" ({', '.join(['%s'] * len(self._params))})"
        EVERY.append(self)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """What `execute` is run with."""
        return [values[p] if type(p) is Param else p for p in self._params]


class Statement(Prepared, Generic[Row]):
    """A query that has rows; `row` makes one out of its columns."""

    def __init__(self, name: str, query: peewee.Query | str, row: Callable[[tuple[Any, ...]], Row]) -> None:
        super().__init__(name, query)
        self._row = row

    def all(self, **values: Any) -> list[Row]:
        """Runs the statement with these parameters and returns every row."""
        return [self._row(row) for row in database.run(self, self.arguments(values))]

    def first(self, **values: Any) -> Row | None:
        """The first row, or None."""
        rows = self.all(**values)
        return rows[0] if rows else None


class Command(Prepared):
    """A query without rows."""

    def run(self, **values: Any) -> None:
        """Runs the statement with these parameters."""
        database.run(self, self.arguments(values))


# All that have been made, for the test that prepares each of them.
EVERY: list[Prepared] = []


def _compiled(query: peewee.Query | str) -> tuple[str, list[Any]]:
    """The query with $1, $2 …, and what goes there: each a Param, or a constant."""
    if isinstance(query, str):
        names = list(dict.fromkeys(_PARAMETER.findall(query)))
        sql = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", inspect.cleandoc(query))
        return sql, [Param(name) for name in names]
    sql, parameters = query.bind(database.peewee).sql()
    positions = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(positions)}", sql), parameters
