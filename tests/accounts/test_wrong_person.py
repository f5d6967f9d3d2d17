"""A connect link that was forwarded to somebody else, and the three defences of docs/wrong-person.md.

Mallory begins a connection in the application, as herself, and sends the link to Victor, who opens it, signs
in to the platform as himself and agrees.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.kit.servers import REPOSITORY
from tests.kit.stored import stored
from tests.kit.support import Client, unique
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]

PAGE = (REPOSITORY / "docs" / "wrong-person.md").read_text()
COMPLETE, CONFIRM = "SocialAccountService/CompleteAuth", "SocialAccountService/ConfirmAuth"
MISMATCH = ("PERMISSION_DENIED", "OWNER_MISMATCH")


@pytest.fixture
def victor() -> Iterator[Person]:
    with Person(unique("victor")) as person:
        yield person


def forwarded(client: Client, **fields: Any) -> str:
    """The link that Mallory got for herself."""
    request = {"platform": "PLATFORM_SANDBOX", "external_id": "mallory", **fields}
    return str(client("SocialAccountService/CreateAuthUrl", **request).url)


def back_at_the_application(person: Person, callback_url: str) -> dict[str, str]:
    """What the application's page has in its query."""
    location = person.open(callback_url).headers["location"]
    return {name: value for name, (value,) in parse_qs(urlsplit(location).query).items()}


def test_without_a_defence_the_senders_owner_gets_the_profile(client: Client, victor: Person) -> None:
    """The attack: without it none of the others would show anything."""
    told = back_at_the_application(victor, victor.agree(forwarded(client, redirect_url="http://localhost/")))
    assert told["status"] == "connected"
    accounts = client("SocialAccountService/ListSocialAccounts", external_ids=["mallory"]).social_accounts
    assert [account.username for account in accounts] == [victor.handle]


def test_a_reconnect_accepts_its_own_profile_alone(client: Client, victor: Person, sql: Sql) -> None:
    account = client.connect(unique("profile"), "mallory")
    before = stored(sql, client)
    fields = {"social_account_id": account.id, "redirect_url": "http://localhost/"}
    told = back_at_the_application(victor, victor.agree(forwarded(client, **fields)))
    assert told == {"status": "failed", "reason": "AUTH_WRONG_PROFILE"}
    refused = client.fails(COMPLETE, callback_url=victor.agree(forwarded(client, **fields)))
    assert refused.what == ("FAILED_PRECONDITION", "AUTH_WRONG_PROFILE")
    assert stored(sql, client) == before


def test_a_page_of_ones_own_says_who_came_back(client: Client, victor: Person, sql: Sql) -> None:
    callback_url = victor.agree(forwarded(client))
    assert client.fails(COMPLETE, callback_url=callback_url, external_id="victor").what == MISMATCH
    assert client.as_owner("victor").fails(COMPLETE, callback_url=callback_url).what == MISMATCH
    assert stored(sql, client) == []


def test_a_confirmation_says_who_came_back(client: Client, victor: Person, sql: Sql) -> None:
    fields = {"redirect_url": "http://localhost/", "require_confirmation": True}
    told = back_at_the_application(victor, victor.agree(forwarded(client, **fields)))
    assert told.keys() == {"status", "confirmation_code"}
    assert told["status"] == "confirmation_required"
    code = told["confirmation_code"]
    assert stored(sql, client) == []
    assert client.fails(CONFIRM, confirmation_code=code, external_id="victor").what == MISMATCH
    # What Victor's browser may have let slip is of no use to Mallory any more.
    refused = client.fails(CONFIRM, confirmation_code=code, external_id="mallory")
    assert refused.what == ("FAILED_PRECONDITION", "AUTH_CONFIRMATION_USED")
    assert stored(sql, client) == []


def test_a_confirmation_that_is_forwarded_connects_nothing_to_who_opens_it(
    client: Client, victor: Person, sql: Sql
) -> None:
    """The same backwards: Mallory agrees herself, and sends Victor the address with the code."""
    fields = {"redirect_url": "http://localhost/", "require_confirmation": True}
    with Person(unique("mallory")) as mallory:
        told = back_at_the_application(mallory, mallory.agree(forwarded(client, **fields)))
    request = {"confirmation_code": told["confirmation_code"], "external_id": "victor"}
    assert client.fails(CONFIRM, **request).what == MISMATCH
    assert stored(sql, client) == []


def test_the_page_names_these_tests() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) >= 4
    assert set(named) <= globals().keys()
