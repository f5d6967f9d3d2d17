"""What a medium is, as far as an address says it."""

from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["image", "video"]

# By the end of an address; what none of it says may still be anything.
BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/matroska",
    "avi": "video/vnd.avi",
    "wmv": "video/x-ms-wmv",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "pdf": "application/pdf",
}


def type_by_address(url: str) -> str | None:
    """`image/png` for an address whose path ends with .png; None if it doesn't say."""
    _, dot, ending = urlsplit(url).path.rpartition(".")
    return BY_ENDING.get(ending.lower()) if dot else None


def kind_of(content_type: str | None) -> Kind | None:
    """Whether it is an image or a video; None for neither, or if nobody knows."""
    if content_type is None:
        return None
    if content_type.startswith("image/"):
        return "image"
    return "video" if content_type.startswith("video/") else None
