"""Bluesky when the servers that strangers name lie, break, or are somewhere else than they say."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from server.platforms import (
    Asked,
    PlatformRefused,
    PlatformUnreachable,
    Returned,
    TokensRefused,
    atproto_identity,
)
from server.platforms.bluesky import UnknownHandle
from server.platforms.http import Http
from server.platforms.strangers import Strangers
from tests.kit import atproto
from tests.kit.atproto import DID, HANDLE, LINK_LOCAL, LOOPBACK, REDIRECT_URI, Servers, play

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OTHER = "did:plc:" + "b" * 24
NOT_PUBLIC = r"^an address that is not public$"


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with play() as servers:
        yield servers


@pytest.fixture
def servers(running: Servers) -> Servers:
    running.changed.clear()
    running.means.clear()
    running.asked.clear()
    return running


def until() -> float:
    return time.monotonic() + 10


def begin(servers: Servers, name: str = HANDLE) -> Any:
    way = servers.way
    return way.begin(
        way.own_app,
        Asked(
            redirect_uri=REDIRECT_URI,
            state="state",
            code_verifier="v" * 64,
            permissions=(),
            options={"handle": name},
        ),
        until(),
    )


def exchange(servers: Servers, issuer: str | None = None) -> Any:
    way = servers.way
    return way.exchange(
        way.own_app,
        Returned(
            code="code",
            issuer=servers.at(atproto.AUTHORIZATION) if issuer is None else issuer,
            redirect_uri=REDIRECT_URI,
            code_verifier="v" * 64,
            flow=servers.tokens(oauth=True).context,
        ),
        NOW,
        until(),
    )


def refresh(servers: Servers, *, oauth: bool) -> Any:
    return servers.way.refresh(servers.way.own_app, servers.tokens(oauth=oauth), NOW, until())


def revoke(servers: Servers, *, oauth: bool) -> Any:
    return servers.way.revoke(servers.way.own_app, servers.tokens(oauth=oauth), until())


def sign_in(servers: Servers, service: str = "") -> Any:
    return servers.way.sign_in(HANDLE, "abcd-efgh-ijkl-mnop", service, NOW, until())


# Every request that is made, as the call that makes it, the host, and the last part of the path.
Call = Callable[[Servers], Any]
HOPS: dict[str, tuple[Call, str, str]] = {
    "handle": (begin, atproto.HANDLE_SERVER, "atproto-did"),
    "directory": (begin, atproto.DIRECTORY, DID),
    "resource": (begin, atproto.PDS, "oauth-protected-resource"),
    "authorization server": (begin, atproto.AUTHORIZATION, "oauth-authorization-server"),
    "pushed request": (begin, atproto.PUSH, "par"),
    "issuer of a code": (exchange, atproto.AUTHORIZATION, "oauth-authorization-server"),
    "code": (exchange, atproto.TOKEN, "token"),
    "refresh": (lambda servers: refresh(servers, oauth=True), atproto.TOKEN, "token"),
    "revocation": (lambda servers: revoke(servers, oauth=True), atproto.REVOKE, "revoke"),
    "session": (sign_in, atproto.PDS, "com.atproto.server.createSession"),
    "session elsewhere": (
        lambda servers: sign_in(servers, servers.at(atproto.ENTRY)),
        atproto.ENTRY,
        "com.atproto.server.createSession",
    ),
    "whose session": (sign_in, atproto.PDS, "com.atproto.server.getSession"),
    "record": (sign_in, atproto.PDS, "com.atproto.repo.getRecord"),
    "refreshed session": (
        lambda servers: refresh(servers, oauth=False),
        atproto.PDS,
        "com.atproto.server.refreshSession",
    ),
    "ended session": (
        lambda servers: revoke(servers, oauth=False),
        atproto.PDS,
        "com.atproto.server.deleteSession",
    ),
}
each_hop = pytest.mark.parametrize(("call", "host", "last"), HOPS.values(), ids=HOPS)


@each_hop
def test_the_stand_in_is_asked_at_each_hop(servers: Servers, call: Call, host: str, last: str) -> None:
    call(servers)
    assert [asked for asked in servers.asked if asked.startswith(host) and asked.endswith(f"/{last}")]


# Where they are.


@each_hop
def test_no_hop_leads_to_where_no_one_may(servers: Servers, call: Call, host: str, last: str) -> None:
    servers.means[host] = [LINK_LOCAL]
    with pytest.raises(PlatformUnreachable, match=NOT_PUBLIC):
        call(servers)
    assert not [asked for asked in servers.asked if asked.startswith(host)]


@pytest.mark.parametrize(
    ("call", "requests"), [(begin, ["oauth-protected-resource"]), (sign_in, ["createSession", "getSession"])]
)
def test_a_name_that_means_another_machine_the_next_time_is_not_followed_there(
    servers: Servers, call: Call, requests: list[str]
) -> None:
    """Rebinding: good for so many requests, then inside."""
    servers.means[atproto.PDS] = [LOOPBACK] * len(requests) + [LINK_LOCAL]
    if call is begin:
        # The same machine is its own authorization server.
        servers.changed[requests[0]] = lambda: JSONResponse(
            {"resource": servers.at(atproto.PDS), "authorization_servers": [servers.at(atproto.PDS)]}
        )
    with pytest.raises(PlatformUnreachable, match=NOT_PUBLIC):
        call(servers)
    asked = [path for path in servers.asked if path.startswith(atproto.PDS)]
    assert [path.rpartition("/")[2].rpartition(".")[2] for path in asked] == requests


@pytest.mark.parametrize("oauth", [True, False])
def test_a_server_that_moved_inside_since_the_login_is_not_asked(servers: Servers, oauth: bool) -> None:
    """Rebinding at its slowest: the name was checked at the login, and means something else a month later."""
    begin(servers)
    host = atproto.AUTHORIZATION if oauth else atproto.PDS
    servers.means[host] = [LINK_LOCAL]
    servers.asked.clear()
    for call in (refresh, revoke):
        with pytest.raises(PlatformUnreachable, match=NOT_PUBLIC):
            call(servers, oauth=oauth)
    assert not servers.asked


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1", "::1"])
def test_private_addresses_are_refused_unless_they_are_allowed(address: str) -> None:
    with play(allow_private=False) as servers:
        for host in (atproto.DIRECTORY, atproto.HANDLE_SERVER):
            servers.means = {host: [address], HANDLE: [address]}
            with pytest.raises(PlatformUnreachable, match=NOT_PUBLIC):
                begin(servers, DID if host == atproto.DIRECTORY else HANDLE)
        assert not servers.asked


@each_hop
def test_no_redirect_is_followed(servers: Servers, call: Call, host: str, last: str) -> None:
    servers.changed[last] = lambda: RedirectResponse(servers.at("evil.test") + f"/{last}", 307)
    with suppress(PlatformRefused, PlatformUnreachable):
        call(servers)
    assert not [asked for asked in servers.asked if asked.startswith("evil.test")]


# What they say of where they are.

ADDRESSES = [
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
    "https://user:secret@pds.test",
    "https://pds.test/path",
    "https://pds.test?query",
    "https://pds.test\\@evil.test",
    "https://",
    "//pds.test",
    "https://pds.test\0",
    "https://" + "a" * 3000,
    17,
    None,
    ["https://pds.test"],
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: repr(address)[:40])
def test_where_no_server_can_be_is_refused(address: object) -> None:
    with play() as servers:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": address}
        servers.changed[DID] = lambda: JSONResponse(servers.document(service=[service]))
        with pytest.raises((PlatformRefused, PlatformUnreachable)):
            begin(servers)
        assert {asked.partition("/")[0] for asked in servers.asked} <= {HANDLE, atproto.DIRECTORY}


def test_only_https_is_spoken_where_private_addresses_are_not_allowed() -> None:
    strict, lenient = Strangers(Http()), Strangers(Http(allow_private=True))
    for url in ("http://pds.example.com", "http://pds.example.com/token"):
        for rule in (strict.origin, strict.endpoint):
            with pytest.raises(PlatformRefused):
                rule(url)
    assert lenient.origin("http://localhost:80") == "http://localhost:80"
    assert strict.origin("https://PDS.example.com/") == "https://pds.example.com"
    assert strict.endpoint("https://pds.example.com/token?x=1") == "https://pds.example.com/token?x=1"


# What they say.

SERVER = "oauth-authorization-server"
LIES: dict[str, tuple[Call, str, Callable[[Servers], object]]] = {
    "the document of another": (begin, DID, lambda s: s.document(id=OTHER)),
    "an account without a server": (begin, DID, lambda s: s.document(service=[])),
    "an account without a handle": (begin, DID, lambda s: s.document(alsoKnownAs=[])),
    "an account of another handle": (begin, DID, lambda s: s.document(alsoKnownAs=["at://bob.test"])),
    "a server that is another": (
        begin,
        "oauth-protected-resource",
        lambda s: {"resource": "https://other.test", "authorization_servers": [s.at(atproto.AUTHORIZATION)]},
    ),
    "two authorization servers": (
        begin,
        "oauth-protected-resource",
        lambda s: {"resource": s.at(atproto.PDS), "authorization_servers": [s.at(atproto.AUTHORIZATION)] * 2},
    ),
    "another issuer": (begin, SERVER, lambda s: s.said(SERVER) | {"issuer": "https://other.test"}),
    "no S256": (begin, SERVER, lambda s: s.said(SERVER) | {"code_challenge_methods_supported": ["plain"]}),
    "no pushed requests": (
        begin,
        SERVER,
        lambda s: s.said(SERVER) | {"require_pushed_authorization_requests": False},
    ),
    "no DPoP": (begin, SERVER, lambda s: s.said(SERVER) | {"dpop_signing_alg_values_supported": []}),
    "no iss": (
        begin,
        SERVER,
        lambda s: s.said(SERVER) | {"authorization_response_iss_parameter_supported": "true"},
    ),
    "tokens of another account": (
        exchange,
        "token",
        lambda s: s.said("token") | {"sub": OTHER},
    ),
    "tokens of nobody": (exchange, "token", lambda s: s.said("token") | {"sub": None}),
    "bearer tokens": (exchange, "token", lambda s: s.said("token") | {"token_type": "Bearer"}),
    "another scope": (exchange, "token", lambda s: s.said("token") | {"scope": "openid"}),
    "no scope": (exchange, "token", lambda s: s.said("token") | {"scope": None}),
    "a session of another account": (
        sign_in,
        "com.atproto.server.createSession",
        lambda s: s.said("com.atproto.server.createSession") | {"did": OTHER},
    ),
    "a session that is another's": (
        sign_in,
        "com.atproto.server.getSession",
        lambda s: {"did": OTHER},
    ),
    "a refresh of another account": (
        lambda servers: refresh(servers, oauth=False),
        "com.atproto.server.refreshSession",
        lambda s: s.said("com.atproto.server.createSession") | {"did": OTHER},
    ),
}


@pytest.mark.parametrize(("call", "last", "lie"), LIES.values(), ids=LIES)
def test_a_lie_is_refused(servers: Servers, call: Call, last: str, lie: Any) -> None:
    servers.changed[last] = lambda: JSONResponse(lie(servers))
    with pytest.raises((PlatformRefused, PlatformUnreachable)):
        call(servers)


def test_a_server_that_has_everybody_is_not_believed(servers: Servers) -> None:
    """The server at service_url lets its owner in as anybody; but the account is at another server."""
    evil = servers.at(atproto.ENTRY)
    no = JSONResponse({"error": "InvalidToken", "message": "bad"}, 400)
    servers.changed["com.atproto.server.getSession"] = lambda: no
    with pytest.raises(PlatformRefused):
        sign_in(servers, evil)
    # The account's own server was asked whether the session is one of its own.
    assert f"{atproto.PDS}/xrpc/com.atproto.server.getSession" in servers.asked
    assert f"{atproto.ENTRY}/xrpc/com.atproto.server.deleteSession" in servers.asked


def test_a_code_of_another_server_is_not_exchanged(servers: Servers) -> None:
    """Mix-up (RFC 9207): the browser comes back from a server that wants to have the code of another."""
    for issuer in ("", "https://evil.test", servers.at(atproto.PDS)):
        with pytest.raises(PlatformRefused, match="another issuer"):
            exchange(servers, issuer)
    assert not servers.asked


def test_a_password_goes_to_no_other_server(servers: Servers) -> None:
    sign_in(servers)
    created = [asked for asked in servers.asked if asked.endswith("createSession")]
    assert created == [f"{atproto.PDS}/xrpc/com.atproto.server.createSession"]


def test_nobody_waits_long_for_a_handle_that_is_only_shown(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atproto_identity, "VERIFY_SECONDS", 0.2)
    asked = threading.Event()

    def silent() -> Response:
        asked.wait(10)
        return PlainTextResponse(DID)

    servers.changed["atproto-did"] = silent
    try:
        assert begin(servers, DID).flow["handle"] == ""
    finally:
        asked.set()


NONCE = JSONResponse({"error": "use_dpop_nonce"}, 400, {"DPoP-Nonce": "nonce"})


def test_a_server_that_always_wants_another_nonce_is_asked_twice(servers: Servers) -> None:
    servers.changed["token"] = lambda: NONCE
    with pytest.raises(PlatformUnreachable, match="use_dpop_nonce"):
        exchange(servers)
    assert servers.asked.count(f"{atproto.TOKEN}/token") == 2


# What can't be read.

BODIES: dict[str, Callable[[], Response]] = {
    "nothing": lambda: Response(b""),
    "no JSON": lambda: PlainTextResponse("<html>"),
    "no text": lambda: Response(b"\xff\xfe\x00", media_type="application/json"),
    "a list": lambda: JSONResponse([1, 2]),
    "a number": lambda: JSONResponse(5),
    "null": lambda: JSONResponse(None),
    "an empty object": lambda: JSONResponse({}),
    "deep": lambda: PlainTextResponse("[" * 100_000),
    "huge": lambda: PlainTextResponse(" " * 2_000_000),
    "a redirect": lambda: RedirectResponse("http://127.0.0.1:1/"),
    "wrong types": lambda: JSONResponse(
        {
            name: {"a": [None]}
            for name in ("id", "did", "sub", "issuer", "request_uri", "access_token", "value")
        }
    ),
    "half a character": lambda: PlainTextResponse('{"did": "\\ud800", "id": "\\u0000", "sub": "\\ud800"}'),
    "infinity": lambda: PlainTextResponse('{"expires_in": 1e999, "id": NaN}'),
    "not found": lambda: JSONResponse({"error": {"message": ["x"]}}, 404),
    "too many": lambda: JSONResponse({"error": "RateLimitExceeded"}, 429),
    "a fault": lambda: JSONResponse({"error": "invalid_grant"}, 500),
    "teapot": lambda: PlainTextResponse("", 418),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@each_hop
def test_whatever_is_answered_it_is_one_of_two_failures(
    servers: Servers, call: Call, host: str, last: str, body: Callable[[], Response]
) -> None:
    """What a call has no need of it does not read, so some go through."""
    servers.changed[last] = body
    try:
        call(servers)
    except (PlatformRefused, PlatformUnreachable):
        return


@pytest.mark.parametrize("name", ["token", "com.atproto.server.refreshSession"])
@pytest.mark.parametrize("body", ["a fault", "too many", "not found", "no JSON", "teapot", "nothing"])
def test_only_a_clear_word_ends_tokens(servers: Servers, name: str, body: str) -> None:
    servers.changed[name] = BODIES[body]
    try:
        refresh(servers, oauth=name == "token")
    except TokensRefused as refused:
        raise AssertionError("the person would have to connect again") from refused
    except (PlatformRefused, PlatformUnreachable):
        return
    raise AssertionError("it went through")


def test_mistakes_are_told_apart(servers: Servers) -> None:
    servers.changed[DID] = BODIES["not found"]
    with pytest.raises(UnknownHandle):
        begin(servers)
    servers.changed[DID] = BODIES["a fault"]
    with pytest.raises(PlatformUnreachable):
        begin(servers)
