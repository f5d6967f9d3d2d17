"""Images and videos on their way to a server of the AT Protocol: how they are shown.

Facts: the lexicons app.bsky.embed.images, .video and .external.
"""

import struct
from collections.abc import Iterator
from typing import IO

from server.publish.media import MediaFile, failed

# A link card's picture.
THUMB_BYTES = 1_000_000
ALONE = "A post on Bluesky has images, or one video and nothing else: change the post."

# Of an MP4: boxes in which others are, and those that say how a track is shown.
CONTAINERS = {b"moov", b"trak"}
# A file that has more is none that a camera or a program has made.
MOST_BOXES = 1000
BOX_HEAD = struct.Struct(">I4s")


def is_video(file: MediaFile, *, alone: bool) -> bool:
    """Whether it is a video, which has to be `alone`. Raises PublishFailed (MEDIA)."""
    video = file.content_type.startswith("video/")
    if video and not alone:
        raise failed("MEDIA_MIXED", ALONE)
    return video


def aspect_ratio(file: MediaFile) -> dict[str, int] | None:
    """Width and height by the file's own header, as it is shown: cameras turn pictures by a note in it. None
    if it does not say."""
    size = file.size_in_pixels or _video_size(file)
    return {"width": size[0], "height": size[1]} if size else None


def _video_size(file: MediaFile) -> tuple[int, int] | None:
    """Of the first track that has any: others are sound."""
    if not file.content_type.startswith("video/"):
        return None
    try:
        return next((size for size in _track_sizes(file.file) if all(size)), None)
    except (struct.error, OverflowError, OSError, ValueError, LookupError):
        return None


def _track_sizes(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """What each track header says, in whole pixels, turned by its matrix (ISO/IEC 14496-12, 8.3.2)."""
    end = file.seek(0, 2)
    # Where the next box begins: what is in a container follows its head.
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(BOX_HEAD.size)
        if len(head) < BOX_HEAD.size or place >= end:
            return
        length, kind = BOX_HEAD.unpack(head)
        body = place + BOX_HEAD.size
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            body += 8
        elif length == 0:
            length = end - place
        if kind == b"tkhd":
            yield _track_size(file.read(100))
        if length < body - place:
            return
        place = body if kind in CONTAINERS else place + length


def _track_size(header: bytes) -> tuple[int, int]:
    """The last 44 bytes of a track's header: a matrix of nine numbers, and width and height in 16.16."""
    start = (84 if header[0] == 0 else 96) - 44
    matrix = struct.unpack(">9i", header[start : start + 36])
    width, height = (number >> 16 for number in struct.unpack(">2I", header[start + 36 : start + 44]))
    turned = matrix[0] == 0 and matrix[1] != 0
    return (height, width) if turned else (width, height)
