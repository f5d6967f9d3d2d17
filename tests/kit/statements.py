"""Every statement of the server: those made on import, and the lists' with any filters."""

import importlib
import itertools
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

import server
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.accounts import lists as account_lists
from server.posts import lists as post_lists
from server.posts import target_lists
from server.storage import listing
from server.storage.listing import Listed
from server.storage.statements import EVERY, Prepared

for _module in pkgutil.walk_packages(server.__path__, "server."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
# Taken here, before tests make statements of their own.
_MADE = tuple(EVERY)


def lists() -> list[Prepared]:
    """The statements of lists with every mixture of filters that requests and scopes can have."""
    found = [*_of_accounts(), *_of_posts(), *_of_targets()]
    # What a list can't have together may give one statement twice.
    return list({one.name: one for listed in found for one in (listed.small, listed.measured)}.values())


def _of_accounts() -> Iterator[Listed[Any]]:
    for filters, after in _mixtures(_filters(accounts_pb.ListSocialAccountsRequest)):
        yield account_lists.list_statement(listing.shape(filters, after)[0])


def _of_posts() -> Iterator[Listed[Any]]:
    for filters, after in _mixtures(_filters(posts_pb.ListSocialPostsRequest) | {"owner": [None, "x"]}):
        shape, _ = listing.shape(filters, after, {"social_account_ids"})
        for due in {False, "states" in shape.one and "scheduled_before" in shape.names}:
            yield post_lists.list_statement(shape, due=due)


def _of_targets() -> Iterator[Listed[Any]]:
    for filters, after in _mixtures(_filters(posts_pb.ListSocialPostTargetsRequest) | {"owner": [None, "x"]}):
        yield target_lists.list_statement(listing.shape(filters, after, target_lists.MERGED)[0])


def _filters(request: type[Message]) -> dict[str, Sequence[Any]]:
    """What each filter of a request may be: nothing, a value, several. No statement depends on the values."""
    return {
        field.name: [None, ["x"], ["x", "y"]] if field.is_repeated else [None, "x"]
        for field in request.DESCRIPTOR.fields
        if field.name not in ("page_size", "page_token")
    }


def _mixtures(filters: Mapping[str, Sequence[Any]]) -> Iterator[tuple[dict[str, Any], str | None]]:
    for *values, after in itertools.product(*filters.values(), [None, "x"]):
        yield dict(zip(filters, values, strict=True)), after


_OF_LISTS = {one.name for one in lists()}
# Those made on import: without the lists', of which some may have been asked for by now.
SINGLE = tuple(one for one in _MADE if one.name not in _OF_LISTS)
