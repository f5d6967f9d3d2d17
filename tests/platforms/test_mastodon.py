"""Mastodon: whoever has a server decides what it answers, and none of that leads to another one."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from server.base.identity import utc_now
from server.platforms import Asked, ClientApp, PlatformRefused, PlatformUnreachable, Returned, facts
from server.platforms.addresses import resolve
from server.platforms.http import Http
from server.platforms.mastodon import MastodonPlatform
from tests.kit.mastodon import DESCRIPTION, ENDPOINTS, Instance, answer, redirect
from tests.kit.outgoing import MockResolver
from tests.kit.support import secret

REDIRECT_URI = "https://hitchpost.example.com/callback/mastodon"
ROW = facts.read("https://hitchpost.example.com")["mastodon"]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Instance, Instance]]:
    with Instance().serving() as one, Instance().serving() as other:
        yield one, other


@pytest.fixture
def instance(running: tuple[Instance, Instance]) -> Instance:
    running[0].forget()
    return running[0]


@pytest.fixture
def elsewhere(running: tuple[Instance, Instance]) -> Iterator[Instance]:
    """A server that nobody named."""
    yield running[1]
    assert running[1].visited == []


def way(allow_private: bool = True, resolver: Any = resolve) -> MastodonPlatform:
    http = Http(allow_private=allow_private, resolve=resolver)
    return MastodonPlatform("mastodon", ROW, http, allow_private=allow_private)


def register(
    instance: str, known: ClientApp | None = None, redirect_uri: str = REDIRECT_URI, **how: Any
) -> ClientApp | None:
    """The client for a login at the server."""
    return way(**how).register(known, asked(instance, redirect_uri), time.monotonic() + 10)


def asked(instance: str, redirect_uri: str = REDIRECT_URI) -> Asked:
    """What a login at the server is begun with."""
    return Asked(
        redirect_uri=redirect_uri,
        state="s",
        code_verifier="v" * 64,
        permissions=(),
        options={"instance": instance},
    )


def test_a_client_is_registered_once(instance: Instance) -> None:
    client = register(instance.name)
    assert client is not None
    assert instance.apps == {client.client_id: (client.client_secret, REDIRECT_URI)}
    assert register(instance.name, client) is client
    assert instance.visited == [DESCRIPTION, "/api/v1/apps", "/oauth/token"]


def test_a_client_that_the_server_has_forgotten_is_replaced(instance: Instance) -> None:
    forgotten = register(instance.name)
    instance.apps.clear()
    client = register(instance.name, forgotten)
    assert client not in (None, forgotten)
    assert len(instance.apps) == 1


def test_a_client_whose_browsers_could_not_come_back_is_replaced(instance: Instance) -> None:
    moved = register(instance.name)
    client = register(instance.name, moved, redirect_uri="https://new.example.com/callback/mastodon")
    assert client not in (None, moved)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_fails_has_not_forgotten(status: int, instance: Instance) -> None:
    client = register(instance.name)
    instance.says["/oauth/token"] = answer({"error": "invalid_client"}, status)
    with pytest.raises(PlatformUnreachable):
        register(instance.name, client)
    assert len(instance.apps) == 1


@pytest.mark.parametrize("said", [answer({"error": "Not Found"}, 404), answer([]), answer("<html>")])
def test_versions_before_4_3_do_not_describe_themselves(said: Any, instance: Instance) -> None:
    instance.says[DESCRIPTION] = said
    assert register(instance.name) is not None


@pytest.mark.parametrize("name", ["issuer", *ENDPOINTS])
@pytest.mark.parametrize("where", ["{elsewhere}{path}", "{instance}/other", "", 7, ["{instance}{path}"]])
def test_a_server_that_describes_itself_as_another_is_refused(
    name: str, where: Any, instance: Instance, elsewhere: Instance
) -> None:
    path = ENDPOINTS.get(name, "/")
    if isinstance(where, str):
        where = where.format(elsewhere=elsewhere.url, instance=instance.url, path=path)
    instance.says[DESCRIPTION] = answer({**instance.description(), name: where})
    with pytest.raises(PlatformRefused, match=f"another {name.removesuffix('_endpoint')}"):
        register(instance.name)
    assert instance.apps == {}


@pytest.mark.parametrize("path", [DESCRIPTION, "/api/v1/apps"])
def test_a_server_that_redirects_is_refused(path: str, instance: Instance, elsewhere: Instance) -> None:
    instance.says[path] = redirect(f"{elsewhere.url}{path}")
    with pytest.raises(PlatformRefused, match="redirect"):
        register(instance.name)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "0.0.0.0"])
def test_this_machine_is_refused_unless_it_is_allowed(host: str, instance: Instance) -> None:
    name = f"{host}:{instance.name.partition(':')[2]}"
    with pytest.raises(PlatformUnreachable, match="not public"):
        register(name, allow_private=False)
    assert instance.visited == []


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "fd00::1", "::1"])
def test_a_name_of_a_private_address_is_refused(address: str) -> None:
    resolver = MockResolver([address])
    with pytest.raises(PlatformUnreachable, match="not public"):
        register("mastodon.example", allow_private=False, resolver=resolver)
    assert resolver.asked == ["mastodon.example"]


def test_where_clouds_keep_credentials_is_refused_always() -> None:
    with pytest.raises(PlatformUnreachable, match="not public"):
        register("169.254.169.254:80")


def test_a_name_that_means_another_machine_the_second_time_is_refused(instance: Instance) -> None:
    port = instance.name.partition(":")[2]
    rebinding = MockResolver(["127.0.0.1"], ["169.254.169.254"])
    # Its description would name it by the other name.
    instance.says[DESCRIPTION] = answer({}, 404)
    client = register(f"rebinding.test:{port}", resolver=rebinding)
    with pytest.raises(PlatformUnreachable, match="not public"):
        register(f"rebinding.test:{port}", client, resolver=rebinding)
    assert instance.visited == [DESCRIPTION, "/api/v1/apps"]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("mastodon.example", "mastodon.example"),
        ("Mastodon.EXAMPLE", "mastodon.example"),
        ("mastodon.example:443", "mastodon.example"),
        ("mastodon.example:8443", "mastodon.example:8443"),
    ],
)
def test_a_server_has_one_name(said: str, name: str) -> None:
    assert way().instance({"instance": said}) == name


@pytest.mark.parametrize(
    ("name", "allow_private", "address"),
    [
        ("mastodon.example", False, "https://mastodon.example/"),
        ("mastodon.example:3000", False, "https://mastodon.example:3000/"),
        ("mastodon.example", True, "https://mastodon.example/"),
        ("mastodon.example:3000", True, "http://mastodon.example:3000/"),
    ],
)
def test_nothing_is_said_in_clear_text_unless_private_addresses_are_allowed(
    name: str, allow_private: bool, address: str
) -> None:
    begun = way(allow_private).begin(ClientApp("client"), asked(name), 0)
    assert begun.url.startswith(f"{address}oauth/authorize?")
    assert begun.flow["instance"] == address.removesuffix("/")


@pytest.mark.parametrize("issuer", ["https://another.example", "https://mastodon.example.another.example/"])
def test_a_code_of_another_server_is_refused(issuer: str) -> None:
    with pytest.raises(PlatformRefused, match="another issuer"):
        way().exchange(
            ClientApp("client"),
            Returned(
                code=secret(),
                issuer=issuer,
                redirect_uri=REDIRECT_URI,
                code_verifier=secret(),
                flow={"instance": "https://mastodon.example"},
            ),
            utc_now(),
            0,
        )
