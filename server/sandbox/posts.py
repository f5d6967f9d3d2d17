"""What was published on the sandbox: posts, what replies to them, and the media that they show."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from server.base.identity import new_id
from server.sandbox.answers import Refused
from server.storage.forgetting import Forgetting
from server.storage.sandbox_models import SandboxMedia as M
from server.storage.sandbox_models import SandboxPost as P
from server.storage.statements import Command, Statement, jsonb, param, params

KEPT = timedelta(days=30)
OLD_POSTS = Forgetting("sandbox_posts", P.create_time, KEPT)
OLD_MEDIA = Forgetting("sandbox_media", M.create_time, KEPT)
PAGE = 50
# Below the posts of one page.
MOST_REPLIES = 2_000
_ID = re.compile(r"sbx_[pm]_[0-9A-Z]{26}")
# After every id.
NEWEST = "~"


class Post(NamedTuple):
    """A post. Its media are [{id, content_type, alt_text}]."""

    id: str
    handle: str
    reply_to: str | None
    text: str
    media: Sequence[dict[str, str]]
    visibility: str
    create_time: datetime


class MediaFile(NamedTuple):
    """What was uploaded."""

    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post as an app wants it; its media are ids with alt texts."""

    text: str
    media: Sequence[tuple[str, str]]
    visibility: str
    reply_to: str | None


_COLUMNS = "id, handle, reply_to, text, media, visibility, create_time"
_PAGE = Statement(
    "sandbox.timeline",
    f"""
    SELECT {_COLUMNS} FROM sandbox_post
    WHERE reply_to IS NULL AND visibility = 'public' AND id < $before
    ORDER BY id DESC LIMIT $most
    """,
    Post._make,
)
_REPLIES = Statement(
    "sandbox.replies",
    f"""
    WITH RECURSIVE below AS (
      SELECT p.* FROM sandbox_post p WHERE p.reply_to = ANY($ids)
      UNION ALL
      SELECT p.* FROM below b JOIN sandbox_post p ON p.reply_to = b.id
    )
    SELECT {_COLUMNS} FROM below ORDER BY id LIMIT $most
    """,
    Post._make,
)
_POST = Statement("sandbox.post", f"SELECT {_COLUMNS} FROM sandbox_post WHERE id = $id", Post._make)
_CREATE = Command(
    "sandbox.create_post",
    P.insert(params(P.id, P.handle, P.reply_to, P.text, P.media, P.visibility, P.create_time)),
)
_UPLOAD = Command(
    "sandbox.upload", M.insert(params(M.id, M.handle, M.content_type, M.content, M.create_time))
)
_TYPES = Statement(
    "sandbox.media_types",
    "SELECT id, content_type FROM sandbox_media WHERE id = ANY($ids) AND handle = $handle",
    tuple[str, str],
)
_MEDIA = Statement(
    "sandbox.media", M.select(M.content_type, M.content).where(M.id == param("id")), MediaFile._make
)


def upload(handle: str, content_type: str, content: bytes, now: datetime) -> str:
    """The id of a new medium."""
    media_id = new_id("sbx_m", now)
    _UPLOAD.run(id=media_id, handle=handle, content_type=content_type, content=content, create_time=now)
    return media_id


def media(media_id: str) -> MediaFile | None:
    """What was uploaded."""
    if not _ID.fullmatch(media_id):
        return None
    found = _MEDIA.first(id=media_id)
    return found and found._replace(content=bytes(found.content))


def create(handle: str, new: NewPost, now: datetime) -> Post:
    """Publishes a post. Raises Refused when it names media or a post that are not there."""
    if new.reply_to is not None and find(new.reply_to) is None:
        raise Refused(422, "reply_to_unknown", "The post to reply to is not here, or not any more.")
    types = dict(_TYPES.all(ids=[media_id for media_id, _ in new.media], handle=handle))
    if any(media_id not in types for media_id, _ in new.media):
        raise Refused(422, "media_unknown", "A medium was not uploaded by this account.")
    shown = [
        {"id": media_id, "content_type": types[media_id], "alt_text": alt_text}
        for media_id, alt_text in new.media
    ]
    post = Post(new_id("sbx_p", now), handle, new.reply_to, new.text, shown, new.visibility, now)
    _CREATE.run(**post._asdict() | {"media": jsonb(shown)})
    return post


def find(post_id: str) -> Post | None:
    """The post with this id."""
    return _POST.first(id=post_id) if _ID.fullmatch(post_id) else None


def page(before: str = NEWEST) -> tuple[list[Post], str | None]:
    """The newest public posts before that one, without replies; and where the next page begins, if any."""
    found = _PAGE.all(before=before if _ID.fullmatch(before) else NEWEST, most=PAGE + 1)
    posts = found[:PAGE]
    return posts, posts[-1].id if len(found) > PAGE else None


def replies(posts: Iterable[Post]) -> dict[str, list[Post]]:
    """What replies to these posts, to that, and so on: by the post's id, each below what it replies to."""
    ids = [post.id for post in posts]
    direct: dict[str, list[Post]] = {}
    for reply in _REPLIES.all(ids=ids, most=MOST_REPLIES):
        direct.setdefault(str(reply.reply_to), []).append(reply)
    return {post_id: _below(post_id, direct) for post_id in ids}


def _below(post_id: str, direct: dict[str, list[Post]]) -> list[Post]:
    """Depth first, without recursion: a thread may be longer than Python's stack."""
    found, waiting = [], direct.get(post_id, [])[::-1]
    while waiting:
        reply = waiting.pop()
        found.append(reply)
        waiting += direct.get(reply.id, [])[::-1]
    return found


def view(post: Post, public_url: str) -> dict[str, Any]:
    """The post as the API shows it."""
    return {
        "id": post.id,
        "url": f"{public_url}/sandbox/posts/{post.id}",
        "handle": post.handle,
        "text": post.text,
        "media": [{**medium, "url": f"{public_url}/sandbox/media/{medium['id']}"} for medium in post.media],
        "visibility": post.visibility,
        "reply_to": post.reply_to,
        "create_time": post.create_time.isoformat(),
    }
