"""Every row over the whole product: CreateAuthUrl, a browser, the callback, accounts, and the way back."""

from collections.abc import Callable
from datetime import UTC, timedelta
from functools import partial
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from server.base.identity import utc_now
from tests.conftest import Running
from tests.kit import stand_in as kit
from tests.kit.connecting import LOGIN, ROWS, Connecting, Sql
from tests.kit.due import work_off
from tests.kit.stand_in import Fixture, Json, StandIn
from tests.kit.support import Client, secret

TIMES = ("create_time", "update_time", "connect_time", "access_token_expire_time")


@pytest.fixture
def connecting(
    request: pytest.FixtureRequest, running: Running, client: Client, sql: Sql, stand_in: StandIn
) -> Connecting:
    name, callbacks = request.param, running.settings.callback_url
    revoke = partial(work_off, running.app)
    revoke()
    fixture = Fixture(name, stand_in)
    return Connecting(client, sql, stand_in, ROWS[name], fixture, callbacks, revoke).set_app()


def rows(wanted: Callable[[dict[str, Json]], bool] = bool) -> pytest.MarkDecorator:
    """Those whose fixture is so; a platform of many servers has a test of its own, with many servers."""
    fixtures = {name: kit.load(name) for name in kit.names()}
    names = [name for name, said in fixtures.items() if wanted(said) and "{instance}" not in str(said)]
    return pytest.mark.parametrize("connecting", names, indirect=True)


def several(fixture: dict[str, Json]) -> bool:
    return len(fixture["accounts"]) > 1


def shared(fixture: dict[str, Json]) -> bool:
    return several(fixture) and all(account["tokens"] == "login" for account in fixture["accounts"])


def with_refresh_token(fixture: dict[str, Json]) -> bool:
    return bool(fixture["tokens"]["refresh_token"])


@rows()
def test_a_login_brings_the_accounts_that_the_fixture_says(connecting: Connecting) -> None:
    before = utc_now()
    connecting.login()
    after, found = utc_now(), connecting.accounts()
    login = connecting.fixture["tokens"]
    assert connecting.tokens() == connecting.wanted_tokens()
    assert found.keys() == connecting.wanted_tokens().keys()
    for said in connecting.fixture["accounts"]:
        account = found[said["platform_user_id"]]
        tokens = said.pop("tokens")
        seconds = (login if tokens == "login" else tokens)["expires_in"]
        assert account.HasField("access_token_expire_time") == (seconds is not None)
        if seconds is not None:
            expires = account.access_token_expire_time.ToDatetime(UTC)
            assert before <= expires - timedelta(seconds=seconds) <= after
        assert shown(account) == {
            **said,
            "platform": connecting.platform,
            "external_id": "alice",
            "state": "SOCIAL_ACCOUNT_STATE_CONNECTED",
            "reauth_reason": "SOCIAL_ACCOUNT_REAUTH_REASON_UNSPECIFIED",
            "scopes": login["scopes"],
            "metadata": {},
        }


def shown(account: Any) -> dict[str, Json]:
    """All that an account says but its id, etag and times, which are its own."""
    said = MessageToDict(account, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {name: value for name, value in said.items() if name not in ("id", "etag", *TIMES)}


@rows(several)
def test_of_several_accounts_one_of_another_owner_is_refused_alone(connecting: Connecting) -> None:
    others = connecting.fixture["accounts"][0]["platform_user_id"]
    connecting.client(
        "SocialAccountService/ImportSocialAccount",
        platform=connecting.platform,
        platform_user_id=others,
        access_token=secret(),
        external_id="bob",
    )
    before, stored = connecting.accounts(), connecting.tokens()
    connecting.begin("alice")
    with connecting.stand_in.playing(connecting.fixture.exchanges(*LOGIN)):
        answer = connecting.client("SocialAccountService/CompleteAuth", callback_url=connecting.comes_back())
    connected = {account.platform_user_id for account in answer.connected_accounts}
    assert connected == connecting.wanted_tokens().keys() - {others}
    [rejected] = answer.rejected_accounts
    assert (rejected.platform_user_id, rejected.reason) == (others, "ERROR_REASON_OWNED_BY_ANOTHER")
    assert connecting.accounts()[others] == before[others]
    assert connecting.tokens() == {**connecting.wanted_tokens(), **stored}


@rows(lambda fixture: "no_profiles" in fixture)
def test_a_person_without_profiles(connecting: Connecting) -> None:
    connecting.begin("alice")
    asked = connecting.fixture.exchanges("token", "long_lived", "no_profiles")
    with connecting.stand_in.playing(asked):
        failure = connecting.client.fails(
            "SocialAccountService/CompleteAuth", callback_url=connecting.comes_back()
        )
    assert failure.reason == "AUTH_NO_PROFILE"
    assert connecting.accounts() == {}


@rows(with_refresh_token)
def test_a_login_without_a_refresh_token_keeps_the_old_one(connecting: Connecting) -> None:
    """What goes wrong in the field: to reconnect wiped it, since the platform sent none this time."""
    connecting.login()
    again = connecting.again(code=secret(), access_token=secret())
    again.begin("alice")
    token, *others = again.fixture.exchanges(*LOGIN)
    answer = without(token["answer"], again.fixture.values["refresh_token"])
    assert answer != token["answer"]
    assert again.ends([{**token, "answer": answer}, *others]).status_code == 200
    assert again.tokens() == again.wanted_tokens() != connecting.wanted_tokens()


def without(answer: Json, value: str) -> Json:
    """The same with nothing where this value was."""
    if isinstance(answer, dict):
        return {name: without(part, value) for name, part in answer.items() if part != value}
    return [without(part, value) for part in answer] if isinstance(answer, list) else answer


@rows()
def test_the_last_account_that_has_a_token_revokes_it(connecting: Connecting) -> None:
    """Those before leave it to its siblings. No platform yet revokes what a profile has for itself."""
    connecting.login()
    left = connecting.wanted_tokens()
    assert "revoke" not in connecting.fixture or shared(connecting.fixture.said) or len(left) == 1
    for user_id in list(left):
        del left[user_id]
        connecting.disconnect(user_id, [] if left else connecting.fixture.exchanges("revoke"))
        assert connecting.tokens() == left


@pytest.mark.parametrize("connecting", ["youtube"], indirect=True)
def test_each_logins_tokens_are_revoked_with_its_own_last_account(connecting: Connecting) -> None:
    """A second login, with one of the channels, leaves the first one's tokens to the other channel."""
    connecting.login()
    again = connecting.again(code=secret(), access_token=secret(), refresh_token=secret())
    again.begin("alice")
    token, profiles = again.fixture.exchanges(*LOGIN)
    [channel, other] = profiles["answer"]["json"]["items"]
    assert again.ends([token, {**profiles, "answer": {"json": {"items": [channel]}}}]).status_code == 200
    again.disconnect(channel["id"], again.fixture.exchanges("revoke"))
    connecting.disconnect(other["id"], connecting.fixture.exchanges("revoke"))


@rows()
def test_after_a_passing_502_the_same_code_may_be_tried_again(connecting: Connecting) -> None:
    """What goes wrong in the field: it was taken for a refusal."""
    connecting.begin("alice")
    [token] = connecting.fixture.exchanges("token")
    passing = {**token, "answer": {"status": 502, "json": {"error": "invalid_grant"}}}
    assert connecting.ends([passing]).status_code == 503
    assert connecting.accounts() == {}
    assert connecting.ends(connecting.fixture.exchanges(*LOGIN)).status_code == 200
    assert connecting.tokens() == connecting.wanted_tokens()


@pytest.mark.parametrize(
    ("connecting", "other"),
    [("linkedin", "linkedin_organization"), ("instagram", "instagram_facebook")],
    indirect=["connecting"],
)
def test_another_login_adds_accounts_and_takes_none_over(connecting: Connecting, other: str) -> None:
    """What goes wrong in the field: connecting a LinkedIn page took over the person's own channel."""
    connecting.login()
    [before] = connecting.accounts().values()
    by_other = connecting.by(other)
    by_other.login()
    found = by_other.accounts()
    assert found.keys() == by_other.wanted_tokens().keys() > {before.platform_user_id}
    assert found[before.platform_user_id].id == before.id
    assert len({account.id for account in found.values()}) == len(found)
