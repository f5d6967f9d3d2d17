"""Lists of social accounts."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from server import accounts, errors, listing
from server.accounts import ROW, AccountRow
from server.identity import Caller
from server.listing import Found, Listed, Shape
from server.models import SocialAccount
from server.statements import param

# The filters of a list, by the name of their request field, the one that leaves the least first.
_FILTERS: "dict[str, peewee.Field[Any]]" = {
    "social_account_ids": SocialAccount.id,
    "external_ids": SocialAccount.external_id,
    "usernames": SocialAccount.username,
    "platforms": SocialAccount.platform,
    "states": SocialAccount.state,
}


@functools.cache
def list_statement(shape: Shape) -> Listed[AccountRow]:
    """The statements for lists of this shape."""
    rows = SocialAccount.select(ROW.alias("stored"), SocialAccount.id)
    first = next((name for name in _FILTERS if name in shape.names), None)
    merge = first if first in shape.many and first != "social_account_ids" else None
    conditions = [SocialAccount.project == param("project")]
    for name, field in _FILTERS.items():
        if name in shape.names and name != merge:
            conditions.append(listing.matching(shape, name, field))
    if merge is None:
        return Listed(listing.page(rows.where(*conditions), SocialAccount.id, shape), AccountRow._make)
    field = _FILTERS[merge]
    ids = SocialAccount.select(SocialAccount.id).where(*conditions, field == listing.WANTED)
    newest = listing.merged(listing.unnest(merge, field), listing.page(ids, SocialAccount.id, shape))
    return Listed(rows.where(SocialAccount.id == newest).order_by(SocialAccount.id.desc()), AccountRow._make)


def list_page(
    caller: Caller, filters: Mapping[str, Sequence[Any]], after: str | None, size: int
) -> Found[AccountRow]:
    """A page of at most `size` accounts, newest first, that match every filter; see listing.read.

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

    def begin(after: str | None) -> tuple[Listed[AccountRow], dict[str, Any]]:
        shape, values = listing.shape(filters, after)
        values["project"] = caller.project_id
        return list_statement(shape), values

    return listing.read(begin, after, size)
