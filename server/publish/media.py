"""Media, from where they are: streamed into a file, in limited time and size; typed by their content."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import httpx2

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms.failures import PlatformUnreachable
from server.platforms.http import Http, run
from server.publish.publisher import MediaItem, PublishFailed

PART_BYTES = 64 * 1024
# In memory up to here, on disk beyond.
SPOOLED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A medium that was fetched: `content_type` is what its content is, such as image/png."""

    file: IO[bytes]
    content_type: str
    size: int

    async def parts(self) -> AsyncIterator[bytes]:
        """Its bytes from the beginning, for the body of a request."""
        self.file.seek(0)
        while part := self.file.read(PART_BYTES):
            yield part


class Media:
    """Fetches media, as any address on the internet may name them."""

    def __init__(self, http: Http) -> None:
        self._http = http

    @contextmanager
    def fetched(self, item: MediaItem, most_bytes: int, until: float) -> Iterator[MediaFile]:
        """The medium as long as the block lasts. Raises PublishFailed (MEDIA)."""
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES) as file:
            try:
                run(self._fetch(item.url, file, most_bytes), until)
            except PlatformUnreachable as error:
                raise failed(
                    str(error), "The medium can't be fetched from its address.", retryable=True
                ) from None
            size = file.tell()
            file.seek(0)
            yield MediaFile(file, content_type(file.read(64)), size)

    async def _fetch(self, url: str, file: IO[bytes], most_bytes: int) -> None:
        options = self._http.options(most_bytes=most_bytes, follow_redirects=True)
        async with httpx2.AsyncClient(**options) as client, client.stream("GET", url) as response:
            if not response.is_success:
                raise failed(f"HTTP {response.status_code}", "The medium is not at its address.")
            async for part in response.aiter_bytes(PART_BYTES):
                file.write(part)


def content_type(head: bytes) -> str:
    """What a file is, by its first bytes. Raises PublishFailed (MEDIA) if neither image nor video."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm"
    raise failed("MEDIA_TYPE", "The medium is neither an image nor a video that is known here.")


def failed(code: str, message: str, *, retryable: bool = False) -> PublishFailed:
    """A medium is at fault."""
    return PublishFailed(pb.PUBLISH_ERROR_CATEGORY_MEDIA, code, message, retryable=retryable)
