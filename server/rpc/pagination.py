"""Pages: their size, and the opaque token that says where the next one begins."""

import base64
import hashlib
from collections.abc import Callable
from typing import Generic, NamedTuple

from google.protobuf.message import Message

from server.base import errors
from server.base.identity import Caller
from server.storage.listing import Found, Row

DEFAULT_SIZE = 50
MAX_SIZE = 1000
_DIGEST_BYTES = 12


class Page(NamedTuple, Generic[Row]):
    """The rows of a page, and the token of the next one, empty on the last page."""

    rows: list[Row]
    next_token: str


def page(caller: Caller, request: Message, query: Callable[[str | None, int], Found[Row]]) -> Page[Row]:
    """The page that the request's page_size and page_token ask for.

    `query` takes the last id of the page before, or None, and how many rows to return at most. A token is
    good for the same caller and filters only; raises InvalidArgument for another.
    """
    size = min(request.page_size, MAX_SIZE) or DEFAULT_SIZE  # type: ignore[attr-defined]
    rows, more = query(_last_id(caller, request), size)
    if not more:
        return Page(rows, "")
    last_id = rows[-1].id
    token = base64.urlsafe_b64encode(_digest(caller, request, last_id) + last_id.encode())
    return Page(rows, token.decode())


def _last_id(caller: Caller, request: Message) -> str | None:
    token: str = request.page_token  # type: ignore[attr-defined]
    if not token:
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        row_id = raw[_DIGEST_BYTES:].decode("ascii")
    except ValueError:
        raise errors.invalid("page_token", "is not a token that a list call returned") from None
    if raw[:_DIGEST_BYTES] != _digest(caller, request, row_id) or "\0" in row_id:
        raise errors.invalid(
            "page_token", "is damaged, or belongs to a list call with other filters; begin at the first page"
        )
    return row_id


def _digest(caller: Caller, request: Message, row_id: str) -> bytes:
    """What a token is good for and where it goes on: one that was damaged on its way fits nothing."""
    filters = type(request)()
    filters.CopyFrom(request)
    filters.ClearField("page_token")
    filters.ClearField("page_size")
    parts = (caller.project_id, repr(caller.owner), type(request).__name__, row_id)
    hashed = hashlib.sha256("\0".join(parts).encode())
    hashed.update(filters.SerializeToString(deterministic=True))
    return hashed.digest()[:_DIGEST_BYTES]
