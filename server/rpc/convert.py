"""Rows to messages and messages to what use cases take: the only place that knows both."""

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.accounts.outcomes import Outcome
from server.accounts.rows import AccountRow
from server.base import sizes
from server.platforms import Profile, Tokens
from server.posts.rows import Content, PostRow, TargetRow
from server.projects.registered_apps import RegisteredApp
from server.projects.rows import ApiKeyRow, ProjectRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def account(row: AccountRow) -> dict[str, Any]:
    """An account as the API shows it; tokens are not part of the row.

    It is a dict, as a post is, which the answer's constructor makes a message of: one that is made before
    would be copied.
    """
    return {
        "id": row.id,
        "platform": row.platform,
        "platform_user_id": row.platform_user_id,
        "username": row.username,
        "display_name": row.display_name,
        "profile_photo_url": row.profile_photo_url,
        "external_id": row.external_id,
        "state": row.state,
        "scopes": row.scopes,
        "access_token_expire_time": timestamp(row.access_token_expire_time),
        "metadata": row.metadata,
        "etag": row.etag,
        "create_time": timestamp(row.create_time),
        "update_time": timestamp(row.update_time),
        "connect_time": timestamp(row.connect_time),
        "reauth_reason": row.reauth_reason,
    }


def auth_options(options: accounts_pb.AuthPlatformOptions) -> dict[str, str]:
    """The chosen platform's options by their names, those that are set: enums by name, yes as `true`."""
    chosen = options.WhichOneof("options")
    if not chosen:
        return {}
    values = MessageToDict(getattr(options, chosen), preserving_proto_field_name=True)
    return {name: "true" if value is True else str(value) for name, value in values.items()}


def outcome(found: Outcome) -> dict[str, Any]:
    """What an attempt brought, as much of it as an answer can hold."""
    connected = (accounts_pb.SocialAccount(**account(row)) for row in found.connected)
    rejected = (accounts_pb.RejectedAccount(**profile._asdict()) for profile in found.rejected)
    return {
        "connected_accounts": sizes.fitting(connected, sizes.PAGE_BYTES),
        "rejected_accounts": sizes.fitting(rejected, sizes.REJECTED_BYTES),
    }


def post(row: PostRow) -> dict[str, Any]:
    """A post as the API shows it."""
    return {
        "id": row.id,
        "external_id": row.external_id,
        "caption": row.caption,
        "social_account_ids": [target.social_account_id for target in row.targets],
        "media": row.media,
        "scheduled_time": timestamp(row.scheduled_time),
        "state": row.state,
        "account_overrides": [
            {
                "social_account_id": target.social_account_id,
                "caption": target.caption,
                "media": target.media or (),
            }
            for target in row.targets
            if target.caption is not None or target.media
        ],
        "platform_options": ParseDict(row.platform_options, posts_pb.PostPlatformOptions())
        if row.platform_options
        else None,
        "targets": [target(row.id, one) for one in row.targets],
        "etag": row.etag,
        "create_time": timestamp(row.create_time),
        "update_time": timestamp(row.update_time),
        "follow_ups": [{**follow_up, "delay": _duration(follow_up["delay"])} for follow_up in row.follow_ups],
    }


def target(post_id: str, row: TargetRow) -> dict[str, Any]:
    """A target of this post as the API shows it."""
    shown = {
        "social_account_id": row.social_account_id,
        "platform": row.platform,
        "state": row.state,
        "social_post_id": post_id,
    }
    if row.due_time is not None:
        shown["due_time"] = timestamp(row.due_time)
    if row.attempt_count or row.error:
        shown |= {
            "attempt_count": row.attempt_count,
            "send_time": timestamp(row.send_time),
            "publish_time": timestamp(row.publish_time),
            "platform_post_id": row.platform_post_id,
            "platform_post_url": row.platform_post_url,
            "error": row.error,
        }
    if row.follow_ups:
        shown["follow_ups"] = [
            {**follow_up, "publish_time": timestamp(follow_up.get("publish_time"))}
            for follow_up in row.follow_ups
        ]
    return shown


def platform_app(app: RegisteredApp) -> dict[str, Any]:
    """An app of a platform as the API shows it; the secret and what settings say are no part of it."""
    return app._asdict()


def project(row: ProjectRow) -> dict[str, Any]:
    """A project as the API shows it."""
    return row._asdict()


def api_key(row: ApiKeyRow) -> dict[str, Any]:
    """A key as the API shows it; its text is not part of the row."""
    return {**row._asdict(), "admin": row.admin}


def profile(request: accounts_pb.ImportSocialAccountRequest) -> Profile:
    """The profile that an import describes."""
    return Profile(
        platform_user_id=request.platform_user_id,
        username=request.username,
        display_name=request.display_name,
        profile_photo_url=request.profile_photo_url,
        tokens=Tokens(
            access_token=request.access_token,
            refresh_token=request.refresh_token or None,
            expire_time=optional(request, "access_token_expire_time"),
            scopes=tuple(request.scopes),
        ),
    )


def content(message: posts_pb.SocialPost) -> Content:
    """What a post is to be."""
    return Content(
        external_id=optional(message, "external_id"),
        caption=message.caption,
        social_account_ids=list(message.social_account_ids),
        media=_media(message.media),
        scheduled_time=optional(message, "scheduled_time"),
        overrides={
            override.social_account_id: (optional(override, "caption"), _media(override.media))
            for override in message.account_overrides
        },
        platform_options=MessageToDict(message.platform_options, preserving_proto_field_name=True),
        follow_ups=[
            {
                "caption": follow_up.caption,
                "media": _media(follow_up.media),
                "delay": follow_up.delay.ToTimedelta().total_seconds(),
                "place": follow_up.place,
            }
            for follow_up in message.follow_ups
        ],
    )


# The fields of SocialPost that are named otherwise in Content.
_CONTENT_NAMES = {"account_overrides": "overrides"}


def post_changes(message: posts_pb.SocialPost, paths: Sequence[str]) -> dict[str, Any]:
    """What an update sets, by the names of Content's fields."""
    described = content(message)._asdict()
    names = [_CONTENT_NAMES.get(path, path) for path in paths]
    return {name: described[name] for name in names}


def account_changes(message: accounts_pb.SocialAccount, paths: Sequence[str]) -> dict[str, Any]:
    """What an update sets: external_id (None when absent), metadata."""
    values = {"external_id": optional(message, "external_id"), "metadata": dict(message.metadata)}
    return {path: values[path] for path in paths}


def updated_paths(message: Message, mask: Iterable[str], updatable: Sequence[str]) -> list[str]:
    """The fields an update is about (AIP-134): the mask's; all for `*`; without one, those that are set."""
    named = set(mask)
    if named == {"*"}:
        return list(updatable)
    if not named:
        named = {descriptor.name for descriptor, _ in message.ListFields()}
    return [path for path in updatable if path in named]


def optional(message: Message, name: str) -> Any:
    """The field's value, or None when it is absent; a Timestamp as a datetime with its zone."""
    if not message.HasField(name):
        return None
    value = getattr(message, name)
    return to_datetime(value) if isinstance(value, Timestamp) else value


def to_datetime(timestamp: Timestamp) -> datetime:
    """With its zone, in microseconds, which is what PostgreSQL keeps."""
    return timestamp.ToDatetime(tzinfo=UTC)


# An account that has been connected once has one time thrice, and a page that is read again all of them.
@functools.lru_cache(maxsize=4096)
def timestamp(time: str | None) -> dict[str, int] | None:
    """A Timestamp as message constructors take it, from ISO 8601. Not to be changed."""
    if time is None:
        return None
    since = datetime.fromisoformat(time) - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}


def _duration(seconds: float) -> dict[str, int] | None:
    """None for none at all, which is what it is by default."""
    if not seconds:
        return None
    return {"seconds": int(seconds), "nanos": round(seconds % 1 * 1_000_000) * 1000}


def _media(messages: Iterable[posts_pb.Media]) -> list[dict[str, str]]:
    return [{"url": media.url, "alt_text": media.alt_text} for media in messages]
