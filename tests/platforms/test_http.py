"""The client for everything that leaves the house: an answer ends, in bytes and in time."""

import gzip
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from server.platforms import PlatformUnreachable
from server.platforms.http import MOST_BYTES, MOST_REDIRECTS, Http
from tests.kit.metrics import Growth
from tests.kit.outgoing import get
from tests.kit.raw_http import Endless
from tests.kit.web import serving

MIB = 1024 * 1024
HTTP = Http(allow_private=True)
TOO_LONG = rf"^an answer of more than {MOST_BYTES} bytes$"


class Server:
    """A web server that answers everything in the same way, which each test sets."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Response = Response()
        self.visited: list[str] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        self.visited.append(request.url.path)
        return self.answer

    def says(self, body: bytes, encoding: str = "identity") -> str:
        """The address of this answer."""
        self.answer = Response(body, headers={"Content-Encoding": encoding})
        return self.url


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    with serving(server.app) as server.url:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.visited.clear()
    return running


@pytest.mark.parametrize("most", [0, 1, 1000, 3 * MIB])
def test_an_answer_may_be_as_long_as_the_limit_and_not_a_byte_longer(most: int, server: Server) -> None:
    assert len(get(HTTP, server.says(b"x" * most), most_bytes=most).content) == most
    with pytest.raises(PlatformUnreachable, match=f"^an answer of more than {most} bytes$"):
        get(HTTP, server.says(b"x" * (most + 1)), most_bytes=most)


def test_the_limit_is_a_mebibyte_unless_another_is_given(server: Server) -> None:
    assert get(HTTP, server.says(b"x" * MIB)).content == b"x" * MIB
    with pytest.raises(PlatformUnreachable, match=TOO_LONG):
        get(HTTP, server.says(b"x" * (MIB + 1)))


def test_an_answer_in_pieces_is_limited_as_a_whole(server: Server) -> None:
    server.answer = StreamingResponse(iter([b"x" * 1000] * 2000))
    with pytest.raises(PlatformUnreachable, match=TOO_LONG):
        get(HTTP, server.url)


ENDLESS = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536, TOO_LONG),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"x" * 65_536 + b"\r\n",
        TOO_LONG,
    ),
    "a body that is said to be short of an exabyte": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
        b"x" * 65_536,
        TOO_LONG,
    ),
    "packed, and unpacked nothing": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6),
        b"a file name that does not end" * 1000,
        TOO_LONG,
    ),
    "status": (b"HTTP/1.1 200 O", b"K" * 65_536, "RemoteProtocolError"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 4000, "RemoteProtocolError"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65_536, "RemoteProtocolError"),
    "chunk's length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0" * 65_536,
        "RemoteProtocolError",
    ),
}


@pytest.mark.parametrize(("head", "piece", "why"), ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_an_end_is_cut(head: bytes, piece: bytes, why: str) -> None:
    endless = Endless(head, piece)
    with endless.serving() as url, pytest.raises(PlatformUnreachable, match=why):
        get(HTTP, url, seconds=30)
    # What the system keeps for two sockets is sent, but not read.
    assert endless.sent < 32 * MIB


def packed(size: int, coding: str) -> bytes:
    """So many bytes of nothing, packed."""
    return gzip.compress(bytes(size)) if coding == "gzip" else zlib.compress(bytes(size))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_counts_is_the_size_when_unpacked(coding: str, server: Server) -> None:
    assert get(HTTP, server.says(packed(MIB, coding), coding)).content == bytes(MIB)
    bomb = packed(64 * MIB, coding)
    assert len(bomb) < MIB // 8
    tracemalloc.start()
    try:
        with pytest.raises(PlatformUnreachable, match=TOO_LONG):
            get(HTTP, server.says(bomb, coding))
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def test_what_cannot_be_unpacked_is_unreachable(server: Server) -> None:
    with pytest.raises(PlatformUnreachable, match="DecodingError"):
        get(HTTP, server.says(b"not packed", "gzip"))


def test_what_is_packed_more_than_once_is_not_unpacked(server: Server) -> None:
    with pytest.raises(PlatformUnreachable, match="packed more than once"):
        get(HTTP, server.says(gzip.compress(gzip.compress(b"x")), "gzip, gzip"))


DRIPS = {
    "silence": (b"", b""),
    "status": (b"HTTP/1.1 200 O", b"K"),
    "headers": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "whole headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "announcements": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize(("head", "piece"), DRIPS.values(), ids=DRIPS)
def test_one_deadline_ends_an_answer_that_drips(head: bytes, piece: bytes) -> None:
    with (
        Endless(head, piece, pause=0.02).serving() as url,
        pytest.raises(PlatformUnreachable, match=r"^no answer in time$"),
    ):
        get(HTTP, url, seconds=0.2)


def test_one_deadline_is_for_all_the_answers_of_a_chain(server: Server) -> None:
    with Endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.02).serving() as slow:
        server.answer = RedirectResponse(slow)
        with pytest.raises(PlatformUnreachable, match=r"^no answer in time$"):
            get(HTTP, server.url, seconds=0.3, follow_redirects=True)


def test_a_deadline_that_has_passed_calls_nobody(server: Server) -> None:
    with pytest.raises(PlatformUnreachable, match=r"^no answer in time$"):
        get(HTTP, server.url, seconds=-1)
    assert not server.visited


def test_a_redirect_is_followed_only_by_who_asks_for_it(server: Server) -> None:
    other = Server()
    with serving(other.app) as url:
        server.answer, other.answer = RedirectResponse(f"{url}/there"), Response(b"there")
        assert get(HTTP, server.url).status_code == 307
        assert not other.visited
        assert get(HTTP, server.url, follow_redirects=True).content == b"there"
        assert other.visited == ["/there"]


def test_each_address_that_is_redirected_to_is_checked(server: Server) -> None:
    other = Server()
    with serving(other.app) as url:
        server.answer = RedirectResponse(url)
        with pytest.raises(PlatformUnreachable, match="not public"):
            get(Http(trusted=[server.url]), server.url, follow_redirects=True)
    assert (len(server.visited), other.visited) == (1, [])


def test_redirects_end(server: Server) -> None:
    server.answer = RedirectResponse("/again")
    with pytest.raises(PlatformUnreachable, match="TooManyRedirects"):
        get(HTTP, server.url, follow_redirects=True)
    assert len(server.visited) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("scheme", ["ftp", "file", "ws", "unix", "gopher"])
def test_there_is_no_scheme_but_http_and_https(scheme: str, server: Server) -> None:
    with pytest.raises(PlatformUnreachable, match="UnsupportedProtocol"):
        get(HTTP, server.url.replace("http", scheme))
    server.answer = RedirectResponse(server.url.replace("http", scheme))
    with pytest.raises(PlatformUnreachable, match="UnsupportedProtocol"):
        get(HTTP, server.url, follow_redirects=True)


def test_what_is_no_address_is_unreachable() -> None:
    with pytest.raises(PlatformUnreachable, match="InvalidURL"):
        get(HTTP, "http://0177.0.0.1/")


def test_the_environments_proxies_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert get(HTTP, server.says(b"direct"), seconds=3).content == b"direct"


def test_clients_share_what_takes_long_to_make(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    for name in ("load_verify_locations", "load_default_certs"):
        monkeypatch.setattr(ssl.SSLContext, name, lambda *_, **__: read.append("certificates"))
    get(HTTP, server.says(b""))
    assert not read


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (302, "ok"), (400, "refused"), (404, "refused"), (429, "rate_limited"), (503, "failed")],
)
def test_requests_are_counted_by_platform_and_outcome(status: int, outcome: str, server: Server) -> None:
    server.answer = Response(status_code=status)
    grown = Growth()
    assert get(HTTP.named("sandbox"), f"{server.url}/stranger").status_code == status
    assert grown.of("platform_calls_total", platform="sandbox", outcome=outcome) == 1
    assert grown.of("platform_calls_total") == grown.of("platform_call_duration_seconds_count") == 1


def test_whoever_does_not_answer_is_told_from_whom_there_is_nobody() -> None:
    grown = Growth()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "http://{}:{}/".format(*silent.getsockname())
        with pytest.raises(PlatformUnreachable):
            get(HTTP, address, seconds=0.5)
    with pytest.raises(PlatformUnreachable):
        get(HTTP, address)
    assert grown.of("platform_calls_total", platform="other", outcome="timeout") == 1
    assert grown.of("platform_calls_total", platform="other", outcome="unreachable") == 1
    assert grown.of("platform_calls_total") == 2


def test_no_host_that_somebody_has_named_becomes_a_label(server: Server) -> None:
    grown = Growth()
    get(HTTP, server.says(b""))
    for number in range(3):
        with pytest.raises(PlatformUnreachable):
            get(HTTP, f"http://stranger{number}.invalid/")
    labels = [labels for name, labels in grown.new_series() if name.startswith("platform_calls")]
    assert {(found["platform"], found["outcome"]) for found in labels} <= {
        ("other", "ok"),
        ("other", "unreachable"),
    }
