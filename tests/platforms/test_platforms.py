"""The OAuth client of the platforms, when a platform misbehaves: every answer is one of two failures."""

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from server.platforms import PlatformRefused, PlatformUnreachable, Profile, Tokens, TokensRefused
from server.platforms.failures import NotConnected
from tests.kit.platforms import Sandbox
from tests.kit.web import serving

REDIRECT_URI = "http://127.0.0.1:9/callback/sandbox"
VERIFIER = "v" * 64
SECRETS = ("the-code-0123456789", VERIFIER, "the-access-token", "the-refresh-token")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOKENS = Tokens(SECRETS[2], SECRETS[3], None, ())

CALLS: dict[str, Callable[[Sandbox], object]] = {
    "exchange": lambda platform: platform.exchange(
        code=SECRETS[0],
        code_verifier=VERIFIER,
        redirect_uri=REDIRECT_URI,
        now=NOW,
        until=platform.deadline(),
    ),
    "profiles": lambda platform: platform.profiles(TOKENS, NOW, platform.deadline()),
    "revoke": lambda platform: platform.revoke(TOKENS, platform.deadline()),
}


class Answering:
    """A platform that answers everything in the same way, which each test sets."""

    def __init__(self) -> None:
        self.visited: list[str] = []
        self._answer = Response()
        self.platform: Sandbox

    def answer(self, request: Request) -> Response:
        """What the platform says to this request."""
        self.visited.append(request.url.path)
        return self._answer

    def says(self, status: int, body: str) -> Sandbox:
        """The client of the platform, which answers so from now on."""
        return self.gives(PlainTextResponse(body, status, media_type="application/json"))

    def gives(self, answer: Response) -> Sandbox:
        """The same for any answer."""
        self._answer, self.visited = answer, []
        return self.platform


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    answering = Answering()
    methods = ["GET", "POST"]
    app = Starlette(routes=[Route("/{path:path}", answering.answer, methods=methods)])
    with serving(app) as url:
        answering.platform = Sandbox(url)
        yield answering


def failing(call: Callable[[Sandbox], object], platform: Sandbox) -> type[Exception]:
    """The exception's class, after a look for secrets in all that a log would show of it."""
    with pytest.raises((PlatformRefused, PlatformUnreachable)) as caught:
        call(platform)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [secret for secret in SECRETS if secret in shown]
    return caught.type


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_closed_port_is_unreachable(call: Callable[[Sandbox], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failing(call, Sandbox(f"http://127.0.0.1:{port}")) is NotConnected


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_silence_is_unreachable(call: Callable[[Sandbox], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Sandbox(f"http://127.0.0.1:{listener.getsockname()[1]}", timedelta(milliseconds=200))
        assert failing(call, silent) is PlatformUnreachable


@contextmanager
def dripping(*lines: bytes) -> Iterator[str]:
    """A platform that sends these lines at once, and then a byte now and then, for as long as one listens."""
    ended = threading.Event()

    def drip(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65_536)
            client.sendall(b"".join(lines))
            while not ended.wait(0.05):
                client.sendall(b" ")

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


DRIPS = {
    "status": (b"HTTP/1.1 200 O",),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Slow: "),
    "body": (
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Length: 100000\r\n\r\n",
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("lines", DRIPS.values(), ids=DRIPS)
def test_a_platform_that_drips_is_not_waited_for_past_the_one_deadline(
    call: Callable[[Sandbox], object], lines: tuple[bytes, ...]
) -> None:
    with dripping(*lines) as url:
        started = time.monotonic()
        assert failing(call, Sandbox(url, timedelta(seconds=0.5))) is PlatformUnreachable
        assert 0.5 <= time.monotonic() - started < 30


def test_a_platform_is_not_waited_for_past_the_callers_deadline() -> None:
    with dripping(*DRIPS["headers"]) as url:
        platform = Sandbox(url, timedelta(seconds=60))
        started = time.monotonic()
        with pytest.raises(PlatformUnreachable, match="in time"):
            platform.revoke(TOKENS, platform.deadline(started + 0.3))
        assert time.monotonic() - started < 30


ECHO = f'{{"error": "{SECRETS[0]} {VERIFIER}", "error_description": "{SECRETS[2]} {SECRETS[3]}"}}'


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (500, "oops", PlatformUnreachable),
        (502, '{"error": "invalid_grant"}', PlatformUnreachable),
        (429, '{"error": "invalid_grant"}', PlatformUnreachable),
        (400, '{"error": "temporarily_unavailable"}', PlatformUnreachable),
        (307, "", PlatformUnreachable),
        (400, '{"error": "invalid_grant"}', TokensRefused),
        (400, '{"error": {"message": "x"}}', PlatformRefused),
        (401, ECHO, PlatformRefused),
        (403, "<html>no</html>", PlatformRefused),
    ],
)
def test_a_failure_is_told_apart(
    answering: Answering,
    call: Callable[[Sandbox], object],
    status: int,
    body: str,
    wanted: type[Exception],
) -> None:
    assert failing(call, answering.says(status, body)) is wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("garbage", PlatformUnreachable),
        ("", PlatformUnreachable),
        ("[]", PlatformUnreachable),
        ("[" * 100_000, PlatformUnreachable),
        ("{}", PlatformUnreachable),
        ('{"access_token": 5}', PlatformUnreachable),
        ('{"access_token": "a\\u0000"}', PlatformUnreachable),
        (f'{{"access_token": "{"a" * 16_385}"}}', PlatformUnreachable),
        (f'{{"access_token": "a", "refresh_token": "{"a" * 16_385}"}}', PlatformUnreachable),
        ('{"access_token": "a", "expires_in": "soon"}', PlatformUnreachable),
        ('{"access_token": "a", "expires_in": 1e999}', PlatformUnreachable),
        ('{"access_token": "a", "expires_in": 99999999999999999999}', PlatformUnreachable),
        ('{"error": "invalid_grant"}', TokensRefused),
        (ECHO, PlatformRefused),
    ],
)
def test_an_unreadable_token_answer(answering: Answering, body: str, wanted: type[Exception]) -> None:
    assert failing(CALLS["exchange"], answering.says(200, body)) is wanted


@pytest.mark.parametrize(
    "body",
    [
        "garbage",
        "[]",
        "{}",
        '{"data": {}}',
        '{"data": [1]}',
        '{"data": [{"username": "a"}]}',
        '{"data": [{"id": ""}]}',
        '{"data": [{"id": "a\\u0000"}]}',
        '{"data": [{"id": "1", "username": 7}]}',
        '{"data": [{"id": "1", "access_token": "a", "expires_in": []}]}',
    ],
)
def test_an_unreadable_profiles_answer(answering: Answering, body: str) -> None:
    assert failing(CALLS["profiles"], answering.says(200, body)) is PlatformUnreachable


def test_profiles_are_cleaned_and_fall_back_on_the_login(answering: Answering) -> None:
    body = r'{"data": [{"id": 12, "username": "a\u0000b", "name": "\ud800x", "picture": "javascript:x"}]}'
    assert CALLS["profiles"](answering.says(200, body)) == [Profile("12", "ab", "?x", "", TOKENS, True)]


def test_a_token_answer_without_extras(answering: Answering) -> None:
    platform = answering.says(200, '{"access_token": "a", "token_type": "bearer"}')
    assert CALLS["exchange"](platform) == Tokens("a", None, None, ())


def test_a_redirect_is_not_followed(answering: Answering) -> None:
    for call in CALLS.values():
        assert failing(call, answering.gives(RedirectResponse("/elsewhere"))) is PlatformUnreachable
        assert len(answering.visited) == 1
        assert "/elsewhere" not in answering.visited


def test_authorization_url() -> None:
    platform = Sandbox("https://h.example")
    url = platform.authorization_url(
        redirect_uri=REDIRECT_URI,
        state="s&t",
        code_verifier=VERIFIER,
        permissions=["posts.read", "posts.write"],
        options={"login_hint": "a&b"},
    )
    assert url.startswith("https://h.example/sandbox/authorize?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": "hitchpost-sandbox",
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "posts.read posts.write",
        "state": "s&t",
        "code_challenge": create_s256_code_challenge(VERIFIER),
        "code_challenge_method": "S256",
        "login_hint": "a&b",
    }
    assert VERIFIER not in url


@pytest.mark.parametrize("name", ["state", "response_type", "redirect_uri", "unknown"])
def test_only_options_that_the_row_names_go_into_the_address(name: str) -> None:
    url = Sandbox("https://h.example").authorization_url(
        redirect_uri=REDIRECT_URI,
        state="s",
        code_verifier=VERIFIER,
        permissions=[],
        options={name: "another"},
    )
    assert "another" not in url
