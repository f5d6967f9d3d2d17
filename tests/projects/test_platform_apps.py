"""Apps of platforms: which one connects, which one an account goes on with, and what nobody gets to see."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from generated.hitchpost.v1 import platform_pb2
from server.base.identity import Caller
from server.base.vault import Vault
from server.platforms import Platforms
from server.platforms.facts import parse
from server.platforms.http import Http
from server.platforms.oauth2 import OAuth2Platform
from server.projects import registered_apps
from server.storage.database import database
from tests.conftest import Running
from tests.kit.due import work_off
from tests.kit.support import Client, secret, unique
from tests.kit.web import serving

Sql = Callable[..., list[tuple[Any, ...]]]
SET, LIST = "PlatformAppService/SetPlatformApp", "PlatformAppService/ListPlatformApps"
DELETE = "PlatformAppService/DeletePlatformApp"
BEGIN, COMPLETE = "SocialAccountService/CreateAuthUrl", "SocialAccountService/CompleteAuth"
NOT_CONFIGURED = ("FAILED_PRECONDITION", "PLATFORM_NOT_CONFIGURED")
ROWS = """
[pinterest]
documentation = ["{url}"]
app_settings = { region = true, tier = false }
authorize_url = "{url}/authorize"
token = "{url}/token"
revoke = "{url}/revoke"
token_endpoint_auth_method = "client_secret_basic"
default_scopes = ["read"]
profiles = [{ url = "{url}/me", fields = { platform_user_id = "id" } }]
[facebook]
like = "pinterest"
platform = "facebook"
app_of = "facebook"
app_settings = {}
[instagram]
like = "facebook"
platform = "instagram"
[mastodon]
like = "facebook"
platform = "mastodon"
app_of = "mastodon"
authorize_url = "https://{instance}/authorize"
registration = "https://{instance}/apps"
[sandbox]
like = "facebook"
platform = "sandbox"
app_of = "sandbox"
client_id = "everybody"
"""


class Network:
    """A platform, over real HTTP, that writes down which client asks it for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._tokens = 0

    def answer(self, request: Request) -> Response:
        if request.url.path == "/me":
            return JSONResponse({"id": unique("profile")})
        scheme, _, value = request.headers["authorization"].partition(" ")
        assert scheme == "Basic"
        client_id, _, client_secret = b64decode(value).decode().partition(":")
        self.asked.append((request.url.path, client_id, client_secret))
        self._tokens += 1
        return JSONResponse({"access_token": secret(), "token_type": "bearer"})


@pytest.fixture
def network(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """What this process's server connects."""
    network = Network()
    routes = [Route("/{path:path}", network.answer, methods=["GET", "POST"])]
    with serving(Starlette(routes=routes)) as url:
        rows = parse(ROWS.replace("{url}", url)).items()
        platforms = Platforms(OAuth2Platform(name, row, Http(allow_private=True)) for name, row in rows)
        for user in (running.app.attempts, running.app.revoker, running.app.platform_apps):
            monkeypatch.setattr(user, "_platforms", platforms)
        work_off(running.app)
        yield network


def set_app(client: Client, client_id: str, client_secret: str, owner: str | None = None) -> Any:
    settings = {"region": "eu"}
    return client.app(owner, client_id=client_id, client_secret=client_secret, settings=settings)


def begin(client: Client, owner: str | None = "alice") -> Any:
    return client(BEGIN, platform="PLATFORM_PINTEREST", external_id=owner)


def client_of(client: Client, owner: str | None = "alice") -> str:
    """The client id that a browser would be sent to the platform with."""
    [client_id] = parse_qs(urlsplit(begin(client, owner).url).query)["client_id"]
    return client_id


def callback(begun: Any) -> dict[str, str]:
    return {"callback_url": f"https://app.example/back?code=c&state={begun.state}"}


def connect(client: Client, owner: str | None = "alice") -> str:
    """The id of an account that was connected just now."""
    [account] = client(COMPLETE, **callback(begin(client, owner))).connected_accounts
    return str(account.id)


def disconnect(client: Client, account_id: str, running: Running) -> None:
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account_id)
    work_off(running.app)


# Which app connects.


def test_without_an_app_an_error_says_what_to_do(client: Client, network: Network) -> None:
    refused = client.fails(BEGIN, platform="PLATFORM_PINTEREST")
    assert refused.what == NOT_CONFIGURED
    assert refused.metadata == {"platform": "pinterest"}
    assert "SetPlatformApp" in refused.message
    assert "hitchpost apps set" in refused.message


def test_the_app_that_is_missing_is_named(client: Client, network: Network) -> None:
    assert client.fails(BEGIN, platform="PLATFORM_INSTAGRAM").metadata == {"platform": "facebook"}
    client(SET, platform="PLATFORM_FACEBOOK", client_id="facebooks", client_secret=secret())
    assert "client_id=facebooks" in client(BEGIN, platform="PLATFORM_INSTAGRAM").url


def test_an_owners_app_goes_before_the_projects(client: Client, stranger: Client, network: Network) -> None:
    set_app(stranger, "strangers", secret(), "alice")
    assert client.fails(BEGIN, platform="PLATFORM_PINTEREST", external_id="alice").what == NOT_CONFIGURED
    hers = set_app(client, "hers", secret(), "alice")
    assert client.fails(BEGIN, platform="PLATFORM_PINTEREST").what == NOT_CONFIGURED
    set_app(client, "ours", secret())
    assert [client_of(client, owner) for owner in ("alice", "Alice", "bob", None)] == [
        *("hers", "ours", "ours", "ours")
    ]
    client(DELETE, platform_app_id=hers.id)
    assert client_of(client, "alice") == "ours"


# Which app an account goes on with.


def test_an_account_remembers_the_app_it_was_connected_with(
    client: Client, network: Network, running: Running
) -> None:
    old, new = secret(), secret()
    before = set_app(client, "old", old)
    account_id = connect(client)
    after = set_app(client, "new", new)
    assert client_of(client) == "new"
    other_id = connect(client)
    assert [app.HasField("retire_time") for app in client(LIST).platform_apps] == [False, True]
    assert [app.id for app in client(LIST).platform_apps] == [after.id, before.id]
    network.asked.clear()
    disconnect(client, account_id, running)
    assert network.asked == [("/revoke", "old", old)]
    disconnect(client, other_id, running)
    assert network.asked[1:] == [("/revoke", "new", new)]


def test_a_new_secret_is_that_of_accounts_that_were_connected_before(
    client: Client, network: Network, running: Running
) -> None:
    first, second = secret(), secret()
    app = set_app(client, "ours", first)
    account_id = connect(client)
    assert network.asked == [("/token", "ours", first)]
    assert set_app(client, "ours", second).id == app.id
    disconnect(client, account_id, running)
    assert network.asked[1:] == [("/revoke", "ours", second)]


def test_an_attempt_ends_with_the_app_it_began_with(client: Client, network: Network) -> None:
    old = secret()
    set_app(client, "old", old)
    begun = begin(client)
    set_app(client, "new", secret())
    set_app(client, "hers", secret(), "alice")
    client(COMPLETE, **callback(begun))
    assert network.asked == [("/token", "old", old)]


def test_a_retired_app_that_is_set_again_is_the_same_and_in_use(client: Client, network: Network) -> None:
    first, second, last = secret(), secret(), secret()
    app = set_app(client, "first", first)
    other = set_app(client, "second", second)
    again = set_app(client, "first", last)
    assert (again.id, again.HasField("retire_time")) == (app.id, False)
    assert [one.id for one in client(LIST).platform_apps if one.HasField("retire_time")] == [other.id]
    assert client_of(client) == "first"


def test_with_its_app_what_an_account_needs_is_gone(
    client: Client, network: Network, running: Running, sql: Sql
) -> None:
    app = set_app(client, "ours", secret())
    account_id, begun = connect(client), begin(client)
    client(DELETE, platform_app_id=app.id)
    assert sql("SELECT * FROM platform_app WHERE id = %s", app.id) == []
    assert client.fails(DELETE, platform_app_id=app.id).what == ("NOT_FOUND", "PLATFORM_APP_NOT_FOUND")
    assert client.fails(COMPLETE, **callback(begun)).what == NOT_CONFIGURED
    network.asked.clear()
    disconnect(client, account_id, running)
    assert network.asked == []
    assert sql("SELECT * FROM token_revocation WHERE project_id = %s", client.project_id) == []


# What is set.


def test_without_a_secret_the_one_that_is_there_stays(
    client: Client, network: Network, running: Running
) -> None:
    kept = secret()
    set_app(client, "ours", kept)
    changed = client.app(client_id="ours", client_secret=None, settings={"region": "us", "tier": "1"})
    assert changed.has_client_secret
    assert list(changed.setting_names) == ["region", "tier"]
    connect(client)
    assert network.asked == [("/token", "ours", kept)]
    public = client.app(client_id="public", client_secret=None, settings={"region": "us"})
    assert not public.has_client_secret


NO_APP = {
    "PLATFORM_SANDBOX": "needs no app: CreateAuthUrl",
    "PLATFORM_MASTODON": "needs no app: Hitchpost registers one",
    "PLATFORM_INSTAGRAM": "connected with the app of facebook",
    "PLATFORM_THREADS": "can't be connected by this server",
}


@pytest.mark.parametrize(("platform", "said"), NO_APP.items())
def test_a_platform_that_takes_no_app_says_what_to_do(
    platform: str, said: str, client: Client, network: Network
) -> None:
    refused = client.fails(SET, platform=platform, client_id="c", client_secret=secret())
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("platform",))
    assert said in refused.message
    assert not client(LIST).platform_apps


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, ["settings.region"]),
        ({"region": ""}, ["settings.region"]),
        ({"region": "eu", "Region": "eu"}, ["settings.Region"]),
        ({"tier": "1", "zone": "a"}, ["settings.zone", "settings.region"]),
        (
            {f"{'😀' * 62}{number}": "x" for number in range(50)},
            ["settings." + "😀" * 62 + "0", "settings.region"],
        ),
    ],
)
def test_a_setting_that_is_unknown_or_missing_is_named_and_changes_nothing(
    settings: dict[str, str], fields: list[str], client: Client, network: Network
) -> None:
    before = set_app(client, "ours", secret())
    request = {"platform": "PLATFORM_PINTEREST", "client_secret": secret(), "settings": settings}
    for client_id in ("ours", "other"):
        refused = client.fails(SET, client_id=client_id, **request)
        assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", fields)
    assert list(client(LIST).platform_apps) == [before]


def test_apps_are_listed_in_pages_and_by_owner_and_platform(client: Client, network: Network) -> None:
    made = [set_app(client, unique("client"), secret(), owner) for owner in ("alice", "bob", None, "alice")]
    facebooks = client(SET, platform="PLATFORM_FACEBOOK", client_id="f", external_id="alice").platform_app
    newest = [facebooks.id, *(app.id for app in reversed(made))]
    found, tokens = [], [""]
    for _ in range(3):
        page = client(LIST, page_size=2, page_token=tokens[-1])
        found += [app.id for app in page.platform_apps]
        tokens.append(page.next_page_token)
    assert (found, tokens[3]) == (newest, "")
    ids = [app.id for app in client(LIST, external_ids=["alice"]).platform_apps]
    assert ids == [newest[0], newest[1], newest[4]]
    of_facebook = client(LIST, external_ids=["alice", "bob"], platforms=["PLATFORM_FACEBOOK"])
    assert [app.id for app in of_facebook.platform_apps] == [newest[0]]
    refused = client.fails(LIST, external_ids=["alice"], page_token=tokens[1])
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("page_token",))


# What nobody sees.


def everything(sql: Sql) -> str:
    """Each row of each table, as text; bytes as hexadecimal digits."""
    tables = sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return "\n".join(row for (table,) in tables for (row,) in sql(f'SELECT t::text FROM "{table}" t'))


def test_a_secret_is_stored_encrypted_with_the_settings(client: Client, sql: Sql, network: Network) -> None:
    client_id, client_secret, tier = unique("client"), secret(), secret()
    settings = {"region": "eu", "tier": tier}
    app = client.app(client_id=client_id, client_secret=client_secret, settings=settings)
    assert client_secret not in str(app)
    assert tier not in str(app)
    dump = everything(sql)
    assert client_id in dump
    for hidden in (client_secret, tier):
        assert hidden not in dump
        assert hidden.encode().hex() not in dump


def test_what_no_key_decrypts_can_be_set_again(
    client: Client, network: Network, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = set_app(client, "ours", secret())
    apps = running.app.platform_apps._apps
    monkeypatch.setattr(apps, "_vault", Vault(Fernet.generate_key().decode()))
    [listed] = client(LIST).platform_apps
    assert (listed.id, listed.has_client_secret, list(listed.setting_names)) == (stored.id, False, [])
    request = {"platform": "PLATFORM_PINTEREST", "client_id": "ours", "settings": {"region": "eu"}}
    refused = client.fails(SET, **request)
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("client_secret",))
    again = client(SET, **request, client_secret=secret()).platform_app
    assert (again.id, again.has_client_secret) == (stored.id, True)


# At the same time.

ROUNDS = 100


def test_an_app_that_no_key_decrypts_is_as_good_as_none(client: Client, sql: Sql, network: Network) -> None:
    set_app(client, "ours", secret())
    begun = begin(client)
    lost = Vault(Fernet.generate_key().decode()).encrypt("{}")
    sql("UPDATE platform_app SET secrets = %s WHERE project_id = %s", lost, client.project_id)
    assert client.fails(BEGIN, platform="PLATFORM_PINTEREST", external_id="alice").what == NOT_CONFIGURED
    assert client.fails(COMPLETE, **callback(begun)).what == NOT_CONFIGURED
    set_app(client, "ours", secret())
    assert connect(client)


@pytest.mark.parametrize("ids", [("one", "other"), ("same", "same")], ids=["two clients", "one client"])
def test_of_two_at_once_one_is_in_use(
    ids: tuple[str, str], client: Client, network: Network, running: Running, sql: Sql
) -> None:
    """Past the lanes, which might let them in one after the other."""
    caller, start = Caller(client.project_id, "key"), Barrier(2)
    platform = platform_pb2.PLATFORM_PINTEREST
    current = """SELECT external_id, count(*), count(*) FILTER (WHERE retire_time IS NULL) FROM platform_app
        WHERE project_id = %s GROUP BY external_id"""

    def set_all(client_id: str) -> list[registered_apps.RegisteredApp]:
        found = []
        for number in range(ROUNDS):
            start.wait(30)
            found.append(
                running.app.platform_apps.set(
                    caller,
                    platform,
                    f"owner-{number}",
                    client_id=client_id,
                    client_secret=secret(),
                    settings={"region": "eu"},
                )
            )
        database.close()
        return found

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(set_all, ids)
    assert all(app.retire_time is None for app in (*first, *second))
    apps = len(set(ids))
    assert sorted(sql(current, client.project_id)) == sorted(
        (f"owner-{number}", apps, 1) for number in range(ROUNDS)
    )
