"""A browser that opens its callback again is told the same again, and nobody else is told anything."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette

from server.base.identity import utc_now
from server.base.vault import fingerprint
from server.projects import projects
from server.web.callback import CallbackPage
from server.web.threads import Threads
from tests.conftest import Running
from tests.kit.support import Client, recorder, unique
from tests.kit.web import serving
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]

RETURN_URL = "https://app.example.com/connected?tab=accounts"
USED = "This link has been used already."


@pytest.fixture
def person() -> Iterator[Person]:
    with Person(unique("person"), [unique("page")]) as person:
        yield person


@pytest.fixture
def stranger_browser() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, verify=False) as browser:
        yield browser


def start(client: Client, **fields: Any) -> str:
    return str(client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", **fields).url)


def state_of(callback_url: str) -> str:
    return parse_qs(urlsplit(callback_url).query)["state"][0]


def shown(page: httpx2.Response) -> tuple[int, str]:
    """What a page says, apart from its nonce, which is always another."""
    recorder.add(page.text)
    nonce = page.text.partition('<style nonce="')[2].partition('"')[0]
    return page.status_code, page.text.replace(nonce, "")


def test_the_same_browser_sees_the_first_page_again(client: Client, person: Person) -> None:
    callback_url = person.agree(start(client, external_id="alice"))
    first = person.open(callback_url)
    accounts = client("SocialAccountService/ListSocialAccounts").social_accounts
    for _ in range(3):
        assert shown(person.open(callback_url)) == shown(first)
    assert shown(first)[0] == 200
    assert f"@{person.handle}" in first.text
    assert client("SocialAccountService/ListSocialAccounts").social_accounts == accounts


def test_the_application_is_told_the_same_again(client: Client, person: Person) -> None:
    """Of a profile that somebody else has, too."""
    with Person(unique("first"), [person.pages]) as first:
        first.open(first.agree(start(client, external_id="alice"), share=[person.pages]))
    projects.add_redirect_url(projects.find(client.project_id), RETURN_URL, utc_now())
    callback_url = person.agree(start(client, external_id="bob", redirect_url=RETURN_URL))
    told = person.open(callback_url).headers["location"]
    query = parse_qs(urlsplit(told).query)
    assert (query["status"], query["reason"]) == (["partially_connected"], ["OWNED_BY_ANOTHER"])
    assert person.open(callback_url).headers["location"] == told


def test_two_attempts_of_one_browser_are_both_remembered(client: Client, person: Person) -> None:
    addresses = [person.agree(start(client)) for _ in range(2)]
    pages = [shown(person.open(address)) for address in addresses]
    assert [shown(person.open(address)) for address in addresses] == pages
    assert [status for status, _ in pages] == [200, 200]


def test_nobody_else_learns_anything(client: Client, person: Person, stranger_browser: httpx2.Client) -> None:
    callback_url = person.agree(start(client))
    cookie = person.open(callback_url).headers["set-cookie"].partition(";")[0]
    name, _, receipt = cookie.partition("=")
    with Person(unique("other")) as other:
        other_url = other.agree(start(client))
        other_receipt = other.open(other_url).headers["set-cookie"].partition(";")[0].partition("=")[2]
    guesses = [
        "",
        "x" * 43,
        receipt[:-1],
        other_receipt,
        fingerprint(receipt).hex(),
        "%00",
        '"'.join(receipt),
    ]
    for guess in guesses:
        refused = stranger_browser.get(callback_url, headers={"Cookie": f"{name}={guess}"})
        assert refused.status_code == 400
        assert USED in refused.text
        assert person.handle not in refused.text
    assert USED in stranger_browser.get(callback_url, headers={"Cookie": f"hitchpost={receipt}"}).text
    # The receipt is good for its own attempt alone, for that platform's callback alone, and not by gRPC.
    theirs = f"hitchpost_{fingerprint(state_of(other_url)).hex()[:16]}"
    assert USED in stranger_browser.get(other_url, headers={"Cookie": f"{theirs}={receipt}"}).text
    elsewhere = callback_url.replace("/callback/sandbox", "/callback/x")
    assert stranger_browser.get(elsewhere, headers={"Cookie": cookie}).status_code == 404
    again = client.fails("SocialAccountService/CompleteAuth", callback_url=callback_url)
    assert again.what == ("FAILED_PRECONDITION", "AUTH_STATE_USED")


def test_a_receipt_ends_with_the_attempt(client: Client, person: Person, running: Running) -> None:
    callback_url = person.agree(start(client))
    assert person.open(callback_url).status_code == 200
    with running.clock.ahead(minutes=14, seconds=30):
        assert person.open(callback_url).status_code == 200
    with running.clock.ahead(minutes=15, seconds=1):
        late = person.open(callback_url)
        assert late.status_code == 400
        assert person.handle not in late.text


def test_an_attempt_that_failed_leaves_no_receipt(client: Client, person: Person, sql: Sql) -> None:
    callback_url = person.decline(start(client))
    assert "set-cookie" not in person.open(callback_url).headers
    with Person(unique("first")) as owner:
        owner.open(owner.agree(start(client, external_id="alice")))
        refused_url = owner.agree(start(client, external_id="bob"))
        assert "set-cookie" not in owner.open(refused_url).headers
        assert USED in owner.open(refused_url).text
    kept = sql(
        "SELECT count(*) FROM auth_session WHERE project_id = %s AND receipt_hash IS NOT NULL",
        client.project_id,
    )
    assert kept == [(1,)]


def test_accounts_that_were_deleted_meanwhile_are_not_shown(client: Client, person: Person) -> None:
    callback_url = person.agree(start(client))
    assert f"@{person.pages}" in person.open(callback_url).text
    accounts = client("SocialAccountService/ListSocialAccounts").social_accounts
    for left, account in enumerate(sorted(accounts, key=lambda account: account.username == person.handle)):
        client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
        page = person.open(callback_url).text
        assert account.username not in page
        assert (USED in page) is (left == 1)


def test_an_account_that_was_given_to_another_owner_meanwhile_is_not_shown(
    client: Client, person: Person
) -> None:
    callback_url = person.agree(start(client, external_id="alice"))
    assert f"@{person.pages}" in person.open(callback_url).text
    accounts = client("SocialAccountService/ListSocialAccounts", usernames=[person.pages]).social_accounts
    transfer = {"from_external_id": "alice", "to_external_id": "bob"}
    client("SocialAccountService/TransferSocialAccount", social_account_id=accounts[0].id, **transfer)
    page = person.open(callback_url).text
    assert f"@{person.handle}" in page
    assert person.pages not in page


def test_what_was_connected_for_nobody_is_shown_when_it_has_an_owner_since(
    client: Client, person: Person
) -> None:
    callback_url = person.agree(start(client), [person.pages])
    first = person.open(callback_url)
    account = client("SocialAccountService/ListSocialAccounts").social_accounts[0]
    given = {"id": account.id, "external_id": "alice"}
    client("SocialAccountService/UpdateSocialAccount", social_account=given)
    assert shown(person.open(callback_url)) == shown(first)


def test_the_receipt_is_stored_as_a_hash(client: Client, person: Person, sql: Sql) -> None:
    callback_url = person.agree(start(client))
    receipt = person.open(callback_url).headers["set-cookie"].partition(";")[0].partition("=")[2]
    [(stored, row)] = sql(
        "SELECT receipt_hash, auth_session::text FROM auth_session WHERE state_hash = %s",
        fingerprint(state_of(callback_url)),
    )
    assert bytes(stored) == fingerprint(receipt)
    assert receipt not in row


@pytest.mark.parametrize(
    ("public_url", "path", "secure"),
    [
        ("http://h.example", "/callback/sandbox", False),
        ("https://h.example/hp", "/hp/callback/sandbox", True),
    ],
)
def test_the_receipt_is_a_cookie_of_the_callback_alone(
    client: Client, person: Person, running: Running, public_url: str, path: str, secure: bool
) -> None:
    page = CallbackPage(running.app.attempts, public_url, Threads(1))
    with serving(Starlette(routes=page.routes())) as url:
        query = urlsplit(person.agree(start(client))).query
        answer = person.open(f"{url}/callback/sandbox?{query}")
    attributes = set(answer.headers["set-cookie"].split("; ")[1:])
    assert {"HttpOnly", "SameSite=lax", "Max-Age=900", f"Path={path}"} <= attributes
    assert ("Secure" in attributes) is secure


def test_accounts_come_by_username(client: Client, person: Person) -> None:
    """In CompleteAuth and on the page: not as the platform happens to list or to number them."""
    pages = sorted((unique("page") for _ in range(5)), reverse=True)
    person.pages = ",".join(pages)
    wanted = sorted([person.handle, *pages])
    answer = client("SocialAccountService/CompleteAuth", callback_url=person.agree(start(client)))
    assert [account.username for account in answer.connected_accounts] == wanted
    text = person.open(person.agree(start(client))).text
    assert sorted(wanted, key=lambda handle: text.index(f"@{handle}<")) == wanted
    taken = pages[:2]
    client(
        "SocialAccountService/CompleteAuth",
        callback_url=person.agree(start(client, external_id="bob"), taken),
    )
    with Person(unique("mixed"), pages) as mixed:
        answer = client("SocialAccountService/CompleteAuth", callback_url=mixed.agree(start(client)))
    assert [account.username for account in answer.rejected_accounts] == sorted(taken)
