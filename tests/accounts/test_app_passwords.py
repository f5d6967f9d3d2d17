"""ConnectWithAppPassword against Bluesky's own server: the rules of ownership, and what stays of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import stored_tokens
from server.accounts.rows import StoredTokens
from server.base.vault import Vault
from server.platforms import Tokens
from tests.accounts.test_ownership import REFUSED, ROWS, prepare, row_name
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.due import work_off
from tests.kit.stored import stored
from tests.kit.support import Client, code_of, unique

Sql = Callable[..., list[tuple[Any, ...]]]
CONNECT = "SocialAccountService/ConnectWithAppPassword"
BLUESKY = "PLATFORM_BLUESKY"


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


def connect(client: Client, pds: Pds, person: BlueskyAccount, external_id: str | None) -> Any:
    """Connects by a new app password. Raises grpc.RpcError."""
    password = pds.new_app_password(person)
    return client(CONNECT, handle=person.did, app_password=password, external_id=external_id).social_account


@pytest.mark.parametrize("row", ROWS, ids=row_name)
def test_truth_table(row: dict[str, Any], client: Client, sql: Sql, pds: Pds, person: BlueskyAccount) -> None:
    old_id = prepare(sql, client, person.did, row["record"], platform=BLUESKY)
    before = stored(sql, client)
    request = {"handle": person.did, "app_password": pds.new_app_password(person)}
    if row["want"] == "ALREADY_EXISTS":
        refused = client.fails(CONNECT, **request, external_id=row["attempt"])
        assert (refused.what, refused.metadata) == (REFUSED, {"platform": "bluesky"})
        assert stored(sql, client) == before
        # Nothing stays at the server that nobody knows of.
        assert pds.sessions(person) == 0
        return
    account = client(CONNECT, **request, external_id=row["attempt"]).social_account
    assert (account.external_id if account.HasField("external_id") else None) == row["owner"]
    assert account.state == pb.SOCIAL_ACCOUNT_STATE_CONNECTED
    assert (account.id == old_id) == (row["want"] in ("reconnected", "claimed"))
    assert pds.sessions(person) == 1


def test_what_is_connected_is_the_account_and_not_its_password(
    client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    pds.write_profile(person, displayName="Alice Example")
    password = pds.new_app_password(person)
    account = client(
        CONNECT, handle=person.handle, app_password=password, service_url=pds.url, external_id="alice"
    ).social_account
    assert (account.platform, account.platform_user_id) == (platform_pb2.PLATFORM_BLUESKY, person.did)
    assert (account.username, account.display_name) == (person.handle, "Alice Example")
    assert account.external_id == "alice"
    assert account.HasField("access_token_expire_time")
    tokens = kept(sql, client)
    assert tokens.context == {"did": person.did, "handle": person.handle, "pds": pds.url}
    assert tokens.refresh_token
    tables = ("social_account", "social_account_token", "idempotent_request")
    everything = [
        sql(f"SELECT t::text FROM {table} t WHERE project_id = %s", client.project_id) for table in tables
    ]
    assert all(everything[:2])
    assert password not in f"{everything} {tokens.access_token} {tokens.refresh_token}"


def test_a_password_that_is_wrong_connects_nothing_and_says_what_to_do(
    client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    for service_url in ("", pds.url):
        refused = client.fails(
            CONNECT, handle=person.did, app_password="abcd-efgh-ijkl-mnop", service_url=service_url
        )
        assert refused.what == ("FAILED_PRECONDITION", "APP_PASSWORD_REFUSED")
        assert refused.metadata == {"platform": "bluesky"}
        assert "make a new one" in refused.message
    assert stored(sql, client) == []


def test_the_accounts_own_password_is_no_app_password(client: Client, person: BlueskyAccount) -> None:
    refused = client.fails(CONNECT, handle=person.did, app_password=person.password)
    assert (refused.what, refused.fields) == (("INVALID_ARGUMENT", "FIELD_INVALID"), ("app_password",))


@pytest.mark.parametrize("handle", ["did:plc:" + "a" * 24, "did:web:localhost%3A9"])
def test_who_is_nowhere_is_unknown(client: Client, pds: Pds, handle: str) -> None:
    refused = client.fails(CONNECT, handle=handle, app_password="abcd-efgh-ijkl-mnop")
    # A DID's server that can't be reached may be there later; one that the directory does not know won't.
    unknown = ("FAILED_PRECONDITION", "HANDLE_UNKNOWN")
    assert refused.what == (unknown if "plc" in handle else ("UNAVAILABLE", "PLATFORM_UNAVAILABLE"))


def test_a_server_that_is_not_there_is_waited_for_later(client: Client, sql: Sql) -> None:
    refused = client.fails(
        CONNECT, handle="alice.test", app_password="abcd-efgh-ijkl-mnop", service_url="http://127.0.0.1:9"
    )
    assert (refused.what, refused.retry) == (("UNAVAILABLE", "PLATFORM_UNAVAILABLE"), True)
    assert stored(sql, client) == []


def test_a_scope_is_the_owner_and_names_no_other(
    client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    alice = client.as_owner("alice")
    password = pds.new_app_password(person)
    refused = alice.fails(CONNECT, handle=person.did, app_password=password, external_id="bob")
    assert refused.what == ("PERMISSION_DENIED", "OWNER_MISMATCH")
    assert (stored(sql, client), pds.sessions(person)) == ([], 0)
    assert connect(alice, pds, person, None).external_id == "alice"
    other = client.as_owner("bob").fails(CONNECT, handle=person.did, app_password=password)
    assert other.what == REFUSED


def test_a_call_can_be_repeated(client: Client, sql: Sql, pds: Pds, person: BlueskyAccount) -> None:
    password = pds.new_app_password(person)
    request = {"handle": person.did, "app_password": password, "request_id": unique("request")}
    first = client(CONNECT, **request, external_id="alice")
    before = stored(sql, client)
    # The first answer is given without another look at the platform.
    pds.revoke_app_passwords(person)
    assert client(CONNECT, **request, external_id="alice") == first
    for changed in ({"external_id": "bob"}, {"app_password": "abcd-efgh-ijkl-mnop", "external_id": "alice"}):
        refused = client.fails(CONNECT, **(request | changed))
        assert refused.what == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")
    assert stored(sql, client) == before


def test_a_refused_call_leaves_its_request_id_free(client: Client, pds: Pds, person: BlueskyAccount) -> None:
    request = {"handle": person.did, "request_id": unique("request")}
    wrong = client.fails(CONNECT, **request, app_password="abcd-efgh-ijkl-mnop")
    assert wrong.reason == "APP_PASSWORD_REFUSED"
    assert client(CONNECT, **request, app_password=pds.new_app_password(person)).social_account.id


@pytest.mark.parametrize("call", ["DisconnectSocialAccount", "DeleteSocialAccount"])
def test_the_session_ends_with_the_account(
    call: str, running: Running, client: Client, pds: Pds, person: BlueskyAccount
) -> None:
    account = connect(client, pds, person, "alice")
    assert pds.sessions(person) == 1
    client(f"SocialAccountService/{call}", social_account_id=account.id)
    work_off(running.app)
    assert pds.sessions(person) == 0


def test_of_owners_that_come_at_once_one_gets_the_account(
    client: Client, pds: Pds, person: BlueskyAccount
) -> None:
    request = {"handle": person.did, "app_password": pds.new_app_password(person)}
    start = Barrier(8)

    def call(number: int) -> str:
        start.wait(60)
        return code_of(lambda: client(CONNECT, **request, external_id=f"owner-{number}"))

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(call, range(8)))
    assert codes == ["ALREADY_EXISTS"] * 7 + ["OK"]
    assert pds.sessions(person) == 1


def kept(sql: Sql, client: Client) -> Tokens:
    """The tokens of the project's only account."""
    [row] = sql(
        "SELECT access_token, refresh_token, context FROM social_account_token WHERE project_id = %s",
        client.project_id,
    )
    return stored_tokens.decrypted(StoredTokens(*row), Vault(ENCRYPTION_KEY))
