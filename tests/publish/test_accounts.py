"""What happens to an account between scheduling and sending: nothing goes out in the wrong name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish.publisher import NotPublished, TokenExpired
from tests.kit.publishing import Crash, Posting, Scripted, Sql, due_in, target_state
from tests.kit.support import Client
from tests.publish.test_outcomes import AGAIN

AUTH, PERMISSION = pb.PUBLISH_ERROR_CATEGORY_AUTH, pb.PUBLISH_ERROR_CATEGORY_PERMISSION


def disconnect(client: Client, account: str, sql: Sql) -> None:
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account)


def need_reauth(client: Client, account: str, sql: Sql) -> None:
    sql("UPDATE social_account SET state = 2, reauth_reason = 1 WHERE id = %s", account)


def transfer(client: Client, account: str, sql: Sql) -> None:
    client(
        "SocialAccountService/TransferSocialAccount",
        social_account_id=account,
        from_external_id="alice",
        to_external_id="bob",
    )


def expire(client: Client, account: str, sql: Sql) -> None:
    """Without a way to refresh."""
    sql(
        "UPDATE social_account SET access_token_expire_time = now() - interval '1 second' WHERE id = %s",
        account,
    )


def lose_the_key(client: Client, account: str, sql: Sql) -> None:
    sql("UPDATE social_account_token SET access_token = 'x' WHERE social_account_id = %s", account)


def lose_the_app(client: Client, account: str, sql: Sql) -> None:
    """Of tokens that were had by an app which is gone, of a platform that can't be connected any more."""
    sql(
        "UPDATE social_account_token SET platform_app_id = 'pa_1', connection = 'gone' "
        "WHERE social_account_id = %s",
        account,
    )


CHANGES: dict[str, tuple[Callable[[Client, str, Sql], None], int, str]] = {
    "disconnected": (disconnect, AUTH, "ACCOUNT_DISCONNECTED"),
    "needs its person": (need_reauth, AUTH, "ACCOUNT_NEEDS_REAUTH"),
    "transferred": (transfer, PERMISSION, "OWNER_CHANGED"),
    "expired": (expire, AUTH, "TOKENS_EXPIRED"),
    "key lost": (lose_the_key, AUTH, "TOKENS_UNREADABLE"),
    "app deleted": (lose_the_app, AUTH, "APP_DELETED"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_can_not_be_sent_says_why(
    name: str, posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    change, category, code = CHANGES[name]
    account = client.connect(external_id="alice", refresh_token="").id
    post = posting.post(account)
    change(client, account, sql)
    posting.work()
    target = posting.target(post)
    assert platform.calls == []
    assert (target_state(target), target.error.category, target.error.code) == ("FAILED", category, code)
    assert posting.state(post) == "FAILED"
    assert not target.HasField("due_time")
    assert target.attempt_count == 0


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_crash_has_left_is_not_sent_either(
    name: str, posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """It may have been published, and the platform can't be asked any more in this account's name."""
    change, _, code = CHANGES[name]
    account = client.connect(external_id="alice", refresh_token="").id
    platform.will("run publish", Crash(), platform.accept)
    platform.will("settle publish", NotPublished())
    post = posting.post(account)
    [leased] = posting.lease()
    with pytest.raises(Crash):
        posting.sender.send(leased)
    change(client, account, sql)
    posting.pass_time()
    [leased] = posting.lease()
    posting.sender.send(leased)
    target = posting.target(post)
    assert platform.calls == ["run publish"]
    # A lost key may come back: until then it stays open.
    expected = ("SENDING", "") if code == "TOKENS_UNREADABLE" else ("UNCONFIRMED", code)
    assert (target_state(target), target.error.code) == expected


def test_what_was_nobodys_when_it_was_scheduled_is_not_sent_in_an_owners_name(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    account = client.connect("77").id
    post = posting.post(account)
    assert client.connect("77", external_id="alice").id == account
    posting.work()
    assert (platform.calls, posting.target(post).error.code) == ([], "OWNER_CHANGED")


def test_transferred_and_back_is_the_same_owner(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect(external_id="alice").id
    post = posting.post(account)
    for owners in (("alice", "bob"), ("bob", "alice")):
        client(
            "SocialAccountService/TransferSocialAccount",
            social_account_id=account,
            from_external_id=owners[0],
            to_external_id=owners[1],
        )
    posting.work()
    assert posting.states(post) == ["PUBLISHED"]


def test_once_it_is_connected_again_a_retry_works(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    account = client.connect("88", external_id="alice").id
    post = posting.post(account)
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account)
    posting.work()
    client.connect("88", external_id="alice", access_token="secret-new-kept")
    retry(sql, post)
    posting.work()
    [(_, sending)] = platform.asked
    assert sending.sender.tokens.access_token == "secret-new-kept"
    assert posting.states(post) == ["PUBLISHED"]


def retry(sql: Sql, post: str) -> None:
    """As RetrySocialPost."""
    sql(
        "UPDATE social_post_target SET state = 1, queue_time = now(), due_time = now() "
        "WHERE social_post_id = %s",
        post,
    )


def test_a_retry_is_a_new_try(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    """With another key and plan, and as much time as the first."""
    platform.will("run publish", AGAIN, AGAIN, AGAIN, platform.accept)
    post = posting.post(client.connect().id)
    posting.work()
    posting.age(post, hours=2)
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["FAILED"]
    retry(sql, post)
    posting.work()
    assert posting.states(post) == ["PENDING"]
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["PUBLISHED"]
    assert len({sending.key for _, sending in platform.asked}) == 4


def expiring(client: Client, sql: Sql) -> str:
    """An account whose access token has expired, and which has a refresh token."""
    account = client.connect(access_token_expire_time=datetime.now(UTC) + timedelta(hours=1)).id
    expire(client, account, sql)
    sql("UPDATE social_account_token SET due_time = now() + interval '5 minutes'")
    return str(account)


def refresh_due(sql: Sql, account: str) -> bool:
    [(due,)] = sql("SELECT due_time <= now() FROM social_account_token WHERE social_account_id = %s", account)
    return bool(due)


def new_tokens(client: Client, account: str, sql: Sql, life: str = "1 hour") -> None:
    """As a refresh."""
    sql(
        "UPDATE social_account SET access_token_expire_time = now() + %s::interval WHERE id = %s",
        life,
        account,
    )
    sql(
        "UPDATE social_account_token SET access_token = other.access_token, due_time = NULL "
        "FROM social_account_token other WHERE other.social_account_id = %s "
        "AND social_account_token.social_account_id = %s",
        client.connect().id,
        account,
    )


def test_an_expired_token_waits_for_a_refresh(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    account = expiring(client, sql)
    post = posting.post(account)
    [(begun,)] = sql("SELECT now()")
    posting.work()
    assert (platform.calls, posting.states(post), refresh_due(sql, account)) == ([], ["PENDING"], True)
    assert (due_in(sql, post, begun) or 0) >= 2
    assert (due_in(sql, post) or 0) <= 2
    assert posting.target(post).attempt_count == 0
    new_tokens(client, account, sql)
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["PUBLISHED"]


def test_a_refresh_that_fails_is_not_asked_for_more_often(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    account = expiring(client, sql)
    sql("UPDATE social_account_token SET refresh_failures = 3 WHERE social_account_id = %s", account)
    post = posting.post(account)
    posting.work()
    assert not refresh_due(sql, account)
    assert 20 < (due_in(sql, post) or 0) <= 30


def test_a_token_that_the_platform_refuses_is_refreshed(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """It is not sent with the same again, and ends after a second one."""
    account = client.connect().id
    platform.will("run publish", TokenExpired())
    post = posting.post(account)
    posting.work()
    assert refresh_due(sql, account)
    posting.pass_time()
    posting.work()
    assert platform.calls == ["run publish"]
    new_tokens(client, account, sql)
    posting.pass_time()
    posting.work()
    assert platform.calls == ["run publish"] * 2
    target = posting.target(post)
    assert (target_state(target), target.error.category, target.error.code) == (
        "FAILED",
        AUTH,
        "TOKENS_REFUSED",
    )


def test_new_tokens_are_used(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    account = client.connect().id
    platform.will("run publish", TokenExpired(), platform.accept)
    post = posting.post(account)
    posting.work()
    new_tokens(client, account, sql)
    posting.pass_time()
    posting.work()
    tokens: list[Any] = [sending.sender.tokens.access_token for _, sending in platform.asked]
    assert len(set(tokens)) == 2
    assert posting.states(post) == ["PUBLISHED"]


def test_what_is_a_day_late_is_not_sent(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect().id
    late, just = posting.post(account, text="late"), posting.post(account, text="just")
    posting.schedule(late, ago=24 * 3600 + 60)
    posting.schedule(just, ago=24 * 3600 - 60)
    posting.work()
    error = posting.target(late).error
    assert (posting.states(late), error.code, error.retryable) == (["FAILED"], "TOO_LATE", True)
    assert platform.texts == ["just"]


def test_a_platform_without_a_publisher_says_so(posting: Posting, platform: Scripted, client: Client) -> None:
    """One that an earlier version has scheduled: this one would not have."""
    post = client.draft(client.connect(platform="PLATFORM_PINTEREST").id).id
    posting.schedule(post)
    posting.work()
    assert posting.target(post).error.code == "PLATFORM_NOT_SUPPORTED"
