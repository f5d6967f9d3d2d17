"""Small images and videos, made when they are needed, and the pages and files of a site on loopback."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.kit.web import serving


def png(width: int = 3, height: int = 2, *, size: int = 0) -> bytes:
    """An image in one colour, with at least so many bytes."""
    rows = (b"\x00" + b"\x80\x20\xc0" * width) * height
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = [
        (b"IHDR", header),
        (b"tEXt", b"Comment\x00" + b"." * size),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width: int, height: int) -> bytes:
    """The beginning of an image, which is all that its size is read from."""
    return b"GIF89a" + struct.pack("<2H", width, height) + b"\x00\x00\x00;"


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    """The head of a picture as a camera writes it: with a note on how it was held."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    segments = [(b"\xff\xe1", exif), (b"\xff\xc0", frame)]
    return (
        b"\xff\xd8"
        + b"".join(mark + struct.pack(">H", len(data) + 2) + data for mark, data in segments)
        + b"\xff\xd9"
    )


def webp(width: int, height: int) -> bytes:
    """The head of an image of WebP's extended format."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x00\x00\x00\x00" + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp4(width: int = 320, height: int = 180, *, turned: bool = False, last: bool = True) -> bytes:
    """A video of no length: its boxes, with a track of sound before that of pictures. `last`: its tracks are
    at the end, as cameras write them."""
    upright = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    on_its_side = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    tracks = [(0, 0, upright), (width, height, on_its_side if turned else upright)]
    headers = [
        _box(
            b"tkhd",
            struct.pack(
                ">I5I2I4H9i2I", 7, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 0, *matrix, wide << 16, high << 16
            ),
        )
        for number, (wide, high, matrix) in enumerate(tracks, 1)
    ]
    movie = _box(b"moov", _box(b"mvhd", bytes(100)) + b"".join(_box(b"trak", header) for header in headers))
    data = _box(b"mdat", b"\x00" * 64)
    kind = _box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41")
    return kind + (data + movie if last else movie + data)


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data


class Site:
    """What is where: path -> content and its type. Asked for anything else it says 404."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.files: dict[str, tuple[bytes, str]] = {}
        self.asked: list[str] = []

    def put(self, path: str, content: bytes, kind: str = "application/octet-stream") -> str:
        """Puts it there, and gives its address."""
        self.files[path] = (content, kind)
        return f"{self.url}{path}"

    def page(self, path: str, head: str, kind: str = "text/html; charset=utf-8") -> str:
        """The same for a page."""
        return self.put(path, f"<!doctype html><html><head>{head}</head><body>…</body></html>".encode(), kind)

    async def answer(self, request: Request) -> Response:
        """What is at this path."""
        self.asked.append(request.url.path)
        if request.url.path not in self.files:
            return Response("nothing here", 404)
        content, kind = self.files[request.url.path]
        return Response(content, headers={"Content-Type": kind})


@contextmanager
def site() -> Iterator[Site]:
    """Runs one until the end of the block."""
    served = Site()
    with serving(Starlette(routes=[Route("/{path:path}", served.answer)])) as url:
        served.url = url
        yield served
