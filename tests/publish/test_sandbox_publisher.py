"""What the sandbox's publisher makes of each answer; what it publishes is what was given to it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms import Tokens
from server.platforms.http import Http
from server.publish.media import Media
from server.publish.publisher import (
    MediaItem,
    Part,
    PublishFailed,
    Sender,
    Sending,
    TokenExpired,
    Uncertain,
    Values,
)
from server.publish.sandbox import MEANINGS, PUBLISH, SandboxPublisher
from server.sandbox.behaviours import BEHAVIOURS
from tests.conftest import Running
from tests.kit.sandbox import PICTURE, SandboxApp
from tests.kit.support import unique


@pytest.fixture
def mia(running: Running) -> Iterator[SandboxApp]:
    app = SandboxApp(f"http://{running.settings.web_address}").signed_in(unique("mia"))
    yield app
    app.call("DELETE", "behaviour")


@pytest.fixture
def publisher(mia: SandboxApp) -> SandboxPublisher:
    http = Http(trusted=[mia.url])
    return SandboxPublisher(mia.url, http, Media(http))


def sending(app: SandboxApp, part: Part, **values: Any) -> Sending:
    tokens = Tokens(app.token, None, None, ("posts.write",))
    given: dict[str, Any] = {
        "key": "k",
        "sender": Sender("sa_1", "1", "mia", tokens, None),
        "part": part,
        "index": 0,
        "options": {},
        "done": {},
        "published": {},
        "now": datetime.now(UTC),
        "until": time.monotonic() + 20,
    }
    return Sending(**given | values)


def send(publisher: SandboxPublisher, one: Sending) -> Values:
    """Takes all steps; what they have brought, merged."""
    brought: dict[str, Any] = {}
    for step in publisher.steps(one):
        brought[step.name] = publisher.run(step, replace(one, done=brought))
    return {name: value for result in brought.values() for name, value in result.items()}


def picture(app: SandboxApp, alt_text: str = "") -> MediaItem:
    return MediaItem(f"{app.url}/sandbox/pictures/sunrise.png", alt_text)


def seen(app: SandboxApp, post_id: str) -> dict[str, Any]:
    return dict(app.call("GET", f"posts/{post_id}").json())


def test_a_post_with_media_and_what_follows_on_it(publisher: SandboxPublisher, mia: SandboxApp) -> None:
    one = sending(mia, Part("hello", (picture(mia, "a sunrise"), picture(mia))))
    assert [(step.name, step.publishes) for step in publisher.steps(one)] == [
        ("media-0", False),
        ("media-1", False),
        ("publish", True),
    ]
    brought = send(publisher, one)
    post = seen(mia, brought["id"])
    assert brought["url"] == post["url"]
    assert post["text"] == "hello"
    assert [(medium["alt_text"], medium["content_type"]) for medium in post["media"]] == [
        ("a sunrise", "image/png"),
        ("", "image/png"),
    ]
    assert mia.call("GET", f"media/{post['media'][0]['id']}").content == PICTURE.read_bytes()
    comment = sending(mia, Part("and more", replies_to=0), index=1, published={0: brought})
    replied = send(publisher, comment)
    assert [reply["id"] for reply in seen(mia, brought["id"])["replies"]] == [replied["id"]]


@pytest.mark.parametrize(
    ("options", "visibility"),
    [
        ({}, "public"),
        ({"visibility": "SANDBOX_VISIBILITY_PUBLIC"}, "public"),
        ({"visibility": "SANDBOX_VISIBILITY_UNLISTED"}, "unlisted"),
    ],
)
def test_visibility(publisher: SandboxPublisher, mia: SandboxApp, options: Values, visibility: str) -> None:
    brought = send(publisher, sending(mia, Part("psst"), options=options))
    assert seen(mia, brought["id"])["visibility"] == visibility


def failed(error: PublishFailed) -> tuple[str, str, bool]:
    category = pb.PublishErrorCategory.Name(error.category).removeprefix("PUBLISH_ERROR_CATEGORY_")
    return category, error.code, error.retryable


# Of a post with a picture: what it ends with, and whether it is on the timeline.
@pytest.mark.parametrize(
    ("behaviour", "error", "is_there"),
    [
        ("slow", None, True),
        ("network", ("NETWORK", "RemoteProtocolError", True), False),
        ("away", ("PLATFORM", "away", True), False),
        ("rate_limit", ("RATE_LIMIT", "rate_limited", True), False),
        ("token_expired", TokenExpired, False),
        ("auth", ("AUTH", "login_required", False), False),
        ("permission", ("PERMISSION", "forbidden", False), False),
        ("media", ("MEDIA", "media_refused", False), False),
        ("content", ("CONTENT", "text_refused", False), False),
        ("duplicate", ("DUPLICATE", "duplicate", False), False),
        ("platform", ("PLATFORM", "failed", True), False),
        ("drop", Uncertain, True),
        ("gateway", Uncertain, True),
    ],
)
def test_each_behaviour(
    publisher: SandboxPublisher, mia: SandboxApp, behaviour: str, error: Any, is_there: bool
) -> None:
    handle = mia.call("GET", "profiles").json()["data"][0]["username"]
    one = sending(mia, Part("hello", (picture(mia),)))
    with mia.misbehaving(behaviour, **({"delay": 0.01} if behaviour == "slow" else {})):
        if error is None:
            send(publisher, one)
        elif isinstance(error, tuple):
            with pytest.raises(PublishFailed) as raised:
                send(publisher, one)
            assert failed(raised.value) == error
            assert mia.token not in raised.value.message
        else:
            with pytest.raises(error):
                send(publisher, one)
    assert len(mia.look(handle)) == int(is_there)


def test_every_behaviour_is_tried_above() -> None:
    [table] = [mark for mark in test_each_behaviour.pytestmark if mark.name == "parametrize"]
    assert [row[0] for row in table.args[1]] == [one.name for one in BEHAVIOURS]


def test_a_text_whose_connection_is_closed_is_uncertain(publisher: SandboxPublisher, mia: SandboxApp) -> None:
    """Nobody can tell it from a post that was published before."""
    one = sending(mia, Part("hello"))
    with mia.misbehaving("network"), pytest.raises(Uncertain):
        send(publisher, one)
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, one)


def test_a_limit_is_of_the_account_and_says_until_when(publisher: SandboxPublisher, mia: SandboxApp) -> None:
    with mia.misbehaving("rate_limit", seconds=30), pytest.raises(PublishFailed) as raised:
        send(publisher, sending(mia, Part("hello")))
    assert raised.value.scope == "account"
    assert 25 <= (raised.value.retry_after or 0) <= 30


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Part("x" * 65_537), ("CONTENT", "text_too_long", False)),
        (Part(""), ("CONTENT", "text_required", False)),
        (Part("hi", replies_to=0), ("CONTENT", "reply_to_unknown", False)),
        (Part("hi", (MediaItem("{url}/sandbox/pictures/none.png"),)), ("MEDIA", "HTTP 404", False)),
        (Part("hi", (MediaItem("{url}/sandbox/avatars/mia.svg"),)), ("MEDIA", "MEDIA_TYPE", False)),
    ],
)
def test_what_the_sandbox_refuses_by_itself(
    publisher: SandboxPublisher, mia: SandboxApp, part: Part, error: tuple[str, str, bool]
) -> None:
    media = tuple(MediaItem(item.url.replace("{url}", mia.url)) for item in part.media)
    one = sending(mia, replace(part, media=media), published={0: {"id": "sbx_p_01ARZ3NDEKTSV4RRFFQ69G5FAV"}})
    with pytest.raises(PublishFailed) as raised:
        send(publisher, one)
    assert failed(raised.value) == error


def test_dead_tokens_and_tokens_that_may_not(publisher: SandboxPublisher, mia: SandboxApp) -> None:
    with pytest.raises(TokenExpired):
        send(publisher, sending(SandboxApp(mia.url, "secret-0-kept"), Part("hello")))
    reader = mia.signed_in("mia", "profile.read")
    with pytest.raises(PublishFailed) as raised:
        send(publisher, sending(reader, Part("hello")))
    assert failed(raised.value) == ("PERMISSION", "insufficient_scope", False)


def test_a_sandbox_that_is_not_there_has_certainly_not_published(mia: SandboxApp) -> None:
    http = Http()
    with pytest.raises(PublishFailed) as raised:
        send(SandboxPublisher(mia.url, http, Media(http)), sending(mia, Part("hello")))
    assert raised.value.category == pb.PUBLISH_ERROR_CATEGORY_NETWORK


def test_each_category_can_be_told() -> None:
    told = {MEANINGS[one.error].category for one in BEHAVIOURS if one.error in MEANINGS}
    # `network` has no answer.
    told.add(pb.PUBLISH_ERROR_CATEGORY_NETWORK)
    assert told == set(pb.PublishErrorCategory.values()) - {pb.PUBLISH_ERROR_CATEGORY_UNSPECIFIED}
