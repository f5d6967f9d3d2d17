"""Publishing to Bluesky's own server, step by step: what is there is what was sent, once."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms import Tokens
from server.platforms.http import Http
from server.publish.bluesky import BlueskyPublisher
from server.publish.media import Media
from server.publish.publisher import NotPublished, PublishFailed, Step, TokenExpired, Uncertain
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.bluesky_posts import Target, by_app_password, by_oauth, record, records, text
from tests.kit.media import Site, mp4, png, site
from tests.kit.support import secret

HTTP = Http(allow_private=True)


@pytest.fixture(scope="module")
def files() -> Iterator[Site]:
    with site() as served:
        yield served


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


@pytest.fixture(params=[by_app_password, by_oauth], ids=["app_password", "oauth"])
def tokens(request: pytest.FixtureRequest, pds: Pds, person: BlueskyAccount) -> Tokens:
    """An account's, in both ways in which it can be connected."""
    connect: Callable[[Pds, BlueskyAccount], Tokens] = request.param
    return connect(pds, person)


@pytest.fixture
def publisher() -> BlueskyPublisher:
    return BlueskyPublisher(HTTP, Media(HTTP))


@pytest.fixture
def target(publisher: BlueskyPublisher, tokens: Tokens) -> Target:
    return Target(publisher, tokens)


def only(pds: Pds, person: BlueskyAccount) -> Any:
    """The account's only post."""
    [found] = records(pds, person)
    return found["value"]


def test_a_text(pds: Pds, person: BlueskyAccount, target: Target) -> None:
    target.options = {"languages": ["en", "pt-BR"], "self_labels": ["nudity"]}
    said = target.send(text("Grüße, 世界 👋\n\nbye  "))
    there = record(pds, said)
    assert (there["uri"], there["cid"]) == (said["uri"], said["cid"])
    created = there["value"].pop("createdAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)
    assert there["value"] == {
        "$type": "app.bsky.feed.post",
        "text": "Grüße, 世界 👋\n\nbye  ",
        "langs": ["en", "pt-BR"],
        "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]},
    }
    rkey = said["uri"].rpartition("/")[2]
    assert said["id"] == said["uri"] == f"at://{person.did}/app.bsky.feed.post/{rkey}"
    assert said["url"] == f"https://bsky.app/profile/{person.did}/post/{rkey}"
    assert [post["uri"] for post in records(pds, person)] == [said["uri"]]


def test_images_with_their_alt_texts(pds: Pds, person: BlueskyAccount, target: Target, files: Site) -> None:
    # More than a part of a stream, and more than is kept in memory.
    large, small = png(400, 300, size=900_000), png(3, 2)
    media = [(files.put("/large", large), "Three by four 🖼"), (files.put("/small", small), "")]
    target.options = {"self_labels": ["porn", "graphic-media"]}
    target.send(text("", *media))
    found = only(pds, person)
    assert (found["text"], found["embed"]["$type"]) == ("", "app.bsky.embed.images")
    first, second = found["embed"]["images"]
    assert (first["alt"], first["aspectRatio"]) == ("Three by four 🖼", {"width": 400, "height": 300})
    assert (second["alt"], second["aspectRatio"]) == ("", {"width": 3, "height": 2})
    for image, content in ((first, large), (second, small)):
        assert image["image"]["mimeType"] == "image/png"
        assert blob(pds, person, image["image"]) == content
    assert [value["val"] for value in found["labels"]["values"]] == ["porn", "graphic-media"]


def blob(pds: Pds, person: BlueskyAccount, named: Any) -> bytes:
    """What a record's blob holds."""
    which = {"did": person.did, "cid": named["ref"]["$link"]}
    answer = httpx2.get(f"{pds.url}/xrpc/com.atproto.sync.getBlob", params=which, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("kind", [by_app_password, by_oauth])
def test_a_video(
    kind: Callable[[Pds, BlueskyAccount], Tokens],
    pds: Pds, person: BlueskyAccount, publisher: BlueskyPublisher, files: Site,
) -> None:  # fmt: skip
    """The video service can't reach this server, so it goes there itself."""
    video = mp4(640, 360)
    Target(publisher, kind(pds, person)).send(text("moving", (files.put("/v", video), "What moves")))
    embed = only(pds, person)["embed"]
    assert embed["$type"] == "app.bsky.embed.video"
    assert (embed["alt"], embed["aspectRatio"]) == ("What moves", {"width": 640, "height": 360})
    assert embed["video"]["mimeType"] == "video/mp4"
    assert blob(pds, person, embed["video"]) == video


def test_mentions_hashtags_and_links(pds: Pds, person: BlueskyAccount, target: Target) -> None:
    other = pds.new_account()
    caption = f"👩‍👩‍👧 @{other.handle}, @nobody.test and #größe: see http://127.0.0.1:9/a?b=c."
    target.send(text(caption))
    found = only(pds, person)
    assert found["text"] == caption
    active = [
        (
            caption.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(),
            facet["features"],
        )
        for facet in found["facets"]
    ]
    facet = "app.bsky.richtext.facet"
    assert active == [
        (f"@{other.handle}", [{"$type": f"{facet}#mention", "did": other.did}]),
        ("#größe", [{"$type": f"{facet}#tag", "tag": "größe"}]),
        ("http://127.0.0.1:9/a?b=c", [{"$type": f"{facet}#link", "uri": "http://127.0.0.1:9/a?b=c"}]),
    ]
    # Nobody answers there, so there is no card.
    assert "embed" not in found


def test_a_link_card(pds: Pds, person: BlueskyAccount, target: Target, files: Site) -> None:
    picture = png(60, 40)
    files.put("/card.png", picture)
    url = files.page(
        "/page",
        '<title>no</title><meta property="og:title" content="A &amp; B  \n Ü">'
        '<meta property="og:description" content="What it says">'
        '<meta property="og:image" content="card.png">',
    )
    target.send(text(f"see {url}"))
    embed = only(pds, person)["embed"]
    external = embed["external"]
    assert embed["$type"] == "app.bsky.embed.external"
    assert (external["uri"], external["title"]) == (url, "A & B Ü")
    assert external["description"] == "What it says"
    assert blob(pds, person, external["thumb"]) == picture


def test_no_card_is_made_that_nobody_wants(
    pds: Pds, person: BlueskyAccount, target: Target, files: Site
) -> None:
    url = files.page("/unwanted", "<title>A page</title>")
    target.options = {"no_link_card": True}
    target.send(text(url))
    with_image = Target(target.publisher, target.tokens)
    with_image.send(text(url, (files.put("/image", png()), "")))
    assert "/unwanted" not in files.asked
    kinds = [post["value"].get("embed", {}).get("$type") for post in records(pds, person)]
    assert kinds == ["app.bsky.embed.images", None]


def test_a_thread(pds: Pds, person: BlueskyAccount, target: Target, files: Site) -> None:
    target.options = {"languages": ["en"], "self_labels": ["nudity"]}
    first = target.send(text("1/3"))
    second = target.send(text("2/3", (files.put("/two", png()), "two"), replies_to=0), 1)
    third = target.send(text("3/3", replies_to=1), 2)
    comment = target.send(text("a comment", replies_to=0), 3)
    names = [{"uri": said["uri"], "cid": said["cid"]} for said in (first, second, third)]
    found = [record(pds, said)["value"] for said in (first, second, third, comment)]
    assert [post.get("reply") for post in found] == [
        None,
        {"root": names[0], "parent": names[0]},
        {"root": names[0], "parent": names[1]},
        {"root": names[0], "parent": names[0]},
    ]
    assert [post["text"] for post in found] == ["1/3", "2/3", "3/3", "a comment"]
    # Labels are of media, languages of texts.
    assert ["labels" in post for post in found] == [True, True, False, False]
    assert all(post["langs"] == ["en"] for post in found)
    # Readers see the newest first: keys are in the order of sending.
    listed = [post["value"]["text"] for post in records(pds, person)]
    assert listed == ["a comment", "3/3", "2/3", "1/3"]


@pytest.mark.parametrize("known", ["url", "id"])
def test_a_reply_to_what_somebody_has_found(
    known: str, pds: Pds, person: BlueskyAccount, target: Target
) -> None:
    """Of an UNCONFIRMED post its owner has said where it is; its hash, which replies name, nobody says."""
    first = target.send(text("1/2"))
    target.published[0] = {"id": None, "url": None, known: first[known]}
    second = target.send(text("2/2", replies_to=0), 1)
    name = {"uri": first["uri"], "cid": first["cid"]}
    assert record(pds, second)["value"]["reply"] == {"root": name, "parent": name}
    unknown = [{"id": None, "url": None}, {"url": "https://bsky.app/profile/x/post/3n3f4ditdigbp"}]
    for index, published in enumerate(unknown, 2):
        target.published[0] = published
        with pytest.raises(PublishFailed) as refused:
            target.send(text("3/2", replies_to=0), index)
        assert refused.value.code == "REPLY_UNKNOWN"


def test_what_was_accepted_is_settled_without_a_second_record(
    pds: Pds, person: BlueskyAccount, target: Target
) -> None:
    """The worker dies after the server has accepted: another one knows of the plan alone."""
    part = text("once @nobody.test")
    target.prepare(part)
    with pytest.raises(NotPublished):
        target.settle(part)
    said = target.publish(part)
    assert target.settle(part) == said
    # Sent once more it is no second one, and no change.
    before = records(pds, person)
    assert target.publish(part) == said
    assert records(pds, person) == before
    assert len(before) == 1


@pytest.mark.parametrize(
    ("kind", "error"), [(by_app_password, PublishFailed), (by_oauth, TokenExpired)], ids=["session", "oauth"]
)
def test_it_is_settled_also_after_the_tokens_have_ended(
    kind: Callable[[Pds, BlueskyAccount], Tokens],
    error: type[Exception],
    pds: Pds,
    person: BlueskyAccount,
    publisher: BlueskyPublisher,
) -> None:
    target, part = Target(publisher, kind(pds, person)), text("once")
    said = target.send(part)
    target.tokens = replace(target.tokens, access_token=secret())
    with pytest.raises(error, match=r"InvalidToken|invalid_token"):
        target.publish(part)
    assert target.settle(part) == said


def test_the_answer_is_lost(
    monkeypatch: pytest.MonkeyPatch, pds: Pds, person: BlueskyAccount, target: Target
) -> None:
    part = text("once")
    target.prepare(part)
    request = httpx2.AsyncClient.request

    async def lost(client: httpx2.AsyncClient, method: str, url: str, **more: Any) -> httpx2.Response:
        response = await request(client, method, url, **more)
        if url.endswith("putRecord") and response.is_success:
            raise httpx2.ReadError("the connection is gone")
        return response

    with monkeypatch.context() as patch:
        patch.setattr(httpx2.AsyncClient, "request", lost)
        with pytest.raises(Uncertain, match="ReadError"):
            target.publish(part)
    said = target.settle(part)
    assert [post["uri"] for post in records(pds, person)] == [said["uri"]]
    assert record(pds, said)["value"] == target.plans[0]["record"]


def test_another_post_is_never_overwritten(pds: Pds, person: BlueskyAccount, target: Target) -> None:
    first, second = text("first"), text("second")
    said = target.send(first)
    target.prepare(second, 1)
    target.plans[1] = {**target.plans[1], "rkey": said["uri"].rpartition("/")[2]}
    with pytest.raises(NotPublished):
        target.settle(second, 1)
    with pytest.raises(PublishFailed) as refused:
        target.publish(second, 1)
    assert (refused.value.category, refused.value.code) == (
        pb.PUBLISH_ERROR_CATEGORY_DUPLICATE,
        "InvalidSwap",
    )
    assert only(pds, person)["text"] == "first"


def test_a_worker_with_a_wrong_clock(
    monkeypatch: pytest.MonkeyPatch, pds: Pds, person: BlueskyAccount, publisher: BlueskyPublisher
) -> None:
    """The database's time is right, and it is what signatures say."""
    import time

    target, part = Target(publisher, by_oauth(pds, person)), text("in time")
    target.prepare(part)
    sending = target.sending(part, plan=target.plans[0])
    wrong = time.time() + 300
    monkeypatch.setattr(time, "time", lambda: wrong)
    publisher.run(Step("publish", True), sending)
    assert only(pds, person)["text"] == "in time"


def test_a_connection_that_may_not_write(
    pds: Pds, person: BlueskyAccount, publisher: BlueskyPublisher
) -> None:
    target = Target(publisher, by_oauth(pds, person, "atproto"))
    with pytest.raises(PublishFailed) as refused:
        target.send(text("not allowed"))
    error = refused.value
    assert (error.category, error.code, error.retryable) == (
        pb.PUBLISH_ERROR_CATEGORY_PERMISSION,
        "ScopeMissingError",
        False,
    )
    assert "transition:generic" in error.message
    assert records(pds, person) == []


@pytest.mark.parametrize("kind", [by_app_password, by_oauth])
def test_tokens_that_are_no_more(
    kind: Callable[[Pds, BlueskyAccount], Tokens],
    pds: Pds,
    person: BlueskyAccount,
    publisher: BlueskyPublisher,
) -> None:
    target = Target(publisher, kind(pds, person))
    pds.call("com.atproto.server.deactivateAccount", person, json={})
    with pytest.raises(PublishFailed) as refused:
        target.send(text("too late"))
    assert (refused.value.category, refused.value.code) == (
        pb.PUBLISH_ERROR_CATEGORY_AUTH,
        "AccountDeactivated",
    )


def test_imported_tokens_say_nothing_of_their_server(publisher: BlueskyPublisher) -> None:
    target = Target(publisher, Tokens("a-token", None, None, ()))
    with pytest.raises(PublishFailed) as refused:
        target.send(text("where to?"))
    assert (refused.value.category, refused.value.code) == (
        pb.PUBLISH_ERROR_CATEGORY_AUTH,
        "ACCOUNT_SERVER_UNKNOWN",
    )
