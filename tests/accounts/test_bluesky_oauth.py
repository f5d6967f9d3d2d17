"""Accounts of Bluesky by OAuth, from CreateAuthUrl to their revocation, against Bluesky's own server."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from tests.accounts.test_app_passwords import kept
from tests.accounts.test_ownership import REFUSED, ROWS, prepare, row_name
from tests.conftest import Running
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.due import work_off
from tests.kit.stored import stored
from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]
CREATE, COMPLETE = "SocialAccountService/CreateAuthUrl", "SocialAccountService/CompleteAuth"
BLUESKY = "PLATFORM_BLUESKY"


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


def begin(client: Client, handle: str, external_id: str | None = None, **fields: Any) -> str:
    """Where to send the browser."""
    options = {"bluesky": {"handle": handle}}
    begun = client(CREATE, platform=BLUESKY, external_id=external_id, platform_options=options, **fields)
    return str(begun.url)


@pytest.mark.parametrize("row", ROWS, ids=row_name)
def test_truth_table(row: dict[str, Any], client: Client, sql: Sql, pds: Pds, person: BlueskyAccount) -> None:
    old_id = prepare(sql, client, person.did, row["record"], platform=BLUESKY)
    before = stored(sql, client)
    callback_url = pds.agree(begin(client, person.did, row["attempt"]), person)
    if row["want"] == "ALREADY_EXISTS":
        refused = client.fails(COMPLETE, callback_url=callback_url)
        assert (refused.what, refused.metadata) == (REFUSED, {"platform": "bluesky"})
        assert stored(sql, client) == before
        return
    [account] = client(COMPLETE, callback_url=callback_url).connected_accounts
    assert (account.external_id if account.HasField("external_id") else None) == row["owner"]
    assert account.state == pb.SOCIAL_ACCOUNT_STATE_CONNECTED
    assert (account.id == old_id) == (row["want"] in ("reconnected", "claimed"))


def test_the_web_callback_connects_and_what_is_let_go_is_revoked(
    running: Running, client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    page = httpx2.get(pds.agree(begin(client, person.handle, "alice"), person), trust_env=False)
    assert (page.status_code, person.handle in page.text) == (200, True)
    [account] = client("SocialAccountService/ListSocialAccounts", external_ids=["alice"]).social_accounts
    assert (account.platform_user_id, account.username) == (person.did, person.handle)
    assert list(account.scopes) == ["atproto", "transition:generic"]
    assert account.HasField("access_token_expire_time")
    tokens = kept(sql, client)
    assert tokens.context["pds"] == pds.url
    assert pds.grants(person) == 1
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    work_off(running.app)
    assert pds.grants(person) == 0


def test_the_web_process_says_who_we_are(running: Running) -> None:
    url = f"{running.settings.public_url}/oauth/bluesky/client-metadata.json"
    answer = httpx2.get(url, trust_env=False)
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert said["client_id"] == url
    assert said["redirect_uris"] == [f"{running.settings.callback_url}/bluesky"]
    assert (said["scope"], said["dpop_bound_access_tokens"]) == ("atproto transition:generic", True)
    assert said["token_endpoint_auth_method"] == "none"


def test_who_declines_connects_nothing(client: Client, sql: Sql, pds: Pds, person: BlueskyAccount) -> None:
    callback_url = pds.decline(begin(client, person.did))
    refused = client.fails(COMPLETE, callback_url=callback_url)
    assert refused.what == ("FAILED_PRECONDITION", "AUTH_DENIED")
    assert stored(sql, client) == []


def test_who_signs_in_as_somebody_else_connects_nothing(
    client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    callback_url = pds.agree(begin(client, person.did), pds.new_account())
    refused = client.fails(COMPLETE, callback_url=callback_url)
    assert refused.what == ("FAILED_PRECONDITION", "AUTH_CODE_REFUSED")
    assert stored(sql, client) == []


def test_an_answer_of_another_server_connects_nothing(
    client: Client, sql: Sql, pds: Pds, person: BlueskyAccount
) -> None:
    callback_url = httpx2.URL(pds.agree(begin(client, person.did), person))
    mixed_up = str(callback_url.copy_set_param("iss", "https://evil.example.com"))
    assert client.fails(COMPLETE, callback_url=mixed_up).reason == "AUTH_CODE_REFUSED"
    assert stored(sql, client) == []


def test_an_account_is_reconnected_as_itself(client: Client, pds: Pds, person: BlueskyAccount) -> None:
    first = pds.agree(begin(client, person.did, "alice"), person)
    [account] = client(COMPLETE, callback_url=first).connected_accounts
    again = begin(client, person.did, "alice", social_account_id=account.id)
    [same] = client(COMPLETE, callback_url=pds.agree(again, person)).connected_accounts
    assert same.id == account.id
    other = pds.new_account()
    wrong = pds.agree(begin(client, other.did, "alice", social_account_id=account.id), other)
    assert client.fails(COMPLETE, callback_url=wrong).reason == "AUTH_WRONG_PROFILE"


def test_without_a_handle_nobody_knows_where_to_go(client: Client) -> None:
    missing = client.fails(CREATE, platform=BLUESKY)
    assert (missing.reason, missing.fields) == ("FIELD_INVALID", ("platform_options.bluesky.handle",))


@pytest.mark.parametrize("handle", ["nobody.example", "did:plc:" + "a" * 24])
def test_an_unknown_handle_is_said_at_once(client: Client, sql: Sql, pds: Pds, handle: str) -> None:
    refused = client.fails(CREATE, platform=BLUESKY, platform_options={"bluesky": {"handle": handle}})
    assert refused.what == ("FAILED_PRECONDITION", "HANDLE_UNKNOWN")
    assert refused.metadata == {"platform": "bluesky"}
    assert sql("SELECT count(*) FROM auth_session WHERE project_id = %s", client.project_id) == [(0,)]


def test_permissions_that_are_not_ours_are_said_to_be_wrong(
    client: Client, pds: Pds, person: BlueskyAccount
) -> None:
    refused = client.fails(
        CREATE,
        platform=BLUESKY,
        platform_options={"bluesky": {"handle": person.did}},
        permissions=["no-such-scope"],
    )
    assert refused.reason == "FIELD_INVALID"
