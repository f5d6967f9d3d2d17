"""Lists: newest first, by keyset, and reading no more rows than the page has, or a page for each value.

A filter with one value is an equality, and an index that ends in `id` holds its rows in order. With
several values no index does: then the newest of each value are read, a page at most, and merged.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import peewee
from peewee import SQL, fn

from server.statements import any_of, param, sql_type

Select = TypeVar("Select", bound=peewee.Select)

# What a merged page is of: one of the values, in turn.
WANTED = SQL("wanted.value")


class Shape(NamedTuple):
    """Which filters a list has, by name: all that a statement depends on."""

    one: frozenset[str]
    many: frozenset[str]
    first_page: bool

    @property
    def names(self) -> frozenset[str]:
        """All filters."""
        return self.one | self.many


def shape(
    filters: Mapping[str, Any], after: str | None, merged: Collection[str] = ()
) -> tuple[Shape, dict[str, Any]]:
    """The shape of a list, and its parameters: the value of a filter with one, the list of one with more.

    Filters named in `merged` count as having more, always.
    """
    values: dict[str, Any] = {}
    many = set()
    for name, wanted in filters.items():
        if wanted is None:
            continue
        if not isinstance(wanted, Sequence) or isinstance(wanted, str):
            values[name] = wanted
        elif len(wanted) == 1 and name not in merged:
            values[name] = wanted[0]
        elif wanted:
            values[name] = list(wanted)
            many.add(name)
    return Shape(frozenset(values) - many, frozenset(many), after is None), values | {"after": after}


def matching(shape: Shape, name: str, field: peewee.Field) -> peewee.Expression:
    """The condition of a filter."""
    return field == param(name) if name in shape.one else any_of(field, name)


def page(query: Select, row_id: peewee.ColumnBase, shape: Shape) -> Select:
    """The newest rows of a query."""
    if not shape.first_page:
        query = query.where(row_id < param("after"))
    return query.order_by(row_id.desc()).limit(param("limit"))


def merged(values: peewee.Node, ids: peewee.Select) -> peewee.Node:
    """The newest ids of several pages, one of `ids` for each of `values`, for `id = `."""
    wanted = peewee.NodeList((values, SQL("AS wanted(value)")))
    newest = ids.alias("newest")
    together = peewee.Select([wanted, peewee.NodeList((SQL("LATERAL"), newest))], [newest.c.id])
    return any_id(together.distinct().order_by(newest.c.id.desc()).limit(param("limit")))


def any_id(ids: peewee.Query) -> peewee.Node:
    """These ids, for `id = `. Not a join: PostgreSQL would choose its order by a guess of how many come."""
    return fn.ANY(fn.ARRAY(ids))


def unnest(name: str, field: peewee.Field) -> peewee.Node:
    """The values of a filter as rows."""
    return fn.unnest(param(name).cast(f"{sql_type(field)}[]"))
