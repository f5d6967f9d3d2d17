"""Media, from where they are: streamed into a file, in limited time and size; typed by their content."""

import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import imagesize

from server.platforms.failures import PlatformUnreachable
from server.platforms.http import Http, run
from server.platforms.limits import limits_of
from server.platforms.media_types import wrong_medium
from server.publish.media_stream import PART_BYTES, Stream, content_type, failed, streamed, unreachable
from server.publish.publisher import MediaItem, PublishFailed, Values

__all__ = ["PART_BYTES", "Media", "MediaFile", "content_type", "failed", "pixels"]

# In memory up to here, on disk beyond.
SPOOLED_BYTES = 1024 * 1024
# How many bytes of a medium are read at most, by what it turns out to be. Raises PublishFailed.
Admit = Callable[[Stream], int]


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

    @property
    def size_in_pixels(self) -> tuple[int, int] | None:
        """Width and height of an image, as it is shown; None for a video, and where they can't be read."""
        return pixels(self.file) if self.content_type.startswith("image/") else None


class Media:
    """Fetches media, as any address on the internet may name them."""

    def __init__(self, http: Http) -> None:
        self.http = http

    @contextmanager
    def fetched(self, item: MediaItem, most_bytes: int, until: float) -> Iterator[MediaFile]:
        """The medium as long as the block lasts. Raises PublishFailed (MEDIA)."""
        with self._fetched(item.url, most_bytes, lambda _: most_bytes, until) as file:
            yield file

    @contextmanager
    def taken(self, item: MediaItem, platform: str, own: Values, until: float) -> Iterator[MediaFile]:
        """The same of a medium that the platform takes, by its limits and an account's `own`. What it doesn't
        take is not read."""
        limits = limits_of(platform, own)
        assert limits is not None, platform

        def admit(stream: Stream) -> int:
            if wrong := wrong_medium(platform, limits, stream.content_type, stream.size):
                raise failed(wrong.code, f"The medium {wrong.description}.")
            return limits.most_media_bytes(stream.content_type)

        with self._fetched(item.url, max(limits.image_bytes, limits.video_bytes), admit, until) as file:
            if wrong := wrong_medium(platform, limits, file.content_type, file.size, file.size_in_pixels):
                raise failed(wrong.code, f"The medium {wrong.description}.")
            yield file

    @contextmanager
    def _fetched(self, url: str, most_bytes: int, admit: Admit, until: float) -> Iterator[MediaFile]:
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES) as file:
            try:
                found = run(self._fetch(url, file, most_bytes, admit), until)
            except PlatformUnreachable as error:
                raise unreachable(error) from None
            size = file.tell()
            file.seek(0)
            yield MediaFile(file, found, size)

    async def _fetch(self, url: str, file: IO[bytes], most_bytes: int, admit: Admit) -> str:
        async with streamed(self.http, url, most_bytes) as stream:
            most = admit(stream)
            if stream.size is not None and stream.size > most:
                raise too_large(most)
            async for part in stream.parts:
                file.write(part)
                if file.tell() > most:
                    raise too_large(most)
            return stream.content_type


def too_large(most: int) -> PublishFailed:
    """A medium has more bytes."""
    return failed("MEDIA_SIZE", f"The medium has more than {most:,} bytes, which is the most it may have.")


def pixels(file: IO[bytes]) -> tuple[int, int] | None:
    """Width and height of an image, as it is shown; None where they can't be read."""
    file.seek(0)
    try:
        width, height = imagesize.get(file)
    except (ValueError, OSError, EOFError, LookupError, TypeError, struct.error, OverflowError):
        return None
    finally:
        file.seek(0)
    return (width, height) if width > 0 and height > 0 else None
