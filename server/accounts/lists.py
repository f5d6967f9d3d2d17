"""Lists of social accounts: two queries, whose {filters} are conditions of _FILTERS."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from server.accounts.rows import ROW, AccountRow
from server.storage import listing
from server.storage.listing import Found, Listed, Shape

# With at most one value of what an index is by: the index has the page's rows, in its order.
_NEWEST = """
    SELECT {stored} AS stored, account.id
    FROM social_account account
    WHERE account.project_id = $project {filters} {before}
    ORDER BY account.id DESC LIMIT $limit
"""
# With several: the newest ids of each, a page at most, and of all these the newest.
_MERGED = """
    SELECT {stored} AS stored, account.id
    FROM social_account account
    WHERE account.project_id = $project AND account.id = ANY(ARRAY(
      SELECT DISTINCT newest.id
      FROM unnest({wanted}) AS wanted(value), LATERAL (
        SELECT account.id
        FROM social_account account
        WHERE account.project_id = $project AND {column} = wanted.value {filters} {before}
        ORDER BY account.id DESC LIMIT $limit
      ) newest
      ORDER BY newest.id DESC LIMIT $limit
    ))
    ORDER BY account.id DESC
"""
# The filters of a list, by the name of their request field, the one that leaves the least first.
_FILTERS = {
    "social_account_ids": "account.id",
    "external_ids": "account.external_id",
    "usernames": "account.username",
    "platforms": "account.platform",
    "states": "account.state",
}
# Those that have an index with the newest of each value.
_INDEXED = {
    "external_ids": "$external_ids::text[]",
    "usernames": "$usernames::text[]",
    "platforms": "$platforms::smallint[]",
    "states": "$states::smallint[]",
}


@functools.cache
def list_statement(shape: Shape) -> Listed[AccountRow]:
    """The statements for lists of this shape."""
    first = next((name for name in _FILTERS if name in shape.names), None)
    merged = first if first in shape.many and first in _INDEXED else None
    filters = listing.ands(
        listing.matching(shape, name, column)
        for name, column in _FILTERS.items()
        if name in shape.names and name != merged
    )
    places = {"stored": ROW, "filters": filters, "before": listing.before(shape, "account.id")}
    if merged is None:
        return Listed("accounts.list_newest", _NEWEST.format(**places), AccountRow._make)
    sql = _MERGED.format(**places, column=_FILTERS[merged], wanted=_INDEXED[merged])
    return Listed("accounts.list_merged", sql, AccountRow._make)


def find(
    project_id: str, filters: Mapping[str, Sequence[Any]], after: str | None, size: int
) -> Found[AccountRow]:
    """A page of at most `size` accounts, newest first, that match every filter; see listing.read.

    `after` is the last id of the page before, None for the first.
    `filters` maps names of _FILTERS to alternatives; an empty one does not filter.
    """

    def begin(after: str | None) -> tuple[Listed[AccountRow], dict[str, Any]]:
        shape, values = listing.shape(filters, after)
        values["project"] = project_id
        return list_statement(shape), values

    return listing.read(begin, after, size)
