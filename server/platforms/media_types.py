"""What a medium is, by its address and by its content, and whether a platform takes it."""

from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from server.platforms.limits import Limits

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


# Brands of ISO files, which most videos and some images are (ISO/IEC 14496-12, 4.3; 23008-12; AV1 Image).
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"qt  ": "video/quicktime",
}
HEAD_BYTES = 512


def type_by_content(head: bytes) -> str | None:
    """What a file is, by its first HEAD_BYTES: `text/html` for a page; None if it is nothing known here."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/matroska"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "text/html" if start.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")) else None


class WrongMedium(NamedTuple):
    """Why a platform does not take a medium: one of our codes, and what would be right."""

    code: str
    description: str


def wrong_medium(
    platform: str,
    limits: Limits,
    content_type: str | None,
    size: int | None = None,
    pixels: tuple[int, int] | None = None,
) -> WrongMedium | None:
    """What keeps a platform from taking a medium, as far as something is known of it.

    `size` in bytes, `pixels` width and height. Asked before a post is accepted, and again when it is sent."""
    if content_type is None:
        return None
    if content_type not in limits.media_types:
        types = ", ".join(limits.media_types)
        return WrongMedium("MEDIA_TYPE", f"must be one of {types} for {platform}; is {content_type}")
    most = limits.most_media_bytes(content_type)
    if size is not None and size > most:
        return WrongMedium("MEDIA_SIZE", f"must have at most {most:,} bytes for {platform}; has {size:,}")
    if pixels is None or kind_of(content_type) != "image" or not all(pixels):
        return None
    width, height = pixels
    if limits.image_pixels is not None and width * height > limits.image_pixels:
        return WrongMedium(
            "MEDIA_PIXELS",
            f"must have at most {limits.image_pixels:,} pixels for {platform}; is {width:,} x {height:,}",
        )
    least_ratio, most_ratio = limits.least_image_ratio or 0, limits.most_image_ratio or float("inf")
    if not least_ratio <= width / height <= most_ratio:
        return WrongMedium(
            "MEDIA_RATIO",
            f"must be {least_ratio:g} to {most_ratio:g} times as wide as high for {platform}; "
            f"is {width:,} x {height:,}",
        )
    return None
