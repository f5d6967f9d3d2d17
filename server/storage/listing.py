"""Lists: newest first, by keyset, and reading no more rows than the page has, or a page for each value.

Nor does a page have more bytes than an answer can. Its rows come in one statement as long as they are small;
else they are read again, in parts, and as far as there is room for them.

A filter with one value is an equality, and an index that ends in `id` holds its rows in order. With
several values no index does: then the newest of each value are read, a page at most, and merged.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from server.base.sizes import PAGE_BYTES
from server.storage.statements import Statement

log = logging.getLogger(__name__)

# Pages of so many rows are read by one statement: those of usual sizes, and of the default.
SMALL_PAGE = 50
# Rows that one statement of another page reads, at first and at most: PostgreSQL makes all of them, though
# there may be room for two.
FIRST_PART, PART = 10, 100

# NULL instead of a row that is not so small that a small page of such has room.
_SMALL = f"""
    SELECT CASE WHEN pg_column_size(page.stored) <= {PAGE_BYTES // SMALL_PAGE} THEN page.stored END
    FROM ({{rows}}) page
"""
# A row that is too large for any page adds nothing to its own.
_MEASURED = f"""
    SELECT
      CASE WHEN pg_column_size(summed.stored) <= {PAGE_BYTES} AND summed.total <= $room
        THEN summed.stored ELSE json_build_array(summed.id) END,
      summed.total
    FROM (
      SELECT page.stored, page.id, sum(
        CASE WHEN pg_column_size(page.stored) <= {PAGE_BYTES} THEN pg_column_size(page.stored) ELSE 0 END
      ) OVER (ORDER BY page.id DESC ROWS UNBOUNDED PRECEDING) AS total
      FROM ({{rows}}) page
    ) summed
"""


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

    `rows` selects `stored`, the values as JSON, and `id`, newest first. `small` gives the values, or None
    for a row that is not small. `measured` gives with them the bytes of the rows up to there, and instead of
    them only the id when that is more than the parameter `room`, or the row too large for any page.
    """

    def __init__(self, name: str, rows: str, row: Callable[[list[Any]], Row]) -> None:
        self.row = row
        rows = rows.strip()
        self.small: Statement[list[Any]] = Statement(name, _SMALL.format(rows=rows), itemgetter(0))
        self.measured: Statement[tuple[list[Any], int]] = Statement(
            f"{name}_measured", _MEASURED.format(rows=rows), tuple
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


def matching(shape: Shape, name: str, column: str) -> str:
    """The condition of a filter. One shape of statement for several values, however many."""
    return f"{column} = ${name}" if name in shape.one else f"{column} = ANY(${name})"


def ands(conditions: Iterable[str]) -> str:
    """These conditions, to stand behind another."""
    return " ".join(f"AND {condition}" for condition in conditions)


def before(shape: Shape, page_id: str) -> str:
    """The condition that leaves out what earlier pages had, which are newer; to stand behind another."""
    return "" if shape.first_page else f"AND {page_id} < $after"
