"""Lists of social accounts."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from server import accounts, errors, listing
from server.accounts import ROW, AccountRow, account_row
from server.identity import Caller
from server.listing import Shape
from server.models import SocialAccount
from server.statements import Statement, param

# The filters of a list, by the name of their request field, the one that leaves the least first.
_FILTERS: "dict[str, peewee.Field[Any]]" = {
    "social_account_ids": SocialAccount.id,
    "external_ids": SocialAccount.external_id,
    "usernames": SocialAccount.username,
    "platforms": SocialAccount.platform,
    "states": SocialAccount.state,
}


@functools.cache
def list_statement(shape: Shape) -> Statement[AccountRow]:
    """The statement for lists of this shape."""
    rows = SocialAccount.select(ROW)
    first = next((name for name in _FILTERS if name in shape.names), None)
    merge = first if first in shape.many and first != "social_account_ids" else None
    conditions = [SocialAccount.project == param("project")]
    for name, field in _FILTERS.items():
        if name in shape.names and name != merge:
            conditions.append(listing.matching(shape, name, field))
    if merge is None:
        return Statement(listing.page(rows.where(*conditions), SocialAccount.id, shape), account_row)
    field = _FILTERS[merge]
    ids = SocialAccount.select(SocialAccount.id).where(*conditions, field == listing.WANTED)
    newest = listing.merged(listing.unnest(merge, field), listing.page(ids, SocialAccount.id, shape))
    return Statement(rows.where(SocialAccount.id == newest).order_by(SocialAccount.id.desc()), account_row)


def list_page(
    caller: Caller, filters: Mapping[str, Sequence[Any]], after: str | None, limit: int
) -> list[AccountRow]:
    """At most `limit` accounts, newest first, that match every filter.

    `after` is the last id of the page before, None for the first.
    `filters` maps names of _FILTERS to alternatives; an empty one does not filter. Raises OwnerMismatch
    when a call confined to an owner filters by another, or by an account that is not theirs.
    """
    owners, ids = filters.get("external_ids", ()), filters.get("social_account_ids", ())
    if caller.owner is not None:
        if any(owner != caller.owner for owner in owners):
            raise errors.OwnerMismatch
        accounts.check_owners(caller, ids)
        filters = {**filters, "external_ids": [caller.owner]}
    shape, values = listing.shape(filters, after)
    return list_statement(shape).all(project=caller.project_id, limit=limit, **values)
