"""Posts to Mastodon over the whole product: connected, scheduled, sent, and seen at the server."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.publish.mastodon import MastodonPublisher
from server.publish.publisher import Sending, Step, Values
from tests.conftest import Running
from tests.kit.mastodon import Instance, answer
from tests.kit.mastodon_statuses import CONFIGURATION
from tests.kit.publishing import Crash, Posting, Sql, due_in
from tests.kit.support import Client
from tests.kit.web import serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PRIVATE = {"mastodon": {"visibility": "MASTODON_VISIBILITY_PRIVATE"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    with Instance().serving() as instance:
        yield instance


@pytest.fixture
def instance(server: Instance) -> Instance:
    server.forget()
    return server


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The address of an image."""

    async def get(_request: Request) -> Response:
        return Response(PNG, media_type="image/png")

    with serving(Starlette(routes=[Route("/cat.png", get)])) as url:
        yield f"{url}/cat.png"


@pytest.fixture
def posting(client: Client, sql: Sql, running: Running) -> Posting:
    """A project, and the worker's own sender."""
    return Posting(client, sql, running.app.sender)


@pytest.fixture
def account(client: Client, instance: Instance) -> str:
    """Alice's, connected."""
    return connect(client, instance)


def connect(client: Client, instance: Instance) -> str:
    """The account that a login at the server brings, or brings back."""
    options = {"mastodon": {"instance": instance.name}}
    url = client(
        "SocialAccountService/CreateAuthUrl", platform="PLATFORM_MASTODON", platform_options=options
    ).url
    answered = client("SocialAccountService/CompleteAuth", callback_url=instance.agree(url))
    [account] = answered.connected_accounts
    return str(account.id)


def test_a_thread_with_an_image(posting: Posting, account: str, instance: Instance, image: str) -> None:
    instance.statuses.polls = 2
    post = posting.post(
        account,
        text="A cat",
        media=[{"url": image, "alt_text": "It sleeps"}],
        platform_options={"mastodon": {"spoiler_text": "Animals", "language": "en"}},
        follow_ups=[{"caption": "And on"}, {"caption": "A comment", "place": "FOLLOW_UP_PLACE_COMMENT"}],
    )
    posting.work()
    # The server is still at work on the image.
    assert (posting.states(post), instance.statuses.posted) == (["SENDING"], [])
    posting.pass_time()
    posting.work()
    first, second, third = instance.statuses.posted
    assert posting.state(post) == "PUBLISHED"
    target = posting.target(post)
    assert target.platform_post_id == first["id"]
    assert target.platform_post_url == f"{instance.url}/@alice/{first['id']}"
    assert [one.platform_post_id for one in target.follow_ups] == [second["id"], third["id"]]
    assert [one["content"] for one in (first, second, third)] == [
        "<p>A cat</p>",
        "<p>And on</p>",
        "<p>A comment</p>",
    ]
    assert [one["in_reply_to_id"] for one in (first, second, third)] == [None, first["id"], first["id"]]
    assert {one["spoiler_text"] for one in (first, second, third)} == {"Animals"}
    [medium] = first["media_attachments"]
    assert instance.statuses.uploads[medium["id"]]["content"] == PNG
    assert medium["description"] == "It sleeps"


def test_a_poll(posting: Posting, account: str, instance: Instance) -> None:
    poll = {"options": ["yes", "no"], "duration": timedelta(hours=1), "hide_totals": True}
    posting.post(account, text="Well?", platform_options={"mastodon": {"poll": poll}})
    posting.work()
    [status] = instance.statuses.posted
    assert status["poll"] == {
        "options": ["yes", "no"],
        "expires_in": 3600,
        "multiple": False,
        "hide_totals": True,
    }


def test_a_lost_answer(posting: Posting, account: str, instance: Instance) -> None:
    instance.statuses.lose = 1
    post = posting.post(account)
    posting.work()
    [status] = instance.statuses.posted
    assert posting.state(post) == "PUBLISHED"
    assert posting.target(post).platform_post_id == status["id"]


def test_a_lost_answer_of_what_only_followers_see(posting: Posting, account: str, instance: Instance) -> None:
    instance.statuses.lose = 1
    post = posting.post(account, platform_options=PRIVATE)
    posting.work()
    assert posting.states(post) == ["SENDING"]
    posting.age(post, minutes=3)
    posting.pass_time()
    posting.work()
    [status] = instance.statuses.posted
    assert posting.state(post) == "PUBLISHED"
    assert posting.target(post).platform_post_id == status["id"]
    assert instance.visited.count("/api/v1/statuses") == 2


def test_a_lost_answer_after_the_keys_hour(posting: Posting, account: str, instance: Instance) -> None:
    instance.statuses.lose = 1
    post = posting.post(account, platform_options=PRIVATE)
    posting.work()
    posting.age(post, hours=2)
    posting.pass_time()
    posting.work()
    assert posting.state(post) == "UNCONFIRMED"
    assert len(instance.statuses.posted) == 1


@pytest.mark.parametrize("options", [{}, PRIVATE])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_worker_that_dies(
    options: Any,
    accepted: bool,
    posting: Posting,
    account: str,
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Just before its call, or just after the server has published."""
    run = MastodonPublisher.run

    def dying(publisher: MastodonPublisher, step: Step, sending: Sending) -> Values:
        if accepted:
            run(publisher, step, sending)
        raise Crash

    post = posting.post(account, platform_options=options)
    with monkeypatch.context() as patched:
        patched.setattr(MastodonPublisher, "run", dying)
        with pytest.raises(Crash):
            posting.work()
    assert len(instance.statuses.posted) == accepted
    for _ in range(3):
        posting.age(post, minutes=3)
        posting.pass_time()
        posting.work()
    assert posting.state(post) == "PUBLISHED"
    [status] = instance.statuses.posted
    assert posting.target(post).platform_post_id == status["id"]


def test_a_servers_own_limit(posting: Posting, account: str, instance: Instance, client: Client) -> None:
    """Known since the account was connected, and asked for again when something is sent."""

    def allow(most: int) -> None:
        own = {**CONFIGURATION["statuses"], "max_characters": most}
        instance.statuses.configuration = {**CONFIGURATION, "statuses": own}

    def refused(length: int) -> bool:
        post = client.draft(account, caption="x" * length)
        failure = client.fails("SocialPostService/PublishSocialPost", social_post_id=post.id)
        return failure.fields == ("social_post.caption",)

    assert refused(501)
    allow(1000)
    connect(client, instance)
    assert refused(1001)
    post = posting.post(account, text="x" * 1000)
    allow(2000)
    posting.work()
    assert posting.state(post) == "PUBLISHED"
    assert refused(2001)
    post = posting.post(account, text="x" * 2000)
    posting.work()
    assert posting.state(post) == "PUBLISHED"


def test_a_revoked_token(posting: Posting, account: str, instance: Instance, client: Client) -> None:
    instance.says["/api/v1/statuses"] = answer({"error": "The access token is invalid"}, 401)
    post = posting.post(account)
    posting.work()
    error = posting.target(post).error
    assert posting.state(post) == "FAILED"
    assert (error.category, error.code, error.retryable) == (1, "HTTP 401", False)
    instance.says.clear()
    assert connect(client, instance) == account
    client("SocialPostService/RetrySocialPost", social_post_id=post)
    posting.work()
    assert posting.state(post) == "PUBLISHED"
    assert len(instance.statuses.posted) == 1


def test_the_limit_of_calls(posting: Posting, account: str, instance: Instance, sql: Sql) -> None:
    instance.statuses.calls_left = 1
    first, second = posting.post(account, text="1"), posting.post(account, text="2")
    for _ in range(3):
        posting.work()
    assert (posting.state(first), posting.state(second)) == ("PUBLISHED", "SCHEDULED")
    seconds = due_in(sql, second)
    assert seconds is not None
    assert 60 < seconds <= 95
    # It was not even tried.
    assert instance.visited.count("/api/v1/statuses") == 1
