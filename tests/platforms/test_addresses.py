"""What leaves the house goes to public addresses only, however they are spelled and whatever a name means."""

import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from server.app import rows_of
from server.config import Settings
from server.platforms import ClientApp, PlatformRefused, PlatformUnreachable, Tokens, addresses, facts
from server.platforms.addresses import is_private, is_public
from server.platforms.http import Http
from tests.kit.certificates import Authority
from tests.kit.outgoing import MockResolver, get
from tests.kit.web import serving

PUBLIC, PRIVATE, NEITHER = "public", "private", "neither"
ADDRESSES = {
    "8.8.8.8": PUBLIC,
    "1.1.1.1": PUBLIC,
    "172.15.255.255": PUBLIC,
    "172.32.0.0": PUBLIC,
    "100.63.255.255": PUBLIC,
    "100.128.0.0": PUBLIC,
    "2606:4700:4700::1111": PUBLIC,
    "2001:4860:4860::8888": PUBLIC,
    "::ffff:8.8.8.8": PUBLIC,
    "64:ff9b::8.8.8.8": PUBLIC,
    "0.0.0.0": PRIVATE,
    "0.1.2.3": PRIVATE,
    "10.0.0.0": PRIVATE,
    "10.255.255.255": PRIVATE,
    "100.64.0.0": PRIVATE,
    "100.127.255.255": PRIVATE,
    "127.0.0.1": PRIVATE,
    "127.255.255.255": PRIVATE,
    "172.16.0.0": PRIVATE,
    "172.31.255.255": PRIVATE,
    "192.0.2.1": PRIVATE,
    "192.168.0.1": PRIVATE,
    "198.18.0.1": PRIVATE,
    "203.0.113.1": PRIVATE,
    "240.0.0.1": PRIVATE,
    "255.255.255.255": PRIVATE,
    "::": PRIVATE,
    "::1": PRIVATE,
    "::127.0.0.1": PRIVATE,
    "::ffff:0.0.0.0": PRIVATE,
    "::ffff:10.0.0.1": PRIVATE,
    "::ffff:127.0.0.1": PRIVATE,
    "64:ff9b::10.0.0.1": PRIVATE,
    "64:ff9b::127.0.0.1": PRIVATE,
    "64:ff9b:1::8.8.8.8": PRIVATE,
    "100::1": PRIVATE,
    "2001:0:1::1": PRIVATE,
    "2001:db8::1": PRIVATE,
    "2002:7f00:1::": PRIVATE,
    "3fff::1": PRIVATE,
    "5f00::1": PRIVATE,
    "fc00::1": PRIVATE,
    "fd12:3456:789a::1": PRIVATE,
    "fec0::1": PRIVATE,
    "169.254.0.1": NEITHER,
    "169.254.169.254": NEITHER,
    "224.0.0.1": NEITHER,
    "239.255.255.255": NEITHER,
    "::ffff:169.254.169.254": NEITHER,
    "64:ff9b::169.254.169.254": NEITHER,
    "2002:a9fe:a9fe::": NEITHER,
    "fe80::1": NEITHER,
    "fe80::1%2": NEITHER,
    "ff02::1": NEITHER,
    "ff0e::1": NEITHER,
}


@pytest.mark.parametrize(("address", "kind"), ADDRESSES.items(), ids=ADDRESSES)
def test_each_address_is_public_or_private_or_neither(address: str, kind: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert (is_public(parsed), is_private(parsed)) == (kind == PUBLIC, kind == PRIVATE)


class Server:
    """A web server on loopback that says which host it was called by."""

    def __init__(self) -> None:
        self.called_as: list[str] = []
        self.port = 0
        self.app = Starlette(routes=[Route("/", self._answer)])

    def _answer(self, request: Request) -> PlainTextResponse:
        self.called_as.append(request.headers["host"])
        return PlainTextResponse("here")


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    with serving(server.app, host="0.0.0.0") as url:
        server.port = urlsplit(url).port or 0
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.called_as.clear()
    return running


def refused(http: Http, url: str) -> None:
    """Asserts that the address was looked at, and that this is why the call failed."""
    with pytest.raises(PlatformUnreachable, match=r"^an address that is not public$"):
        get(http, url)


THIS_MACHINE = [
    "127.0.0.1",
    "127.1",
    "127.0.0.2",
    "0.0.0.0",
    "0x7f000001",
    "2130706433",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_no_spelling_leads_to_this_machine_unless_private_addresses_are_allowed(host: str) -> None:
    server = Server()
    with serving(server.app, host="0.0.0.0") as url:
        port = urlsplit(url).port
        refused(Http(), f"http://{host}:{port}/")
        assert not server.called_as
        assert get(Http(allow_private=True), f"http://{host}:{port}/").text == "here"


@pytest.mark.parametrize(
    "host", ["localhost", "[::1]", "[::]", "[64:ff9b::7f00:1]", "10.0.0.1", "100.64.0.1"]
)
def test_other_ways_inside_are_refused_before_a_connection_is_made(host: str, server: Server) -> None:
    refused(Http(), f"http://{host}:{server.port}/")
    assert not server.called_as


@pytest.mark.parametrize("meant", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
def test_a_name_with_one_private_address_is_refused(meant: list[str], server: Server) -> None:
    refused(Http(resolve=MockResolver(meant)), f"http://both.test:{server.port}/")
    assert not server.called_as


def test_what_is_allowed_for_development_is_not_where_clouds_keep_credentials() -> None:
    resolver = MockResolver(["169.254.169.254"], ["fe80::1%1"])
    for _ in range(2):
        refused(Http(allow_private=True, resolve=resolver), "http://metadata.test/")


def test_a_name_that_means_another_machine_a_moment_later_leads_to_the_one_that_was_checked() -> None:
    first, second = Server(), Server()
    with serving(first.app) as url:
        port = urlsplit(url).port or 0
        with serving(second.app, port, "127.0.0.2"):
            resolver = MockResolver(["127.0.0.2"], ["127.0.0.1"])
            get(Http(allow_private=True, resolve=resolver), f"http://rebinding.test:{port}/")
    assert resolver.asked == ["rebinding.test"]
    assert (first.called_as, second.called_as) == ([], [f"rebinding.test:{port}"])


def test_the_servers_own_origin_is_allowed_and_nothing_beside_it(server: Server) -> None:
    origin = f"http://127.0.0.1:{server.port}"
    http = Http(trusted=[origin])
    assert get(http, origin).text == "here"
    refused(http, f"http://127.0.0.1:{server.port + 1}/")
    refused(http, f"http://localhost:{server.port}/")
    assert len(server.called_as) == 1


@pytest.mark.parametrize(
    ("origin", "url"), [("http://h.test", "http://h.test:80/"), ("https://h.test", "https://h.test:443/")]
)
def test_an_origin_without_a_port_has_that_of_its_scheme(origin: str, url: str) -> None:
    # It is tried, although nobody can listen there.
    for there in (origin, url):
        with pytest.raises(PlatformUnreachable, match="ConnectError"):
            get(Http(trusted=[origin], resolve=MockResolver(["255.255.255.255"])), there)


def test_the_next_address_is_called_when_one_refuses(server: Server) -> None:
    http = Http(allow_private=True, resolve=MockResolver(["::1", "127.0.0.1"]))
    assert get(http, f"http://several.test:{server.port}/").text == "here"


def test_the_next_address_is_called_when_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "HEAD_START_SECONDS", 0.1)
    server = Server()
    with serving(server.app) as url, socket.socket() as silent, socket.socket() as only:
        port = urlsplit(url).port or 0
        silent.bind(("127.0.0.2", port))
        # The queue holds one; the next connection gets no answer.
        silent.listen(0)
        only.connect(("127.0.0.2", port))
        http = Http(allow_private=True, resolve=MockResolver(["127.0.0.2", "127.0.0.1"]))
        assert get(http, f"http://several.test:{port}/", seconds=5).text == "here"


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_what_cannot_be_a_name_is_unreachable(host: str) -> None:
    with pytest.raises(PlatformUnreachable, match="ConnectError"):
        get(Http(), f"http://{host}/")


def test_a_name_that_means_nothing_is_unreachable() -> None:
    async def knows_no_name(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, host)

    with pytest.raises(PlatformUnreachable, match="ConnectError"):
        get(Http(resolve=knows_no_name), "http://unknown.test/")


def test_tls_is_with_the_name_that_was_asked_for(tmp_path: Path) -> None:
    authority = Authority("authority")
    identity = authority.identity("platform.test")
    (tmp_path / "cert").write_bytes(identity.certificate)
    (tmp_path / "key").write_bytes(identity.key)
    names: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    context.sni_callback = lambda _, name, __: names.append(name)

    def answer(listener: socket.socket) -> None:
        for _ in range(2):
            with suppress(ssl.SSLError), context.wrap_socket(listener.accept()[0], True) as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        tls = ssl.create_default_context(cadata=authority.certificate.decode())
        resolver = MockResolver(["127.0.0.1"], ["127.0.0.1"])
        http = Http(allow_private=True, resolve=resolver, tls=tls)
        port = listener.getsockname()[1]
        assert get(http, f"https://platform.test:{port}/").text == "here"
        with pytest.raises(PlatformUnreachable, match="ConnectError"):
            get(http, f"https://impostor.test:{port}/")
        thread.join(timeout=10)
    assert names == ["platform.test", "impostor.test"]


def test_who_runs_the_server_reads_which_setting_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "server"):
        refused(Http(), "http://127.0.0.1:9/")
    [record] = caplog.records
    assert "HITCHPOST_ALLOW_PRIVATE_ADDRESSES=true" in record.message
    assert vars(record)["host"] == vars(record)["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("allowed", "failure"), [(False, PlatformUnreachable), (True, PlatformRefused)], ids=["no", "yes"]
)
def test_the_setting_is_for_platforms_that_are_not_the_servers_own_sandbox(
    allowed: bool, failure: type[Exception], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = facts.read(f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(facts, "read", lambda public_url, more: rows)
    settings = Settings(public_url="https://h.test", sandbox=True, allow_private_addresses=allowed)
    platform = rows_of(settings).choose("sandbox", {})
    assert platform is not None
    # The server there has no such page.
    with pytest.raises(failure, match="HTTP 404" if allowed else "not public"):
        platform.revoke(ClientApp("c"), Tokens("token", None, None, ()), platform.deadline())


@pytest.mark.parametrize("dev_mode", [True, False])
def test_private_addresses_are_allowed_in_dev_mode_alone_unless_it_is_said(dev_mode: bool) -> None:
    assert Settings(dev_mode=dev_mode).allow_private_addresses is dev_mode
    assert (
        Settings(dev_mode=dev_mode, allow_private_addresses=not dev_mode).allow_private_addresses != dev_mode
    )
