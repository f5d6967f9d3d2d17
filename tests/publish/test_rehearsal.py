"""ValidateSocialPost: what would keep a post from being accepted or sent, media looked at where they are."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from generated.hitchpost.v1 import platform_pb2
from server.base.identity import Caller, utc_now
from server.platforms.http import Http
from server.posts.rows import Content
from server.publish.rehearsal import Rehearsal
from tests.conftest import Running
from tests.kit.raw_http import Endless
from tests.kit.support import Client, import_request, unique
from tests.kit.web import serving
from tests.publish.test_media import CONTENTS, GIF, MP4, png

VALIDATE = "SocialPostService/ValidateSocialPost"
SANDBOX, BLUESKY, MASTODON, X = "PLATFORM_SANDBOX", "PLATFORM_BLUESKY", "PLATFORM_MASTODON", "PLATFORM_X"
ANSWERS = {
    "/image": Response(png()),
    "/large": Response(png() + bytes(1_000_001)),
    "/animation.png": Response(GIF),
    "/video": Response(MP4),
    "/matroska.mp4": Response(CONTENTS["video/matroska"]),
    "/page.jpg": Response("<!doctype html><title>Sign in</title>"),
    "/empty": Response(b""),
}


class Site:
    """Where media are, and which of them were asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.visited: list[str] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        self.visited.append(request.url.path)
        return ANSWERS.get(request.url.path, Response(b"gone", 404))

    def media(self, *paths: str) -> list[dict[str, str]]:
        return [{"url": self.url + path} for path in paths]


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    site = Site()
    with serving(site.app) as site.url:
        yield site


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.visited.clear()
    return running_site


def _connect(client: Client, platform: str, **fields: Any) -> str:
    request = import_request(unique("profile"), platform=platform, **fields)
    return str(client("SocialAccountService/ImportSocialAccount", request).social_account.id)


def _validate(client: Client, *account_ids: str, platforms: tuple[str, ...] = (), **post: Any) -> Any:
    fields = {"caption": "hello", "social_account_ids": account_ids, **post}
    return client(VALIDATE, social_post=fields, platforms=platforms).problems


def _fields(problems: Any) -> list[tuple[str, str, str]]:
    return [
        (
            problem.social_account_id,
            platform_pb2.Platform.Name(problem.platform).removeprefix("PLATFORM_"),
            problem.field.removeprefix("social_post."),
        )
        for problem in problems
    ]


def test_nothing_is_wrong_with_a_post_that_can_be_sent(client: Client, site: Site) -> None:
    account = _connect(client, BLUESKY)

    assert _validate(client, account, media=site.media("/image")) == []
    assert client("SocialPostService/ListSocialPosts").social_posts == []


MEDIA = {
    # (path, whether sandbox, Bluesky and Mastodon take it, part of what is said if not)
    "an image": ("/image", (True, True, True), ""),
    "too large for one": ("/large", (True, False, True), "must have at most 1,000,000 bytes"),
    "another type than its address says": ("/animation.png", (True, True, True), ""),
    "a video": ("/video", (True, True, True), ""),
    "a type that nobody takes": ("/matroska.mp4", (False, False, False), "is video/matroska"),
    "a page": ("/page.jpg", (False, False, False), "web page"),
    "nothing": ("/empty", (False, False, False), "nothing at the medium's address"),
    "not there": ("/gone.jpg", (False, False, False), "HTTP 404"),
}


@pytest.mark.parametrize(("path", "taken", "said"), MEDIA.values(), ids=MEDIA)
def test_media_are_looked_at_where_they_are(
    path: str, taken: tuple[bool, ...], said: str, client: Client, site: Site
) -> None:
    problems = _validate(client, platforms=(SANDBOX, BLUESKY, MASTODON), media=site.media(path))

    platforms = ("SANDBOX", "BLUESKY", "MASTODON")
    refused = [name for name, takes in zip(platforms, taken, strict=True) if not takes]
    assert _fields(problems) == [("", name, "media[0].url") for name in refused]
    assert all(said in problem.description for problem in problems)
    assert site.visited == [path]


def test_media_that_only_their_content_shows_to_be_together_are_told(client: Client, site: Site) -> None:
    problems = _validate(client, platforms=(BLUESKY,), media=site.media("/image", "/video"))

    assert _fields(problems) == [("", "BLUESKY", "media")]


def test_everything_is_told_of_every_account_and_platform_in_order(client: Client, site: Site) -> None:
    sky, mastodon, sandbox = (_connect(client, platform) for platform in (BLUESKY, MASTODON, SANDBOX))
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=mastodon)

    problems = _validate(
        client,
        mastodon,
        sky,
        sandbox,
        platforms=(X, BLUESKY),
        caption="a" * 501,
        media=site.media("/image", "/gone.jpg"),
        account_overrides=[{"social_account_id": sky, "media": site.media("/large")}],
        follow_ups=[{"caption": "b" * 301, "media": site.media("/page.jpg")}],
    )

    assert _fields(problems) == [
        (mastodon, "MASTODON", "caption"),
        (mastodon, "MASTODON", "social_account_ids[0]"),
        (mastodon, "MASTODON", "media[1].url"),
        (mastodon, "MASTODON", "follow_ups[0].media[0].url"),
        (sky, "BLUESKY", "caption"),
        (sky, "BLUESKY", "account_overrides[0].media[0].url"),
        (sky, "BLUESKY", "follow_ups[0].caption"),
        (sky, "BLUESKY", "follow_ups[0].media[0].url"),
        (sandbox, "SANDBOX", "media[1].url"),
        (sandbox, "SANDBOX", "follow_ups[0].media[0].url"),
        ("", "X", "platforms[0]"),
        ("", "BLUESKY", "caption"),
        ("", "BLUESKY", "media[1].url"),
        ("", "BLUESKY", "follow_ups[0].caption"),
        ("", "BLUESKY", "follow_ups[0].media[0].url"),
    ]
    assert sorted(site.visited) == ["/gone.jpg", "/image", "/large", "/page.jpg"]


def test_a_medium_of_no_platform_that_can_be_published_to_is_not_looked_at(
    client: Client, site: Site
) -> None:
    problems = _validate(client, platforms=(X,), media=site.media("/image"))

    assert _fields(problems) == [("", "X", "platforms[0]")]
    assert site.visited == []


def test_a_post_that_no_platform_could_take_is_refused(client: Client) -> None:
    account = client.connect().id
    past = utc_now() - timedelta(days=1)

    for post, field in (
        ({"caption": ""}, "caption"),
        ({"social_account_ids": []}, "social_account_ids"),
        ({"scheduled_time": past}, "scheduled_time"),
    ):
        given = {"caption": "hello", "social_account_ids": [account], **post}
        assert client.fails(VALIDATE, social_post=given).fields == (f"social_post.{field}",)


def test_accounts_of_others_are_not_shown(client: Client, stranger: Client) -> None:
    alices, bobs = (_connect(client, BLUESKY, external_id=owner) for owner in ("alice", "bob"))
    foreign = _connect(stranger, BLUESKY)
    post = {"caption": "a" * 301}

    missing = client.fails(VALIDATE, social_post={**post, "social_account_ids": [alices, foreign]})
    confined = client.as_owner("alice").fails(
        VALIDATE, social_post={**post, "social_account_ids": [alices, bobs]}
    )

    assert missing.what == ("NOT_FOUND", "SOCIAL_ACCOUNT_NOT_FOUND")
    assert confined.what == ("PERMISSION_DENIED", "OWNER_MISMATCH")
    assert len(_validate(client.as_owner("alice"), alices, **post)) == 1


def _content(*urls: str) -> Content:
    media = [{"url": url, "alt_text": ""} for url in urls]
    return Content(None, "hello", [], media, None, {}, {}, [])


def _problems(running: Running, http: Http, *urls: str, caller: Caller) -> list[str]:
    rehearsal = Rehearsal(running.app.clock, http)
    return [
        problem.description
        for problem in rehearsal.problems(caller, _content(*urls), [platform_pb2.PLATFORM_BLUESKY])
    ]


def test_addresses_that_are_not_public_are_not_called(running: Running, client: Client, site: Site) -> None:
    """Servers of tests allow private ones; those outside dev mode don't."""
    urls = [site.url + "/image", "http://169.254.169.254/latest/meta-data", "http://localhost/1.jpg"]

    said = _problems(running, Http(), *urls, caller=Caller(client.project_id, "key_test"))

    assert said == ["The medium's address is not public: it must be one for everybody."] * 3
    assert site.visited == []


def test_a_link_local_address_is_never_called(running: Running, client: Client) -> None:
    """That is where clouds give a machine its credentials."""
    url = "http://169.254.169.254/latest/meta-data"

    said = _problems(running, Http(allow_private=True), url, caller=Caller(client.project_id, "key_test"))

    assert said == ["The medium's address is not public: it must be one for everybody."]


def test_a_medium_that_does_not_answer_in_time_is_no_problem(client: Client, site: Site) -> None:
    account = _connect(client, BLUESKY)
    silent = Endless(b"", b"", pause=0.02)
    with silent.serving() as slow:
        media = [{"url": slow}, *site.media("/gone.jpg")]
        post = {"caption": "hello", "social_account_ids": [account], "media": media}
        problems = client(VALIDATE, social_post=post, timeout=6).problems
    assert _fields(problems) == [(account, "BLUESKY", "media[1].url")]


def test_many_media_are_looked_at_together(client: Client, site: Site) -> None:
    """Each of them waits for the others, so that one by one they would not come at all."""
    waiting = threading.Barrier(4, timeout=60)

    def answer(_: Request) -> Response:
        waiting.wait()
        return Response(png())

    with serving(Starlette(routes=[Route("/{path:path}", answer)])) as url:
        media = [{"url": f"{url}/{number}"} for number in range(4)]
        assert _validate(client, platforms=(BLUESKY,), media=media) == []
