"""Media from their addresses: streamed, in limited time and size, of the type that their content shows."""

import gzip
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms.http import MOST_REDIRECTS, Http
from server.platforms.limits import Limits
from server.publish import media, media_stream
from server.publish.media import SPOOLED_BYTES, Media, MediaFile
from server.publish.media_look import Looked, look_at
from server.publish.media_stream import seconds_for
from server.publish.publisher import MediaItem, PublishFailed
from tests.kit.raw_http import Endless, once
from tests.kit.web import serving

MIB = 1024 * 1024
MEDIA = Media(Http(allow_private=True))


def png(width: int = 3, height: int = 2) -> bytes:
    """An image of one colour, as small as can be."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = zlib.compress((b"\0" + b"\xff" * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    b"\xff\xc0\0\x0b\x08" + struct.pack(">HH", 480, 640) + b"\1\1\x11\0\xff\xd9"
)
GIF = b"GIF89a" + struct.pack("<HH", 32, 16) + b"\0\0\0;"
WEBP = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x07\0\0" + b"\x03\0\0"
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(8)
CONTENTS = {
    "image/png": png(),
    "image/jpeg": JPEG,
    "image/gif": GIF,
    "image/webp": WEBP,
    "image/avif": b"\0\0\0\x18ftypavif\0\0\0\0avifmif1",
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
    "video/mp4": MP4,
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm",
    "video/matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1\x42\x82\x88matroska",
}
PIXELS = {"image/png": (3, 2), "image/jpeg": (640, 480), "image/gif": (32, 16), "image/webp": (8, 4)}


class Server:
    """A web server that answers each path as the test says, and knows which it was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Response] = {}
        self.visited: list[str] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        self.visited.append(request.url.path)
        assert request.headers["accept-encoding"] == "identity"
        return self.answers[request.url.path]

    def says(self, content: bytes | Response, path: str = "/medium", **headers: str) -> str:
        """The address of this answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = content if isinstance(content, Response) else Response(content, headers=named)
        self.answers[path] = answer
        return self.url + path


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    server = Server()
    with serving(server.app) as server.url:
        yield server


@pytest.fixture
def server(site: Server) -> Server:
    site.visited.clear()
    site.answers.clear()
    return site


def _until(seconds: float = 20) -> float:
    return time.monotonic() + seconds


def _fetched(url: str, most_bytes: int = MIB) -> tuple[str, bytes]:
    with MEDIA.fetched(MediaItem(url), most_bytes, _until()) as file:
        assert file.size == len(file.file.read())
        file.file.seek(0)
        return file.content_type, file.file.read()


def _failure(url: str, most_bytes: int = MIB) -> PublishFailed:
    with pytest.raises(PublishFailed) as failed, MEDIA.fetched(MediaItem(url), most_bytes, _until()):
        pass
    assert failed.value.category == pb.PUBLISH_ERROR_CATEGORY_MEDIA
    return failed.value


@pytest.mark.parametrize("content_type", CONTENTS)
def test_a_medium_is_what_its_content_is_whatever_its_server_calls_it(
    content_type: str, server: Server
) -> None:
    url = server.says(CONTENTS[content_type], content_type="text/plain")

    assert _fetched(url) == (content_type, CONTENTS[content_type])


@pytest.mark.parametrize("content_type", PIXELS)
def test_an_image_has_its_size_in_pixels(content_type: str, server: Server) -> None:
    with MEDIA.fetched(MediaItem(server.says(CONTENTS[content_type])), MIB, _until()) as file:
        assert file.size_in_pixels == PIXELS[content_type]
        assert file.file.read() == CONTENTS[content_type]


@pytest.mark.parametrize("content", [MP4, b"\x89PNG\r\n\x1a\n", JPEG[:24], GIF[:7], b"RIFF\0\0\0\0WEBP"])
def test_what_has_no_size_in_pixels_has_none(content: bytes, server: Server) -> None:
    with MEDIA.fetched(MediaItem(server.says(content)), MIB, _until()) as file:
        assert file.size_in_pixels is None


NO_MEDIA = {
    # (content, the code, part of the message)
    "nothing": (b"", "MEDIA_EMPTY", "nothing at the medium's address"),
    "a page": (b"\n <!DOCTYPE html><title>Log in</title>", "MEDIA_PAGE", "web page"),
    "a page without a doctype": (b"\xef\xbb\xbf<html lang=en>", "MEDIA_PAGE", "web page"),
    "a text": (b"hello", "MEDIA_TYPE", "neither an image nor a video"),
    "a document": (b"%PDF-1.7", "MEDIA_TYPE", "neither an image nor a video"),
    "a drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "MEDIA_TYPE", "neither"),
}


@pytest.mark.parametrize(("content", "code", "message"), NO_MEDIA.values(), ids=NO_MEDIA)
def test_what_is_no_medium_says_so(content: bytes, code: str, message: str, server: Server) -> None:
    failed = _failure(server.says(content, content_type="image/png"))

    assert (failed.code, failed.retryable) == (code, False)
    assert message in failed.message


@pytest.mark.parametrize(
    ("status", "retryable"), [(404, False), (403, False), (410, False), (429, True), (503, True)]
)
def test_a_status_that_says_no_is_told(status: int, retryable: bool, server: Server) -> None:
    failed = _failure(server.says(Response(png(), status)))

    assert (failed.code, failed.retryable) == (f"HTTP {status}", retryable)


def test_a_medium_may_be_as_large_as_its_limit_and_not_a_byte_larger(server: Server) -> None:
    url = server.says(MP4 + bytes(1000))

    assert len(_fetched(url, len(MP4) + 1000)[1]) == len(MP4) + 1000
    failed = _failure(url, len(MP4) + 999)
    assert (failed.code, failed.retryable) == ("MEDIA_SIZE", False)


def test_a_medium_that_does_not_say_its_size_is_counted(server: Server) -> None:
    def parts() -> Iterator[bytes]:
        yield MP4
        yield from (bytes(65_536) for _ in range(64))

    failed = _failure(server.says(StreamingResponse(parts())), MIB)

    assert (failed.code, failed.retryable) == ("MEDIA_SIZE", False)


RAW = {
    # What comes, and what becomes of it.
    "less than announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + png(), "MEDIA_UNREACHABLE"),
    "no length at all": (b"HTTP/1.1 200 OK\r\n\r\n" + png(), ""),
    "more than announced": (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(png()) + png() + bytes(999),
        "",
    ),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + png(), "MEDIA_UNREACHABLE"),
    "no HTTP": (b"hello\r\n\r\n", "MEDIA_UNREACHABLE"),
    "to no address": (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", "MEDIA_UNREACHABLE"),
    "to a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "MEDIA_UNREACHABLE"),
}


@pytest.mark.parametrize(("answer", "code"), RAW.values(), ids=RAW)
def test_an_answer_that_is_out_of_order_is_an_answer_or_none(answer: bytes, code: str) -> None:
    with once(answer) as url:
        if code:
            failed = _failure(url)
            assert (failed.code, failed.retryable) == (code, True)
        else:
            assert _fetched(url) == ("image/png", png())


def test_what_is_packed_is_not_asked_for_but_read_and_counted_unpacked(server: Server) -> None:
    small = server.says(gzip.compress(png()), content_encoding="gzip")
    assert _fetched(small) == ("image/png", png())

    bomb = server.says(gzip.compress(MP4 + bytes(64 * MIB)), content_encoding="gzip")
    assert _failure(bomb, MIB).code == "MEDIA_SIZE"


def test_redirects_are_followed_and_their_bodies_are_not_read(server: Server) -> None:
    server.says(png(), "/there")
    longwinded = Response(bytes(8 * MIB), 302, {"Location": "/there"})
    assert _fetched(server.says(longwinded))[0] == "image/png"
    assert _failure(server.says(RedirectResponse("/medium"))).code == "MEDIA_REDIRECTS"
    assert server.visited == ["/medium", "/there"] + ["/medium"] * (MOST_REDIRECTS + 1)


def test_only_public_addresses_are_called(server: Server) -> None:
    outside = Media(Http())
    with (
        pytest.raises(PublishFailed) as failed,
        outside.fetched(MediaItem(server.says(png())), MIB, _until()),
    ):
        pass

    assert (failed.value.code, failed.value.retryable) == ("MEDIA_ADDRESS", False)
    assert server.visited == []


def test_an_address_that_is_redirected_to_is_checked_too(server: Server) -> None:
    """The first is trusted, the second is the same machine by another port."""
    server.says(png(), "/there")
    with once(f"HTTP/1.1 302 Found\r\nLocation: {server.url}/there\r\n\r\n".encode()) as url:
        inside = Media(Http(trusted=[url]))
        with pytest.raises(PublishFailed) as failed, inside.fetched(MediaItem(url), MIB, _until()):
            pass

    assert failed.value.code == "MEDIA_ADDRESS"
    assert server.visited == []


def test_a_medium_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_stream, "MOST_SECONDS", 0.3)
    slow = Endless(b"HTTP/1.1 200 OK\r\n\r\n" + MP4 + bytes(65_536), b"x", pause=0.02)
    with slow.serving() as url:
        failed = _failure(url)
    assert (failed.code, failed.retryable) == ("MEDIA_UNREACHABLE", True)


def test_a_server_that_does_not_begin_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_stream, "HEAD_SECONDS", 0.3)
    silent = Endless(b"HTTP/1.1 200 OK\r\n\r\n", b"", pause=0.02)
    with silent.serving() as url:
        failed = _failure(url)
    assert (failed.code, failed.retryable) == ("MEDIA_UNREACHABLE", True)


def test_a_larger_medium_may_take_longer_but_not_for_ever() -> None:
    sizes = [0, MIB, 100 * MIB, 1000 * MIB]

    assert sorted(seconds_for(size) for size in sizes) == [seconds_for(size) for size in sizes]
    assert seconds_for(0) >= 30
    assert seconds_for(100 * MIB) > 200
    assert seconds_for(1000 * MIB) == seconds_for(None) == 300


# What a platform takes.

LIMITED = Limits(
    documentation=("https://docs.example",),
    image_types=("image/png", "image/jpeg"),
    video_types=("video/mp4",),
    image_bytes=2000,
    video_bytes=5000,
    image_pixels=10_000,
    least_image_ratio=0.8,
    most_image_ratio=1.91,
)
# What an account's platform has said of it.
OWN: dict[str, Any] = {}
TAKEN = {
    "an image": (png(), None),
    "an image too large": (png() + bytes(2000), "MEDIA_SIZE"),
    "a video of that size": (MP4 + bytes(2000), None),
    "a video too large": (MP4 + bytes(5000), "MEDIA_SIZE"),
    "another image": (GIF, "MEDIA_TYPE"),
    "another video": (CONTENTS["video/webm"], "MEDIA_TYPE"),
    "too wide": (png(192, 100), "MEDIA_PIXELS"),
    "too wide for its height": (png(193, 50), "MEDIA_RATIO"),
    "too high": (png(79, 100), "MEDIA_RATIO"),
    "wide": (png(95, 50), None),
    "high": (png(80, 100), None),
}


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("content", "code"), TAKEN.values(), ids=TAKEN)
def test_a_medium_is_what_the_platform_takes(
    content: bytes, code: str | None, announced: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "limits_of", lambda platform, own: LIMITED if own is OWN else None)
    url = server.says(Response(content) if announced else StreamingResponse(iter([content])))

    def taken() -> MediaFile:
        with MEDIA.taken(MediaItem(url), "x", OWN, _until()) as file:
            assert file.file.read() == content
            return file

    if code is None:
        assert taken().size == len(content)
        return
    with pytest.raises(PublishFailed) as failed:
        taken()
    assert (failed.value.code, failed.value.retryable) == (code, False)
    assert failed.value.message.startswith("The medium ")


def test_nothing_of_a_video_stays_in_memory() -> None:
    """200 MB, of which a part is in memory at a time."""
    size = 200_000_000
    endless = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + len(MP4)) + MP4, bytes(MIB))
    tracemalloc.start()
    try:
        with endless.serving() as url, MEDIA.fetched(MediaItem(url), 2 * size, _until(120)) as file:
            assert (file.content_type, file.size) == ("video/mp4", size + len(MP4))
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert endless.sent >= size
    assert SPOOLED_BYTES < peak < 16 * MIB


# A look.


def _looked(*urls: str, most: int = MIB, seconds: float = 20) -> dict[str, Any]:
    found = look_at(MEDIA.http, urls, lambda _: most, _until(seconds))
    return {url: what.code if isinstance(what, PublishFailed) else what for url, what in found.items()}


def test_a_look_says_what_media_are(server: Server) -> None:
    urls = {
        server.says(png(), "/1"): Looked("image/png", len(png()), (3, 2)),
        server.says(MP4 + bytes(5000), "/2"): Looked("video/mp4", len(MP4) + 5000),
        server.says(StreamingResponse(iter([JPEG])), "/3"): Looked("image/jpeg", len(JPEG), (640, 480)),
        server.says(b"<html>", "/4"): "MEDIA_PAGE",
        server.says(Response(b"", 404), "/5"): "HTTP 404",
        server.says(b"", "/6"): "MEDIA_EMPTY",
        "http://127.0.0.1:9/": "MEDIA_UNREACHABLE",
        "file:///etc/passwd": "MEDIA_UNREACHABLE",
    }

    assert _looked(*urls, *urls) == urls
    assert len(server.visited) == 6


def test_a_look_counts_no_further_than_it_has_to() -> None:
    endless = Endless(b"HTTP/1.1 200 OK\r\n\r\n" + MP4, bytes(65_536))
    with endless.serving() as url:
        (looked,) = _looked(url, most=100_000).values()
    assert 100_000 < looked.size < 1_000_000


def test_what_is_announced_is_not_read() -> None:
    endless = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 80000000\r\n\r\n" + MP4, bytes(65_536))
    with endless.serving() as url:
        assert _looked(url, most=100 * MIB) == {url: Looked("video/mp4", 80_000_000)}
    assert endless.sent < 32 * MIB


def test_what_does_not_answer_in_time_is_left_out_and_keeps_nobody(server: Server) -> None:
    silent = Endless(b"", b"", pause=0.02)
    url = server.says(png())
    with silent.serving() as slow:
        assert list(_looked(slow, url, seconds=5)) == [url]


def test_a_look_calls_only_public_addresses(server: Server) -> None:
    found = look_at(Http(), [server.says(png())], lambda _: MIB, _until())

    assert [what.code for what in found.values() if isinstance(what, PublishFailed)] == ["MEDIA_ADDRESS"]
    assert server.visited == []


def test_a_medium_that_has_begun_may_take_longer(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(media_stream, "HEAD_SECONDS", 5.0)

    def parts() -> Iterator[bytes]:
        yield MP4 + bytes(2 * 65_536)
        for _ in range(6):
            time.sleep(1.0)
            yield bytes(1000)

    content_type, content = _fetched(server.says(StreamingResponse(parts())))

    assert (content_type, len(content)) == ("video/mp4", len(MP4) + 2 * 65_536 + 6000)


def test_a_medium_that_announces_too_much_is_not_read() -> None:
    endless = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 80000000\r\n\r\n" + MP4, bytes(65_536))
    with endless.serving() as url:
        assert _failure(url, 60 * MIB).code == "MEDIA_SIZE"
    assert endless.sent < 32 * MIB
