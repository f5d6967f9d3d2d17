"""Mastodon accounts, connected over the whole product at stand-ins for their servers."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.conftest import Running
from tests.kit.due import work_off
from tests.kit.mastodon import DESCRIPTION, Instance, answer, redirect
from tests.kit.support import Client, free_port

Sql = Callable[..., list[tuple[Any, ...]]]
BEGIN = "SocialAccountService/CreateAuthUrl"
# More than a process has threads for calls that wait for a platform.
CALLS = 6
APPS = "SELECT id, instance, retire_time IS NULL FROM platform_app WHERE project_id = %s ORDER BY create_time"


@pytest.fixture(scope="module")
def instances() -> Iterator[tuple[Instance, Instance]]:
    with Instance().serving() as one, Instance().serving() as other:
        yield one, other


@pytest.fixture
def instance(instances: tuple[Instance, Instance]) -> Instance:
    for one in instances:
        one.forget()
    return instances[0]


@pytest.fixture
def other(instances: tuple[Instance, Instance]) -> Instance:
    return instances[1]


def asked(instance: str, **fields: Any) -> dict[str, Any]:
    """CreateAuthUrl's request for a login at the server."""
    return {
        "platform": "PLATFORM_MASTODON",
        "platform_options": {"mastodon": {"instance": instance}},
        **fields,
    }


def connect(client: Client, instance: Instance, name: str = "", **fields: Any) -> Any:
    """The account that alice's login at the server brings; `name` is how it is named, if not by its own."""
    url = client(BEGIN, **asked(name or instance.name, **fields)).url
    answer = client("SocialAccountService/CompleteAuth", callback_url=instance.agree(url))
    [account] = answer.connected_accounts
    return account


def client_id(url: str) -> str:
    return parse_qs(urlsplit(url).query)["client_id"][0]


def test_an_account(client: Client, instance: Instance) -> None:
    account = connect(client, instance, external_id="bob")
    assert account.platform_user_id == f"1@{instance.name}"
    assert account.username == f"alice@{instance.name}"
    assert account.display_name == "Alice"
    assert account.profile_photo_url == "https://files.example/alice.png"
    assert account.external_id == "bob"
    assert list(account.scopes) == ["read:accounts", "write:statuses", "write:media"]
    assert not account.HasField("access_token_expire_time")


LIMITS = "SELECT limits FROM social_account WHERE id = %s"


def test_the_servers_limits_are_known_from_the_beginning(
    client: Client, instance: Instance, sql: Sql
) -> None:
    account = connect(client, instance)
    [(known,)] = sql(LIMITS, account.id)
    assert (known["most_characters"], known["image_types"]) == (500, ["image/jpeg", "image/png"])
    # A server that says nothing the next time has taken nothing back; and it is connected all the same.
    instance.says["/api/v2/instance"] = instance.says["/api/v1/instance"] = answer({"error": "busy"}, 503)
    assert connect(client, instance).id == account.id
    assert sql(LIMITS, account.id) == [(known,)]


def test_what_a_server_says_of_itself_does_not_keep_it_from_being_connected(
    client: Client, instance: Instance, sql: Sql
) -> None:
    said = {"statuses": {"max_characters": 10**400}, "media_attachments": {"supported_mime_types": ["a\0/b"]}}
    instance.says["/api/v2/instance"] = answer({"configuration": said})
    assert sql(LIMITS, connect(client, instance).id) == [(None,)]


def test_an_older_server_says_its_limits_elsewhere(client: Client, instance: Instance, sql: Sql) -> None:
    instance.says["/api/v2/instance"] = answer({"error": "Not Found"}, 404)
    [(known,)] = sql(LIMITS, connect(client, instance).id)
    assert known["most_characters"] == 500


def test_a_server_that_leads_elsewhere_says_no_limits(
    client: Client, instance: Instance, other: Instance, sql: Sql
) -> None:
    for path in ("/api/v2/instance", "/api/v1/instance"):
        instance.says[path] = redirect(f"{other.url}{path}")
    assert sql(LIMITS, connect(client, instance).id) == [(None,)]
    assert other.visited == []


def test_the_web_callback(client: Client, instance: Instance) -> None:
    callback = instance.agree(client(BEGIN, **asked(instance.name)).url)
    assert httpx2.get(callback, trust_env=False).status_code == 200
    [account] = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert account.username == f"alice@{instance.name}"


def test_the_instance_has_to_be_said(client: Client) -> None:
    failure = client.fails(BEGIN, platform="PLATFORM_MASTODON")
    assert failure.what == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert failure.fields == ("platform_options.mastodon.instance",)


def test_a_project_registers_once_at_a_server(
    client: Client, stranger: Client, instance: Instance, sql: Sql
) -> None:
    for one in (client, client, stranger):
        connect(one, instance)
    assert instance.visited.count("/api/v1/apps") == 2
    for one in (client, stranger):
        [(_, name, in_use)] = sql(APPS, one.project_id)
        assert (name, in_use) == (instance.name, True)


def test_two_registrations_at_once_end_with_one(client: Client, instance: Instance, sql: Sql) -> None:
    with ThreadPoolExecutor(8) as threads:
        urls = list(threads.map(lambda _: client(BEGIN, **asked(instance.name)).url, range(8)))
    assert len(set(map(client_id, urls))) == 1
    assert len(sql(APPS, client.project_id)) == 1
    assert 1 <= len(instance.apps) <= 8


def test_a_server_that_has_forgotten_the_app_gets_a_new_registration(
    client: Client, instance: Instance, sql: Sql
) -> None:
    before = client(BEGIN, **asked(instance.name)).url
    [first] = sql(APPS, client.project_id)
    forgotten = dict(instance.apps)
    instance.apps.clear()
    connect(client, instance)
    assert sql(APPS, client.project_id)[0] == (*first[:2], False)
    assert [in_use for *_, in_use in sql(APPS, client.project_id)] == [False, True]
    # What was begun with the old one is ended with the old one.
    instance.apps |= forgotten
    assert client("SocialAccountService/CompleteAuth", callback_url=instance.agree(before))


def test_the_same_id_at_two_servers_is_two_accounts(
    client: Client, instance: Instance, other: Instance
) -> None:
    one, two = connect(client, instance, external_id="a"), connect(client, other, external_id="b")
    assert one.id != two.id
    assert {one.platform_user_id, two.platform_user_id} == {f"1@{instance.name}", f"1@{other.name}"}


def test_a_second_name_of_a_server_is_no_second_account(client: Client, instance: Instance) -> None:
    """Else one profile could have two owners."""
    port = instance.name.partition(":")[2]
    account = connect(client, instance, external_id="bob")
    # It describes itself by its own name; a version that doesn't says it with the account.
    failure = client.fails(BEGIN, **asked(f"localhost:{port}", external_id="mallory"))
    assert failure.what == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert failure.fields == ("platform_options.mastodon.instance",)
    instance.says[DESCRIPTION] = answer({}, 404)
    url = client(BEGIN, **asked(f"localhost:{port}", external_id="mallory")).url
    callback = instance.agree(url.replace("localhost", "127.0.0.1"))
    failure = client.fails("SocialAccountService/CompleteAuth", callback_url=callback)
    assert failure.what == ("ABORTED", "AUTH_INTERRUPTED")
    [only] = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert only == account


def test_another_owner_cannot_have_it(client: Client, instance: Instance) -> None:
    connect(client, instance, external_id="bob")
    url = client(BEGIN, **asked(instance.name.upper(), external_id="mallory")).url
    failure = client.fails("SocialAccountService/CompleteAuth", callback_url=instance.agree(url))
    assert failure.what == ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")


def test_its_token_is_revoked_at_its_server(
    client: Client, instance: Instance, other: Instance, running: Running
) -> None:
    account = connect(client, instance)
    connect(client, other)
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    work_off(running.app)
    assert len(instance.revoked) == 1
    assert other.revoked == []


@pytest.mark.parametrize("name", ["169.254.169.254", "169.254.169.254:80", "no-such-host.invalid"])
def test_a_server_that_may_not_or_can_not_be_reached(name: str, client: Client, sql: Sql) -> None:
    assert client.fails(BEGIN, **asked(name)).what == ("UNAVAILABLE", "PLATFORM_UNAVAILABLE")
    assert sql(APPS, client.project_id) == []
    assert sql("SELECT 1 FROM auth_session WHERE project_id = %s", client.project_id) == []


def test_a_closed_port(client: Client) -> None:
    name = f"127.0.0.1:{free_port()}"
    assert client.fails(BEGIN, **asked(name)).what == ("UNAVAILABLE", "PLATFORM_UNAVAILABLE")


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"client_id": "", "client_secret": "s"},
        {"client_id": "c", "client_secret": ""},
        {"client_id": "c" * 256, "client_secret": "s"},
        {"client_id": "c", "client_secret": "s" * 256},
        {"client_id": "c\0", "client_secret": "s"},
    ],
)
def test_an_unreadable_registration(said: Any, client: Client, instance: Instance, sql: Sql) -> None:
    instance.says["/api/v1/apps"] = answer(said)
    assert client.fails(BEGIN, **asked(instance.name)).what == ("UNAVAILABLE", "PLATFORM_UNAVAILABLE")
    assert sql(APPS, client.project_id) == []


def test_a_registration_that_is_refused(client: Client, instance: Instance, sql: Sql) -> None:
    instance.says["/api/v1/apps"] = answer({"error": "Validation failed"}, 422)
    failure = client.fails(BEGIN, **asked(instance.name))
    assert failure.what == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert failure.fields == ("platform_options.mastodon.instance",)
    assert sql(APPS, client.project_id) == []


def test_a_server_that_is_silent_leaves_threads_to_other_platforms(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(CALLS) as pool:
        silent.settimeout(20)
        request = asked(f"127.0.0.1:{silent.getsockname()[1]}")
        waiting = [pool.submit(client.fails, BEGIN, **request) for _ in range(CALLS)]
        # The first of them is at work by now.
        connection, _ = silent.accept()
        assert client(BEGIN, platform="PLATFORM_SANDBOX").url
        assert not any(call.done() for call in waiting)
        connection.close()
        silent.close()
    assert {call.result().what for call in waiting} == {("UNAVAILABLE", "PLATFORM_UNAVAILABLE")}
