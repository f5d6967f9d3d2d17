"""Lists: newest first, by keyset, and reading no more rows than the page has, or a page for each value.

Nor does a page have more bytes than an answer can. Its rows come in one statement as long as they are small;
else they are read again, in parts, and as far as there is room for them.

A filter with one value is an equality, and an index that ends in `id` holds its rows in order. With
several values no index does: then the newest of each value are read, a page at most, and merged.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import peewee
from peewee import SQL, fn

from server.sizes import PAGE_BYTES
from server.statements import Statement, any_of, param, sql_type

log = logging.getLogger(__name__)

# Pages of so many rows are read by one statement: those of usual sizes, and of the default.
SMALL_PAGE = 50
# Rows that one statement of another page reads, at first and at most: PostgreSQL makes all of them, though
# there may be room for two.
FIRST_PART, PART = 10, 100

Select = TypeVar("Select", bound=peewee.Select)

# What a merged page is of: one of the values, in turn.
WANTED = SQL("wanted.value")

# A row that is so small that a small page of such has room, else NULL.
_SMALL = SQL(f"CASE WHEN pg_column_size(page.stored) <= {PAGE_BYTES // SMALL_PAGE} THEN page.stored END")
# What a row adds to its page: nothing when it is too large for any.
_SIZE = f"CASE WHEN pg_column_size(page.stored) <= {PAGE_BYTES} THEN pg_column_size(page.stored) ELSE 0 END"
_TOTAL = SQL(f"sum({_SIZE}) OVER (ORDER BY page.id DESC ROWS UNBOUNDED PRECEDING) AS total")
_MEASURED = (
    SQL(f"CASE WHEN pg_column_size(summed.stored) <= {PAGE_BYTES} AND summed.total <= "),
    SQL("THEN summed.stored ELSE json_build_array(summed.id) END"),
)


class Stored(Protocol):
    """A row that has an id."""

    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Stored)


class Found(NamedTuple, Generic[Row]):
    """The rows of a page, and whether more follow."""

    rows: list[Row]
    more: bool


class Listed(Generic[Row]):
    """The two statements of one shape of list; `row` makes a row of the values that both give.

    `rows` selects `stored`, the values as JSON, and `id`. `small` gives the values, or None for a row that
    is not small. `measured` gives with them the bytes of the rows up to there, and instead of them only
    the id when that is more than the parameter `room`, or the row too large for any page.
    """

    def __init__(self, rows: peewee.Select, row: Callable[[list[Any]], Row]) -> None:
        self.row = row
        page = [rows.alias("page")]
        self.small: Statement[list[Any]] = Statement(peewee.Select(page, [_SMALL]), itemgetter(0))
        summed = peewee.Select(page, [SQL("page.stored"), SQL("page.id"), _TOTAL]).alias("summed")
        self.measured: Statement[tuple[list[Any], int]] = Statement(
            peewee.Select(
                [summed], [peewee.NodeList((_MEASURED[0], param("room"), _MEASURED[1])), SQL("summed.total")]
            ),
            tuple,
        )


# The statements and parameters of a list from a row on, or with None from the newest.
Begin = Callable[[str | None], tuple[Listed[Row], dict[str, Any]]]


def read(begin: Begin[Row], after: str | None, size: int) -> Found[Row]:
    """A page: at most `size` rows, fewer when an answer has no room for more."""
    if size <= SMALL_PAGE:
        listed, values = begin(after)
        values["limit"] = size + 1
        found = listed.small.all(**values)
        if all(found):
            return Found([listed.row(stored) for stored in found[:size]], len(found) > size)
    return _read_in_parts(begin, after, size)


def _read_in_parts(begin: Begin[Row], after: str | None, size: int) -> Found[Row]:
    rows: list[Row] = []
    room, most = PAGE_BYTES, FIRST_PART
    while True:
        listed, values = begin(after)
        limit = min(size + 1 - len(rows), most)
        part = listed.measured.all(**values, limit=limit, room=room)
        for stored, total in part:
            if total > room:
                return Found(rows[:size], more=True)
            if len(stored) > 1:
                rows.append(listed.row(stored))
            else:
                log.warning("left out: too large for a list", extra={"id": stored[0]})
        if len(rows) > size or len(part) < limit:
            return Found(rows[:size], len(rows) > size)
        (after, *_), total = part[-1]
        room, most = room - total, min(2 * most, PART)


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
