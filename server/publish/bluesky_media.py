"""Images and videos on their way to a server of the AT Protocol: what is taken, and how they are shown.

Facts: the lexicons app.bsky.embed.images, .video and .external. A server may keep to an older version of
these, or take no file as large as they allow; then it says so itself.
"""

import struct
from collections.abc import Iterator
from typing import IO

import imagesize

from server.publish.media import MediaFile, failed

# Formerly 1,000,000, as the picture of a link card still is.
IMAGE_BYTES, THUMB_BYTES = 2_000_000, 1_000_000
VIDEO_BYTES = 300_000_000
VIDEO_TYPE = "video/mp4"

TOO_LARGE = "Bluesky takes images of up to 2,000,000 bytes: make it smaller, then RetrySocialPost."
WRONG_TYPE = "Bluesky takes videos as MP4 alone: convert it, then RetrySocialPost."
ALONE = "A post on Bluesky has images, or one video and nothing else: change the post."

# Of an MP4: boxes in which others are, and those that say how a track is shown.
CONTAINERS = {b"moov", b"trak"}
# A file that has more is none that a camera or a program has made.
MOST_BOXES = 1000
BOX_HEAD = struct.Struct(">I4s")


def check(file: MediaFile, *, alone: bool) -> None:
    """Lets a medium pass that a post may have; `alone` if it has no other. Raises PublishFailed (MEDIA)."""
    if file.content_type.startswith("image/"):
        if file.size > IMAGE_BYTES:
            raise failed("MEDIA_TOO_LARGE", TOO_LARGE)
        return
    if file.content_type != VIDEO_TYPE:
        raise failed("MEDIA_TYPE", WRONG_TYPE)
    if not alone:
        raise failed("MEDIA_MIXED", ALONE)


def aspect_ratio(file: MediaFile) -> dict[str, int] | None:
    """Width and height by the file's own header, as it is shown: cameras turn pictures by a note in it. None
    if it does not say."""
    try:
        size = _video_size(file.file) if file.content_type == VIDEO_TYPE else _image_size(file.file)
    except (ValueError, LookupError, TypeError, ArithmeticError, struct.error):
        return None
    width, height = size
    return {"width": width, "height": height} if width > 0 and height > 0 else None


def _image_size(file: IO[bytes]) -> tuple[int, int]:
    file.seek(0)
    width, height = imagesize.get(file)
    return int(width), int(height)


def _video_size(file: IO[bytes]) -> tuple[int, int]:
    """Of the first track that has any: others are sound."""
    for width, height in _track_sizes(file):
        if width and height:
            return width, height
    raise ValueError("no track with a size")


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
