"""Lists of social posts: four queries, whose {filters} are conditions of _FILTERS."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.posts import owned
from server.posts.rows import STORED, PostRow, post_row
from server.storage import listing
from server.storage.listing import Found, Listed, Shape

# With at most one value of what an index is by: the index has the page's rows, in its order.
_NEWEST = """
    SELECT {stored} AS stored, post.id
    FROM social_post post
    WHERE post.project_id = $project {filters} {before}
    ORDER BY post.id DESC LIMIT $limit
"""
# With several: the newest ids of each, a page at most, and of all these the newest.
_MERGED = """
    SELECT {stored} AS stored, post.id
    FROM social_post post
    WHERE post.project_id = $project AND post.id = ANY(ARRAY(
      SELECT DISTINCT newest.id
      FROM unnest({wanted}) AS wanted(value), LATERAL (
        SELECT post.id
        FROM social_post post
        WHERE post.project_id = $project AND {column} = wanted.value {filters} {before}
        ORDER BY post.id DESC LIMIT $limit
      ) newest
      ORDER BY newest.id DESC LIMIT $limit
    ))
    ORDER BY post.id DESC
"""
# The same by account: those that are asked for, or all that the owner has. OFFSET 0 keeps PostgreSQL
# from joining two tables that it still believes to be small, by reading all of one for each row.
_OF_ACCOUNTS = """
    SELECT {stored} AS stored, post.id
    FROM social_post post
    WHERE post.project_id = $project AND post.id = ANY(ARRAY(
      SELECT DISTINCT newest.id
      FROM unnest({wanted}) AS wanted(value), LATERAL (
        SELECT target.social_post_id AS id
        FROM social_post_target target, LATERAL (
          SELECT FROM social_post post
          WHERE post.project_id = $project AND post.id = target.social_post_id {filters} OFFSET 0
        ) wanted_post
        WHERE target.project_id = $project AND target.social_account_id = wanted.value {before}
        ORDER BY target.social_post_id DESC LIMIT $limit
      ) newest
      ORDER BY newest.id DESC LIMIT $limit
    ))
    ORDER BY post.id DESC
"""
# Scheduled posts up to a time: few, and not the newest of those scheduled. PostgreSQL would rather read
# these by id until it has a page; materialized, they are found by their time.
_DUE = """
    SELECT {stored} AS stored, post.id
    FROM social_post post
    WHERE post.project_id = $project AND post.id = ANY(ARRAY(
      WITH due AS MATERIALIZED (
        SELECT post.id
        FROM social_post post
        WHERE post.project_id = $project {filters}
      )
      SELECT due.id FROM due WHERE true {before} ORDER BY due.id DESC LIMIT $limit
    ))
    ORDER BY post.id DESC
"""
_ASKED_FOR = "$social_account_ids::text[]"
_TARGETS = """
        SELECT FROM social_post_target target
        JOIN social_account account ON account.project_id = $project AND account.id = target.social_account_id
        WHERE target.project_id = $project AND target.social_post_id = post.id"""
# The filters of a list, by the name of their request field; `owner` is the owner scope.
_FILTERS: dict[str, Callable[[Shape], str]] = {
    "owner": lambda _: f"NOT EXISTS ({_TARGETS} AND account.external_id IS DISTINCT FROM $owner)",
    "external_ids": lambda shape: listing.matching(shape, "external_ids", "post.external_id"),
    "states": lambda shape: listing.matching(shape, "states", "post.state"),
    "scheduled_after": lambda _: "post.scheduled_time >= $scheduled_after",
    "scheduled_before": lambda _: "post.scheduled_time < $scheduled_before",
    "platforms": lambda shape: (
        f"EXISTS ({_TARGETS} AND {listing.matching(shape, 'platforms', 'account.platform')})"
    ),
}
# Those that have an index with the newest of each value, the one that leaves the least first.
_INDEXED = {
    "external_ids": ("post.external_id", "$external_ids::text[]"),
    "states": ("post.state", "$states::smallint[]"),
}


@functools.cache
def list_statement(shape: Shape, *, due: bool) -> Listed[PostRow]:
    """The statements for lists of this shape; `due`: of scheduled posts up to a time."""
    first = next((name for name in _INDEXED if name in shape.names), None)
    if "social_account_ids" in shape.names or "owner" in shape.names:
        wanted = _ASKED_FOR if "social_account_ids" in shape.names else owned.ACCOUNTS
        sql = _filled(_OF_ACCOUNTS, shape, "target.social_post_id", wanted=wanted)
        return Listed("posts.list_of_accounts", sql, post_row)
    if due and first != "external_ids":
        return Listed("posts.list_due", _filled(_DUE, shape, "due.id"), post_row)
    if first is not None and first in shape.many:
        column, wanted = _INDEXED[first]
        sql = _filled(_MERGED, shape, "post.id", but=first, column=column, wanted=wanted)
        return Listed("posts.list_merged", sql, post_row)
    return Listed("posts.list_newest", _filled(_NEWEST, shape, "post.id"), post_row)


def _filled(sql: str, shape: Shape, page_id: str, but: str | None = None, **places: str) -> str:
    """The query with its filters, all but one, and beginning after the page before, by the id of its page."""
    filters = [having(shape) for name, having in _FILTERS.items() if name in shape.names and name != but]
    return sql.format(
        stored=STORED, filters=listing.ands(filters), before=listing.before(shape, page_id), **places
    )


def find(project_id: str, filters: Mapping[str, Any], after: str | None, size: int) -> Found[PostRow]:
    """A page of at most `size` posts, newest first, that match every filter; see listing.read.

    `after` is the last id of the page before, None for the first.
    `filters` maps names of _FILTERS, and social_account_ids, to alternatives, or to the one value; an empty
    one does not filter.
    """

    def begin(after: str | None) -> tuple[Listed[PostRow], dict[str, Any]]:
        shape, values = listing.shape(filters, after, merged={"social_account_ids"})
        values["project"] = project_id
        due = values.get("states") == pb.SOCIAL_POST_STATE_SCHEDULED and "scheduled_before" in values
        return list_statement(shape, due=due), values

    return listing.read(begin, after, size)
