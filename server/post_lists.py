"""Lists of social posts."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import peewee
from peewee import fn

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server import accounts, listing
from server.identity import Caller
from server.listing import Found, Listed, Shape
from server.models import SocialAccount, SocialPost, SocialPostTarget
from server.posts import POSTS, PostRow, post_row
from server.statements import param

_ROWS = POSTS.select_extend(SocialPost.id)
_TARGET_ACCOUNTS = (
    SocialPostTarget.select(peewee.SQL("1"))
    .join(SocialAccount)
    .where(SocialPostTarget.social_post == SocialPost.id)
)
# The filters of a list, by the name of their request field; `owner` is the owner scope.
_FILTERS: dict[str, Callable[[Shape], peewee.Node]] = {
    "owner": lambda _: (
        ~fn.EXISTS(
            _TARGET_ACCOUNTS.where(
                SocialAccount.external_id.is_null() | (SocialAccount.external_id != param("owner"))
            )
        )
    ),
    "external_ids": lambda shape: listing.matching(shape, "external_ids", SocialPost.external_id),
    "states": lambda shape: listing.matching(shape, "states", SocialPost.state),
    "scheduled_after": lambda _: SocialPost.scheduled_time >= param("scheduled_after"),
    "scheduled_before": lambda _: SocialPost.scheduled_time < param("scheduled_before"),
    "platforms": lambda shape: fn.EXISTS(
        _TARGET_ACCOUNTS.where(listing.matching(shape, "platforms", SocialAccount.platform))
    ),
}
# Those that have an index with the newest of each value, the one that leaves the least first.
_MERGED: "dict[str, peewee.Field[Any]]" = {"external_ids": SocialPost.external_id, "states": SocialPost.state}
_OWN_ACCOUNTS = SocialAccount.select(SocialAccount.id).where(
    (SocialAccount.project == param("project")) & (SocialAccount.external_id == param("owner"))
)


@functools.cache
def list_statement(shape: Shape, *, due: bool) -> Listed[PostRow]:
    """The statements for lists of this shape; `due`: of scheduled posts up to a time."""
    merge = next((name for name in _MERGED if name in shape.names), None)
    conditions: list[peewee.Node] = [SocialPost.project == param("project")]
    if "social_account_ids" in shape.names or "owner" in shape.names:
        return _chosen(_of_accounts(shape, [*conditions, *_conditions(shape)]))
    if due and merge != "external_ids":
        return _chosen(_due(shape, [*conditions, *_conditions(shape)]))
    if merge in shape.many:
        conditions += [_MERGED[merge] == listing.WANTED, *_conditions(shape, but=merge)]
        ids = listing.page(SocialPost.select(SocialPost.id).where(*conditions), SocialPost.id, shape)
        return _chosen(listing.merged(listing.unnest(merge, _MERGED[merge]), ids))
    conditions += _conditions(shape)
    return Listed(listing.page(_ROWS.where(*conditions), SocialPost.id, shape), post_row)


def _chosen(ids: peewee.Node) -> Listed[PostRow]:
    return Listed(_ROWS.where(SocialPost.id == ids).order_by(SocialPost.id.desc()), post_row)


def _conditions(shape: Shape, but: str = "") -> list[peewee.Node]:
    return [having(shape) for name, having in _FILTERS.items() if name in shape.names and name != but]


def _of_accounts(shape: Shape, conditions: list[peewee.Node]) -> peewee.Node:
    """The newest posts of the accounts asked for, or of all that the owner has."""
    targets = SocialPostTarget.select(SocialPostTarget.social_post.alias("id")).join(SocialPost)
    targets = targets.where(SocialPostTarget.social_account == listing.WANTED, *conditions)
    values = (
        listing.unnest("social_account_ids", SocialAccount.id)
        if "social_account_ids" in shape.names
        else fn.unnest(fn.ARRAY(_OWN_ACCOUNTS))
    )
    return listing.merged(values, listing.page(targets, SocialPostTarget.social_post, shape))


def _due(shape: Shape, conditions: list[peewee.Node]) -> peewee.Node:
    """The newest of the posts that are due: few, and not the newest of those scheduled.

    PostgreSQL would rather read these by id until it has a page; materialized, they are found by time.
    """
    due = SocialPost.select(SocialPost.id).where(*conditions).cte("due", materialized=True)
    ids = peewee.Select([due], [due.c.id])
    return listing.any_id(listing.page(ids, due.c.id, shape).with_cte(due))


def list_page(caller: Caller, filters: Mapping[str, Any], after: str | None, size: int) -> Found[PostRow]:
    """A page of at most `size` posts, newest first, that match every filter; see listing.read.

    `after` is the last id of the page before, None for the first.
    `filters` maps names of _FILTERS to alternatives, or to a time; an empty one does not filter. Raises
    OwnerMismatch when a call confined to an owner filters by an account that is not theirs.
    """
    accounts.check_owners(caller, filters.get("social_account_ids", ()))
    if caller.owner is not None:
        filters = {**filters, "owner": caller.owner}

    def begin(after: str | None) -> tuple[Listed[PostRow], dict[str, Any]]:
        shape, values = listing.shape(filters, after, merged={"social_account_ids"})
        values["project"] = caller.project_id
        due = values.get("states") == pb.SOCIAL_POST_STATE_SCHEDULED and "scheduled_before" in values
        return list_statement(shape, due=due), values

    return listing.read(begin, after, size)
