"""The sandbox as a platform that one publishes on: its API, and what people see of it."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from server.platforms.limits import LIMITS
from server.sandbox import posts, publishing
from server.sandbox.publishing import MAX_MEDIA_BYTES
from tests.conftest import Running
from tests.kit.sandbox import PICTURE, SandboxApp
from tests.kit.support import unique

Sql = Callable[..., list[tuple[Any, ...]]]
BROWSER = {"Accept": "text/html"}


@pytest.fixture
def anybody(running: Running) -> SandboxApp:
    """Without a token; at the web process itself, as platforms have it."""
    return SandboxApp(f"http://{running.settings.web_address}")


@pytest.fixture
def handle() -> str:
    return unique("mia")


@pytest.fixture
def mia(anybody: SandboxApp, handle: str) -> SandboxApp:
    return anybody.signed_in(handle)


def error(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.json().keys() == {"error", "error_description"}
    return answer.status_code, answer.json()["error"]


def test_a_post_with_a_picture_and_a_comment_is_seen_by_everybody(
    running: Running, anybody: SandboxApp, mia: SandboxApp, handle: str
) -> None:
    picture = mia.upload()
    post = mia.publish("Good morning", media=[{"id": picture, "alt_text": "A sunrise"}])
    comment = anybody.signed_in("ben").publish("And to you", reply_to=post["id"])
    [seen] = anybody.look(handle)
    assert seen == {
        "id": post["id"],
        "url": f"{running.settings.public_url}/sandbox/posts/{post['id']}",
        "handle": handle,
        "text": "Good morning",
        "media": [
            {
                "id": picture,
                "content_type": "image/png",
                "alt_text": "A sunrise",
                "url": f"{running.settings.public_url}/sandbox/media/{picture}",
            }
        ],
        "visibility": "public",
        "reply_to": None,
        "create_time": seen["create_time"],
        "replies": [comment],
    }
    assert comment["reply_to"] == post["id"]
    assert anybody.call("GET", f"posts/{post['id']}").json() == seen
    medium = anybody.call("GET", f"media/{picture}")
    assert medium.content == PICTURE.read_bytes()
    assert medium.headers["content-type"] == "image/png"
    assert "sandbox" in medium.headers["content-security-policy"]


def test_the_page_has_name_handle_time_text_and_alt_text(mia: SandboxApp, handle: str) -> None:
    picture, film = mia.upload(), mia.upload(b"\0\0\0\x18ftypmp42", "video/mp4")
    hostile = '<script>alert("1")</script>\nsecond line'
    media = [{"id": picture, "alt_text": 'a "sun"'}, {"id": film, "alt_text": "waves"}]
    post = mia.publish(hostile, media=media)
    page = mia.call("GET", "timeline", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "media-src 'self'" in page.headers["content-security-policy"]
    [article] = [part for part in page.text.split("<article") if f'id="{post["id"]}"' in part]
    for seen in (
        f'src="avatars/{handle}.svg"',
        f">{posts_name(handle)}<",
        f"@{handle}",
        f'<time datetime="{post["create_time"]}">',
        f'<img src="media/{picture}" alt="a &#34;sun&#34;"',
        f'src="media/{film}" aria-label="waves"></video>',
        "&lt;script&gt;",
    ):
        assert seen in article, seen
    assert "<script" not in page.text


def posts_name(handle: str) -> str:
    return handle.replace("-", " ").title()


def test_what_follows_is_below_what_it_replies_to(mia: SandboxApp, handle: str) -> None:
    root = mia.publish("1")
    first = mia.publish("1.1", reply_to=root["id"])
    mia.publish("1.2", reply_to=root["id"])
    deeper = mia.publish("1.1.1", reply_to=first["id"])
    mia.publish("1.1.1.1", reply_to=deeper["id"])
    [seen] = mia.look(handle)
    assert [reply["text"] for reply in seen["replies"]] == ["1.1", "1.1.1", "1.1.1.1", "1.2"]
    # A page about the reply begins there.
    below = mia.call("GET", f"posts/{first['id']}").json()
    assert [reply["text"] for reply in below["replies"]] == ["1.1.1", "1.1.1.1"]
    page = mia.call("GET", f"posts/{first['id']}", headers=BROWSER).text
    assert f'Replies to <a href="../posts/{root["id"]}">' in page


def test_an_unlisted_post_has_only_its_own_page(mia: SandboxApp, handle: str) -> None:
    post = mia.publish("psst", visibility="unlisted")
    public = mia.publish("hello")
    whisper = mia.publish("psst, too", visibility="unlisted", reply_to=public["id"])
    assert [(seen["id"], seen["replies"]) for seen in mia.look(handle)] == [(public["id"], [])]
    assert whisper["id"] not in mia.call("GET", "timeline", headers=BROWSER).text
    assert "psst" in mia.call("GET", f"posts/{post['id']}", headers=BROWSER).text
    assert mia.call("GET", f"posts/{public['id']}").json()["replies"] == [whisper]


def test_the_timeline_has_pages(mia: SandboxApp, handle: str, sql: Sql) -> None:
    sql("DELETE FROM sandbox_post")
    made = [mia.publish(str(number))["id"] for number in range(posts.PAGE + 1)]
    first = mia.call("GET", "timeline").json()
    assert [post["id"] for post in first["posts"]] == made[:0:-1]
    assert first["before"] == made[1]
    last = mia.call("GET", f"timeline?before={first['before']}").json()
    assert ([post["id"] for post in last["posts"]], last["before"]) == (made[:1], None)
    assert f'href="?before={made[1]}"' in mia.call("GET", "timeline", headers=BROWSER).text
    # What is no id is no place to go on from.
    assert mia.call("GET", "timeline?before=%00").json() == first


@pytest.mark.parametrize(
    ("post", "wanted"),
    [
        ({}, (422, "text_required")),
        ({"text": "x" * 65_537}, (422, "text_too_long")),
        ({"text": "x" * 3_000_000}, (413, "text_too_long")),
        ({"text": "a\0b"}, (400, "invalid_request")),
        ({"text": "\ud800"}, (400, "invalid_request")),
        ({"text": 1}, (400, "invalid_request")),
        ({"text": "a", "visibility": "friends"}, (400, "invalid_request")),
        ({"text": "a", "colour": "red"}, (400, "invalid_request")),
        ({"text": "a", "media": [{"id": "sbx_m_0"}]}, (422, "media_unknown")),
        ({"text": "a", "media": [{"id": "x"}] * 36}, (422, "too_many_media")),
        ({"text": "a", "reply_to": "\0"}, (400, "invalid_request")),
        ({"text": "a", "reply_to": "sbx_p_01ARZ3NDEKTSV4RRFFQ69G5FAV"}, (422, "reply_to_unknown")),
    ],
)
def test_what_is_no_post_is_refused(
    mia: SandboxApp, handle: str, post: dict[str, Any], wanted: tuple[int, str]
) -> None:
    assert error(mia.call("POST", "posts", content=json.dumps(post))) == wanted
    assert mia.look(handle) == []


def test_it_takes_what_its_row_of_limits_says() -> None:
    row = LIMITS["sandbox"]
    assert (row.image_bytes, row.video_bytes) == (publishing.MAX_MEDIA_BYTES, publishing.MAX_MEDIA_BYTES)
    assert (row.most_characters, row.most_media) == (publishing.TEXT, publishing.MEDIA)


def test_a_medium_is_of_whoever_uploaded_it(anybody: SandboxApp, mia: SandboxApp) -> None:
    others = anybody.signed_in("ben").upload()
    assert error(mia.call("POST", "posts", json={"media": [{"id": others}]})) == (422, "media_unknown")


@pytest.mark.parametrize(
    ("content_type", "size", "wanted"),
    [
        ("image/png", MAX_MEDIA_BYTES, None),
        ("image/png", MAX_MEDIA_BYTES + 1, (413, "media_too_large")),
        ("text/html", 1, (415, "media_type")),
        ("image/png", 0, (415, "media_type")),
    ],
)
def test_media_have_a_type_and_a_size(
    mia: SandboxApp, content_type: str, size: int, wanted: tuple[int, str] | None
) -> None:
    answer = mia.call("POST", "media", content=b"x" * size, headers={"Content-Type": content_type})
    if wanted is None:
        assert len(mia.call("GET", f"media/{answer.json()['id']}").content) == size
    else:
        assert error(answer) == wanted


@pytest.mark.parametrize("path", ["media", "posts"])
def test_a_token_has_to_be_one_that_may_post(anybody: SandboxApp, handle: str, path: str) -> None:
    def refused(app: SandboxApp) -> tuple[int, str]:
        return error(app.call("POST", path, json={"text": "a"}, headers={"Content-Type": "image/png"}))

    assert refused(anybody) == (401, "invalid_token")
    assert refused(SandboxApp(anybody.url, "sbx_at_unknown")) == (401, "invalid_token")
    assert refused(anybody.signed_in(handle, "profile.read")) == (403, "insufficient_scope")


@pytest.mark.parametrize("path", ["posts/x", "posts/%00", "media/x", "media/%00", "pictures/x.png"])
def test_what_is_not_there(anybody: SandboxApp, path: str) -> None:
    assert error(anybody.call("GET", path)) == (404, "not_found")
    page = anybody.call("GET", path, headers=BROWSER)
    assert (page.status_code, "Not here" in page.text) == (404, True)


def test_there_is_a_picture_to_post(anybody: SandboxApp) -> None:
    picture = anybody.call("GET", "pictures/sunrise.png")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")


def test_tokens_without_a_browser(anybody: SandboxApp, handle: str) -> None:
    app = anybody.signed_in(handle)
    [profile] = app.call("GET", "profiles").json()["data"]
    assert (profile["username"], "access_token" in profile) == (handle, False)
    form = {"grant_type": "password", "client_id": "hitchpost-sandbox"}
    for fields, wanted in (
        ({}, "invalid_request"),
        ({"username": "<>"}, "invalid_request"),
        ({"username": handle, "scope": "everything"}, "invalid_scope"),
    ):
        assert error(anybody.call("POST", "token", data=form | fields)) == (400, wanted)
