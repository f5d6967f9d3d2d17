"""What becomes of an account: updated, transferred, disconnected, deleted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx2
import pytest

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.base.vault import Vault
from tests.accounts.test_ownership import REFUSED, by_complete_auth
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.due import work_off
from tests.kit.stored import stored, stored_tokens
from tests.kit.support import Client, failure, import_request, unique

Sql = Callable[..., list[tuple[Any, ...]]]


def test_disconnecting_erases_the_tokens_and_keeps_the_owner(client: Client, sql: Sql) -> None:
    account = client.connect("42", "alice")
    call = "SocialAccountService/DisconnectSocialAccount"
    gone = client(call, social_account_id=account.id).social_account
    assert gone.state == pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED
    assert gone.external_id == "alice"
    assert stored_tokens(sql, client) == []
    assert client(call, social_account_id=account.id).social_account == gone


def test_disconnecting_revokes_at_the_platform(client: Client, running: Running, sql: Sql) -> None:
    by_complete_auth(client, unique("person"), "alice")
    account = client("SocialAccountService/ListSocialAccounts").social_accounts[0]
    access_token = Vault(ENCRYPTION_KEY).decrypt(stored_tokens(sql, client)[0][0])
    profiles_url = f"{running.settings.public_url}/sandbox/profiles"
    bearer = {"Authorization": f"Bearer {access_token}"}
    assert httpx2.get(profiles_url, headers=bearer, trust_env=False).status_code == 200
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    work_off(running.app)
    assert httpx2.get(profiles_url, headers=bearer, trust_env=False).status_code == 401


def test_update_sets_an_owner_once(client: Client) -> None:
    account = client.connect("42")

    def update(external_id: str | None, **fields: Any) -> pb.UpdateSocialAccountRequest:
        changed = pb.SocialAccount(id=account.id, external_id=external_id, **fields)
        return pb.UpdateSocialAccountRequest(social_account=changed, update_mask={"paths": ["external_id"]})

    call = "SocialAccountService/UpdateSocialAccount"
    assert client(call, update("alice")).social_account.external_id == "alice"
    assert client(call, update("alice")).social_account.external_id == "alice"
    immutable = ("PERMISSION_DENIED", "EXTERNAL_ID_IMMUTABLE")
    assert client.fails(call, update("bob")).what == immutable
    assert client.fails(call, update(None)).what == immutable


def test_of_updates_that_give_an_owner_at_once_one_does(client: Client) -> None:
    account = client.connect("42")

    def give(external_id: str) -> str:
        given = {"id": account.id, "external_id": external_id}
        try:
            client("SocialAccountService/UpdateSocialAccount", social_account=given)
        except grpc.RpcError as error:
            return failure(error).reason
        return external_id

    owners = [f"owner-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(give, owners))
    [owner] = set(ends) - {"EXTERNAL_ID_IMMUTABLE"}
    assert ends.count("EXTERNAL_ID_IMMUTABLE") == 7
    after = client("SocialAccountService/GetSocialAccount", social_account_id=account.id).social_account
    assert after.external_id == owner


def test_update_replaces_metadata_and_keeps_the_rest(client: Client) -> None:
    account = client.connect("42", "alice", metadata={"a": "1", "b": "2"})
    changed = client(
        "SocialAccountService/UpdateSocialAccount",
        social_account={
            "id": account.id,
            "metadata": {"c": "3"},
            "username": "ignored",
            "etag": account.etag,
        },
    ).social_account
    assert dict(changed.metadata) == {"c": "3"}
    assert (changed.external_id, changed.username) == ("alice", "42")
    assert changed.etag != account.etag
    reconnected = client.connect("42", "alice")
    assert dict(reconnected.metadata) == {"c": "3"}


def test_transfer_is_recorded(client: Client, sql: Sql) -> None:
    account = client.connect("42", "alice")
    moved = transfer(client, account.id, "alice", "bob").social_account
    assert moved.external_id == "bob"
    assert (
        client.fails("SocialAccountService/ImportSocialAccount", import_request("42", "alice")).what
        == REFUSED
    )
    events = sql(
        """SELECT action, social_account_id, from_external_id, to_external_id, api_key_id LIKE 'key_%%'
        FROM audit_event WHERE project_id = %s""",
        client.project_id,
    )
    assert events == [("transfer", account.id, "alice", "bob", True)]


def transfer(client: Client, account_id: str, old: str, new: str, etag: str = "") -> Any:
    return client(
        "SocialAccountService/TransferSocialAccount",
        social_account_id=account_id,
        from_external_id=old,
        to_external_id=new,
        etag=etag,
    )


@pytest.mark.parametrize("owner", ["alice", None])
def test_transfer_from_the_wrong_owner_is_refused(owner: str | None, client: Client, sql: Sql) -> None:
    account = client.connect("42", owner)
    before = stored(sql, client)
    with pytest.raises(grpc.RpcError) as refused:
        transfer(client, account.id, "carol", "bob")
    assert failure(refused.value).what == ("PERMISSION_DENIED", "OWNER_MISMATCH")
    assert stored(sql, client) == before
    assert sql("SELECT 1 FROM audit_event WHERE project_id = %s", client.project_id) == []


STALE = [
    ("DisconnectSocialAccount", {}),
    ("DeleteSocialAccount", {}),
    ("TransferSocialAccount", {"from_external_id": "alice", "to_external_id": "bob"}),
]


@pytest.mark.parametrize(("method", "fields"), STALE, ids=[method for method, _ in STALE])
def test_a_stale_etag_is_refused(method: str, fields: dict[str, str], client: Client, sql: Sql) -> None:
    account = client.connect("42", "alice")
    fresh = client.connect("42", "alice")
    before = stored(sql, client)
    request = {"social_account_id": account.id, **fields}
    refused = client.fails(f"SocialAccountService/{method}", etag=account.etag, **request)
    assert refused.what == ("ABORTED", "ETAG_MISMATCH")
    assert stored(sql, client) == before
    client(f"SocialAccountService/{method}", etag=fresh.etag, **request)


def test_an_account_that_posts_name_is_not_deleted(client: Client, sql: Sql) -> None:
    account = client.connect("42", "alice")
    post = client.draft(account.id)
    before = stored(sql, client)
    refused = client.fails("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    assert refused.what == ("FAILED_PRECONDITION", "SOCIAL_ACCOUNT_HAS_POSTS")
    assert stored(sql, client) == before
    client("SocialPostService/DeleteSocialPost", social_post_id=post.id)
    client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    assert stored(sql, client) == []
