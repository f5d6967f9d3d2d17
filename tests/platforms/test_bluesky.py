"""Bluesky as its own server plays it: who an account is, OAuth, app passwords, and how long tokens live."""

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.routing import Mount

from server.platforms import Asked, Authorization, PlatformRefused, Returned, Tokens, TokensRefused
from server.platforms.atproto_client import METADATA_PATH, AtprotoClient
from server.platforms.atproto_identity import Identities, TxtRecords
from server.platforms.bluesky import Bluesky, UnknownHandle, WrongPassword, load
from server.platforms.dpop import Dpop
from server.platforms.http import Http, run
from server.platforms.strangers import Strangers
from server.web import client_metadata
from tests.kit.bluesky import PUBLIC_URL, BlueskyAccount, Pds, port_of
from tests.kit.support import secret, unique
from tests.kit.web import serving

REDIRECT_URI = "http://127.0.0.1:8080/callback/bluesky"


@pytest.fixture(scope="module")
def way(pds: Pds) -> Bluesky:
    """The platform, as a server on this machine has it."""
    return load(AtprotoClient("http://127.0.0.1:8080"), pds.plc_url, pds.names.address, allow_private=True)


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


class Begun(NamedTuple):
    """A login that was begun."""

    url: str
    flow: Mapping[str, str]
    code_verifier: str


def until() -> float:
    return time.monotonic() + 20


def now() -> datetime:
    return datetime.now(UTC)


# App passwords.


def test_an_app_password_signs_in_at_the_accounts_own_server(
    way: Bluesky, pds: Pds, person: BlueskyAccount
) -> None:
    for name in (person.handle, person.handle.upper(), person.did):
        profile = way.sign_in(name, pds.new_app_password(person), "", now(), until())
        assert (profile.platform_user_id, profile.username) == (person.did, person.handle)
        assert profile.tokens.context == {"did": person.did, "handle": person.handle, "pds": pds.url}
        assert profile.tokens.expire_time is not None
        assert timedelta(hours=1) < profile.tokens.expire_time - now() < timedelta(hours=3)
        assert session(pds, profile.tokens)["did"] == person.did


def test_a_server_may_be_named_and_a_handle_that_leads_nowhere_is_not_shown(way: Bluesky, pds: Pds) -> None:
    account = pds.new_account()
    pds.names.texts[f"_atproto.{account.handle}"] = ["did=did:plc:" + "a" * 24]
    profile = way.sign_in(account.handle, pds.new_app_password(account), f"{pds.url}/", now(), until())
    assert (profile.platform_user_id, profile.username) == (account.did, "")


def test_a_profile_has_the_name_and_the_picture_of_its_record(
    way: Bluesky, pds: Pds, person: BlueskyAccount
) -> None:
    blob = pds.upload(person, b"a picture", "image/png")
    pds.write_profile(person, displayName="Alice \0 Example", avatar=blob)
    profile = way.sign_in(person.did, pds.new_app_password(person), "", now(), until())
    assert profile.display_name == "Alice  Example"
    assert httpx2.get(profile.profile_photo_url, trust_env=False).content == b"a picture"


def test_what_a_server_does_not_let_in(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    other = pds.new_account()
    for password in ("abcd-efgh-ijkl-mnop", pds.new_app_password(other)):
        for service_url in ("", pds.url):
            with pytest.raises(WrongPassword):
                way.sign_in(person.did, password, service_url, now(), until())


def test_who_is_nowhere_is_unknown(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    for name in ("nobody.example", "did:plc:" + "a" * 24, "did:web:localhost"):
        with pytest.raises(UnknownHandle):
            way.sign_in(name, pds.new_app_password(person), "", now(), until())


def test_a_session_is_refreshed_until_it_is_revoked(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    first = way.sign_in(person.did, pds.new_app_password(person), "", now(), until()).tokens
    assert way.can_refresh(first)
    second = way.refresh(way.own_app, first, now(), until())
    assert second.refresh_token not in (None, first.refresh_token)
    assert second.context == first.context
    assert session(pds, second)["did"] == person.did
    for _ in range(2):
        way.revoke(way.own_app, second, until())
    with pytest.raises(TokensRefused, match="ExpiredToken"):
        way.refresh(way.own_app, second, now(), until())


def test_a_session_ends_with_its_app_password(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    password = pds.new_app_password(person)
    tokens = way.sign_in(person.did, password, "", now(), until()).tokens
    pds.revoke_app_passwords(person)
    with pytest.raises(TokensRefused):
        way.refresh(way.own_app, tokens, now(), until())


# OAuth.


def test_oauth_connects_an_account_and_keeps_it_alive(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    begun, query = signed_in(way, pds, person, person.handle)
    assert query["state"] == "the state"
    tokens = exchanged(way, begun, query)
    assert tokens.scopes == ("atproto", "transition:generic")
    assert tokens.expire_time is not None
    assert timedelta(minutes=30) < tokens.expire_time - now() < timedelta(hours=2)
    [profile] = way.profiles(way.own_app, tokens, now(), until())
    assert (profile.platform_user_id, profile.username) == (person.did, person.handle)
    assert dpop_session(pds, tokens)["did"] == person.did

    renewed = way.refresh(way.own_app, tokens, now(), until())
    assert renewed.refresh_token not in (None, tokens.refresh_token)
    assert renewed.context == tokens.context
    assert dpop_session(pds, renewed)["did"] == person.did
    for _ in range(2):
        way.revoke(way.own_app, renewed, until())
    with pytest.raises(TokensRefused, match="invalid_grant"):
        way.refresh(way.own_app, renewed, now(), until())


def test_a_refresh_token_that_was_used_ends_the_session(
    way: Bluesky, pds: Pds, person: BlueskyAccount
) -> None:
    begun, query = signed_in(way, pds, person, person.did)
    first = exchanged(way, begun, query)
    second = way.refresh(way.own_app, first, now(), until())
    for tokens in (first, second):
        with pytest.raises(TokensRefused, match="invalid_grant"):
            way.refresh(way.own_app, tokens, now(), until())


def test_a_code_is_of_the_server_that_the_account_is_at(
    way: Bluesky, pds: Pds, person: BlueskyAccount
) -> None:
    begun, query = signed_in(way, pds, person, person.did)
    for issuer in ("", "https://evil.example", f"{pds.url}/"):
        with pytest.raises(PlatformRefused, match="another issuer"):
            exchanged(way, begun, query | {"iss": issuer})
    # Nothing was asked, so the code is still good.
    assert exchanged(way, begun, query).context["did"] == person.did


def test_who_signs_in_as_somebody_else_is_refused(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    other = pds.new_account()
    begun, query = signed_in(way, pds, other, person.did)
    with pytest.raises(PlatformRefused, match="tokens of another account"):
        exchanged(way, begun, query)
    assert (pds.grants(person), pds.grants(other)) == (0, 0)


def test_a_code_is_good_once(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    begun, query = signed_in(way, pds, person, person.did)
    exchanged(way, begun, query)
    with pytest.raises(PlatformRefused, match="invalid_grant"):
        exchanged(way, begun, query)


def test_a_token_without_its_key_is_worth_nothing(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    begun, query = signed_in(way, pds, person, person.did)
    tokens = exchanged(way, begun, query)
    stolen = Tokens(
        tokens.access_token,
        tokens.refresh_token,
        None,
        (),
        {**tokens.context, "dpop_key": Dpop.new().private_key},
    )
    assert dpop_session(pds, stolen)["error"] == "invalid_token"
    with pytest.raises(PlatformRefused):
        way.refresh(way.own_app, stolen, now(), until())


def test_permissions_that_are_unknown_are_refused_at_once(way: Bluesky, person: BlueskyAccount) -> None:
    with pytest.raises(PlatformRefused):
        begin(way, person.did, "no-such-scope")


def test_secrets_are_not_shown(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    begun, query = signed_in(way, pds, person, person.did)
    tokens = exchanged(way, begun, query)
    shown = f"{Authorization(begun.url, begun.flow)!r} {tokens!r}"
    for hidden in (tokens.access_token, str(tokens.refresh_token), begun.flow["dpop_key"]):
        assert hidden not in shown


@pytest.mark.parametrize("key", [None, ECKey.generate_key("P-256")], ids=["public", "with a key"])
def test_on_the_internet_we_are_who_our_metadata_says(
    pds: Pds, person: BlueskyAccount, key: ECKey | None
) -> None:
    us = AtprotoClient(f"{PUBLIC_URL}/{'public' if key is None else 'key'}", key)
    way = load(us, pds.plc_url, pds.names.address, allow_private=True)
    redirect_uri = f"{us.metadata_url.removesuffix(METADATA_PATH)}/callback/bluesky"
    served = client_metadata.route(us, redirect_uri.removesuffix("/bluesky"))
    app = Starlette(routes=[Mount("/public", routes=[served]), Mount("/key", routes=[served])])
    with serving(app, pds.public_port):
        begun, query = signed_in(way, pds, person, person.handle, redirect_uri)
        assert begun.flow["client_id"] == way.own_app.client_id
        tokens = exchanged(way, begun, query, redirect_uri)
        if key is not None:
            # Who has no such key can't go on with the session.
            impostor = AtprotoClient(us._public_url, ECKey.generate_key("P-256"))
            other = load(impostor, pds.plc_url, pds.names.address, allow_private=True)
            with pytest.raises(PlatformRefused):
                other.refresh(other.own_app, tokens, now(), until())
        renewed = way.refresh(way.own_app, tokens, now(), until())
        assert renewed.scopes == ("atproto", "transition:generic")
        assert pds.grants(person) == 1
        way.revoke(way.own_app, renewed, until())
        assert pds.grants(person) == 0


# Who an account is.


def test_a_handle_that_the_account_does_not_name_is_unknown(
    way: Bluesky, pds: Pds, person: BlueskyAccount
) -> None:
    pds.names.texts["_atproto.stolen.test"] = [f"did={person.did}"]
    with pytest.raises(UnknownHandle, match="does not name it"):
        way.sign_in("stolen.test", pds.new_app_password(person), "", now(), until())


def test_a_handle_that_names_two_accounts_is_unknown(way: Bluesky, pds: Pds, person: BlueskyAccount) -> None:
    pds.names.texts[f"_atproto.{person.handle}"].append(f"did={pds.new_account().did}")
    with pytest.raises(UnknownHandle, match="several"):
        way.sign_in(person.handle, pds.new_app_password(person), "", now(), until())


def test_a_handle_may_be_looked_up_at_its_own_server(pds: Pds) -> None:
    account = pds.new_account()
    del pds.names.texts[f"_atproto.{account.handle}"]
    strangers = Strangers(Http(allow_private=True, resolve=_loopback))
    # Their server answers for them, as the one of bsky.social does.
    identities = Identities(
        strangers, pds.plc_url, TxtRecords(pds.names.address), f"http://{{handle}}:{port_of(pds.url)}"
    )
    way = Bluesky(strangers, identities, AtprotoClient("http://127.0.0.1:8080"))
    profile = way.sign_in(account.handle, pds.new_app_password(account), "", now(), until())
    assert (profile.platform_user_id, profile.username) == (account.did, account.handle)
    with pytest.raises(UnknownHandle):
        way.sign_in(f"{unique('nobody')}.test", secret(), "", now(), until())


async def _loopback(host: str, port: int) -> list[str]:
    """What every name means to this mock of a resolver."""
    return ["127.0.0.1"]


def begin(way: Bluesky, name: str, *permissions: str, redirect_uri: str = REDIRECT_URI) -> Begun:
    # A server takes none twice.
    verifier = secrets.token_urlsafe(48)
    begun = way.begin(
        way.own_app,
        Asked(
            redirect_uri=redirect_uri,
            state="the state",
            code_verifier=verifier,
            permissions=permissions,
            options={"handle": name},
        ),
        until(),
    )
    return Begun(begun.url, begun.flow, verifier)


def signed_in(
    way: Bluesky, pds: Pds, person: BlueskyAccount, name: str, redirect_uri: str = REDIRECT_URI
) -> tuple[Begun, dict[str, str]]:
    """What was begun for this name, and the query that the person's browser came back with."""
    begun = begin(way, name, redirect_uri=redirect_uri)
    parts = urlsplit(pds.agree(begun.url, person))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == redirect_uri
    return begun, {key: value for key, [value] in parse_qs(parts.query).items()}


def exchanged(way: Bluesky, begun: Begun, query: dict[str, str], redirect_uri: str = REDIRECT_URI) -> Tokens:
    return way.exchange(
        way.own_app,
        Returned(
            code=query["code"],
            issuer=query["iss"],
            redirect_uri=redirect_uri,
            code_verifier=begun.code_verifier,
            flow=begun.flow,
        ),
        now(),
        until(),
    )


def session(pds: Pds, tokens: Tokens) -> Any:
    """What the server says about a bearer's session."""
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    return httpx2.get(f"{pds.url}{SESSION}", headers=headers, trust_env=False).json()


def dpop_session(pds: Pds, tokens: Tokens) -> Any:
    """The same for a token by OAuth."""

    async def asking() -> Any:
        async with httpx2.AsyncClient(**Http(allow_private=True).options()) as client:
            dpop = Dpop.of(tokens.context["dpop_key"])
            return (await dpop.request(client, "GET", f"{pds.url}{SESSION}", tokens.access_token)).json()

    return run(asking(), until())


SESSION = "/xrpc/com.atproto.server.getSession"
