"""The truth table of ownership: every row of cases/ownership.yaml, on every path that writes an account."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import yaml

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import ownership
from server.sandbox.api import profile_id
from server.storage.statements import Statement
from tests.kit.statements import SINGLE
from tests.kit.stored import stored, stored_tokens
from tests.kit.support import Client, failure, import_request, unique
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]
Refused = tuple[str, str]
Attempt = Callable[[Client, str, str | None], Any]

ROWS = yaml.safe_load((Path(__file__).parents[1] / "cases" / "ownership.yaml").read_text())
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


def by_confirm_auth(client: Client, handle: str, external_id: str | None) -> None:
    """CreateAuthUrl, the person's browser, Hitchpost's callback, ConfirmAuth. Raises grpc.RpcError."""
    back = {"redirect_url": "http://localhost/", "require_confirmation": True}
    with Person(handle) as person:
        sent_on = person.open(person.agree(auth_url(client, external_id, **back))).headers["location"]
    [code] = parse_qs(urlsplit(sent_on).query)["confirmation_code"]
    client("SocialAccountService/ConfirmAuth", confirmation_code=code, external_id=external_id)


PATHS = [by_import, by_complete_auth, by_web_callback, by_confirm_auth]


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


def prepare(sql: Sql, client: Client, profile: str, record: Any, **fields: Any) -> str | None:
    """Stores the record of the profile that a row begins with, and returns its id."""
    if record == "none":
        return None
    owner = record["owner"] if isinstance(record, dict) else "alice"
    account = client.connect(profile, owner, **fields)
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
    old_id = prepare(sql, client, profile_id(handle), row["record"])
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
    before = stored_tokens(sql, client)
    client.connect("42", "alice", refresh_token="")
    after = stored_tokens(sql, client)
    assert after[0][1] == before[0][1] is not None
    assert after[0][0] != before[0][0]


def test_an_import_can_be_repeated(client: Client, sql: Sql) -> None:
    request = import_request("42", "alice", request_id=unique("request"))
    first = client("SocialAccountService/ImportSocialAccount", request)
    after_first = stored(sql, client)
    assert client("SocialAccountService/ImportSocialAccount", request) == first
    assert stored(sql, client) == after_first
    # Even if the account has another owner by now: the answer is the first one, and nothing is written.
    client(
        "SocialAccountService/TransferSocialAccount",
        social_account_id=first.social_account.id,
        from_external_id="alice",
        to_external_id="bob",
    )
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


# What keeps ownership in its room.

WRITES_ACCOUNTS = re.compile(r'(?:INSERT INTO|UPDATE) "?social_account\b')


def test_only_ownership_writes_an_owner() -> None:
    written = {
        prepared.name.rpartition("_")[0]: "external_id =" in prepared.prepare
        for prepared in SINGLE
        if WRITES_ACCOUNTS.search(prepared.prepare)
    }
    assert written == {
        "accounts.claim": True,
        "accounts.update": True,
        "accounts.transfer": True,
        "accounts.disconnect": False,
        "accounts.keep_limits": False,
        "refreshes.keep": False,
        "refreshes.refuse": False,
    }
    here = [value.name for value in vars(ownership).values() if isinstance(value, Statement)]
    assert {name.rpartition("_")[0] for name in here} == {name for name, owner in written.items() if owner}


def test_a_caller_is_made_of_a_key_alone() -> None:
    """Nobody makes one up to get around a scope, but who runs the server and may have any key; and a claimant
    is made of a caller, or of an attempt."""
    assert makers("Caller") == {"projects.py", "app_commands.py"}
    assert makers("Claimant") == {"ownership.py", "attempt_records.py"}


def makers(kind: str) -> set[str]:
    """The files of server/ in which one is made."""
    made = re.compile(rf"(?<!class )\b{kind}(\.\w+)?\(")
    files = Path(ownership.__file__).parents[1].rglob("*.py")
    return {path.name for path in files if made.search(path.read_text())}
