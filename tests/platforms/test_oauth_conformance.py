"""OAuth2Platform and a certified server that no one here wrote understand each other, as the RFCs say.

The row of facts is the one that docs/platforms.md shows.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.accounts.callbacks import Callback
from server.platforms import (
    Asked,
    ClientApp,
    ClientRefused,
    PlatformRefused,
    Returned,
    Tokens,
    TokensRefused,
    facts,
)
from server.platforms.http import Http
from server.platforms.oauth2 import OAuth2Platform
from tests.kit.oidc_provider import OidcProvider, oidc_provider, registered
from tests.kit.support import secret

REDIRECT_URI = "http://127.0.0.1:9/callback/example"
OTHER_URI = "http://127.0.0.1:9/callback/other"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
# Its id and secret have what RFC 6749, 2.3.1 wants to be encoded.
BASIC = ClientApp("an app: +%2F", f"{secret()}: +%2F=")
POST = ClientApp("another app: +%2F", f"{secret()}: +%2F=")
PUBLIC = ClientApp("public")
UNTOLD = ClientApp("untold")
APPS = {"client_secret_basic": BASIC, "client_secret_post": POST, "none": PUBLIC}


@dataclass(frozen=True)
class Way:
    """One row and the app that connects by it."""

    platform: OAuth2Platform
    app: ClientApp
    server: OidcProvider

    def come_back(self, person: str = "ada", **asked: Any) -> dict[str, Any]:
        """Sends the person away; what `exchange` needs of what the browser comes back with."""
        verifier = secret() * 4
        begun = self.platform.begin(
            self.app,
            Asked(
                redirect_uri=REDIRECT_URI,
                state="the-state",
                code_verifier=verifier,
                **({"permissions": (), "options": {}} | asked),
            ),
            self.platform.deadline(),
        )
        url = self.server.agree(begun.url, REDIRECT_URI, person)
        callback = Callback.from_query(urlsplit(url).query)
        assert callback.state == "the-state"
        return {
            "code": callback.code,
            "code_verifier": verifier,
            "issuer": callback.issuer,
            "flow": begun.flow,
            "redirect_uri": REDIRECT_URI,
        }

    def exchange(self, come: dict[str, Any]) -> Tokens:
        return self.platform.exchange(self.app, Returned(**come), NOW, self.platform.deadline())

    def connect(self, **asked: Any) -> Tokens:
        return self.exchange(self.come_back(**asked))

    def refresh(self, tokens: Tokens) -> Tokens:
        return self.platform.refresh(self.app, tokens, NOW, self.platform.deadline())

    def revoke(self, tokens: Tokens) -> None:
        self.platform.revoke(self.app, tokens, self.platform.deadline())

    def who(self, tokens: Tokens) -> list[str]:
        """Whose tokens they are."""
        found = self.platform.profiles(self.app, tokens, NOW, self.platform.deadline())
        return [profile.platform_user_id for profile in found]

    def is_dead(self, tokens: Tokens) -> bool:
        """Neither token works, and the platform says so for good."""
        with pytest.raises(PlatformRefused, match=r"^invalid_token$"):
            self.who(tokens)
        with pytest.raises(TokensRefused, match=r"^invalid_grant$"):
            self.refresh(tokens)
        return True


@pytest.fixture(scope="module")
def server() -> Iterator[OidcProvider]:
    clients = [registered(app, method, REDIRECT_URI) for method, app in APPS.items()]
    clients.append(registered(UNTOLD, "none", REDIRECT_URI))
    with oidc_provider(clients, untold=[UNTOLD.client_id]) as server:
        yield server


def way_of(server: OidcProvider, app: ClientApp, **differs: str) -> Way:
    """The documentation's row, or one that differs from it in this."""
    row = facts.parse(server.rows(own=differs))["own"]
    return Way(OAuth2Platform("own", row, Http(allow_private=True)), app, server)


@pytest.fixture(params=APPS)
def way(server: OidcProvider, request: pytest.FixtureRequest) -> Way:
    method = request.param
    return way_of(server, APPS[method], token_endpoint_auth_method=method)


def test_a_profile_is_connected(way: Way) -> None:
    tokens = way.connect(person="ada")
    assert tokens.expire_time == NOW + timedelta(hours=1)
    assert tokens.scopes == ("openid", "profile")
    [profile] = way.platform.profiles(way.app, tokens, NOW, way.platform.deadline())
    found = (profile.platform_user_id, profile.username, profile.display_name, profile.profile_photo_url)
    assert found == ("ada", "ada", "The name of ada", f"{way.server.url}/ada.png")
    assert profile.tokens == tokens
    assert profile.shares_tokens


def test_a_refresh_brings_another_refresh_token(way: Way) -> None:
    first = way.connect(person="ada")
    second = way.refresh(first)
    third = way.refresh(second)
    assert len({tokens.access_token for tokens in (first, second, third)}) == 3
    assert len({tokens.refresh_token for tokens in (first, second, third)}) == 3
    assert third.scopes == first.scopes
    assert way.who(third) == ["ada"]


def test_a_refresh_token_that_is_used_twice_ends_all_that_came_of_the_login(way: Way) -> None:
    first = way.connect()
    second = way.refresh(first)
    with pytest.raises(TokensRefused):
        way.refresh(first)
    assert way.is_dead(second)


def test_a_code_that_is_used_twice_ends_what_came_of_it(way: Way) -> None:
    come = way.come_back()
    tokens = way.exchange(come)
    with pytest.raises(TokensRefused):
        way.exchange(come)
    assert way.is_dead(tokens)


def test_revoked_tokens_are_dead_and_can_be_revoked_again(way: Way) -> None:
    tokens, other = way.connect(person="ada"), way.connect(person="bob")
    before = way.server.asked("POST /revoke")
    way.revoke(tokens)
    assert way.server.asked("POST /revoke") == before + 2
    assert way.is_dead(tokens)
    way.revoke(tokens)
    assert way.who(other) == ["bob"]


def test_an_access_token_without_a_refresh_token_is_revoked_too(way: Way) -> None:
    tokens = dataclasses.replace(way.connect(), refresh_token=None)
    way.revoke(tokens)
    with pytest.raises(PlatformRefused, match=r"^invalid_token$"):
        way.who(tokens)


WRONG: dict[str, str] = {"code_verifier": "w" * 64, "redirect_uri": OTHER_URI, "code": "another"}


@pytest.mark.parametrize("name", WRONG)
def test_a_code_is_not_exchanged_with_another(way: Way, name: str) -> None:
    come = way.come_back(person="ada")
    with pytest.raises(TokensRefused, match=r"^invalid_grant$"):
        way.exchange(come | {name: WRONG[name]})
    assert way.who(way.exchange(come)) == ["ada"]


def test_another_app_cannot_use_a_code(server: OidcProvider, way: Way) -> None:
    come = way_of(server, UNTOLD, token_endpoint_auth_method="none").come_back()
    with pytest.raises(TokensRefused):
        way.exchange(come)


def test_without_pkce_there_is_no_code(server: OidcProvider) -> None:
    """So the server looks at it."""
    row = facts.parse(server.rows() + "[own]\nlike = 'example'\npkce = false")["own"]
    way = Way(OAuth2Platform("own", row, Http(allow_private=True)), BASIC, server)
    assert not way.come_back()["code"]


@pytest.mark.parametrize("issuer", ["", "http://127.0.0.1:9", "{url}/"])
def test_a_code_of_another_issuer_is_sent_to_nobody(way: Way, issuer: str) -> None:
    come, before = way.come_back(person="ada"), way.server.asked("POST /token")
    assert come["issuer"] == way.server.url
    with pytest.raises(PlatformRefused, match=r"^another issuer$"):
        way.exchange(come | {"issuer": issuer.format(url=way.server.url)})
    assert way.server.asked("POST /token") == before
    assert way.who(way.exchange(come)) == ["ada"]


def test_who_names_no_issuer_takes_any(server: OidcProvider) -> None:
    way = way_of(server, BASIC, issuer="")
    come = way.come_back(person="ada")
    assert come["issuer"] == server.url
    assert way.who(way.exchange(come)) == ["ada"]


ASKS: dict[str, Callable[[Way, Tokens], object]] = {
    "exchange": lambda way, _: way.exchange(way.come_back()),
    "refresh": lambda way, tokens: way.refresh(tokens),
    "revoke": lambda way, tokens: way.revoke(tokens),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("wrong", [secret(), ""], ids=["another", "none"])
def test_an_app_with_a_wrong_secret_is_refused_and_no_token_is_dead_for_it(
    server: OidcProvider, method: str, wrong: str, ask: Callable[[Way, Tokens], object]
) -> None:
    way = way_of(server, APPS[method], token_endpoint_auth_method=method)
    tokens = way.connect(person="ada")
    with pytest.raises(ClientRefused, match=r"^invalid_client$"):
        ask(dataclasses.replace(way, app=dataclasses.replace(way.app, client_secret=wrong)), tokens)
    assert way.who(way.refresh(tokens)) == ["ada"]


@pytest.mark.parametrize("permissions", [(), ("openid",)], ids=["default", "asked"])
@pytest.mark.parametrize("app", [PUBLIC, UNTOLD], ids=["told", "untold"])
def test_an_answer_without_scopes_means_those_that_were_asked_for(
    server: OidcProvider, app: ClientApp, permissions: tuple[str, ...]
) -> None:
    way = way_of(server, app, token_endpoint_auth_method="none")
    tokens = way.connect(permissions=permissions)
    assert tokens.scopes == (permissions or ("openid", "profile"))
    assert way.refresh(tokens).scopes == tokens.scopes
