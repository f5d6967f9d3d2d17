"""The connect flow over real HTTP: how an attempt ends, by the web callback and by CompleteAuth alike."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import grpc
import httpx2
import pytest

from server.base.identity import utc_now
from server.projects import projects
from tests.conftest import Running
from tests.kit.support import Client, failure, recorder, unique
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]

RETURN_URL = "https://app.example.com/connected?tab=accounts"


@dataclass
class Flow:
    """One attempt by one person; `finish` ends it and returns (status, reason)."""

    client: Client
    person: Person
    finish: Callable[["Flow", str], tuple[str, str]]

    def start(self, client: Client | None = None, **fields: Any) -> str:
        request = {"platform": "PLATFORM_SANDBOX", "redirect_url": RETURN_URL, **fields}
        return str((client or self.client)("SocialAccountService/CreateAuthUrl", **request).url)

    def end(self, callback_url: str) -> tuple[str, str]:
        return self.finish(self, callback_url)

    def accounts(self) -> Any:
        return self.client("SocialAccountService/ListSocialAccounts").social_accounts


def by_web(flow: Flow, callback_url: str) -> tuple[str, str]:
    """Opens the callback; where the browser is sent then says how it went, or the page does."""
    answer = flow.person.open(callback_url)
    recorder.add(answer.headers.get("location", ""), answer.text)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    if not answer.is_redirect:
        return "page", str(answer.status_code)
    location = answer.headers["location"]
    assert location.startswith(RETURN_URL)
    query = parse_qs(urlsplit(location).query)
    if query["status"] != ["failed"]:
        known = {account.id for account in flow.accounts()}
        assert set(query["social_account_ids"][0].split(",")) <= known
    return query["status"][0], query.get("reason", [""])[0]


def by_complete_auth(flow: Flow, callback_url: str) -> tuple[str, str]:
    """CompleteAuth, in the words of the web callback."""
    try:
        answer = flow.client("SocialAccountService/CompleteAuth", callback_url=callback_url)
    except grpc.RpcError as error:
        return "failed", failure(error).reason
    rejected = [account.reason.removeprefix("ERROR_REASON_") for account in answer.rejected_accounts]
    assert answer.connected_accounts
    return ("partially_connected", rejected[0]) if rejected else ("connected", "")


@pytest.fixture(params=[by_web, by_complete_auth], ids=lambda finish: finish.__name__)
def flow(request: pytest.FixtureRequest, client: Client) -> Iterator[Flow]:
    projects.add_redirect_url(projects.find(client.project_id), RETURN_URL, utc_now())
    with Person(unique("person")) as person:
        yield Flow(client, person, request.param)


def stored(sql: Sql, flow: Flow) -> list[tuple[Any, ...]]:
    """The project's accounts, tokens and attempts."""
    return [
        *sql("SELECT * FROM social_account WHERE project_id = %s", flow.client.project_id),
        *sql("SELECT * FROM social_account_token WHERE project_id = %s", flow.client.project_id),
        *sql("SELECT * FROM auth_session WHERE project_id = %s", flow.client.project_id),
    ]


def test_approve(flow: Flow) -> None:
    assert flow.end(flow.person.agree(flow.start(external_id="user_1"))) == ("connected", "")
    account = flow.accounts()[0]
    assert (account.username, account.external_id) == (flow.person.handle, "user_1")
    assert account.display_name
    assert account.profile_photo_url.startswith("http")
    assert account.access_token_expire_time.seconds > account.create_time.seconds
    assert list(account.scopes) == ["profile.read", "posts.write"]


def test_deny(flow: Flow) -> None:
    callback_url = flow.person.decline(flow.start(external_id="user_1"))
    assert flow.end(callback_url) == ("failed", "AUTH_DENIED")
    assert flow.end(callback_url) == ("failed", "AUTH_STATE_USED")
    assert not flow.accounts()


def test_a_replayed_callback(flow: Flow, sql: Sql) -> None:
    """By another browser than the one that ended the attempt."""
    callback_url = flow.person.agree(flow.start())
    assert flow.end(callback_url) == ("connected", "")
    before = stored(sql, flow)
    with Person(unique("other")) as flow.person:
        assert flow.end(callback_url) == ("failed", "AUTH_STATE_USED")
    assert stored(sql, flow) == before


def test_a_callback_replayed_at_the_same_time_ends_once(flow: Flow) -> None:
    callback_url = flow.person.agree(flow.start())

    def end_elsewhere(person: Person) -> tuple[str, str]:
        return replace(flow, person=person).end(callback_url)

    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        browsers = [stack.enter_context(Person(unique("browser"))) for _ in range(8)]
        ends = list(pool.map(end_elsewhere, browsers))
    assert sorted(ends) == [("connected", "")] + [("failed", "AUTH_STATE_USED")] * 7


def test_an_expired_state(flow: Flow, running: Running, sql: Sql) -> None:
    callback_url = flow.person.agree(flow.start())
    before = stored(sql, flow)
    with running.clock.ahead(minutes=15, seconds=1):
        assert flow.end(callback_url) == ("failed", "AUTH_STATE_EXPIRED")
    assert stored(sql, flow) == before


def test_a_forged_state(flow: Flow, sql: Sql) -> None:
    callback_url = flow.person.agree(flow.start())
    query = parse_qs(urlsplit(callback_url).query)
    state = query["state"][0]
    forged = urlencode({"code": query["code"][0], "state": state[:-1] + ("A" if state[-1] != "A" else "B")})
    before = stored(sql, flow)
    unknown = ("page", "404") if flow.finish is by_web else ("failed", "AUTH_STATE_UNKNOWN")
    assert flow.end(f"{callback_url.partition('?')[0]}?{forged}") == unknown
    assert stored(sql, flow) == before
    assert flow.end(callback_url) == ("connected", "")


def test_a_state_of_another_project(flow: Flow, stranger: Client, sql: Sql) -> None:
    callback_url = flow.person.agree(flow.start())
    before = stored(sql, flow)
    refused = stranger.fails("SocialAccountService/CompleteAuth", callback_url=callback_url)
    assert refused.what == ("NOT_FOUND", "AUTH_STATE_OF_ANOTHER_PROJECT")
    assert stored(sql, flow) == before
    assert flow.end(callback_url) == ("connected", "")


def test_the_platform_refuses_the_code(flow: Flow) -> None:
    callback_url = flow.person.agree(flow.start())
    query = parse_qs(urlsplit(callback_url).query)
    wrong = urlencode({"code": "sbx_code_" + "x" * 43, "state": query["state"][0]})
    assert flow.end(f"{callback_url.partition('?')[0]}?{wrong}") == ("failed", "AUTH_CODE_REFUSED")
    assert flow.end(callback_url) == ("failed", "AUTH_STATE_USED")
    assert not flow.accounts()


@pytest.mark.parametrize(("status", "body"), [(502, ""), (503, "{}"), (429, "{}"), (200, "not json")])
def test_the_platform_is_down(flow: Flow, running: Running, sql: Sql, status: int, body: str) -> None:
    callback_url = flow.person.agree(flow.start())
    before = stored(sql, flow)
    with running.proxy.fault("/sandbox/token", status, body):
        assert flow.end(callback_url) == ("failed", "PLATFORM_UNAVAILABLE")
    assert stored(sql, flow) == before
    # Nothing was lost: the same callback works when the platform is back.
    assert flow.end(callback_url) == ("connected", "")


def test_the_platform_fails_after_it_took_the_code(flow: Flow, running: Running) -> None:
    callback_url = flow.person.agree(flow.start())
    with running.proxy.fault("/sandbox/profiles", 500):
        assert flow.end(callback_url) == ("failed", "AUTH_INTERRUPTED")
    assert flow.end(callback_url) == ("failed", "AUTH_STATE_USED")
    assert not flow.accounts()


def test_a_login_that_shares_nothing(flow: Flow) -> None:
    callback_url = flow.person.agree(flow.start(), share=[])
    assert flow.end(callback_url) == ("failed", "AUTH_NO_PROFILE")


def test_one_login_brings_several_accounts(flow: Flow) -> None:
    page = unique("page")
    flow.person.pages = page
    assert flow.end(flow.person.agree(flow.start(external_id="user_1"))) == ("connected", "")
    assert {a.username for a in flow.accounts()} == {flow.person.handle, page}
    assert {a.external_id for a in flow.accounts()} == {"user_1"}


def test_each_profile_of_a_login_is_decided_alone(flow: Flow, sql: Sql) -> None:
    page = unique("page")
    with Person(unique("first"), [page]) as first:
        flow.end(first.agree(flow.start(external_id="alice"), share=[page]))
    before = stored(sql, flow)[0]
    flow.person.pages = page
    refused = ("partially_connected", "OWNED_BY_ANOTHER")
    assert flow.end(flow.person.agree(flow.start(external_id="bob"))) == refused
    owners = {account.username: account.external_id for account in flow.accounts()}
    assert owners == {page: "alice", flow.person.handle: "bob"}
    assert before in stored(sql, flow)


def test_if_every_profile_is_refused_the_attempt_fails(flow: Flow) -> None:
    flow.end(flow.person.agree(flow.start(external_id="alice")))
    assert flow.end(flow.person.agree(flow.start(external_id="bob"))) == ("failed", "OWNED_BY_ANOTHER")
    assert [account.external_id for account in flow.accounts()] == ["alice"]


def test_reconnect_exactly_one_account(flow: Flow) -> None:
    flow.person.pages = unique("page")
    flow.end(flow.person.agree(flow.start(external_id="alice")))
    page, person = sorted(flow.accounts(), key=lambda a: a.username == flow.person.handle)
    url = flow.start(external_id="alice", social_account_id=person.id)
    assert flow.end(flow.person.agree(url)) == ("connected", "")
    after = {account.id: account for account in flow.accounts()}
    assert after[page.id] == page
    assert after[person.id].etag != person.etag


def test_reconnect_by_somebody_else(flow: Flow, sql: Sql) -> None:
    flow.end(flow.person.agree(flow.start(external_id="alice")))
    account = flow.accounts()[0]
    url = flow.start(external_id="alice", social_account_id=account.id)
    with Person(unique("other")) as other:
        assert flow.end(other.agree(url)) == ("failed", "AUTH_WRONG_PROFILE")
    assert list(flow.accounts()) == [account]


def test_reconnect_of_an_account_that_was_deleted_meanwhile(flow: Flow) -> None:
    flow.end(flow.person.agree(flow.start(external_id="alice")))
    account = flow.accounts()[0]
    callback_url = flow.person.agree(flow.start(external_id="alice", social_account_id=account.id))
    flow.client("SocialAccountService/DeleteSocialAccount", social_account_id=account.id)
    assert flow.end(callback_url) == ("failed", "SOCIAL_ACCOUNT_NOT_FOUND")
    assert not flow.accounts()


def test_a_reconnect_for_an_owner_claims_what_is_nobodys(flow: Flow) -> None:
    flow.end(flow.person.agree(flow.start()))
    account = flow.accounts()[0]
    callback_url = flow.person.agree(flow.start(external_id="alice", social_account_id=account.id))
    assert flow.end(callback_url) == ("connected", "")
    assert [(after.id, after.external_id) for after in flow.accounts()] == [(account.id, "alice")]


@pytest.mark.parametrize("begun_for", ["alice", None])
def test_a_reconnect_of_what_became_another_owners_meanwhile_is_refused(
    flow: Flow, begun_for: str | None
) -> None:
    """An attempt acts for whom it was begun, and sees no more of an account than its claim does."""
    flow.end(flow.person.agree(flow.start(external_id=begun_for)))
    account = flow.accounts()[0]
    callback_url = flow.person.agree(flow.start(external_id=begun_for, social_account_id=account.id))
    if begun_for is None:
        given = {"id": account.id, "external_id": "bob"}
        flow.client("SocialAccountService/UpdateSocialAccount", social_account=given)
    else:
        transfer = {"from_external_id": begun_for, "to_external_id": "bob"}
        flow.client("SocialAccountService/TransferSocialAccount", social_account_id=account.id, **transfer)
    before = flow.accounts()
    assert flow.end(callback_url) == ("failed", "OWNED_BY_ANOTHER")
    assert flow.accounts() == before


def test_a_scope_does_not_reconnect_what_is_nobodys(client: Client) -> None:
    account = client.connect(platform="PLATFORM_SANDBOX")
    refused = client.as_owner("alice").fails(
        "SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", social_account_id=account.id
    )
    assert refused.what == ("PERMISSION_DENIED", "OWNER_MISMATCH")


@pytest.mark.parametrize("external_id", ["bob", None])
def test_reconnect_for_another_owner_is_refused_at_once(external_id: str | None, client: Client) -> None:
    account = client.connect(external_id="alice")
    refused = client.fails(
        "SocialAccountService/CreateAuthUrl",
        platform="PLATFORM_SANDBOX",
        external_id=external_id,
        social_account_id=account.id,
    )
    assert refused.what == ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")


def complete(client: Client, callback_url: str, external_id: str | None = None) -> Any:
    request = {"callback_url": callback_url, "external_id": external_id}
    return client.fails("SocialAccountService/CompleteAuth", **request).what


def test_a_forwarded_link_is_refused(client: Client, sql: Sql) -> None:
    """The engineer's own page says who came back; another than the link was made for is refused."""
    flow = Flow(client, Person(unique("victim")), by_complete_auth)
    with flow.person:
        callback_url = flow.person.agree(flow.start(external_id="sender", redirect_url=""))
    before = stored(sql, flow)
    mismatch = ("PERMISSION_DENIED", "OWNER_MISMATCH")
    assert complete(client, callback_url, "victim") == mismatch
    assert complete(client.as_owner("victim"), callback_url) == mismatch
    assert stored(sql, flow) == before
    answer = client("SocialAccountService/CompleteAuth", callback_url=callback_url, external_id="sender")
    assert answer.connected_accounts[0].external_id == "sender"


def test_an_attempt_without_an_owner_is_not_completed_for_one(client: Client) -> None:
    flow = Flow(client, Person(unique("person")), by_complete_auth)
    with flow.person:
        callback_url = flow.person.agree(flow.start(redirect_url=""))
    assert complete(client, callback_url, "bob") == ("PERMISSION_DENIED", "OWNER_MISMATCH")


def test_without_a_redirect_url_the_browser_sees_a_page(client: Client) -> None:
    flow = Flow(client, Person(unique("person")), by_web)
    with flow.person as person:
        page = person.open(person.agree(flow.start(redirect_url="")))
        assert page.status_code == 200
        assert f"@{person.handle}" in page.text
        again = person.open(person.agree(flow.start(redirect_url="", external_id="bob")))
        assert again.status_code == 200
        refused = person.open(person.decline(flow.start(redirect_url="")))
        assert refused.status_code == 400
        assert "You chose not to connect" in refused.text


def test_the_callback_of_another_platform_does_not_end_the_attempt(client: Client) -> None:
    flow = Flow(client, Person(unique("person")), by_web)
    with flow.person as person:
        callback_url = person.agree(flow.start(redirect_url=""))
        assert person.open(callback_url.replace("/callback/sandbox", "/callback/x")).status_code == 404
        assert person.open(callback_url).status_code == 200


def test_a_link_preview_does_not_end_the_attempt(client: Client) -> None:
    flow = Flow(client, Person(unique("person")), by_web)
    with flow.person as person:
        callback_url = person.agree(flow.start(redirect_url=""))
        assert person.browser.head(callback_url).status_code == 405
        assert person.open(callback_url).status_code == 200


BAD_QUERIES = [
    "",
    "state=a",
    "code=b",
    "state=a&state=b&code=c",
    "state=a&code=b&code=c",
    "state=%00&code=b",
    "&" * 99,
]


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_callback_that_is_none(query: str, client: Client, running: Running) -> None:
    callback_url = f"{running.settings.public_url}/callback/sandbox?{query}"
    assert httpx2.get(callback_url, trust_env=False).status_code == 400
    refused = client.fails("SocialAccountService/CompleteAuth", callback_url=callback_url)
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("callback_url",))


REDIRECT_URLS = {
    "https://app.example.com/done": True,
    "https://app.example.com/done/": False,
    "https://app.example.com/done?x=1": False,
    "https://app.example.com.evil.example/done": False,
    "http://app.example.com/done": False,
    "http://localhost:3000/anything": True,
    "http://127.0.0.1/": True,
    "http://[::1]:8000/x": True,
    "http://localhost.evil.example/": False,
    "http://localhost@evil.example/": False,
    "javascript://localhost/%0aalert(1)": False,
}


@pytest.mark.parametrize("url", REDIRECT_URLS)
def test_redirect_urls_are_on_the_allow_list_exactly(url: str, client: Client) -> None:
    projects.add_redirect_url(projects.find(client.project_id), "https://app.example.com/done", utc_now())
    request = {"platform": "PLATFORM_SANDBOX", "redirect_url": url}
    if REDIRECT_URLS[url]:
        assert client("SocialAccountService/CreateAuthUrl", **request).url
    else:
        refused = client.fails("SocialAccountService/CreateAuthUrl", **request)
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("redirect_url",))


def test_a_platform_without_settings(client: Client) -> None:
    refused = client.fails("SocialAccountService/CreateAuthUrl", platform="PLATFORM_X")
    assert refused.what == ("FAILED_PRECONDITION", "PLATFORM_NOT_CONFIGURED")
    assert refused.metadata == {"platform": "x"}


def test_an_auth_url_has_state_and_pkce(client: Client) -> None:
    answer = client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", external_id="user_1")
    assert 14 * 60 < answer.expire_time.ToDatetime(UTC).timestamp() - time.time() < 15 * 60 + 1
    query = parse_qs(urlsplit(answer.url).query)
    assert query["state"] == [answer.state]
    assert query["code_challenge_method"] == ["S256"]
    assert query["code_challenge"]


def test_a_login_hint_reaches_the_sign_in_page(client: Client) -> None:
    answer = client(
        "SocialAccountService/CreateAuthUrl",
        platform="PLATFORM_SANDBOX",
        platform_options={"sandbox": {"login_hint": "mia"}},
    )
    assert 'value="mia"' in httpx2.get(answer.url, trust_env=False).text
