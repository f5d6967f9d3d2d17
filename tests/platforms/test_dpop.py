"""DPoP and pushed requests, as Bluesky's adapter sends them, to a server that is not Bluesky's.

It wants a nonce of its own in each proof, as servers may (RFC 9449, 8 and 9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from server.platforms import ClientApp, PlatformRefused, atproto_oauth
from server.platforms.atproto_oauth import AuthorizationServer
from server.platforms.dpop import Dpop
from tests.kit.oidc_provider import OidcProvider, oidc_provider, registered

REDIRECT_URI = "http://127.0.0.1:9/callback/example"
APP = ClientApp("bound")
BOUND = {"dpop_bound_access_tokens": True, "require_pushed_authorization_requests": True}
VERIFIER = "v" * 64
US = {"client_id": APP.client_id}
ASKED = {
    "response_type": "code",
    "redirect_uri": REDIRECT_URI,
    "scope": "openid profile",
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Client:
    """One that has a key."""

    server: OidcProvider
    dpop: Dpop = field(default_factory=Dpop.new)

    def push(self, **asked: str) -> str:
        """Tells the server what the browser will ask for; the auth URL."""
        at = self.server.url
        who = AuthorizationServer(at, f"{at}/authorize", f"{at}/request", f"{at}/token", f"{at}/revoke")
        return self._with_client(lambda client: atproto_oauth.push(client, self.dpop, who, US, ASKED | asked))

    def code(self, person: str) -> str:
        """What the person's browser brings back."""
        url = self.server.agree(self.push(login_hint=person), REDIRECT_URI, person)
        [code] = parse_qs(urlsplit(url).query)["code"]
        return code

    def tokens(self, **form: str) -> dict[str, Any]:
        """What the token endpoint answers."""
        return self._ask("POST", "/token", data=US | form)

    def exchange(self, code: str) -> dict[str, Any]:
        form = {"code": code, "code_verifier": VERIFIER, "redirect_uri": REDIRECT_URI}
        return self.tokens(grant_type="authorization_code", **form)

    def refresh(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return self.tokens(grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    def who(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return self._ask("GET", "/me", token=tokens["access_token"])

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        url = f"{self.server.url}{path}"
        answer = self._with_client(lambda client: self.dpop.request(client, method, url, **more))
        return dict(answer.json())

    def _with_client(self, ask: Callable[[httpx2.AsyncClient], Awaitable[Answer]]) -> Answer:
        async def asking() -> Answer:
            async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
                return await ask(client)

        return asyncio.run(asking())


@pytest.fixture(scope="module")
def server() -> Iterator[OidcProvider]:
    with oidc_provider([registered(APP, "none", REDIRECT_URI) | BOUND]) as server:
        yield server


@pytest.fixture
def client(server: OidcProvider) -> Client:
    return Client(server)


@pytest.fixture
def thief(server: OidcProvider) -> Client:
    """Has a key of its own."""
    return Client(server)


def test_a_login_that_is_bound_to_a_key(client: Client) -> None:
    tokens = client.exchange(client.code("ada"))
    assert tokens["token_type"] == "DPoP"
    assert client.who(tokens)["sub"] == "ada"
    renewed = client.refresh(tokens)
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert client.who(renewed)["sub"] == "ada"


def test_a_key_that_was_kept_goes_on(client: Client) -> None:
    tokens = client.exchange(client.code("ada"))
    later = Client(client.server, Dpop.of(client.dpop.private_key))
    assert later.who(later.refresh(tokens))["sub"] == "ada"


def test_a_request_is_sent_again_with_the_nonce_that_the_server_wants(client: Client) -> None:
    """Later ones have it at once."""
    steps = {"POST /request": 1, "POST /token": 2, "GET /me": 1}
    before = {request: client.server.asked(request) for request in steps}
    tokens = client.exchange(client.code("ada"))
    client.refresh(tokens)
    client.who(tokens)
    asked = {request: client.server.asked(request) - before[request] for request in steps}
    assert asked == {**steps, "POST /request": 2}


def test_what_is_bound_to_a_key_is_of_no_use_with_another(client: Client, thief: Client) -> None:
    assert thief.exchange(client.code("ada"))["error"] == "invalid_grant"
    tokens = client.exchange(client.code("ada"))
    assert thief.refresh(tokens)["error"] == "invalid_grant"
    assert thief.who(tokens)["error"] == "invalid_token"
    assert client.who(tokens)["sub"] == "ada"


def test_a_bound_token_alone_says_nothing(client: Client) -> None:
    tokens = client.exchange(client.code("ada"))
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = httpx2.get(f"{client.server.url}/me", headers=headers, trust_env=False, verify=False)
    assert answer.status_code == 401


def test_what_was_not_pushed_gets_no_code(client: Client) -> None:
    """So the server looks at what is pushed, and refuses there what it would refuse later."""
    url = f"{client.server.url}/authorize?{httpx2.QueryParams(US | ASKED)}"
    assert "error=invalid_request" in client.server.agree(url, REDIRECT_URI, "ada")
    with pytest.raises(PlatformRefused, match=r"^invalid_request$"):
        client.push(code_challenge_method="plain")
