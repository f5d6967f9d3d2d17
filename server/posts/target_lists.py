"""Lists of targets, those of the newest posts first: the keys of a page, and then what is shown of them.

The keys come by an index that has them in their order: by account, by the post's tag, by state, or all. What
else a list filters by is looked up for each of them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from server.posts import owned
from server.posts.rows import OUTCOME, ListedTarget, TargetRow
from server.storage import listing
from server.storage.listing import Found, Listed, Shape

# OFFSET 0 keeps PostgreSQL from joining tables that it still believes to be small, by reading all of one.
_PAGE = f"""
    SELECT
      json_build_array(
        page.post_id || '/' || page.account_id, page.account_id, account.external_id, account.platform,
        target.state, NULL, NULL, {OUTCOME}
      ) AS stored,
      page.post_id || '/' || page.account_id AS id
    FROM ({{keys}}) page, LATERAL (
      SELECT target.* FROM social_post_target target
      WHERE target.project_id = $project
        AND target.social_post_id = page.post_id AND target.social_account_id = page.account_id OFFSET 0
    ) target, LATERAL (
      SELECT post.follow_ups FROM social_post post
      WHERE post.project_id = $project AND post.id = page.post_id OFFSET 0
    ) post, LATERAL (
      SELECT account.external_id, account.platform FROM social_account account
      WHERE account.project_id = $project AND account.id = page.account_id OFFSET 0
    ) account
    ORDER BY page.post_id DESC, page.account_id DESC
"""
_KEYS = """
      SELECT target.social_post_id AS post_id, target.social_account_id AS account_id
      FROM social_post_target target {joined}
      WHERE target.project_id = $project {first} {filters} {before}
      ORDER BY target.social_post_id DESC, target.social_account_id DESC LIMIT $limit
"""
_TAGGED = """
      SELECT post.id AS post_id, target.account_id
      FROM social_post post, LATERAL (
        SELECT target.social_account_id AS account_id
        FROM social_post_target target {joined}
        WHERE target.project_id = $project AND target.social_post_id = post.id {filters} {before} OFFSET 0
      ) target
      WHERE post.project_id = $project AND post.external_id = wanted.value {of_post} {post_before}
      ORDER BY post.id DESC, target.account_id DESC LIMIT $limit
"""
# The newest of each value, a page at most, and of all these the newest.
_MERGED = """
      SELECT newest.post_id, newest.account_id
      FROM (SELECT DISTINCT unnest({wanted}) AS value) wanted, LATERAL ({keys}) newest
      ORDER BY newest.post_id DESC, newest.account_id DESC LIMIT $limit
"""
_OF_POST = """, LATERAL (
        SELECT FROM social_post post
        WHERE post.project_id = $project AND post.id = target.social_post_id {conditions} OFFSET 0
      ) of_post"""
_OF_ACCOUNT = """, LATERAL (
        SELECT FROM social_account account
        WHERE account.project_id = $project AND account.id = target.social_account_id {conditions} OFFSET 0
      ) of_account"""


class _First(NamedTuple):
    """What a list's keys come by: the parameter's values, SQL, and the column that has one of them."""

    name: str
    wanted: str
    column: str


# The one that leaves the least comes first. `owner` is the owner scope.
_INDEXED: Mapping[str, _First] = {
    "social_account_ids": _First("accounts", "$social_account_ids::text[]", "target.social_account_id"),
    "owner": _First("accounts", owned.ACCOUNTS, "target.social_account_id"),
    "external_ids": _First("tags", "$external_ids::text[]", "post.external_id"),
    "states": _First("states", "$states::smallint[]", "target.state"),
}
# The filters, by the name of their request field: of targets, of their posts, of their accounts.
_TARGET: Mapping[str, Callable[[Shape], str]] = {
    "owner": lambda _: f"NOT {owned.to_others('target.social_post_id')}",
    "states": lambda shape: listing.matching(shape, "states", "target.state"),
}
_POST: Mapping[str, Callable[[Shape], str]] = {
    "external_ids": lambda shape: listing.matching(shape, "external_ids", "post.external_id"),
    "scheduled_after": lambda _: "post.scheduled_time >= $scheduled_after",
    "scheduled_before": lambda _: "post.scheduled_time < $scheduled_before",
}
_ACCOUNT: Mapping[str, Callable[[Shape], str]] = {
    "platforms": lambda shape: listing.matching(shape, "platforms", "account.platform"),
}
# Lists of one value and of several are one statement.
MERGED = frozenset({"external_ids", "states", "platforms", "social_account_ids"})


@functools.cache
def list_statement(shape: Shape) -> Listed[ListedTarget]:
    """The statements for lists of this shape."""
    name = next((name for name in _INDEXED if name in shape.names), None)
    if name is None:
        return _listed("newest", _keys(shape, ""))
    first = _INDEXED[name]
    if name == "external_ids":
        keys = _tagged(shape)
    else:
        # `owner` chooses accounts, and leaves out posts that are for others' too.
        but = name if name == "states" else ""
        keys = _keys(shape, f"AND {first.column} = wanted.value", but)
    return _listed(f"by_{first.name}", _MERGED.format(wanted=first.wanted, keys=keys))


def _listed(name: str, keys: str) -> Listed[ListedTarget]:
    return Listed(f"posts.list_targets_{name}", _PAGE.format(keys=keys), _listed_target)


def _keys(shape: Shape, first: str, but: str = "") -> str:
    before = "(target.social_post_id, target.social_account_id) < ($after_post::text, $after_account::text)"
    return _KEYS.format(
        joined=_joined(shape, _OF_POST, _POST) + _joined(shape, _OF_ACCOUNT, _ACCOUNT),
        first=first,
        filters=_conditions(shape, _TARGET, but),
        before="" if shape.first_page else f"AND {before}",
    )


def _tagged(shape: Shape) -> str:
    before = "(post.id < $after_post::text OR target.social_account_id < $after_account::text)"
    return _TAGGED.format(
        joined=_joined(shape, _OF_ACCOUNT, _ACCOUNT),
        filters=_conditions(shape, _TARGET),
        before="" if shape.first_page else f"AND {before}",
        of_post=_conditions(shape, _POST, "external_ids"),
        post_before="" if shape.first_page else "AND post.id <= $after_post::text",
    )


def _joined(shape: Shape, sql: str, filters: Mapping[str, Callable[[Shape], str]]) -> str:
    conditions = _conditions(shape, filters)
    return sql.format(conditions=conditions) if conditions else ""


def _conditions(shape: Shape, filters: Mapping[str, Callable[[Shape], str]], but: str = "") -> str:
    names = [name for name in filters if name in shape.names and name != but]
    return listing.ands(filters[name](shape) for name in names)


def _listed_target(stored: list[Any]) -> ListedTarget:
    key, *target = stored
    return ListedTarget(key.partition("/")[0], TargetRow._make(target))


def find(project_id: str, filters: Mapping[str, Any], after: str | None, size: int) -> Found[ListedTarget]:
    """A page of at most `size` targets that match every filter; see listing.read.

    `after` is the last id of the page before, None for the first. `filters` maps names of _INDEXED, _POST and
    _ACCOUNT to alternatives, or to the one value; an empty one does not filter.
    """

    def begin(after: str | None) -> tuple[Listed[ListedTarget], dict[str, Any]]:
        shape, values = listing.shape(filters, after, merged=MERGED)
        values["project"] = project_id
        values["after_post"], _, values["after_account"] = (after or "").partition("/")
        return list_statement(shape), values

    return listing.read(begin, after, size)
