"""Media as they come from their addresses: in limited time, of a type that their content shows.

Redirects are followed by hand, since a client would read the body of each into memory; each address that is
redirected to is checked like the first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms.addresses import NOT_PUBLIC
from server.platforms.failures import TRANSIENT_STATUSES, PlatformUnreachable
from server.platforms.http import MOST_REDIRECTS, Http
from server.platforms.media_types import HEAD_BYTES, type_by_content
from server.publish.publisher import PublishFailed

PART_BYTES = 64 * 1024
# To the first bytes; and for the rest, as if this much came in a second, but in no more than five minutes.
HEAD_SECONDS, BYTES_A_SECOND, MOST_SECONDS = 30.0, 500_000, 300.0
# A file is asked for as it is: packed, its length would not be known, and media hardly get smaller.
HEADERS = {"Accept": "image/*, video/*", "Accept-Encoding": "identity"}


@dataclass(slots=True)
class Stream:
    """A medium that has begun to come. `size` is what its server announces, if it does; `parts` are its
    bytes, `head` the first of them, which come again as the first part."""

    content_type: str
    size: int | None
    head: bytes
    parts: AsyncIterator[bytes]


@asynccontextmanager
async def streamed(
    http: Http, url: str, most_bytes: int, head_bytes: int = HEAD_BYTES
) -> AsyncIterator[Stream]:
    """The medium at an address, as long as the block lasts, of which at most so many bytes are read.

    Raises PublishFailed (MEDIA), TimeoutError, PlatformUnreachable, httpx2.RequestError."""
    # Whoever reads the parts counts them, and says what is too much; this is for what never becomes a part.
    options = http.options(most_bytes=most_bytes + 16 * PART_BYTES)
    async with asyncio.timeout(HEAD_SECONDS) as limit, httpx2.AsyncClient(**options) as client:
        response = await _opened(client, url)
        try:
            _check_status(response)
            size = _announced(response)
            parts = response.aiter_bytes(PART_BYTES)
            head = await _head(parts, head_bytes)
            limit.reschedule(asyncio.get_running_loop().time() + seconds_for(size))
            yield Stream(content_type(head), size, head, _joined(head, parts))
        finally:
            await response.aclose()


def seconds_for(size: int | None) -> float:
    """How long a medium of this size may take."""
    return MOST_SECONDS if size is None else min(HEAD_SECONDS + size / BYTES_A_SECOND, MOST_SECONDS)


async def _opened(client: httpx2.AsyncClient, url: str) -> httpx2.Response:
    request = client.build_request("GET", url, headers=HEADERS)
    for _ in range(MOST_REDIRECTS + 1):
        response = await client.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
    raise failed("MEDIA_REDIRECTS", "The medium's address leads to others without an end.")


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if status in TRANSIENT_STATUSES or status >= 500:
        raise failed(f"HTTP {status}", "The medium's server can't give it at the moment.", retryable=True)
    if not response.is_success:
        raise failed(f"HTTP {status}", f"The medium is not at its address, which answers HTTP {status}.")


def _announced(response: httpx2.Response) -> int | None:
    length = response.headers.get("content-length", "")
    is_packed = response.headers.get("content-encoding", "identity") != "identity"
    return int(length[:18]) if length.isdecimal() and not is_packed else None


async def _head(parts: AsyncIterator[bytes], most: int) -> bytes:
    head = b""
    async for part in parts:
        head += part
        if len(head) >= most:
            break
    return head


async def _joined(head: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in parts:
        yield part


def content_type(head: bytes) -> str:
    """What a file is, by its first bytes. Raises PublishFailed (MEDIA) if neither image nor video."""
    if not head:
        raise failed("MEDIA_EMPTY", "There is nothing at the medium's address.")
    found = type_by_content(head)
    if found == "text/html":
        raise failed(
            "MEDIA_PAGE",
            "There is a web page at the medium's address: name the address of the image or video itself.",
        )
    if found is None:
        raise failed("MEDIA_TYPE", "The medium is neither an image nor a video that is known here.")
    return found


def unreachable(error: PlatformUnreachable) -> PublishFailed:
    """A medium can't be had from its address, for a reason of the network's."""
    if str(error) == NOT_PUBLIC:
        return failed("MEDIA_ADDRESS", "The medium's address is not public: it must be one for everybody.")
    return failed("MEDIA_UNREACHABLE", f"The medium can't be fetched: {error}.", retryable=True)


def failed(code: str, message: str, *, retryable: bool = False) -> PublishFailed:
    """A medium is at fault."""
    return PublishFailed(pb.PUBLISH_ERROR_CATEGORY_MEDIA, code, message, retryable=retryable)
