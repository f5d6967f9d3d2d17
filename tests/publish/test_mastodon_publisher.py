"""Publishing at Mastodon servers: stand-ins for them on real ports, asked as the engine asks."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base.identity import utc_now
from server.platforms import Tokens
from server.platforms.http import Http
from server.platforms.limits import LIMITS, limits_of
from server.publish.mastodon import AT_WORK, KEY_LIFE, MastodonPublisher
from server.publish.mastodon_look import plain, text
from server.publish.mastodon_server import Server
from server.publish.media import Media
from server.publish.publisher import (
    MediaItem,
    NotPublished,
    NotYet,
    Part,
    PublishFailed,
    Sender,
    Sending,
    Step,
    Uncertain,
)
from tests.kit.mastodon import Instance, answer, redirect
from tests.kit.mastodon_statuses import CONFIGURATION, rendered
from tests.kit.support import free_port, unique
from tests.kit.web import serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
MP4 = b"\0\0\0\x20ftypisom" + bytes(200_000)
PUBLISH = Step("publish", publishes=True)
OF_APP = ("read:accounts", "write:statuses", "write:media")


@pytest.fixture(scope="module")
def instances() -> Iterator[tuple[Instance, Instance]]:
    with Instance().serving() as one, Instance().serving() as other:
        yield one, other


@pytest.fixture
def instance(instances: tuple[Instance, Instance]) -> Instance:
    instances[0].forget()
    return instances[0]


@pytest.fixture
def elsewhere(instances: tuple[Instance, Instance]) -> Iterator[Instance]:
    """A server that no account is at."""
    instances[1].forget()
    yield instances[1]
    assert instances[1].visited == []


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """Where media are."""
    contents = {
        "a.png": PNG,
        "b.png": PNG[:-1],
        "film.mp4": MP4,
        "sound.webm": b"\x1a\x45\xdf\xa3" + bytes(90),
    }

    async def get(request: Request) -> Response:
        content = contents.get(request.path_params["name"])
        return Response(content) if content else Response(status_code=404)

    with serving(Starlette(routes=[Route("/{name}", get)])) as url:
        yield url


@pytest.fixture(scope="module")
def publisher() -> MastodonPublisher:
    http = Http(allow_private=True)
    return MastodonPublisher(http, Media(http))


def sender(instance: Instance, scopes: tuple[str, ...] = OF_APP, **fields: Any) -> Sender:
    """The account at the server."""
    instance.statuses.scopes = set(scopes)
    tokens = Tokens(instance.token(), None, None, scopes, {"instance": instance.url})
    return Sender(
        **{
            "account_id": "sa_1",
            "platform_user_id": f"1@{instance.name}",
            "username": f"alice@{instance.name}",
            "tokens": tokens,
            "app": None,
            **fields,
        }
    )


def sending(account: Sender, caption: str = "", *media: MediaItem, **fields: Any) -> Sending:
    """A post that is about to be sent to the account."""
    return Sending(
        **{
            "key": unique("sp").replace("_", "-"),
            "sender": account,
            "part": Part(caption, media),
            "index": 0,
            "options": {},
            "done": {},
            "published": {},
            "now": utc_now(),
            "until": time.monotonic() + 20,
            **fields,
        }
    )


def prepare(publisher: MastodonPublisher, sent: Sending) -> list[str]:
    """Takes all steps but the last; returns those that were to be waited for."""
    waited: list[str] = []
    for step in publisher.steps(sent)[:-1]:
        for _ in range(10):
            try:
                sent.done = {**sent.done, step.name: publisher.run(step, sent)}
                break
            except NotYet:
                waited.append(step.name)
        else:
            raise AssertionError(f"{step.name} does not end")
    sent.plan = publisher.plan(PUBLISH, sent)
    sent.begun = sent.now
    return waited


def send(publisher: MastodonPublisher, sent: Sending) -> Any:
    """Takes all steps; returns what the last has brought."""
    prepare(publisher, sent)
    return publisher.run(PUBLISH, sent)


@contextmanager
def failing(
    category: str, code: str, *, retryable: bool = False
) -> Iterator[pytest.ExceptionInfo[PublishFailed]]:
    """Inside, it certainly fails like this, and says what to do."""
    with pytest.raises(PublishFailed) as raised:
        yield raised
    failure = raised.value
    name = pb.PublishErrorCategory.Name(failure.category).removeprefix("PUBLISH_ERROR_CATEGORY_")
    assert (name, failure.code, failure.retryable) == (category, code, retryable)
    assert failure.message.endswith(".")


# What is sent.


def test_a_text(publisher: MastodonPublisher, instance: Instance) -> None:
    result = send(publisher, sending(sender(instance), "Good <morning>\n#fediverse"))
    [status] = instance.statuses.posted
    assert result == {"id": status["id"], "url": f"{instance.url}/@alice/{status['id']}"}
    assert text(status["content"]) == "\nGood <morning>\n#fediverse"
    assert status["visibility"] == "public"
    assert instance.visited == ["/api/v1/statuses"]


def test_media_with_alt_text_in_their_order(
    publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    media = MediaItem(f"{files}/a.png", "A cat, “asleep”"), MediaItem(f"{files}/b.png")
    sent = sending(sender(instance), "", *media)
    assert [step.name for step in publisher.steps(sent)] == [
        "media/0",
        "media/1",
        "ready/0",
        "ready/1",
        "publish",
    ]
    send(publisher, sent)
    [status] = instance.statuses.posted
    assert [one["description"] for one in status["media_attachments"]] == ["A cat, “asleep”", ""]
    uploads = [instance.statuses.uploads[one["id"]] for one in status["media_attachments"]]
    assert [(one["content"], one["kind"]) for one in uploads] == [(PNG, "image/png"), (PNG[:-1], "image/png")]


def test_a_video_is_waited_for(publisher: MastodonPublisher, instance: Instance, files: str) -> None:
    instance.statuses.polls = 3
    sent = sending(sender(instance), "film", MediaItem(f"{files}/film.mp4", "A wave"))
    assert prepare(publisher, sent) == ["ready/0", "ready/0"]
    publisher.run(PUBLISH, sent)
    [status] = instance.statuses.posted
    [medium] = status["media_attachments"]
    assert instance.statuses.uploads[medium["id"]]["content"] == MP4


def test_options(publisher: MastodonPublisher, instance: Instance) -> None:
    options = {
        "visibility": "MASTODON_VISIBILITY_UNLISTED",
        "spoiler_text": "Politics",
        "sensitive": False,
        "language": "de",
        "poll": {"options": ["Ja", "Nein"], "duration": "3600s", "multiple": True},
    }
    send(publisher, sending(sender(instance), "Frage", options=options))
    [status] = instance.statuses.posted
    assert status["visibility"] == "unlisted"
    assert status["spoiler_text"] == "Politics"
    assert status["sensitive"] is False
    assert status["language"] == "de"
    assert status["poll"] == {
        "options": ["Ja", "Nein"],
        "expires_in": 3600,
        "multiple": True,
        "hide_totals": False,
    }


@pytest.mark.parametrize("visibility", ["public", "unlisted", "private", "direct"])
def test_visibilities(visibility: str, publisher: MastodonPublisher, instance: Instance) -> None:
    options = {"visibility": f"MASTODON_VISIBILITY_{visibility.upper()}"}
    send(publisher, sending(sender(instance), "hello", options=options))
    assert [status["visibility"] for status in instance.statuses.posted] == [visibility]


def test_what_is_not_said_is_the_accounts(publisher: MastodonPublisher, instance: Instance) -> None:
    instance.statuses.default_visibility = "private"
    send(publisher, sending(sender(instance), "hello"))
    [status] = instance.statuses.posted
    assert (status["visibility"], status["language"], status["sensitive"]) == ("private", "en", False)


def test_a_thread(publisher: MastodonPublisher, instance: Instance) -> None:
    account, options = (
        sender(instance),
        {"visibility": "MASTODON_VISIBILITY_PRIVATE", "poll": {"options": ["a", "b"]}},
    )
    published: dict[int, Any] = {}
    for index, replies_to in enumerate((None, 0, 1)):
        part = Part(f"part {index}", replies_to=replies_to)
        published[index] = send(
            publisher, sending(account, part=part, index=index, options=options, published=published)
        )
    first, second, third = instance.statuses.posted
    assert [one["in_reply_to_id"] for one in (first, second, third)] == [None, first["id"], second["id"]]
    assert {one["visibility"] for one in (first, second, third)} == {"private"}
    assert [bool(one["poll"]) for one in (first, second, third)] == [True, False, False]


# What nobody knows, and how it is settled.


def lost(publisher: MastodonPublisher, instance: Instance, sent: Sending) -> Any:
    """Sends, but the answer that it was published gets lost; returns the status."""
    instance.statuses.lose = 1
    with pytest.raises(Uncertain):
        send(publisher, sent)
    assert len(instance.statuses.posted) == 1
    return instance.statuses.posted[0]


def later(sent: Sending, by: timedelta) -> Sending:
    """The same when so much more time has passed: the server has forgotten keys, too."""
    now = utc_now()
    return dataclasses.replace(sent, now=now, begun=now - by)


TEXTS = [
    "Good morning",
    '<b> & "quotes" &amp;\n\nA paragraph\n\n\nand a line\nbreak ',
    "See https://www.example.com/a/very/long/path/that/is/cut?x=1&y=2 #tag @bob@other.example, @carol",
    "🎉 日本語",
]


@pytest.mark.parametrize("caption", TEXTS)
def test_a_lost_answer_is_found_by_looking(
    caption: str, publisher: MastodonPublisher, instance: Instance
) -> None:
    sent = sending(sender(instance), caption)
    status = lost(publisher, instance, sent)
    assert publisher.settle(PUBLISH, sent)["id"] == status["id"]
    assert len(instance.statuses.posted) == 1


@pytest.mark.parametrize("caption", ["", "with text"])
def test_a_lost_answer_with_media_is_found_by_them(
    caption: str, publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    sent = sending(sender(instance), caption, MediaItem(f"{files}/a.png"))
    status = lost(publisher, instance, sent)
    instance.statuses.publish(status="by hand, since")
    # An edited text is no doubt: no other status has these media.
    status["content"] = "<p>edited</p>"
    assert publisher.settle(PUBLISH, sent)["id"] == status["id"]


def test_a_lost_answer_that_nobody_else_sees_is_settled_by_its_key(
    publisher: MastodonPublisher, instance: Instance
) -> None:
    sent = sending(sender(instance), "hello", options={"visibility": "MASTODON_VISIBILITY_PRIVATE"})
    status = lost(publisher, instance, sent)
    with pytest.raises(NotYet) as waiting:
        publisher.settle(PUBLISH, sent)
    assert 0 < waiting.value.seconds <= AT_WORK.total_seconds()
    sent = dataclasses.replace(sent, now=sent.now + AT_WORK)
    with pytest.raises(NotPublished):
        publisher.settle(PUBLISH, sent)
    assert publisher.run(PUBLISH, sent)["id"] == status["id"]
    assert len(instance.statuses.posted) == 1


def test_with_the_permission_to_read_it_is_seen(publisher: MastodonPublisher, instance: Instance) -> None:
    account = sender(instance, (*OF_APP, "read:statuses"))
    sent = sending(account, "hello", options={"visibility": "MASTODON_VISIBILITY_DIRECT"})
    status = lost(publisher, instance, sent)
    assert publisher.settle(PUBLISH, sent)["id"] == status["id"]


def test_a_version_that_fails_repeated_calls_stays_uncertain(
    publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.statuses.fails_repeated = True
    sent = sending(sender(instance), "hello", options={"visibility": "MASTODON_VISIBILITY_PRIVATE"})
    lost(publisher, instance, sent)
    with pytest.raises(Uncertain, match="HTTP 500"):
        publisher.run(PUBLISH, sent)
    assert len(instance.statuses.posted) == 1


@pytest.mark.parametrize("age", [timedelta(minutes=3), timedelta(hours=3)])
def test_what_is_certainly_not_there_is_sent(
    age: timedelta, publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.statuses.publish(status="before", created=utc_now() - timedelta(days=1))
    options = {"visibility": "MASTODON_VISIBILITY_PUBLIC"}
    sent = later(sending(sender(instance), "hello", options=options), by=age)
    with pytest.raises(NotPublished):
        publisher.settle(PUBLISH, sent)
    assert len(instance.statuses.posted) == 1


def test_after_the_keys_hour_it_is_found_by_looking(publisher: MastodonPublisher, instance: Instance) -> None:
    sent = later(sending(sender(instance), "hello"), by=timedelta(hours=5))
    assert sent.begun is not None
    status = instance.statuses.publish(status="hello", created=sent.begun + timedelta(seconds=1))
    # More than a page since then.
    for index in range(90):
        instance.statuses.publish(status=f"by hand {index}")
    assert publisher.settle(PUBLISH, sent)["id"] == status["id"]


HOURS = timedelta(hours=2)
PUBLIC = {"visibility": "MASTODON_VISIBILITY_PUBLIC"}


@pytest.mark.parametrize(
    ("age", "by_hand", "options"),
    [
        # The account's default may be that nobody else sees it.
        (KEY_LIFE, None, {}),
        (KEY_LIFE, None, {"visibility": "MASTODON_VISIBILITY_PRIVATE"}),
        # It may be one that the server has changed, or somebody has edited; or one like it.
        (HOURS, {"status": "hello, changed"}, PUBLIC),
        (HOURS, {"status": "hello"}, {**PUBLIC, "spoiler_text": "x"}),
        (HOURS, {"status": "hello", "in_reply_to_id": "7"}, PUBLIC),
        (HOURS, {"status": "hello", "media_ids": ["7"]}, PUBLIC),
    ],
)
def test_what_can_not_be_decided(
    age: timedelta, by_hand: Any, options: Any, publisher: MastodonPublisher, instance: Instance
) -> None:
    sent = later(sending(sender(instance), "hello", options=options), by=age)
    instance.statuses.uploads["7"] = {"id": "7", "type": "image", "description": ""}
    if by_hand:
        instance.statuses.publish(**by_hand)
    with pytest.raises(Uncertain, match="NOT_FOUND"):
        publisher.settle(PUBLISH, sent)


def test_the_same_text_twice_is_not_decided(publisher: MastodonPublisher, instance: Instance) -> None:
    sent = later(sending(sender(instance), "hello"), by=timedelta(hours=2))
    instance.statuses.publish(status="hello")
    instance.statuses.publish(status="hello")
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)


def test_the_same_text_just_before_is_another(publisher: MastodonPublisher, instance: Instance) -> None:
    """Two targets of the account with one text, one after the other."""
    sent = sending(sender(instance), "hello", options={"visibility": "MASTODON_VISIBILITY_PUBLIC"})
    sent = later(sent, by=timedelta(hours=2))
    assert sent.begun is not None
    instance.statuses.publish(status="hello", created=sent.begun - timedelta(seconds=1))
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)
    instance.statuses.posted[0]["created_at"] = (sent.begun - timedelta(seconds=30)).isoformat()
    with pytest.raises(NotPublished):
        publisher.settle(PUBLISH, sent)


@pytest.mark.parametrize("media", [(), (MediaItem("https://files.example/a.png"),)])
def test_more_statuses_than_are_looked_at(
    media: tuple[MediaItem, ...], publisher: MastodonPublisher, instance: Instance
) -> None:
    done = {"media/0": {"media_id": "7", "ready": True}}
    sent = later(sending(sender(instance), "hello", *media, options=PUBLIC, done=done), by=HOURS)
    for index in range(210):
        instance.statuses.publish(status=f"by hand {index}")
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)
    assert instance.visited.count("/api/v1/accounts/1/statuses") <= 6


@pytest.mark.parametrize(
    "version", ["2.7.2 (compatible; Other 2.6)", "0.19.1+git-abc", "4.0.0 (not true)", None]
)
def test_a_server_that_may_not_keep_keys_is_not_called_again(
    version: Any, publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.statuses.version = version
    sent = later(sending(sender(instance), "hello"), by=timedelta(minutes=10))
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)


def test_a_server_that_does_not_say_what_it_is(publisher: MastodonPublisher, instance: Instance) -> None:
    sent = later(sending(sender(instance), "hello"), by=timedelta(minutes=10))
    for path in ("/api/v2/instance", "/api/v1/instance"):
        instance.says[path] = answer({"error": "Not Found"}, 404)
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)
    # It may say so later.
    instance.says["/api/v2/instance"] = answer({"error": "busy"}, 503)
    with failing("PLATFORM", "HTTP 503", retryable=True):
        publisher.settle(PUBLISH, sent)


def test_a_server_that_only_members_read_is_settled_by_the_key(
    publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.statuses.members_only = True
    sent = later(sending(sender(instance), "hello"), by=timedelta(minutes=10))
    with pytest.raises(NotPublished):
        publisher.settle(PUBLISH, sent)
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, later(sent, by=timedelta(hours=2)))


def test_a_server_that_is_away_is_asked_later(publisher: MastodonPublisher, instance: Instance) -> None:
    sent = later(sending(sender(instance), "hello"), by=timedelta(minutes=10))
    instance.says["/api/v1/accounts/1/statuses"] = answer({"error": "busy"}, 503)
    with failing("PLATFORM", "HTTP 503", retryable=True):
        publisher.settle(PUBLISH, sent)


def test_the_servers_clock_is_allowed_for(
    publisher: MastodonPublisher, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's, which is five minutes behind, the status is from before it was begun."""
    sent = later(sending(sender(instance), "hello", options=PUBLIC), by=HOURS)
    assert sent.begun is not None
    behind = timedelta(minutes=5)
    monkeypatch.setattr(Server, "clock", lambda server, response: sent.now - behind)
    status = instance.statuses.publish(status="hello", created=sent.begun + timedelta(seconds=3) - behind)
    assert publisher.settle(PUBLISH, sent)["id"] == status["id"]
    # How far it is behind is known but for some seconds.
    status["created_at"] = (sent.begun + timedelta(seconds=1) - behind).isoformat()
    with pytest.raises(Uncertain):
        publisher.settle(PUBLISH, sent)


@pytest.mark.parametrize("said", [[1], {"id": 1}, [{"id": "1"}], [{"id": "1", "created_at": 7}], "<html>"])
def test_a_list_that_can_not_be_read(said: Any, publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v1/accounts/1/statuses"] = answer(said)
    with failing("PLATFORM", "UNREADABLE", retryable=True):
        publisher.settle(PUBLISH, later(sending(sender(instance), "hello"), by=timedelta(hours=2)))


def test_a_time_before_all_times(publisher: MastodonPublisher, instance: Instance) -> None:
    said = answer([{"id": "1", "created_at": "0001-01-01T00:00:00Z"}])
    said.headers["Age"] = "999"
    instance.says["/api/v1/accounts/1/statuses"] = said
    with failing("PLATFORM", "UNREADABLE", retryable=True):
        publisher.settle(PUBLISH, later(sending(sender(instance), "hello"), by=HOURS))


@pytest.mark.parametrize("caption", TEXTS)
def test_texts_come_back_as_html(caption: str) -> None:
    assert plain(text(rendered(caption, "https://here.example"))) == plain(caption)
    assert plain(text(rendered(caption + "!", "https://here.example"))) != plain(caption)


# What goes wrong.

REFUSALS = [
    (400, "param is missing", ("CONTENT", "HTTP 400")),
    (401, "The access token is invalid", ("AUTH", "HTTP 401")),
    (403, "This action is outside the authorized scopes", ("PERMISSION", "SCOPE_MISSING")),
    (403, "Your login is currently disabled", ("PERMISSION", "LOGIN_DISABLED")),
    (403, "This action is not allowed", ("PERMISSION", "HTTP 403")),
    (404, "Record not found", ("PLATFORM", "HTTP 404")),
    (422, "This method requires an authenticated user", ("AUTH", "HTTP 422")),
    (422, "Validation failed: Text can't be blank", ("CONTENT", "HTTP 422")),
    (422, "Validation failed: Text character limit of 500 exceeded", ("CONTENT", "TEXT_TOO_LONG")),
    (422, "Validation failed: Poll options can't contain more than 4 items", ("CONTENT", "POLL")),
    (422, "Media 7 not found or already attached to another post", ("MEDIA", "MEDIA_GONE")),
    (422, "Cannot attach a video to a post that already contains images", ("MEDIA", "MEDIA_COMBINATION")),
    (422, "Cannot attach more than 4 files", ("MEDIA", "MEDIA_COMBINATION")),
    (422, "Überprüfung fehlgeschlagen", ("CONTENT", "HTTP 422")),
    (418, "teapot", ("PLATFORM", "HTTP 418")),
]


@pytest.mark.parametrize(("status", "words", "meaning"), REFUSALS)
def test_refusals(
    status: int, words: str, meaning: tuple[str, str], publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.says["/api/v1/statuses"] = answer({"error": words}, status)
    with failing(*meaning):
        send(publisher, sending(sender(instance), "hello"))


def test_media_that_are_not_ready_after_all(publisher: MastodonPublisher, instance: Instance) -> None:
    words = "Cannot attach files that have not finished processing. Try again in a moment!"
    instance.says["/api/v1/statuses"] = answer({"error": words}, 422)
    with failing("MEDIA", "MEDIA_NOT_READY", retryable=True):
        send(publisher, sending(sender(instance), "hello"))


@pytest.mark.parametrize("said", [answer("<html>", 422), answer([], 422), answer({"error": [7]}, 422)])
def test_a_refusal_without_words(said: Any, publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v1/statuses"] = said
    with failing("CONTENT", "HTTP 422"):
        send(publisher, sending(sender(instance), "hello"))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 302, 303, 304])
def test_answers_after_which_nobody_knows(
    status: int, publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.says["/api/v1/statuses"] = Response(status_code=status, headers={"Location": "/somewhere"})
    with pytest.raises(Uncertain, match=f"HTTP {status}"):
        send(publisher, sending(sender(instance), "hello"))


@pytest.mark.parametrize("said", [{}, [], {"id": ""}, {"id": "../1"}, {"id": None}, {"id": True}, "<html>"])
def test_a_success_that_can_not_be_read(said: Any, publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v1/statuses"] = answer(said)
    with pytest.raises(Uncertain, match="UNREADABLE"):
        send(publisher, sending(sender(instance), "hello"))


@pytest.mark.parametrize("url", [None, 7, "https://elsewhere.example/@alice/1", "javascript:alert(1)"])
def test_an_address_elsewhere_is_not_shown(
    url: Any, publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.says["/api/v1/statuses"] = answer({"id": 1, "url": url})
    assert send(publisher, sending(sender(instance), "hello")) == {"id": "1", "url": ""}


def test_a_server_that_can_not_be_reached_has_not_published(
    publisher: MastodonPublisher, instance: Instance
) -> None:
    account = dataclasses.replace(sender(instance), platform_user_id=f"1@127.0.0.1:{free_port()}")
    with failing("NETWORK", "ConnectError", retryable=True):
        send(publisher, sending(account, "hello"))


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254"])
def test_a_server_of_a_private_network_is_refused(host: str, instance: Instance) -> None:
    http = Http()
    account = dataclasses.replace(sender(instance), platform_user_id=f"1@{host}")
    with pytest.raises(PublishFailed):
        send(MastodonPublisher(http, Media(http)), sending(account, "hello"))
    assert instance.visited == []


@pytest.mark.parametrize("status", [301, 307, 308])
def test_nobody_is_followed_elsewhere(
    status: int, publisher: MastodonPublisher, instance: Instance, elsewhere: Instance
) -> None:
    instance.says["/api/v1/statuses"] = Response(status_code=status, headers={"Location": elsewhere.url})
    with failing("PLATFORM", "REDIRECTED"):
        send(publisher, sending(sender(instance), "hello"))


@pytest.mark.parametrize("path", ["/api/v2/media", "/api/v1/accounts/1/statuses", "/api/v2/instance"])
def test_no_other_call_is_followed_elsewhere(
    path: str, publisher: MastodonPublisher, instance: Instance, elsewhere: Instance, files: str
) -> None:
    instance.says[path] = redirect(f"{elsewhere.url}{path}")
    account = sender(instance)
    sent = later(sending(account, "hello", MediaItem(f"{files}/a.png")), by=timedelta(minutes=10))
    for asking in (
        lambda: send(publisher, sent),
        lambda: publisher.settle(PUBLISH, dataclasses.replace(sent, done={"media/0": {"media_id": "7"}})),
        lambda: publisher.limits(account, time.monotonic() + 10),
    ):
        with suppress(PublishFailed, Uncertain, NotPublished, NotYet):
            asking()


@pytest.mark.parametrize(
    "account", ["alice", "1@", "@mastodon.example", "1@a/b", "1@a?b", "../1@a", "1@a@b", "1@A"]
)
def test_an_account_without_a_server(account: str, publisher: MastodonPublisher, instance: Instance) -> None:
    with failing("AUTH", "ACCOUNT_ID"):
        send(publisher, sending(sender(instance, platform_user_id=account), "hello"))


@pytest.mark.parametrize(
    ("scopes", "published"),
    [
        (OF_APP, True),
        (("write",), True),
        ((), True),
        (("read:accounts", "write:media"), False),
        (("read",), False),
    ],
)
def test_permission_to_write_statuses(
    scopes: tuple[str, ...], published: bool, publisher: MastodonPublisher, instance: Instance
) -> None:
    account = sender(instance, scopes)
    if not scopes:
        instance.statuses.scopes = {"write"}
    if published:
        send(publisher, sending(account, "hello"))
    else:
        with failing("PERMISSION", "SCOPE_MISSING"):
            send(publisher, sending(account, "hello"))
    assert len(instance.statuses.posted) == published


def test_permission_to_upload(publisher: MastodonPublisher, instance: Instance, files: str) -> None:
    sent = sending(sender(instance, ("write:statuses",)), "hello", MediaItem(f"{files}/a.png"))
    with failing("PERMISSION", "SCOPE_MISSING"):
        send(publisher, sent)
    assert instance.visited == []


def test_a_reply_to_what_is_gone(publisher: MastodonPublisher, instance: Instance) -> None:
    with failing("CONTENT", "REPLY_GONE"):
        send(
            publisher,
            sending(sender(instance), part=Part("x", replies_to=0), index=1, published={0: {"id": "7"}}),
        )


# Media that go wrong.


@pytest.mark.parametrize(
    ("name", "own", "code"),
    [
        ("a.png", {"image_bytes": 2000}, "MEDIA_SIZE"),
        ("film.mp4", {"video_bytes": 200_000}, "MEDIA_SIZE"),
        ("a.png", {"image_types": ["image/jpeg"]}, "MEDIA_TYPE"),
        ("sound.webm", {"video_types": ["video/mp4"]}, "MEDIA_TYPE"),
        ("missing.png", {}, "HTTP 404"),
    ],
)
def test_media_that_are_not_sent(
    name: str, own: Any, code: str, publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    with failing("MEDIA", code):
        send(publisher, sending(sender(instance, limits=own), "", MediaItem(f"{files}/{name}")))
    assert instance.visited == []


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (422, "Validation failed: File content type is invalid, File is invalid", "HTTP 422"),
        (400, "", "HTTP 400"),
        (413, "", "HTTP 413"),
        (500, "Error processing thumbnail for uploaded media", "MEDIA_FAILED"),
    ],
)
def test_media_that_are_refused(
    status: int, words: str, code: str, publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    instance.says["/api/v2/media"] = answer({"error": words}, status)
    with failing("MEDIA", code):
        send(publisher, sending(sender(instance), "", MediaItem(f"{files}/a.png")))


@pytest.mark.parametrize("said", [answer({"error": "x"}, 500), answer({"error": "x"}, 503)])
def test_an_upload_that_fails_is_tried_again(
    said: Any, publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    instance.says["/api/v2/media"] = said
    with failing("PLATFORM", f"HTTP {said.status_code}", retryable=True):
        send(publisher, sending(sender(instance), "", MediaItem(f"{files}/a.png")))


def test_an_upload_that_can_not_be_read(publisher: MastodonPublisher, instance: Instance, files: str) -> None:
    instance.says["/api/v2/media"] = answer({"id": "../../oauth"})
    with failing("PLATFORM", "UNREADABLE", retryable=True):
        send(publisher, sending(sender(instance), "", MediaItem(f"{files}/a.png")))


def test_a_video_that_can_not_be_processed(
    publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    instance.statuses.polls, instance.statuses.processable = 2, False
    with failing("MEDIA", "MEDIA_FAILED"):
        send(publisher, sending(sender(instance), "", MediaItem(f"{files}/film.mp4")))


def test_a_video_that_the_server_has_lost(
    publisher: MastodonPublisher, instance: Instance, files: str
) -> None:
    instance.statuses.polls = 2
    sent = sending(sender(instance), "", MediaItem(f"{files}/film.mp4"))
    sent.done = {"media/0": publisher.run(Step("media/0"), sent)}
    instance.statuses.uploads.clear()
    with failing("MEDIA", "MEDIA_GONE"):
        publisher.run(Step("ready/0"), sent)


def test_an_answer_that_was_kept_on_the_way(publisher: MastodonPublisher, instance: Instance) -> None:
    """What a cache says is of a time before; its clock is right."""
    sent = later(sending(sender(instance), "hello", options=PUBLIC), by=HOURS)
    assert sent.begun is not None
    instance.statuses.publish(status="hello", created=sent.begun - timedelta(seconds=10))
    kept = answer(instance.statuses.posted)
    kept.headers["Age"] = "20"
    instance.says["/api/v1/accounts/1/statuses"] = kept
    # Else the status would seem to be from after it was begun.
    with pytest.raises(NotPublished):
        publisher.settle(PUBLISH, dataclasses.replace(sent, now=sent.now + timedelta(seconds=20)))


# Limits.


def test_the_limit_of_calls(publisher: MastodonPublisher, instance: Instance) -> None:
    instance.statuses.calls_left = 2
    # By the server's own clock, which may be wrong.
    instance.statuses.ahead = timedelta(0)
    for pauses in (set(), {"account"}):
        sent = sending(sender(instance), "hello")
        send(publisher, sent)
        assert sent.pauses.keys() == pauses
    assert 80 < sent.pauses["account"] <= 93
    with failing("RATE_LIMIT", "HTTP 429", retryable=True) as raised:
        send(publisher, sending(sender(instance), "hello"))
    assert raised.value.scope == "account"
    assert raised.value.retry_after is not None
    assert 80 < raised.value.retry_after <= 93


def test_a_limit_by_the_servers_own_clock(publisher: MastodonPublisher, instance: Instance) -> None:
    """Its times are two hours behind ours, and so is its clock."""
    said = answer({"error": "Too many requests"}, 429)
    said.headers["X-RateLimit-Reset"] = (utc_now() + timedelta(seconds=90)).isoformat()
    instance.says["/api/v1/statuses"] = said
    with failing("RATE_LIMIT", "HTTP 429", retryable=True) as raised:
        send(publisher, sending(sender(instance), "hello", now=utc_now() + timedelta(hours=2)))
    assert raised.value.retry_after is not None
    assert 80 < raised.value.retry_after <= 93


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"X-RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Reset": "soon", "Retry-After": "7"}, 7),
        ({"X-RateLimit-Reset": "9999-01-01T00:00:00Z"}, 86400),
        ({"X-RateLimit-Reset": "2001-01-01T00:00:00"}, None),
    ],
)
def test_what_a_server_says_of_its_limit(
    headers: dict[str, str], seconds: float | None, publisher: MastodonPublisher, instance: Instance
) -> None:
    instance.says["/api/v1/statuses"] = Response(status_code=429, headers=headers)
    with failing("RATE_LIMIT", "HTTP 429", retryable=True) as raised:
        send(publisher, sending(sender(instance), "hello"))
    assert raised.value.retry_after == seconds


def test_what_a_server_says_of_itself(publisher: MastodonPublisher, instance: Instance) -> None:
    own = {**CONFIGURATION, "statuses": {"max_characters": 5000, "max_media_attachments": 8}}
    instance.statuses.configuration = own
    said = publisher.limits(sender(instance), time.monotonic() + 10)
    limits = limits_of("mastodon", said)
    assert limits is not None
    assert (limits.most_characters, limits.most_media, limits.url_counts_as) == (5000, 8, 23)
    assert limits.image_types == ("image/jpeg", "image/png")
    assert limits.video_types == ("video/mp4",)
    assert (limits.image_bytes, limits.video_bytes, limits.image_pixels) == (16777216, 103809024, 33177600)
    assert limits.image_alt_text_characters == limits.video_alt_text_characters == 1500
    assert (limits.poll_options, limits.poll_option_characters) == (4, 50)
    assert (limits.poll_least_seconds, limits.poll_most_seconds) == (300, 2629746)


def test_older_servers_say_it_elsewhere(publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v2/instance"] = answer({"error": "Not Found"}, 404)
    instance.says["/api/v1/instance"] = answer({"max_toot_chars": 1111})
    assert publisher.limits(sender(instance), time.monotonic() + 10) == {"most_characters": 1111}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"configuration": 7},
        {"configuration": {"statuses": {"max_characters": "many"}}},
        {"configuration": {"statuses": {"max_characters": -1}}},
        {"configuration": {"statuses": {"max_characters": True}}},
        {"configuration": {"statuses": {"max_characters": 10**400}}},
        {"configuration": {"statuses": {"max_characters": -(10**400)}}},
        {"configuration": {"media_attachments": {"supported_mime_types": "image/png"}}},
        {"configuration": {"media_attachments": {"supported_mime_types": ["application/octet-stream"]}}},
    ],
)
def test_what_can_not_be_a_limit(said: Any, publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v2/instance"] = answer(said)
    own = publisher.limits(sender(instance), time.monotonic() + 10)
    assert limits_of("mastodon", own) == LIMITS["mastodon"]


def test_types_that_are_none(publisher: MastodonPublisher, instance: Instance) -> None:
    types = ["image/png", 7, "image/\0png", "video/" + "x" * 65, "text/html", "image/", "video/mp4"]
    instance.says["/api/v2/instance"] = answer(
        {"configuration": {"media_attachments": {"supported_mime_types": types * 99}}}
    )
    own = publisher.limits(sender(instance), time.monotonic() + 10)
    assert own is not None
    assert (set(own["image_types"]), set(own["video_types"])) == ({"image/png"}, {"video/mp4"})
    assert len(own["image_types"]) < 20


def test_a_server_that_does_not_describe_itself(publisher: MastodonPublisher, instance: Instance) -> None:
    instance.says["/api/v2/instance"] = answer([])
    with failing("PLATFORM", "UNREADABLE", retryable=True):
        publisher.limits(sender(instance), time.monotonic() + 10)
