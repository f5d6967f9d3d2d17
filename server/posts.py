"""Social posts: drafts and scheduled posts, tagged with an external_id.

A post belongs to the common owner of its accounts, which is read from them each time: nothing has to
follow when an account is claimed or transferred.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import peewee
from peewee import fn

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server import accounts, errors, sizes
from server.database import database
from server.identity import Caller, Clock, new_id
from server.models import SocialAccount, SocialPost, SocialPostTarget
from server.statements import Statement, json_row, jsonb, param, params, typed

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
    """A post as it is stored; media are dicts of url and alt_text, times ISO 8601."""

    id: str
    external_id: str | None
    caption: str
    media: list[dict[str, str]]
    scheduled_time: str | None
    state: int
    platform_options: dict[str, Any]
    version: int
    create_time: str
    update_time: str
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
POSTS = SocialPost.select(json_row([*_COLUMNS, fn.COALESCE(_TARGETS, _NO_TARGETS)]).alias("stored"))
_THIS = (SocialPost.id == param("id")) & (SocialPost.project == param("project"))


def post_row(stored: list[Any]) -> PostRow:
    """A post out of a row of POSTS."""
    *post, targets = stored
    return PostRow._make((*post, [TargetRow._make(target) for target in targets]))


_GET = Statement(POSTS.where(_THIS), lambda columns: post_row(columns[0]))
_LOCK = Statement(SocialPost.select(SocialPost.id).where(_THIS).for_update(), tuple[Any, ...])
_INSERTED = [SocialPost.project, *_COLUMNS]
_TARGET_COLUMNS = [
    SocialPostTarget.social_post,
    SocialPostTarget.social_account,
    SocialPostTarget.position,
    SocialPostTarget.state,
    SocialPostTarget.caption,
    SocialPostTarget.media,
]
# One parameter for all targets of a post; for its columns see _targets.
_NEW_TARGETS = peewee.NodeList(
    (
        fn.jsonb_to_recordset(param("targets")),
        peewee.SQL(
            "AS new(social_account_id text, position smallint, state smallint, caption text, media jsonb)"
        ),
    )
)
_NEW_TARGET = [peewee.SQL(f"new.{column.column_name}") for column in _TARGET_COLUMNS[1:]]
_INSERT_TARGETS = Statement(
    SocialPostTarget.insert_from(
        peewee.Select([_NEW_TARGETS], [*typed(SocialPost.id), *_NEW_TARGET]), _TARGET_COLUMNS
    ),
    tuple[Any, ...],
)
# Post and targets in one round trip, and only if every account is there and, in a call confined to an
# owner, theirs. What comes back are the accounts, which say why nothing was inserted.
_HELD = accounts.HELD.cte("held")
_CREATED = (
    SocialPost.insert_from(
        peewee.Select(None, typed(*_INSERTED)).where(
            peewee.Select([_HELD], [fn.COUNT(peewee.SQL("*"))])
            == fn.cardinality(param("ids").cast("text[]")),
            param("owner").cast("text").is_null()
            | ~fn.EXISTS(
                peewee.Select([_HELD], [peewee.SQL("1")]).where(
                    _HELD.c.external_id.is_null() | (_HELD.c.external_id != param("owner"))
                )
            ),
        ),
        _INSERTED,
    )
    .returning(SocialPost.id)
    .cte("created")
)
_CREATED_TARGETS = SocialPostTarget.insert_from(
    peewee.Select([_CREATED, _NEW_TARGETS], [_CREATED.c.id, *_NEW_TARGET]), _TARGET_COLUMNS
).cte("targets")
_CREATE = Statement(
    peewee.Select([_HELD], [_HELD.c.id, _HELD.c.external_id, _HELD.c.platform]).with_cte(
        _HELD, _CREATED, _CREATED_TARGETS
    ),
    accounts.Owned._make,
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


def get(caller: Caller, post_id: str) -> PostRow:
    """One post. Raises SocialPostNotFound, OwnerMismatch, AnswerTooLarge."""
    post = _read(caller, post_id)
    overrides = [(target.caption, target.media) for target in post.targets if target.caption or target.media]
    if overrides:
        size = sizes.text_bytes([(post.caption, post.media), *overrides])
        if size > sizes.READABLE_POST_BYTES:
            raise errors.AnswerTooLarge(bytes=str(size))
    return post


def _read(caller: Caller, post_id: str) -> PostRow:
    post = _GET.first(id=post_id, project=caller.project_id)
    if post is None:
        raise errors.SocialPostNotFound(id=post_id)
    if caller.owner is not None and any(target.owner != caller.owner for target in post.targets):
        raise errors.OwnerMismatch
    return post


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
        post = PostRow(
            id=new_id("sp", now),
            external_id=content.external_id,
            caption=content.caption,
            media=content.media,
            scheduled_time=content.scheduled_time.isoformat() if content.scheduled_time else None,
            state=_state(content),
            platform_options=content.platform_options,
            version=1,
            create_time=now.isoformat(),
            update_time=now.isoformat(),
            targets=[],
        )
        targets = _targets(content)
        held = _CREATE.all(
            ids=list(set(content.social_account_ids)),
            owner=caller.owner,
            id=post.id,
            project=caller.project_id,
            version=1,
            create_time=now,
            update_time=now,
            targets=jsonb(targets),
            **_stored(content),
        )
        accounts.check_usable(caller, content.social_account_ids, held)
        return post._replace(targets=_target_rows(targets, held))

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
                _INSERT_TARGETS.all(id=post_id, targets=jsonb(_targets(content)))
            return get(caller, post_id)

    def delete(self, caller: Caller, post_id: str, etag: str) -> None:
        """Erases a draft or a scheduled post. Raises SocialPostNotEditable, EtagMismatch, and as get."""
        with database.transaction():
            _locked(caller, post_id, etag)
            _DELETE.all(id=post_id, project=caller.project_id)


def _locked(caller: Caller, post_id: str, etag: str) -> PostRow:
    _LOCK.all(id=post_id, project=caller.project_id)
    post = _read(caller, post_id)
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
    if content.overrides:
        _check_size(content)


def _check_size(content: Content) -> None:
    """Without overrides no post is too large: the limits of its fields see to that."""
    size = sizes.text_bytes([(content.caption, content.media), *content.overrides.values()])
    if size > sizes.POST_BYTES:
        raise errors.invalid(
            "social_post",
            f"has {size:,} bytes of captions, addresses and alt texts, those of account_overrides included; "
            f"must have at most {sizes.POST_BYTES:,}",
        )


def _check_time(content: Content, now: datetime) -> None:
    if content.scheduled_time is not None and content.scheduled_time <= now:
        raise errors.invalid("social_post.scheduled_time", "must be in the future")


def _state(content: Content) -> int:
    return pb.SOCIAL_POST_STATE_SCHEDULED if content.scheduled_time else pb.SOCIAL_POST_STATE_DRAFT


def _stored(content: Content) -> dict[str, Any]:
    return {
        "external_id": content.external_id,
        "caption": content.caption,
        "media": jsonb(content.media),
        "scheduled_time": content.scheduled_time,
        "state": _state(content),
        "platform_options": jsonb(content.platform_options),
    }


def _targets(content: Content) -> list[dict[str, Any]]:
    targets = []
    for position, account_id in enumerate(content.social_account_ids):
        caption, media = content.overrides.get(account_id, (None, None))
        targets.append(
            {
                "social_account_id": account_id,
                "position": position,
                "state": pb.SOCIAL_POST_TARGET_STATE_PENDING,
                "caption": caption,
                "media": media or None,
            }
        )
    return targets


def _target_rows(targets: Sequence[dict[str, Any]], held: Sequence[accounts.Owned]) -> list[TargetRow]:
    found = {account.id: account for account in held}
    return [
        TargetRow(
            target["social_account_id"],
            found[target["social_account_id"]].owner,
            found[target["social_account_id"]].platform,
            target["state"],
            target["caption"],
            target["media"],
        )
        for target in targets
    ]


def _content(post: PostRow) -> Content:
    return Content(
        external_id=post.external_id,
        caption=post.caption,
        social_account_ids=[target.social_account_id for target in post.targets],
        media=post.media,
        scheduled_time=datetime.fromisoformat(post.scheduled_time) if post.scheduled_time else None,
        overrides={
            target.social_account_id: (target.caption, target.media)
            for target in post.targets
            if target.caption is not None or target.media
        },
        platform_options=post.platform_options,
    )
