"""The truth table of ownership: every row of cases/ownership.yaml, on every path that writes an account."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import yaml

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.vault import Vault
from server.web.sandbox_api import profile_id
from tests.conftest import ENCRYPTION_KEY, Running
from tests.support import Client, failure, import_request, unique
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]
Refused = tuple[str, str]
Attempt = Callable[[Client, str, str | None], Any]

ROWS = yaml.safe_load((Path(__file__).parent / "cases" / "ownership.yaml").read_text())
REFUSED = ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")


def by_import(client: Client, handle: str, external_id: str | None) -> None:
    """ImportSocialAccount. Raises grpc.RpcError."""
    client.connect(profile_id(handle), external_id)


def by_complete_auth(client: Client, handle: str, external_id: str | None) -> None:
    """CreateAuthUrl, the person's browser, CompleteAuth. Raises grpc.RpcError."""
    with Person(handle) as person:
        callback_url = person.agree(auth_url(client, external_id))
    client("SocialAccountService/CompleteAuth", callback_url=callback_url)


def by_web_callback(client: Client, handle: str, external_id: str | None) -> None:
    """CreateAuthUrl, the person's browser, Hitchpost's callback. Raises RefusedPage."""
    with Person(handle) as person:
        page = person.open(person.agree(auth_url(client, external_id)))
    if page.status_code != 200:
        raise RefusedPage(page.status_code, page.text)


PATHS = [by_import, by_complete_auth, by_web_callback]


class RefusedPage(Exception):
    """The callback showed a failure."""


def auth_url(client: Client, external_id: str | None, **fields: Any) -> str:
    answer = client(
        "SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", external_id=external_id, **fields
    )
    return answer.url


def attempt(path: Attempt, client: Client, handle: str, external_id: str | None) -> Refused | None:
    """None when it went through, else code and reason; the web page has only its HTTP status for that."""
    try:
        path(client, handle, external_id)
    except grpc.RpcError as error:
        refused = failure(error)
        assert refused.metadata == {"platform": "sandbox"}
        return refused.what
    except RefusedPage as page:
        status, text = page.args
        assert status == 409
        assert "already connected for somebody else" in text
        return REFUSED
    return None


def stored(sql: Sql, client: Client) -> list[tuple[Any, ...]]:
    """Every byte of the project's accounts and tokens."""
    return sql(
        """SELECT account.*, token.* FROM social_account account
        LEFT JOIN social_account_token token ON token.social_account_id = account.id
        WHERE account.project_id = %s""",
        client.project_id,
    )


def prepare(sql: Sql, client: Client, handle: str, record: Any) -> str | None:
    """Stores the record that a row begins with, and returns its id."""
    if record == "none":
        return None
    owner = record["owner"] if isinstance(record, dict) else "alice"
    account = client.connect(profile_id(handle), owner)
    if record == "deleted":
        client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    elif record["state"] == "DISCONNECTED":
        client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    else:
        state = pb.SocialAccountState.Value(f"SOCIAL_ACCOUNT_STATE_{record['state']}")
        sql("UPDATE social_account SET state = %s WHERE id = %s", state, account.id)
    return str(account.id)


def row_name(row: dict[str, Any]) -> str:
    record = row["record"]
    before = record if isinstance(record, str) else f"{record['owner']}-{record['state']}"
    return f"{before}-by-{row['attempt']}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
@pytest.mark.parametrize("row", ROWS, ids=row_name)
def test_truth_table(row: dict[str, Any], path: Attempt, client: Client, sql: Sql) -> None:
    handle = unique("person")
    old_id = prepare(sql, client, handle, row["record"])
    before = stored(sql, client)

    refused = attempt(path, client, handle, row["attempt"])

    after = stored(sql, client)
    if row["want"] == "ALREADY_EXISTS":
        assert refused == REFUSED
        assert after == before
        return
    assert refused is None
    accounts = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert [(a.external_id if a.HasField("external_id") else None) for a in accounts] == [row["owner"]]
    assert accounts[0].state == pb.SOCIAL_ACCOUNT_STATE_CONNECTED
    assert (accounts[0].id == old_id) == (row["want"] in ("reconnected", "claimed"))
    assert after != before


def test_a_claimed_profile_is_claimed_once(client: Client) -> None:
    client.connect("page", None)
    client.connect("page", "bob")
    assert (
        client.fails("SocialAccountService/ImportSocialAccount", import_request("page", "carol")).what
        == REFUSED
    )


def test_the_platform_is_part_of_a_profiles_key(client: Client) -> None:
    first = client.connect("42", "alice", platform="PLATFORM_LINKEDIN")
    second = client.connect("42", "bob", platform="PLATFORM_X")
    assert first.id != second.id


def test_projects_do_not_share_profiles(client: Client, stranger: Client) -> None:
    mine, theirs = client.connect("42", "alice"), stranger.connect("42", "bob")
    assert mine.id != theirs.id


def test_a_refusal_says_nothing_about_the_owner(client: Client) -> None:
    account = client.connect("42", "the-other-owner")
    refused = client.fails("SocialAccountService/ImportSocialAccount", import_request("42", "bob"))
    assert "the-other-owner" not in repr(refused)
    assert account.id not in repr(refused)


def test_reconnecting_without_a_refresh_token_keeps_the_old_one(client: Client, sql: Sql) -> None:
    client.connect("42", "alice")
    before = sql_tokens(sql, client)
    client.connect("42", "alice", refresh_token="")
    after = sql_tokens(sql, client)
    assert after[0][1] == before[0][1] is not None
    assert after[0][0] != before[0][0]


def sql_tokens(sql: Sql, client: Client) -> list[tuple[bytes, bytes | None]]:
    rows = sql(
        """SELECT access_token, refresh_token FROM social_account_token JOIN social_account
        ON social_account_id = id WHERE project_id = %s""",
        client.project_id,
    )
    return [(bytes(access), refresh and bytes(refresh)) for access, refresh in rows]


def test_disconnecting_erases_the_tokens_and_keeps_the_owner(client: Client, sql: Sql) -> None:
    account = client.connect("42", "alice")
    call = "SocialAccountService/DisconnectSocialAccount"
    gone = client(call, social_account_id=account.id).social_account
    assert gone.state == pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED
    assert gone.external_id == "alice"
    assert sql_tokens(sql, client) == []
    assert client(call, social_account_id=account.id).social_account == gone


def test_disconnecting_revokes_at_the_platform(client: Client, running: Running, sql: Sql) -> None:
    by_complete_auth(client, unique("person"), "alice")
    account = client("SocialAccountService/ListSocialAccounts").social_accounts[0]
    access_token = Vault(ENCRYPTION_KEY).decrypt(sql_tokens(sql, client)[0][0])
    profiles_url = f"{running.settings.public_url}/sandbox/profiles"
    bearer = {"Authorization": f"Bearer {access_token}"}
    assert httpx2.get(profiles_url, headers=bearer, trust_env=False).status_code == 200
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
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


def test_an_import_can_be_repeated(client: Client, sql: Sql) -> None:
    request = import_request("42", "alice", request_id=unique("request"))
    first = client("SocialAccountService/ImportSocialAccount", request)
    after_first = stored(sql, client)
    assert client("SocialAccountService/ImportSocialAccount", request) == first
    assert stored(sql, client) == after_first
    # Even if the account has another owner by now: the answer is the first one, and nothing is written.
    transfer(client, first.social_account.id, "alice", "bob")
    assert client("SocialAccountService/ImportSocialAccount", request) == first
    request.username = "other"
    refused = client.fails("SocialAccountService/ImportSocialAccount", request)
    assert refused.what == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")


def test_a_refused_import_leaves_its_request_id_free(client: Client) -> None:
    account = client.connect("42", "alice")
    request = import_request("42", "bob", request_id=unique("request"))
    assert client.fails("SocialAccountService/ImportSocialAccount", request).what == REFUSED
    client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    assert client("SocialAccountService/ImportSocialAccount", request).social_account.external_id == "bob"
