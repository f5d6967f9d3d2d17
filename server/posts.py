"""Social posts: drafts and scheduled posts, tagged with an external_id.

A post belongs to the common owner of its accounts, which is read from them each time: nothing has to
follow when an account is claimed or transferred.
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import peewee
from peewee import fn

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server import accounts, errors
from server.database import Statement, any_of, database, jsonb, param, params
from server.identity import Caller, Clock, new_id
from server.models import SocialAccount, SocialPost, SocialPostTarget

EDITABLE = (pb.SOCIAL_POST_STATE_DRAFT, pb.SOCIAL_POST_STATE_SCHEDULED)


class TargetRow(NamedTuple):
    """A post as it concerns one account; caption and media are None where they are the post's."""

    social_account_id: str
    owner: str | None
    platform: int
    state: int
    caption: str | None
    media: list[dict[str, str]] | None


class PostRow(NamedTuple):
    """A post as it is stored; media are dicts of url and alt_text."""

    id: str
    external_id: str | None
    caption: str
    media: list[dict[str, str]]
    scheduled_time: datetime | None
    state: int
    platform_options: dict[str, Any]
    version: int
    create_time: datetime
    update_time: datetime
    targets: list[TargetRow]

    @property
    def etag(self) -> str:
        """Changes with every change of the post."""
        return str(self.version)


class Content(NamedTuple):
    """What a caller says of a post.

    `overrides` has caption and media by account id, None where they are the post's.
    """

    external_id: str | None
    caption: str
    social_account_ids: Sequence[str]
    media: list[dict[str, str]]
    scheduled_time: datetime | None
    overrides: Mapping[str, tuple[str | None, list[dict[str, str]] | None]]
    platform_options: dict[str, Any]


_NO_TARGETS = peewee.SQL("'[]'::jsonb")
# The targets of a post as one JSON value, so that a page of posts is one statement.
_TARGETS = (
    SocialPostTarget.select(
        fn.jsonb_agg(
            fn.jsonb_build_array(
                SocialPostTarget.social_account,
                SocialAccount.external_id,
                SocialAccount.platform,
                SocialPostTarget.state,
                SocialPostTarget.caption,
                SocialPostTarget.media,
            )
        ).order_by(SocialPostTarget.position)
    )
    .join(SocialAccount)
    .where(SocialPostTarget.social_post == SocialPost.id)
)
_COLUMNS = [getattr(SocialPost, name) for name in PostRow._fields if name != "targets"]
_POSTS = SocialPost.select(*_COLUMNS, fn.COALESCE(_TARGETS, _NO_TARGETS))
_THIS = (SocialPost.id == param("id")) & (SocialPost.project == param("project"))


def _row(columns: tuple[Any, ...]) -> PostRow:
    return PostRow._make((*columns[:-1], [TargetRow._make(target) for target in columns[-1]]))


_GET = Statement(_POSTS.where(_THIS), _row)
_LOCK = Statement(SocialPost.select(SocialPost.id).where(_THIS).for_update(), tuple[Any, ...])
_INSERT = Statement(
    SocialPost.insert(params(SocialPost.project, *_COLUMNS)),
    tuple[Any, ...],
)
_INSERT_TARGET = Statement(
    SocialPostTarget.insert(
        params(
            SocialPostTarget.social_post,
            SocialPostTarget.social_account,
            SocialPostTarget.position,
            SocialPostTarget.state,
            SocialPostTarget.caption,
            SocialPostTarget.media,
        )
    ),
    tuple[Any, ...],
)
_UPDATE = Statement(
    SocialPost.update(
        {
            **params(
                SocialPost.external_id,
                SocialPost.caption,
                SocialPost.media,
                SocialPost.scheduled_time,
                SocialPost.state,
                SocialPost.platform_options,
                SocialPost.update_time,
            ),
            SocialPost.version: SocialPost.version + 1,
        }
    ).where(_THIS),
    tuple[Any, ...],
)
_DELETE_TARGETS = Statement(
    SocialPostTarget.delete().where(SocialPostTarget.social_post == param("id")), tuple[Any, ...]
)
_DELETE = Statement(SocialPost.delete().where(_THIS), tuple[Any, ...])

_POSTS_OF = SocialPostTarget.select(SocialPostTarget.social_post).join(SocialAccount)
_FOREIGN_TARGETS = (
    SocialPostTarget.select(peewee.SQL("1"))
    .join(SocialAccount)
    .where(
        (SocialPostTarget.social_post == SocialPost.id)
        & (SocialAccount.external_id.is_null() | (SocialAccount.external_id != param("owner")))
    )
)
# The filters of a list, by the name of their request field; `owner` is the owner scope.
_FILTERS = {
    "external_ids": any_of(SocialPost.external_id, "external_ids"),
    "states": any_of(SocialPost.state, "states"),
    "scheduled_after": SocialPost.scheduled_time >= param("scheduled_after"),
    "scheduled_before": SocialPost.scheduled_time < param("scheduled_before"),
    "platforms": SocialPost.id.in_(
        _POSTS_OF.where(
            any_of(SocialAccount.platform, "platforms") & (SocialAccount.project == param("project"))
        )
    ),
    "social_account_ids": SocialPost.id.in_(
        _POSTS_OF.where(any_of(SocialPostTarget.social_account, "social_account_ids"))
    ),
    "owner": SocialPost.id.in_(
        _POSTS_OF.where(
            (SocialAccount.external_id == param("owner")) & (SocialAccount.project == param("project"))
        )
    )
    & ~fn.EXISTS(_FOREIGN_TARGETS),
}


@functools.cache
def _list_statement(filters: frozenset[str], *, first_page: bool) -> Statement[PostRow]:
    query = _POSTS.where(SocialPost.project == param("project"))
    for name in sorted(filters):
        query = query.where(_FILTERS[name])
    if not first_page:
        query = query.where(SocialPost.id < param("after"))
    return Statement(query.order_by(SocialPost.id.desc()).limit(param("limit")), _row)


def get(caller: Caller, post_id: str) -> PostRow:
    """One post. Raises SocialPostNotFound, OwnerMismatch."""
    post = _GET.first(id=post_id, project=caller.project_id)
    if post is None:
        raise errors.SocialPostNotFound(id=post_id)
    if caller.owner is not None and any(target.owner != caller.owner for target in post.targets):
        raise errors.OwnerMismatch
    return post


def list_page(caller: Caller, filters: Mapping[str, Any], after: str | None, limit: int) -> list[PostRow]:
    """At most `limit` posts, newest first, that match every filter.

    `after` is the last id of the page before, None for the first.
    `filters` maps names of _FILTERS to alternatives, or to a time; an empty one does not filter. Raises
    OwnerMismatch when a call confined to an owner filters by an account that is not theirs.
    """
    values = {name: value for name, value in filters.items() if value}
    accounts.check_owners(caller, values.get("social_account_ids", ()))
    if caller.owner is not None:
        values["owner"] = caller.owner
    statement = _list_statement(frozenset(values), first_page=after is None)
    return statement.all(project=caller.project_id, after=after, limit=limit, **values)


class Posts:
    """What changes posts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def create(self, caller: Caller, content: Content) -> PostRow:
        """Stores a draft, or with a scheduled_time a scheduled post.

        Raises InvalidArgument, SocialAccountNotFound, OwnerMismatch.
        """
        now = self._clock()
        _check(content)
        _check_time(content, now)
        post_id = new_id("sp", now)
        with database.transaction():
            accounts.hold(caller, content.social_account_ids)
            _INSERT.all(
                id=post_id,
                project=caller.project_id,
                version=1,
                create_time=now,
                update_time=now,
                **_stored(content),
            )
            _insert_targets(post_id, content)
            return get(caller, post_id)

    def update(self, caller: Caller, post_id: str, etag: str, changes: Mapping[str, Any]) -> PostRow:
        """Sets the fields of Content that `changes` has.

        Raises SocialPostNotEditable, EtagMismatch, and as create and get.
        """
        now = self._clock()
        with database.transaction():
            content = _content(_locked(caller, post_id, etag))._replace(**changes)
            _check(content)
            if "scheduled_time" in changes:
                _check_time(content, now)
            _UPDATE.all(id=post_id, project=caller.project_id, update_time=now, **_stored(content))
            if "social_account_ids" in changes or "overrides" in changes:
                accounts.hold(caller, content.social_account_ids)
                _DELETE_TARGETS.all(id=post_id)
                _insert_targets(post_id, content)
            return get(caller, post_id)

    def delete(self, caller: Caller, post_id: str, etag: str) -> None:
        """Erases a draft or a scheduled post. Raises SocialPostNotEditable, EtagMismatch, and as get."""
        with database.transaction():
            _locked(caller, post_id, etag)
            _DELETE.all(id=post_id, project=caller.project_id)


def _locked(caller: Caller, post_id: str, etag: str) -> PostRow:
    _LOCK.all(id=post_id, project=caller.project_id)
    post = get(caller, post_id)
    if etag not in ("", post.etag):
        raise errors.EtagMismatch
    if post.state not in EDITABLE:
        name = pb.SocialPostState.Name(post.state)
        raise errors.SocialPostNotEditable(state=name.removeprefix("SOCIAL_POST_STATE_"))
    return post


def _check(content: Content) -> None:
    """What concerns several fields at once, and so holds for the whole post after an update too."""
    if not content.caption and not content.media:
        raise errors.invalid("social_post.caption", "must not be empty when there is no media")
    if not content.social_account_ids:
        raise errors.invalid("social_post.social_account_ids", "must name at least one account")
    if not content.overrides.keys() <= set(content.social_account_ids):
        raise errors.invalid("social_post.account_overrides", "may only name accounts of social_account_ids")
    if any(caption == "" and not (media or content.media) for caption, media in content.overrides.values()):
        raise errors.invalid("social_post.account_overrides", "must leave each account a caption or media")


def _check_time(content: Content, now: datetime) -> None:
    if content.scheduled_time is not None and content.scheduled_time <= now:
        raise errors.invalid("social_post.scheduled_time", "must be in the future")


def _stored(content: Content) -> dict[str, Any]:
    scheduled = content.scheduled_time is not None
    return {
        "external_id": content.external_id,
        "caption": content.caption,
        "media": jsonb(content.media),
        "scheduled_time": content.scheduled_time,
        "state": pb.SOCIAL_POST_STATE_SCHEDULED if scheduled else pb.SOCIAL_POST_STATE_DRAFT,
        "platform_options": jsonb(content.platform_options),
    }


def _insert_targets(post_id: str, content: Content) -> None:
    for position, account_id in enumerate(content.social_account_ids):
        caption, media = content.overrides.get(account_id, (None, None))
        _INSERT_TARGET.all(
            social_post=post_id,
            social_account=account_id,
            position=position,
            state=pb.SOCIAL_POST_TARGET_STATE_PENDING,
            caption=caption,
            media=jsonb(media) if media else None,
        )


def _content(post: PostRow) -> Content:
    return Content(
        external_id=post.external_id,
        caption=post.caption,
        social_account_ids=[target.social_account_id for target in post.targets],
        media=post.media,
        scheduled_time=post.scheduled_time,
        overrides={
            target.social_account_id: (target.caption, target.media)
            for target in post.targets
            if target.caption is not None or target.media
        },
        platform_options=post.platform_options,
    )
