"""Attempts that require a confirmation: nothing is claimed until the application says who came back."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.accounts import confirmations
from server.accounts.accounts import Accounts
from server.accounts.confirmations import UNCONFIRMED
from server.base import errors, logs
from server.base.vault import Vault, fingerprint
from server.platforms import Profile, Tokens
from server.sandbox.api import profile_id
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.stored import stored
from tests.kit.support import Client, recorder, secret, unique
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]
Kept = Callable[..., str]

BACK = "http://localhost/back?tab=accounts"
CONFIRM, COMPLETE = "SocialAccountService/ConfirmAuth", "SocialAccountService/CompleteAuth"
MISMATCH = ("PERMISSION_DENIED", "OWNER_MISMATCH")
USED = ("FAILED_PRECONDITION", "AUTH_CONFIRMATION_USED")
UNKNOWN = ("NOT_FOUND", "AUTH_CONFIRMATION_UNKNOWN")


@pytest.fixture
def person() -> Iterator[Person]:
    with Person(unique("person")) as person:
        yield person


def begin(client: Client, **fields: Any) -> str:
    request = {"platform": "PLATFORM_SANDBOX", "redirect_url": BACK, "require_confirmation": True, **fields}
    return str(client("SocialAccountService/CreateAuthUrl", **request).url)


def by_web(client: Client, person: Person, url: str) -> str:
    """The code that the browser brings to the application."""
    query = sent_to(person, person.agree(url))
    assert query.keys() == {"tab", "status", "confirmation_code"}
    assert query["status"] == "confirmation_required"
    return query["confirmation_code"]


def by_complete_auth(client: Client, person: Person, url: str) -> str:
    """The code that CompleteAuth answers."""
    answer = client(COMPLETE, callback_url=person.agree(url))
    assert not answer.connected_accounts
    assert not answer.rejected_accounts
    return str(answer.confirmation_code)


each_way = pytest.mark.parametrize("way", [by_web, by_complete_auth], ids=lambda way: way.__name__)


def sent_to(person: Person, callback_url: str) -> dict[str, str]:
    """What the application's page has in its query, once the browser has been at Hitchpost's callback."""
    answer = person.open(callback_url)
    recorder.add(answer.text)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["location"].startswith("http://localhost/back?")
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def attempts(sql: Sql, client: Client) -> list[tuple[Any, ...]]:
    return sql("SELECT * FROM auth_session WHERE project_id = %s ORDER BY state_hash", client.project_id)


def secrets_left(sql: Sql, client: Client) -> list[bool]:
    """Of each attempt whether it still has profiles; the time at which they are erased goes with them."""
    found = sql(
        "SELECT profiles IS NOT NULL, erase_time IS NOT NULL FROM auth_session WHERE project_id = %s",
        client.project_id,
    )
    assert all(profiles == time for profiles, time in found)
    return [profiles for profiles, _ in found]


# What happens, in order.


@each_way
def test_nothing_is_claimed_until_it_is_confirmed(
    way: Callable[..., str], client: Client, person: Person, sql: Sql
) -> None:
    code = way(client, person, begin(client, external_id="alice"))
    assert stored(sql, client) == []
    answer = client(CONFIRM, confirmation_code=code, external_id="alice")
    [account] = answer.connected_accounts
    assert (account.username, account.external_id) == (person.handle, "alice")
    assert account.access_token_expire_time.seconds > account.create_time.seconds
    assert list(account.scopes) == ["profile.read", "posts.write"]
    assert client("SocialAccountService/ListSocialAccounts").social_accounts == [account]


@each_way
def test_a_code_works_once_and_leaves_no_secret(
    way: Callable[..., str], client: Client, person: Person, sql: Sql
) -> None:
    code = way(client, person, begin(client, external_id="alice"))
    assert secrets_left(sql, client) == [True]
    client(CONFIRM, confirmation_code=code, external_id="alice")
    assert secrets_left(sql, client) == [False]
    before = stored(sql, client), attempts(sql, client)
    assert client.fails(CONFIRM, confirmation_code=code, external_id="alice").what == USED
    assert (stored(sql, client), attempts(sql, client)) == before


def test_each_profile_is_decided_alone(client: Client, person: Person, sql: Sql) -> None:
    page = unique("page")
    client.connect(profile_id(page), "somebody")
    [before] = stored(sql, client)
    person.pages = page
    code = by_web(client, person, begin(client, external_id="alice"))
    answer = client(CONFIRM, confirmation_code=code, external_id="alice")
    assert [account.username for account in answer.connected_accounts] == [person.handle]
    [rejected] = answer.rejected_accounts
    assert (rejected.username, rejected.reason) == (page, "ERROR_REASON_OWNED_BY_ANOTHER")
    assert before in stored(sql, client)


def test_if_every_profile_is_refused_the_confirmation_fails_and_the_code_is_used(
    client: Client, person: Person, sql: Sql
) -> None:
    client.connect(profile_id(person.handle), "somebody")
    before = stored(sql, client)
    code = by_web(client, person, begin(client, external_id="alice"))
    refused = client.fails(CONFIRM, confirmation_code=code, external_id="alice")
    assert refused.what == ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")
    assert stored(sql, client) == before
    assert secrets_left(sql, client) == [False]
    assert client.fails(CONFIRM, confirmation_code=code, external_id="alice").what == USED


def test_who_declines_brings_no_code(client: Client, person: Person, sql: Sql) -> None:
    told = sent_to(person, person.decline(begin(client)))
    assert told == {"tab": "accounts", "status": "failed", "reason": "AUTH_DENIED"}
    assert secrets_left(sql, client) == [False]


# The attempt's owner; the owner that the call is confined to; the one that it names; whether they fit.
OWNERS: list[tuple[str | None, str | None, str | None, bool]] = [
    ("alice", None, "alice", True),
    ("alice", "alice", None, True),
    ("alice", "alice", "alice", True),
    ("alice", None, None, False),
    ("alice", None, "bob", False),
    ("alice", None, "Alice", False),
    ("alice", "bob", None, False),
    ("alice", "bob", "bob", False),
    ("alice", "bob", "alice", False),
    ("alice", "alice", "bob", False),
    (None, None, None, True),
    (None, None, "bob", False),
    (None, "bob", None, False),
    (None, "bob", "bob", False),
]


@pytest.mark.parametrize(("begun_for", "scope", "named", "fits"), OWNERS)
def test_only_the_attempts_owner_confirms_it(
    client: Client,
    person: Person,
    sql: Sql,
    begun_for: str | None,
    scope: str | None,
    named: str | None,
    fits: bool,
) -> None:
    code = by_web(client, person, begin(client, external_id=begun_for))
    caller = client if scope is None else client.as_owner(scope)
    request = {"confirmation_code": code, "external_id": named}
    if fits:
        [account] = caller(CONFIRM, **request).connected_accounts
        assert (account.external_id if account.HasField("external_id") else None) == begun_for
        return
    assert caller.fails(CONFIRM, **request).what == MISMATCH
    # The wrong person has come back: what they brought is gone, also for the attempt's owner.
    assert secrets_left(sql, client) == [False]
    assert caller.fails(CONFIRM, **request).what == MISMATCH
    assert client.fails(CONFIRM, confirmation_code=code, external_id=begun_for).what == USED
    assert stored(sql, client) == []


def test_nobody_without_the_code_and_a_key_of_the_project_uses_it_up(
    client: Client, stranger: Client, read_only: Client, person: Person, sql: Sql
) -> None:
    callback_url = person.agree(begin(client, external_id="alice"))
    answer = person.open(callback_url)
    receipt = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
    code = parse_qs(urlsplit(answer.headers["location"]).query)["confirmation_code"][0]
    state = parse_qs(urlsplit(callback_url).query)["state"][0]
    before = attempts(sql, client)
    for external_id in ("alice", "bob", None):
        request = {"confirmation_code": code, "external_id": external_id}
        assert stranger.fails(CONFIRM, **request).what == UNKNOWN
        assert stranger.as_owner("alice").fails(CONFIRM, **request).code != "OK"
        assert read_only.fails(CONFIRM, **request).reason == "API_KEY_READ_ONLY"
        assert client.with_key("hp_nonsense").fails(CONFIRM, **request).reason == "API_KEY_INVALID"
    for guess in (code[:-1], code.upper(), fingerprint(code).hex(), receipt, state, "x"):
        assert client.fails(CONFIRM, confirmation_code=guess, external_id="bob").what == UNKNOWN
    assert attempts(sql, client) == before
    assert client(CONFIRM, confirmation_code=code, external_id="alice").connected_accounts


def test_a_claim_that_fails_on_its_way_leaves_the_code(
    client: Client, person: Person, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a mock of the claim: what gets in its way here are other calls."""
    code = by_web(client, person, begin(client, external_id="alice"))
    before = attempts(sql, client)

    def claim(*_: Any, **__: Any) -> None:
        raise errors.ConcurrentWrite

    with monkeypatch.context() as patch:
        patch.setattr(Accounts, "claim", claim)
        refused = client.fails(CONFIRM, confirmation_code=code, external_id="alice")
    assert refused.what == ("ABORTED", "CONCURRENT_WRITE")
    assert attempts(sql, client) == before
    assert client(CONFIRM, confirmation_code=code, external_id="alice").connected_accounts


# Time.


def test_a_code_ends_with_its_attempt(client: Client, person: Person, running: Running, sql: Sql) -> None:
    early, late = (by_web(client, person, begin(client, external_id="alice")) for _ in range(2))
    with running.clock.ahead(minutes=14, seconds=30):
        assert client(CONFIRM, confirmation_code=early, external_id="alice").connected_accounts
    before = stored(sql, client)
    with running.clock.ahead(minutes=15, seconds=1):
        refused = client.fails(CONFIRM, confirmation_code=late, external_id="alice")
    assert refused.what == ("FAILED_PRECONDITION", "AUTH_STATE_EXPIRED")
    assert stored(sql, client) == before


def test_what_nobody_confirmed_is_erased_when_its_time_is_over(
    client: Client, person: Person, sql: Sql
) -> None:
    codes = [by_web(client, person, begin(client, external_id="alice")) for _ in range(2)]
    due = sql("SELECT erase_time - create_time FROM auth_session WHERE project_id = %s", client.project_id)
    assert due == [(timedelta(minutes=15),)] * 2
    sql(
        "UPDATE auth_session SET erase_time = now() WHERE project_id = %s AND confirmation_hash = %s",
        client.project_id,
        fingerprint(codes[0]),
    )
    assert UNCONFIRMED.backlog().due >= 1
    for _ in range(100):
        if not UNCONFIRMED.turn("me", lambda: None, threading.Event()):
            break
    assert UNCONFIRMED.backlog().due == 0
    assert sorted(secrets_left(sql, client)) == [False, True]
    assert client.fails(CONFIRM, confirmation_code=codes[0], external_id="alice").what == USED
    assert client(CONFIRM, confirmation_code=codes[1], external_id="alice").connected_accounts


# The browser.


def test_a_browser_that_reloads_is_told_the_same_again(
    client: Client, person: Person, running: Running
) -> None:
    callback_url = person.agree(begin(client, external_id="alice"))
    told = sent_to(person, callback_url)
    assert [sent_to(person, callback_url) for _ in range(3)] == [told] * 3
    with Person(unique("stranger")) as stranger:
        failed = {"tab": "accounts", "status": "failed", "reason": "AUTH_STATE_USED"}
        assert sent_to(stranger, callback_url) == failed
    client(CONFIRM, confirmation_code=told["confirmation_code"], external_id="alice")
    assert sent_to(person, callback_url) == told
    with running.clock.ahead(minutes=15, seconds=1):
        assert sent_to(person, callback_url)["status"] == "failed"


def test_there_must_be_somewhere_to_send_the_code_to(client: Client, sql: Sql) -> None:
    request = {"platform": "PLATFORM_SANDBOX", "require_confirmation": True}
    refused = client.fails("SocialAccountService/CreateAuthUrl", **request)
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("redirect_url",))
    assert attempts(sql, client) == []


def test_a_page_of_ones_own_gets_the_code_from_complete_auth(
    client: Client, person: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.app.attempts._own_callback
    monkeypatch.setattr(running.app.attempts, "_own_callback", False)
    code = by_complete_auth(client, person, begin(client, redirect_url="", external_id="alice"))
    assert client(CONFIRM, confirmation_code=code, external_id="alice").connected_accounts
    # Hitchpost's own callback has nowhere to send it to, and shows it to nobody.
    page = person.open(person.agree(begin(client, redirect_url="", external_id="alice")))
    assert (page.status_code, "Not connected" in page.text) == (400, True)


# Reconnects.


def test_a_reconnect_is_of_that_profile_alone(client: Client, person: Person, sql: Sql) -> None:
    account = client.connect(profile_id(person.handle), "alice")
    fields = {"external_id": "alice", "social_account_id": account.id}
    with Person(unique("other")) as other:
        told = sent_to(other, other.agree(begin(client, **fields)))
    assert (told["status"], told["reason"]) == ("failed", "AUTH_WRONG_PROFILE")
    assert secrets_left(sql, client) == [False]
    person.pages = unique("page")
    code = by_web(client, person, begin(client, **fields))
    answer = client(CONFIRM, confirmation_code=code, external_id="alice")
    assert [again.id for again in answer.connected_accounts] == [account.id]
    assert answer.connected_accounts[0].etag != account.etag


def test_a_reconnect_of_what_is_gone_or_anothers_meanwhile_is_refused(
    client: Client, person: Person, sql: Sql
) -> None:
    account = client.connect(profile_id(person.handle), "alice")
    fields = {"external_id": "alice", "social_account_id": account.id}
    first, second = (by_web(client, person, begin(client, **fields)) for _ in range(2))
    transfer = {"from_external_id": "alice", "to_external_id": "bob"}
    client("SocialAccountService/TransferSocialAccount", social_account_id=account.id, **transfer)
    before = stored(sql, client)
    refused = client.fails(CONFIRM, confirmation_code=first, external_id="alice")
    assert refused.what == ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")
    assert stored(sql, client) == before
    client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    refused = client.fails(CONFIRM, confirmation_code=second, external_id="alice")
    assert refused.what == ("NOT_FOUND", "SOCIAL_ACCOUNT_NOT_FOUND")
    assert stored(sql, client) == []


# What is stored meanwhile.


def test_code_and_tokens_are_not_stored_in_clear_text(client: Client, person: Person, sql: Sql) -> None:
    code = by_web(client, person, begin(client, external_id="alice"))
    [(row, code_hash, profiles)] = sql(
        "SELECT auth_session::text, confirmation_hash, profiles FROM auth_session WHERE project_id = %s",
        client.project_id,
    )
    assert bytes(code_hash) == fingerprint(code)
    [profile] = json.loads(Vault(ENCRYPTION_KEY).decrypt(profiles))
    tokens = [profile["tokens"]["access_token"], profile["tokens"]["refresh_token"]]
    assert all(token.startswith("sbx_") for token in tokens)
    everything = row.encode() + bytes(profiles)
    for kept in (code, person.handle, *tokens):
        assert kept.encode() not in everything
        assert kept.encode().hex() not in row


def test_code_and_tokens_are_not_logged(client: Client, person: Person, log_file: Path) -> None:
    mark = unique("marked")
    codes = [way(client, person, begin(client, external_id=mark)) for way in (by_web, by_complete_auth)]
    for code in codes:
        client(CONFIRM, confirmation_code=code, external_id=mark)
        client.fails(CONFIRM, confirmation_code=code, external_id="bob")
    logs.calls.flush()
    logged = log_file.read_text()
    assert "SocialAccountService/ConfirmAuth" in logged
    assert not [code for code in codes if code in logged]


def test_profiles_come_back_as_they_were() -> None:
    profiles = [
        Profile("1", "mia", "Mïa 😀", "https://a/b.jpg", Tokens(secret(), secret(), at, ("a", "b")))
        for at in (None, datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    ]
    profiles.append(Profile("2", "", "", "", Tokens(secret(), None, None, ())))
    read = confirmations._PROFILES.validate_json(confirmations._PROFILES.dump_json(profiles))
    assert read == profiles
    assert [type(one.tokens) for one in read] == [Tokens] * 3
    # All of their fields: those that are added some day, too.
    [dumped] = json.loads(confirmations._PROFILES.dump_json(profiles[:1]))
    assert dumped.keys() == {field.name for field in dataclasses.fields(Profile)}
    assert dumped["tokens"].keys() == {field.name for field in dataclasses.fields(Tokens)}


def test_what_can_not_be_read_back_is_not_repeated() -> None:
    """Such as the row of another version."""
    token = secret()
    with pytest.raises(ValueError, match="validation error") as raised:
        confirmations._PROFILES.validate_json(json.dumps([{"tokens": {"access_token": token}}]))
    assert token not in str(raised.value)


def test_more_than_can_be_kept_is_refused(
    client: Client, person: Person, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "MOST_BYTES", 600)
    person.pages = ",".join(unique("page") for _ in range(3))
    one = person.agree(begin(client), share=[person.handle])
    assert client(COMPLETE, callback_url=one).confirmation_code
    all_of_them = person.agree(begin(client))
    assert client.fails(COMPLETE, callback_url=all_of_them).what == ("ABORTED", "AUTH_INTERRUPTED")
    assert sorted(secrets_left(sql, client)) == [False, True]
