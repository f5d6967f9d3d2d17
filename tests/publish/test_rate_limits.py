"""A limit that one worker is told of holds for all: of the account, the app, or the server."""

from threading import Event
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish import rate_limits
from server.publish.publisher import PublishFailed, Step
from tests.kit.publishing import Posting, Scripted, Sql, due_in
from tests.kit.support import Client

RATE_LIMIT = pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT


def limited(scope: str, seconds: float | None = 100) -> PublishFailed:
    return PublishFailed(RATE_LIMIT, "HTTP 429", "Later.", retryable=True, retry_after=seconds, scope=scope)


@pytest.mark.parametrize(
    ("scope", "held"), [("account", False), ("app", True), ("server", True), ("", False)]
)
def test_who_is_held_up(
    scope: str, held: bool, posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """Another account of the same app and server."""
    platform.will("run publish", limited(scope), platform.accept)
    first = posting.post(client.connect().id)
    posting.work()
    assert 95 < (due_in(sql, first) or 0) <= 100
    other = posting.post(client.connect().id)
    posting.work()
    assert posting.states(other) == ["PENDING" if held else "PUBLISHED"]
    if held:
        assert 95 < (due_in(sql, other) or 0) <= 100
        assert posting.target(other).attempt_count == 0


def test_the_same_account_waits(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    """Also when its first post was called off meanwhile."""
    platform.will("run publish", limited("account"), platform.accept)
    account = client.connect().id
    first = posting.post(account)
    posting.work()
    sql("UPDATE social_post_target SET state = 6, due_time = NULL WHERE social_post_id = %s", first)
    second = posting.post(account)
    posting.work()
    assert posting.states(second) == ["PENDING"]
    sql("UPDATE rate_limit SET until_time = now() WHERE project_id = %s", client.project_id)
    posting.pass_time()
    posting.work()
    assert posting.states(second) == ["PUBLISHED"]


def test_another_project_is_not_held_up(
    posting: Posting, platform: Scripted, client: Client, stranger: Client, sql: Sql
) -> None:
    platform.will("run publish", limited("app"), platform.accept)
    posting.post(client.connect().id)
    posting.work()
    theirs = Posting(stranger, sql, posting.sender)
    post = theirs.post(stranger.connect().id)
    theirs.work()
    assert theirs.states(post) == ["PUBLISHED"]


def test_a_platform_may_say_so_before_it_refuses(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """By the headers of an answer that is none: the rest of the steps waits, and others do."""
    platform.all_steps = [Step("upload"), Step("publish", publishes=True)]

    def last_one(sending: Any) -> Any:
        sending.pauses["app"] = 60.0
        return {"media": 1}

    platform.will("run upload", last_one, lambda sending: {"media": 2})
    post, other = posting.post(client.connect().id), posting.post(client.connect().id)
    posting.work()
    assert posting.states(post) == ["SENDING"]
    assert posting.states(other) == ["PENDING"]
    posting.sql("UPDATE rate_limit SET until_time = now()")
    posting.pass_time()
    posting.work()
    assert posting.states(post) == posting.states(other) == ["PUBLISHED"]
    assert platform.calls.count("run upload") == 2


def test_a_limit_never_becomes_shorter(client: Client, sql: Sql) -> None:
    def pause(seconds: float) -> float:
        rate_limits.pause(client.project_id, {"account": "account:x"}, {"account": seconds, "other": 5})
        return rate_limits.paused(client.project_id, ["account:x", "account:y"]) or 0

    assert 99 < pause(100) <= 100
    assert 99 < pause(10) <= 100
    assert 24 * 3600 - 1 < pause(1e9) <= 24 * 3600
    assert rate_limits.paused(client.project_id, ["account:y"]) is None
    assert sql("SELECT scope FROM rate_limit WHERE project_id = %s", client.project_id) == [("account:x",)]


def test_limits_that_have_passed_are_forgotten(client: Client, sql: Sql) -> None:
    rate_limits.pause(client.project_id, {"account": "old", "app": "new"}, {"account": 1, "app": 1})
    sql("UPDATE rate_limit SET until_time = now() - interval '2 hours' WHERE scope = 'old'")
    rate_limits.FORGOTTEN.turn("me", lambda: None, Event())
    assert sql("SELECT scope FROM rate_limit WHERE project_id = %s", client.project_id) == [("new",)]


def test_limits_of_an_account_are_asked_once_an_hour_and_kept(
    posting: Posting, platform: Scripted, client: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the platform says of its posts; a failure to say it keeps nothing from being sent."""
    asked = []

    def limits(sender: Any, until: float) -> Any:
        asked.append(sender.account_id)
        if len(asked) > 1:
            raise RuntimeError
        return {"text": 500}

    monkeypatch.setattr(platform, "limits", limits)
    account, other = client.connect().id, client.connect().id
    for _ in range(2):
        posting.post(account)
        posting.work()
    assert asked == [account]
    assert [sending.sender.limits for _, sending in platform.asked] == [{"text": 500}] * 2
    assert sql("SELECT limits FROM social_account WHERE id = %s", account) == [({"text": 500},)]
    post = posting.post(other)
    posting.work()
    assert (asked, posting.states(post)) == ([account, other], ["PUBLISHED"])
