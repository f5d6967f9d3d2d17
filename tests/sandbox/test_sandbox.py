"""The sandbox platform over HTTP: its pages as a person sees them, its API as the OAuth client calls it."""

import hashlib
import html
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.applications import Starlette

from server.platforms import PlatformRefused, Profile, Tokens
from server.sandbox import routes as sandbox
from server.sandbox.site import pages
from server.web.threads import Threads
from tests.conftest import Running
from tests.kit.platforms import Sandbox
from tests.kit.support import AdjustableClock, free_port, unique
from tests.kit.web import serving
from tools.person import LastForm, Person

Sql = Callable[..., list[tuple[Any, ...]]]

CALLBACK_URL = "http://127.0.0.1:9/callback"
REDIRECT_URI = f"{CALLBACK_URL}/sandbox"
VERIFIER = "v" * 64
STATE = "the-state"
AUTHORIZE = {
    "client_id": "hitchpost-sandbox",
    "redirect_uri": REDIRECT_URI,
    "response_type": "code",
    "scope": "profile.read",
    "state": STATE,
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}
# The app's time, which the sandbox does not need to share.
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def clock(running: Running) -> AdjustableClock:
    """The sandbox's time. It is the server's, too, which forgets what has expired."""
    return running.clock


@pytest.fixture(scope="module")
def url(clock: AdjustableClock) -> Iterator[str]:
    """A sandbox whose app is nowhere: nothing that it issues is used by anybody else."""
    port = free_port()
    app = Starlette(routes=sandbox.routes(f"http://127.0.0.1:{port}", CALLBACK_URL, clock, Threads(4)))
    with serving(app, port) as url:
        yield url


@pytest.fixture(scope="module")
def platform(url: str) -> Sandbox:
    return Sandbox(url)


@pytest.fixture
def alice(url: str) -> Iterator[Person]:
    with Person("alice") as person:
        person.browser.base_url = httpx2.URL(url)
        yield person


def authorization_url(platform: Sandbox, **options: str) -> str:
    return platform.authorization_url(
        redirect_uri=REDIRECT_URI, state=STATE, code_verifier=VERIFIER, permissions=[], options=options
    )


def brought_back(location: str) -> dict[str, str]:
    """The parameters that the browser brings to the app."""
    assert location.startswith(f"{REDIRECT_URI}?")
    return dict(parse_qsl(urlsplit(location).query))


def get_code(person: Person, platform: Sandbox) -> str:
    return brought_back(person.agree(authorization_url(platform)))["code"]


def exchange(platform: Sandbox, code: str) -> Tokens:
    return platform.exchange(
        code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT_URI, now=NOW, until=platform.deadline()
    )


def log_in(person: Person, platform: Sandbox) -> Tokens:
    return exchange(platform, get_code(person, platform))


def names(profiles: list[Profile]) -> list[str]:
    return [profile.username for profile in profiles]


def is_dead(platform: Sandbox, tokens: Tokens) -> bool:
    """Whether the platform refuses the access token."""
    try:
        platform.profiles(tokens, NOW, platform.deadline())
    except PlatformRefused as error:
        return str(error) == "invalid_token"
    return False


def post_token(url: str, **fields: str) -> httpx2.Response:
    data = {"client_id": "hitchpost-sandbox"} | fields
    return httpx2.post(f"{url}/sandbox/token", data=data, trust_env=False, verify=False)


def refresh(url: str, refresh_token: str | None) -> httpx2.Response:
    return post_token(url, grant_type="refresh_token", refresh_token=str(refresh_token))


def token_fields(code: str, /, **changes: str) -> dict[str, str]:
    whole = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return whole | {"code": code} | changes


# The way through


def test_approve_brings_tokens_and_the_profile(alice: Person, platform: Sandbox, url: str) -> None:
    alice.handle = "alice.b"
    address = authorization_url(platform, login_hint="alice.b")
    page = alice.open(address)
    assert 'value="alice.b"' in page.text
    assert "no password" in page.text
    assert "Publish posts as these accounts" in alice.sign_in(address).text
    answer = brought_back(alice.agree(address))
    assert answer == {"code": answer["code"], "state": STATE}
    tokens = exchange(platform, answer["code"])
    assert tokens.expire_time == NOW + timedelta(hours=1)
    assert tokens.scopes == ("profile.read", "posts.write")
    [profile] = platform.profiles(tokens, NOW, platform.deadline())
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
    avatar = alice.open(profile.profile_photo_url)
    assert avatar.headers["content-type"].startswith("image/svg+xml")
    assert ">A</text>" in avatar.text


def test_nothing_that_is_stored_can_be_used(alice: Person, platform: Sandbox, sql: Sql) -> None:
    alice.handle = unique("alice")
    tokens = log_in(alice, platform)
    stored = sql(
        "SELECT kind, handle, sandbox_grant::text FROM sandbox_grant WHERE handle = %s", alice.handle
    )
    assert {kind for kind, _, _ in stored} == {"login", "spent", "access", "refresh"}
    assert "sbx_" not in repr(stored)
    assert tokens.access_token not in repr(tokens)
    assert str(tokens.refresh_token) not in repr(tokens)


def test_deny(alice: Person, platform: Sandbox) -> None:
    answer = brought_back(alice.decline(authorization_url(platform)))
    assert (answer["error"], answer["state"]) == ("access_denied", STATE)
    assert "code" not in answer


def test_each_page_has_tokens_of_its_own(alice: Person, platform: Sandbox) -> None:
    alice.pages = "acme, beta"
    tokens = log_in(alice, platform)
    profiles = platform.profiles(tokens, NOW, platform.deadline())
    assert names(profiles) == ["alice", "acme", "beta"]
    assert len({profile.tokens.access_token for profile in profiles}) == 3
    platform.revoke(profiles[1].tokens, platform.deadline())
    assert is_dead(platform, profiles[1].tokens)
    [beta] = platform.profiles(profiles[2].tokens, NOW, platform.deadline())
    assert beta == replace(profiles[2], shares_tokens=True), (
        "an account's token shows the account alone and brings no other tokens"
    )
    assert names(platform.profiles(tokens, NOW, platform.deadline())) == ["alice", "acme", "beta"]


def test_an_unchecked_page_is_not_shared(alice: Person, platform: Sandbox) -> None:
    alice.pages = "acme,beta"
    address = authorization_url(platform)
    assert alice.sign_in(address).text.count(" checked>") == 3
    tokens = exchange(platform, brought_back(alice.agree(address, ["beta"]))["code"])
    assert names(platform.profiles(tokens, NOW, platform.deadline())) == ["beta"]
    tokens = exchange(platform, brought_back(alice.agree(address, []))["code"])
    assert platform.profiles(tokens, NOW, platform.deadline()) == []


def test_two_logins_of_one_page_get_the_same_id(alice: Person, platform: Sandbox) -> None:
    alice.pages = "acme"
    [_, first] = platform.profiles(log_in(alice, platform), NOW, platform.deadline())
    with Person("bob", ["acme"]) as bob:
        [_, second] = platform.profiles(log_in(bob, platform), NOW, platform.deadline())
    assert first.platform_user_id == second.platform_user_id


def test_a_restart_keeps_logins_and_tokens(alice: Person, platform: Sandbox, clock: AdjustableClock) -> None:
    tokens = log_in(alice, platform)
    with serving(Starlette(routes=sandbox.routes("", CALLBACK_URL, clock, Threads(4)))) as other:
        restarted = Sandbox(other)
        assert names(restarted.profiles(tokens, NOW, restarted.deadline())) == ["alice"]
        assert "Signed in as <strong>@alice" in alice.open(authorization_url(restarted)).text


# What the authorize page refuses


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
def test_an_untrusted_request_never_redirects(alice: Person, platform: Sandbox, query: str) -> None:
    alice.sign_in(authorization_url(platform))
    form = {"query": query, "handle": "alice", "pages": "", "decision": "approve", "form_token": "x"}
    answers = [alice.browser.get(f"/sandbox/authorize?{query}")]
    answers += [
        alice.browser.post(f"/sandbox/{action}", data=form) for action in ("sign-in", "sign-out", "consent")
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "can&#39;t be done" in answer.text


def refused(person: Person, **changes: str | list[str] | None) -> dict[str, str]:
    """What the app is told of a request with these parameters."""
    parameters = {name: value for name, value in (AUTHORIZE | changes).items() if value is not None}
    answer = person.browser.get(f"/sandbox/authorize?{urlencode(parameters, doseq=True)}")
    assert answer.status_code == 303
    return brought_back(answer.headers["location"])


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
    alice: Person, changes: dict[str, str | list[str] | None], error: str
) -> None:
    answer = refused(alice, **changes)
    assert (answer["error"], answer["state"]) == (error, STATE)
    assert answer["error_description"]


@pytest.mark.parametrize("state", [None, "", "a\0b", ["a", "b"]])
def test_a_wrong_state_is_not_repeated(alice: Person, state: str | list[str] | None) -> None:
    answer = refused(alice, state=state)
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
def test_a_bad_handle_shows_the_page_again(alice: Person, handle: str, managed: str) -> None:
    form = {"query": urlencode(AUTHORIZE), "handle": handle, "pages": managed}
    answer = alice.browser.post("/sandbox/sign-in", data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'value="{html.escape(handle).replace("&quot;", "&#34;")}"' in answer.text
    assert "<script" not in answer.text
    assert '" onfocus' not in answer.text
    assert "set-cookie" not in answer.headers


def test_hostile_text_is_escaped(alice: Person) -> None:
    hostile = '"><script>alert(1)</script>'
    query = urlencode(AUTHORIZE | {"login_hint": hostile, "state": hostile})
    page = alice.browser.get(f"/sandbox/authorize?{query}")
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


def test_every_page_has_the_security_headers(alice: Person, platform: Sandbox) -> None:
    address = authorization_url(platform)
    for page in (
        alice.browser.get("/sandbox"),
        alice.open(address),
        alice.sign_in(address),
        alice.browser.get("/sandbox/authorize"),
    ):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("public_url", "secure"), [("http://h.example", False), ("https://h.example", True)])
def test_the_login_cookie(clock: AdjustableClock, public_url: str, secure: bool) -> None:
    form = {"query": urlencode(AUTHORIZE), "handle": "alice"}
    with serving(Starlette(routes=sandbox.routes(public_url, CALLBACK_URL, clock, Threads(4)))) as url:
        answer = httpx2.post(f"{url}/sandbox/sign-in", data=form, trust_env=False, verify=False)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("hitchpost_sandbox=sbx_login_")
    assert {"HttpOnly", "SameSite=lax", "Path=/sandbox"} <= set(cookie.split("; "))
    assert ("Secure" in cookie) is secure


def test_consent_needs_the_form_of_this_login(alice: Person, platform: Sandbox) -> None:
    address = authorization_url(platform)
    with Person("mallory") as mallory:
        theirs = LastForm(mallory.sign_in(address).text).fields["form_token"]
    good = LastForm(alice.sign_in(address).text).fields | {"decision": ["approve"]}
    assert good["account"] == ["alice"]

    def consent(**changes: list[str]) -> httpx2.Response:
        return alice.browser.post("/sandbox/consent", data=good | changes)

    assert consent(form_token=theirs).status_code == 400
    assert consent(form_token=[""]).status_code == 400
    assert consent(account=["mallory"]).status_code == 400
    assert consent(decision=["maybe"]).status_code == 400
    assert brought_back(consent().headers["location"])["code"]
    alice.browser.cookies.clear()
    answer = consent()
    assert answer.status_code == 303
    assert 'name="handle"' in alice.browser.get(f"/sandbox/{answer.headers['location']}").text


def test_sign_in_refuses_a_form_of_another_site(alice: Person) -> None:
    form = {"query": urlencode(AUTHORIZE), "handle": "alice"}
    answer = alice.browser.post("/sandbox/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_another_login(alice: Person, platform: Sandbox) -> None:
    form_token = LastForm(alice.sign_in(authorization_url(platform)).text).fields["form_token"]

    def sign_out(**fields: list[str]) -> str:
        answer = alice.browser.post("/sandbox/sign-out", data={"query": [urlencode(AUTHORIZE)]} | fields)
        assert answer.status_code == 303
        return alice.browser.get(f"/sandbox/{answer.headers['location']}").text

    assert "@alice" in sign_out()
    assert 'name="handle"' in sign_out(form_token=form_token)


# Codes and tokens


def test_a_replayed_code_revokes_what_it_brought(
    alice: Person, platform: Sandbox, clock: AdjustableClock
) -> None:
    alice.pages = "acme"
    code = get_code(alice, platform)
    other = log_in(alice, platform)
    tokens = exchange(platform, code)
    [_, page] = platform.profiles(tokens, NOW, platform.deadline())
    with clock.ahead(minutes=30):
        with pytest.raises(PlatformRefused, match="invalid_grant"):
            exchange(platform, code)
        assert is_dead(platform, tokens)
        assert is_dead(platform, page.tokens)
        assert names(platform.profiles(other, NOW, platform.deadline())) == ["alice", "acme"]


def test_one_of_many_exchanges_wins(url: str, alice: Person, platform: Sandbox, sql: Sql) -> None:
    alice.handle = unique("alice")
    code = get_code(alice, platform)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post_token(url, **token_fields(code)), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    kinds = sql("SELECT kind FROM sandbox_grant WHERE handle = %s ORDER BY kind", alice.handle)
    assert kinds == [("login",), ("spent",)]


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
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
def test_a_wrong_exchange_leaves_the_code(
    url: str, alice: Person, platform: Sandbox, changes: dict[str, str], error: str
) -> None:
    code = get_code(alice, platform)
    answer = post_token(url, **token_fields(code, **changes))
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"
    answer = post_token(url, **token_fields(code))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"


def test_an_expired_code(alice: Person, platform: Sandbox, clock: AdjustableClock) -> None:
    code = get_code(alice, platform)
    with clock.ahead(seconds=60), pytest.raises(PlatformRefused, match="invalid_grant"):
        exchange(platform, code)


def test_refresh_rotates_and_reuse_revokes_the_family(
    url: str, alice: Person, platform: Sandbox, clock: AdjustableClock
) -> None:
    alice.pages = "acme"
    [own, acme] = platform.profiles(log_in(alice, platform), NOW, platform.deadline())
    with clock.ahead(hours=1):
        assert is_dead(platform, own.tokens)
        new = refresh(url, own.tokens.refresh_token).json()
        fresh = replace(own.tokens, access_token=new["access_token"], refresh_token=new["refresh_token"])
        assert names(platform.profiles(fresh, NOW, platform.deadline())) == ["alice"]
        reused = refresh(url, own.tokens.refresh_token)
        assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
        assert is_dead(platform, fresh)
        assert refresh(url, fresh.refresh_token).status_code == 400
        others = refresh(url, acme.tokens.refresh_token)
        assert others.status_code == 200, "another account's family lives on"
    with clock.ahead(days=60, hours=1):
        assert refresh(url, others.json()["refresh_token"]).status_code == 400


def test_a_spent_code_is_no_refresh_token(url: str, alice: Person, platform: Sandbox) -> None:
    code = get_code(alice, platform)
    tokens = exchange(platform, code)
    assert refresh(url, code).status_code == 400
    assert platform.profiles(tokens, NOW, platform.deadline()), "and revokes nothing"


def test_revoke(url: str, alice: Person, platform: Sandbox) -> None:
    tokens = log_in(alice, platform)
    platform.revoke(tokens, platform.deadline())
    platform.revoke(tokens, platform.deadline())
    assert is_dead(platform, tokens)
    assert refresh(url, tokens.refresh_token).json()["error"] == "invalid_grant"


def test_revoking_an_access_token_leaves_the_refresh_token(
    url: str, alice: Person, platform: Sandbox
) -> None:
    tokens = log_in(alice, platform)
    platform.revoke(replace(tokens, refresh_token=None), platform.deadline())
    assert is_dead(platform, tokens)
    assert refresh(url, tokens.refresh_token).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer \xff", "Basic eDp5", f"Bearer {'x' * 9_000}"]
)
def test_profiles_need_a_token(url: str, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")}
    answer = httpx2.get(f"{url}/sandbox/profiles", headers=headers, trust_env=False, verify=False)
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
def test_bad_bodies_are_4xx(alice: Person, path: str, content_type: str, body: bytes) -> None:
    answer = alice.browser.post(f"/sandbox/{path}", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error_description"] if path in ("token", "revoke") else "<h1>" in answer.text


@pytest.mark.parametrize("path", ["avatars/A.svg", "avatars/%00.svg", f"avatars/{'a' * 31}.svg"])
def test_no_avatar_of_a_bad_handle(alice: Person, path: str) -> None:
    assert alice.browser.get(f"/sandbox/{path}").status_code == 400
