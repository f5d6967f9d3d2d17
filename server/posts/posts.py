"""Social posts: drafts and scheduled posts, tagged with an external_id.

A post belongs to the common owner of its accounts, which is read from them each time: nothing has to
follow when an account is claimed or transferred.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from server.accounts.scope import Owned, check_owners, check_usable, hold
from server.base import errors, tracing
from server.base.identity import Caller, Clock, new_id
from server.posts import lists, statements, target_lists
from server.posts.checks import check_content, check_time
from server.posts.found import lock, read, readable, state_name
from server.posts.rows import Content, ListedTarget, PostRow, TargetRow
from server.posts.sendable import check_sendable
from server.posts.states import EDITABLE
from server.storage.database import database
from server.storage.listing import Found
from server.storage.statements import jsonb


class Posts:
    """The posts of every project; each call sees those of its caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def create(self, caller: Caller, content: Content) -> PostRow:
        """Stores a draft, or with a scheduled_time a scheduled post.

        Raises InvalidArgument, SocialAccountNotFound, OwnerMismatch.
        """
        now = self._clock()
        check_content(content)
        check_time(content, now)
        if content.scheduled_time is not None:
            check_sendable(caller, content)
        post = PostRow(
            id=new_id("sp", now),
            external_id=content.external_id,
            caption=content.caption,
            media=content.media,
            scheduled_time=content.scheduled_time.isoformat() if content.scheduled_time else None,
            state=content.state,
            platform_options=content.platform_options,
            version=1,
            create_time=now.isoformat(),
            update_time=now.isoformat(),
            follow_ups=content.follow_ups,
            targets=[],
        )
        targets = content.targets()
        held = statements.CREATE.all(
            project=caller.project_id,
            id=post.id,
            ids=list(set(content.social_account_ids)),
            owner=caller.owner,
            now=now,
            targets=jsonb(targets),
            trace=tracing.carried() if content.scheduled_time else None,
            **_columns(content),
        )
        check_usable(caller, content.social_account_ids, held)
        return post._replace(targets=_target_rows(targets, held, post))

    def get(self, caller: Caller, post_id: str) -> PostRow:
        """One post. Raises SocialPostNotFound, OwnerMismatch, AnswerTooLarge."""
        return readable(read(caller, post_id))

    def list_page(
        self, caller: Caller, filters: Mapping[str, Any], after: str | None, size: int
    ) -> Found[PostRow]:
        """A page of posts, newest first; for its arguments see lists.find.

        Raises OwnerMismatch when a call confined to an owner filters by an account that is not theirs.
        """
        return lists.find(caller.project_id, _confined(caller, filters), after, size)

    def list_targets(
        self, caller: Caller, filters: Mapping[str, Any], after: str | None, size: int
    ) -> Found[ListedTarget]:
        """A page of targets, those of the newest posts first; for its arguments see target_lists.find.

        Raises as list_page.
        """
        return target_lists.find(caller.project_id, _confined(caller, filters), after, size)

    def update(self, caller: Caller, post_id: str, etag: str, changes: Mapping[str, Any]) -> PostRow:
        """Sets the fields of Content that `changes` has.

        Raises SocialPostNotEditable, EtagMismatch, and as create and get.
        """
        now = self._clock()
        this = {"project": caller.project_id, "id": post_id}
        with database.transaction():
            content = _editable(caller, post_id, etag).content()._replace(**changes)
            check_content(content)
            if "scheduled_time" in changes:
                check_time(content, now)
            if content.scheduled_time is not None:
                check_sendable(caller, content)
            statements.UPDATE.run(**this, now=now, **_columns(content))
            if "social_account_ids" in changes or "overrides" in changes:
                hold(caller, content.social_account_ids)
                statements.DELETE_TARGETS.run(**this)
                statements.INSERT_TARGETS.run(**this, targets=jsonb(content.targets()))
            ids = list(content.social_account_ids)
            due_time = _due_time(content, now)
            trace = tracing.carried() if due_time else None
            statements.SCHEDULE.run(**this, ids=ids, due_time=due_time, trace=trace)
            return self.get(caller, post_id)

    def delete(self, caller: Caller, post_id: str, etag: str) -> None:
        """Erases a draft or a scheduled post. Raises SocialPostNotEditable, EtagMismatch, and as get."""
        with database.transaction():
            _editable(caller, post_id, etag)
            statements.DELETE.run(project=caller.project_id, id=post_id)


def _confined(caller: Caller, filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filters of a list, and the owner's that the call is confined to. Raises OwnerMismatch."""
    check_owners(caller, filters.get("social_account_ids", ()))
    return filters if caller.owner is None else {**filters, "owner": caller.owner}


def _editable(caller: Caller, post_id: str, etag: str) -> PostRow:
    post = lock(caller, post_id, etag)
    if post.state not in EDITABLE:
        raise errors.SocialPostNotEditable(state=state_name(post.state))
    return post


def _due_time(content: Content, now: datetime) -> datetime | None:
    """When a changed post is due: a time that has come is as good as now, however long ago that was."""
    return content.scheduled_time and max(content.scheduled_time, now)


def _columns(content: Content) -> dict[str, Any]:
    return {
        "external_id": content.external_id,
        "caption": content.caption,
        "media": jsonb(content.media),
        "scheduled_time": content.scheduled_time,
        "state": content.state,
        "platform_options": jsonb(content.platform_options),
        "follow_ups": jsonb(content.follow_ups),
    }


def _target_rows(targets: Sequence[dict[str, Any]], held: Sequence[Owned], post: PostRow) -> list[TargetRow]:
    """The targets of a post that has just been stored."""
    found = {account.id: account for account in held}
    return [
        TargetRow(
            target["social_account_id"],
            found[target["social_account_id"]].owner,
            found[target["social_account_id"]].platform,
            target["state"],
            target["caption"],
            target["media"],
            due_time=post.scheduled_time,
            follow_ups=[{"state": target["state"]}] * len(post.follow_ups),
        )
        for target in targets
    ]
