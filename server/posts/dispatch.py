"""What people decide of the sending of posts: now, not at all, again, and what became of one when only they
can find out.

Workers decide the rest (publish/). Whoever changes where a target stands locks its post first: of a call and
a worker the first one wins, and the other one sees what it did.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from server.base import errors, tracing
from server.base.identity import Caller, Clock
from server.posts import statements
from server.posts.found import lock, read, readable, state_name, target_state_name
from server.posts.rows import PostRow, TargetRow
from server.posts.sendable import check_sendable
from server.posts.states import CANCELLED, EDITABLE, FAILED, PENDING, RECOMPUTE, SENDING_WORK, UNCONFIRMED
from server.storage import due_work
from server.storage.database import database
from server.storage.statements import jsonb

# What the error of an UNCONFIRMED target becomes.
NOT_PUBLISHED = {"retryable": True, "message": "It was not published. RetrySocialPost sends it again."}


class Resolution(NamedTuple):
    """What somebody has found out about a target: whether it is there, and if so, where."""

    published: bool
    platform_post_id: str | None = None
    platform_post_url: str | None = None


class Dispatch:
    """Publishes posts now, cancels, retries and resolves them; each call those of its caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def publish(self, caller: Caller, post_id: str, etag: str) -> PostRow:
        """A draft or a scheduled post is due now, in the name of who has its accounts now.

        Raises SocialPostNotPublishable, EtagMismatch, InvalidArgument, and as found.read.
        """
        now = self._clock()
        with database.transaction():
            post = lock(caller, post_id, etag)
            if post.state not in EDITABLE:
                raise errors.SocialPostNotPublishable(state=state_name(post.state))
            check_sendable(caller, post.content())
            ids = [target.social_account_id for target in post.targets]
            statements.SET_TIME.run(project=caller.project_id, id=post_id, now=now)
            _due_now(caller, post_id, ids, now)
            return _changed(caller, post_id)

    def cancel(self, caller: Caller, post_id: str, etag: str) -> PostRow:
        """Calls off what is scheduled and not begun; what is begun goes on, and the answer says so.

        Raises SocialPostNotCancellable, EtagMismatch, and as found.read.
        """
        with database.transaction():
            post = lock(caller, post_id, etag)
            ids = [
                target.social_account_id
                for target in post.targets
                if target.state == PENDING and target.due_time is not None
            ]
            if not ids:
                raise errors.SocialPostNotCancellable(state=state_name(post.state))
            follow_ups = jsonb([{"state": CANCELLED}] * len(post.follow_ups))
            statements.CANCEL.run(project=caller.project_id, id=post_id, ids=ids, follow_ups=follow_ups)
            return _changed(caller, post_id)

    def retry(self, caller: Caller, post_id: str, account_ids: Sequence[str], etag: str) -> PostRow:
        """What has failed for these accounts, or with none for any, is due now, and begun anew.

        Raises SocialPostNotRetryable, SocialPostTargetNotFound, EtagMismatch, InvalidArgument, and as
        found.read.
        """
        now = self._clock()
        with database.transaction():
            post = lock(caller, post_id, etag)
            ids = _failed(post, account_ids)
            check_sendable(caller, post.content(), ids)
            _due_now(caller, post_id, ids, now)
            return _changed(caller, post_id)

    def resolve(
        self, caller: Caller, post_id: str, account_id: str, resolution: Resolution, etag: str
    ) -> PostRow:
        """Settles a target of which nobody knew whether it was published.

        Raises SocialPostTargetNotFound, SocialPostTargetNotUnconfirmed, EtagMismatch, and as found.read.
        """
        now = self._clock()
        this = {"project": caller.project_id, "id": post_id, "account": account_id}
        with database.transaction():
            post = lock(caller, post_id, etag)
            target = _target(post, account_id)
            if target.state != UNCONFIRMED:
                raise errors.SocialPostTargetNotUnconfirmed(state=target_state_name(target.state))
            if resolution.published:
                statements.RESOLVE.run(**this, **_published(post, resolution, now))
                # The first follow-up may be due at once.
                due_work.wake(SENDING_WORK)
            else:
                statements.NOT_PUBLISHED.run(**this, error=jsonb(NOT_PUBLISHED))
            return _changed(caller, post_id)


def _target(post: PostRow, account_id: str) -> TargetRow:
    for target in post.targets:
        if target.social_account_id == account_id:
            return target
    raise errors.SocialPostTargetNotFound(id=account_id)


def _failed(post: PostRow, account_ids: Sequence[str]) -> list[str]:
    """The accounts to send to again: those that are named, else those for which the post has failed."""
    for target in (_target(post, account_id) for account_id in account_ids):
        if target.state != FAILED:
            raise errors.SocialPostNotRetryable(state=target_state_name(target.state))
    failed = [target.social_account_id for target in post.targets if target.state == FAILED]
    if not failed:
        raise errors.SocialPostNotRetryable(state=state_name(post.state))
    return list(account_ids) or failed


def _published(post: PostRow, resolution: Resolution, now: datetime) -> dict[str, Any]:
    """The columns of a target that was published after all.

    Its follow-ups go on when it is known what they reply to.
    """
    goes_on = bool(post.follow_ups) and resolution.platform_post_id is not None
    ended = [] if goes_on else [{"state": CANCELLED}] * len(post.follow_ups)
    return {
        "now": now,
        "due_time": now + timedelta(seconds=post.follow_ups[0]["delay"]) if goes_on else None,
        "platform_post_id": resolution.platform_post_id,
        "platform_post_url": resolution.platform_post_url,
        "follow_ups": jsonb(ended),
        "trace": tracing.carried() if goes_on else None,
    }


def _due_now(caller: Caller, post_id: str, account_ids: Collection[str], now: datetime) -> None:
    statements.SCHEDULE.run(
        project=caller.project_id,
        id=post_id,
        ids=list(account_ids),
        due_time=now,
        trace=tracing.carried(),
    )
    due_work.wake(SENDING_WORK)


def _changed(caller: Caller, post_id: str) -> PostRow:
    """The post after its targets have changed: it stands where they do."""
    RECOMPUTE.run(project=caller.project_id, id=post_id)
    return readable(read(caller, post_id))
