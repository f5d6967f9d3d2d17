"""Hitchpost as a whole and a server that no one here wrote, connected as docs/platforms.md says.

From an auth URL to the revocation, over real gRPC and with a browser at the callback page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx2
import pytest

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.base.vault import Vault
from server.platforms import ClientApp
from tests.conftest import ENCRYPTION_KEY
from tests.kit.oidc_provider import OidcProvider, oidc_provider, registered
from tests.kit.servers import Server, eventually, local_channel, new_server, rows, started
from tests.kit.support import Client, secret

# An app by each way to authenticate, in the place of these platforms' own.
WAYS = {
    "x": ("client_secret_basic", ClientApp("an app: +%2F", f"{secret()}: +%2F=")),
    "linkedin": ("client_secret_post", ClientApp("another app", secret())),
    "threads": ("none", ClientApp("public")),
}
VAULT = Vault(ENCRYPTION_KEY)


@dataclass(frozen=True)
class World:
    """A server, the platform, and a project that has an app for each way that needs one."""

    server: Server
    platform: OidcProvider
    client: Client

    def send_away(self, name: str, owner: str) -> str:
        """An auth URL for the owner."""
        request = {"platform": f"PLATFORM_{name.upper()}", "external_id": owner}
        return str(self.client("SocialAccountService/CreateAuthUrl", **request).url)

    def come_back(self, name: str, owner: str) -> str:
        """The address of the callback that the browser of a person named like the owner is sent to."""
        callback_url = f"{self.server.web_url}/callback/{name}"
        return self.platform.agree(self.send_away(name, owner), callback_url, person=owner)

    def accounts(self, owner: str) -> list[Any]:
        request = {"external_ids": [owner]}
        return list(self.client("SocialAccountService/ListSocialAccounts", **request).social_accounts)

    def connect(self, name: str, owner: str) -> list[Any]:
        """The accounts that are connected when the person is back."""
        request = {"callback_url": self.come_back(name, owner)}
        return list(self.client("SocialAccountService/CompleteAuth", **request).connected_accounts)

    def make_due(self, account_id: str) -> None:
        """As if the access token had little time left."""
        statement = "UPDATE social_account_token SET due_time = now() WHERE social_account_id = %s"
        rows(self.server.settings["database_url"], statement, account_id)

    def stored_token(self, account_id: str, which: str = "access_token") -> str:
        """One of an account's tokens, decrypted."""
        statement = f"SELECT {which} FROM social_account_token WHERE social_account_id = %s"
        [[token]] = rows(self.server.settings["database_url"], statement, account_id)
        return VAULT.decrypt(token)

    def who(self, token: str) -> int:
        """How the platform answers who the token's person is."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.platform.url}/me"
        return httpx2.get(url, headers=headers, trust_env=False, verify=False).status_code


@pytest.fixture(scope="module")
def world(run_dir: Path, new_database: Callable[[], str]) -> Iterator[World]:
    server = new_server(run_dir, new_database(), allow_private_addresses="true")
    clients = [
        registered(app, method, f"{server.web_url}/callback/{name}") for name, (method, app) in WAYS.items()
    ]
    with oidc_provider(clients) as platform:
        ways = {name: _facts(name, *way) for name, way in WAYS.items()}
        file = run_dir / "oidc-provider.toml"
        file.write_text(platform.rows(**ways))
        server.settings["platforms_file"] = str(file)
        with started(server), local_channel(server.address) as channel:
            client = server.new_client(channel)
            _set_apps(client)
            yield World(server, platform, client)


def _facts(name: str, method: str, app: ClientApp) -> dict[str, str]:
    own = {} if app.client_secret else {"client_id": app.client_id}
    return {"platform": name, "app_of": name, "token_endpoint_auth_method": method, **own}


def _set_apps(client: Client) -> None:
    for name, (_, app) in WAYS.items():
        if app.client_secret:
            own = {"client_id": app.client_id, "client_secret": app.client_secret}
            client("PlatformAppService/SetPlatformApp", platform=f"PLATFORM_{name.upper()}", **own)


@pytest.fixture(params=WAYS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(url: str) -> httpx2.Response:
    return httpx2.get(url, trust_env=False, verify=False)


def test_a_profile_is_connected_by_the_callback_page(world: World, name: str) -> None:
    page = opened(world.come_back(name, f"ada-{name}"))
    assert page.status_code == 200, page.text
    assert f"ada-{name}" in page.text
    [account] = world.accounts(f"ada-{name}")
    assert account.platform == platform_pb2.Platform.Value(f"PLATFORM_{name.upper()}")
    assert (account.platform_user_id, account.username) == (f"ada-{name}", f"ada-{name}")
    assert account.display_name == f"The name of ada-{name}"
    assert list(account.scopes) == ["openid", "profile"]
    assert account.access_token_expire_time.seconds > account.create_time.seconds
    assert world.who(world.stored_token(account.id)) == 200


def test_disconnecting_ends_the_tokens_at_the_platform(world: World, name: str) -> None:
    [account] = world.connect(name, f"bob-{name}")
    token, before = world.stored_token(account.id), world.platform.asked("POST /revoke")
    assert world.who(token) == 200
    world.client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    eventually("both are revoked", lambda: world.platform.asked("POST /revoke") == before + 2)
    assert world.who(token) == 401


def test_tokens_are_kept_alive_and_each_refresh_token_is_used_once(world: World, name: str) -> None:
    [account] = world.connect(name, f"dora-{name}")
    seen = [world.stored_token(account.id)]
    for _ in range(2):
        world.make_due(account.id)
        eventually("they are refreshed", lambda: world.stored_token(account.id) not in seen)
        seen.append(world.stored_token(account.id))
        assert world.who(seen[-1]) == 200
    [account] = world.accounts(f"dora-{name}")
    assert account.state == pb.SOCIAL_ACCOUNT_STATE_CONNECTED
    assert list(account.scopes) == ["openid", "profile"]


def test_a_stolen_refresh_token_ends_the_connection_and_the_person_is_asked(world: World) -> None:
    """Both have used it, so the platform trusts neither."""
    [account] = world.connect("threads", "eve")
    stolen = {"grant_type": "refresh_token", "client_id": WAYS["threads"][1].client_id}
    stolen["refresh_token"] = world.stored_token(account.id, "refresh_token")
    answer = httpx2.post(f"{world.platform.url}/token", data=stolen, trust_env=False, verify=False)
    assert answer.status_code == 200
    world.make_due(account.id)
    needs = pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH
    eventually("it needs its person", lambda: world.accounts("eve")[0].state == needs)
    reason = pb.SOCIAL_ACCOUNT_REAUTH_REASON_TOKENS_REFUSED
    assert world.accounts("eve")[0].reauth_reason == reason
    assert world.who(answer.json()["access_token"]) == 401


@pytest.mark.parametrize("issuer", [None, "https://evil.example"], ids=["none", "another"])
def test_a_code_of_another_issuer_connects_nothing_and_is_sent_to_nobody(
    world: World, name: str, issuer: str | None
) -> None:
    """The mix-up attack: a server that the browser was sent to by mistake gets no code of another."""
    url = urlsplit(world.come_back(name, "carol"))
    own = dict(part.split("=") for part in url.query.split("&"))
    assert own.pop("iss")
    query = "&".join(f"{key}={value}" for key, value in own.items())
    query += f"&{urlencode({'iss': issuer})}" if issuer else ""
    mixed_up, before = urlunsplit(url._replace(query=query)), world.platform.asked("POST /token")
    failed = world.client.fails("SocialAccountService/CompleteAuth", callback_url=mixed_up)
    assert failed.what == ("FAILED_PRECONDITION", "AUTH_CODE_REFUSED")
    assert opened(mixed_up).status_code >= 400
    assert world.platform.asked("POST /token") == before
    assert world.accounts("carol") == []


def test_a_person_who_declines_is_told_so(world: World, name: str) -> None:
    callback_url = world.come_back(name, "nobody")
    failed = world.client.fails("SocialAccountService/CompleteAuth", callback_url=callback_url)
    assert failed.what[1] == "AUTH_DENIED"
    assert world.accounts("nobody") == []
