"""Targets as they are sent: which are ready, and the statements that begin one, keep its steps, and say what
became of it.

Whoever changes a target's state locks its post first (`lock`), and lets the post's state follow in the same
transaction. What a worker writes is fenced by its lease: attempt and lease_time. There is one exception: who
comes late may still say that its own attempt has PUBLISHED.
"""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.errors import UniqueViolation

from server.posts.statements import LOCK
from server.posts.states import PENDING, PUBLISHED, RECOMPUTE, SENDING, SENDING_WORK, UNCONFIRMED
from server.storage.database import database
from server.storage.due_rows import Queues
from server.storage.due_work import CHANNEL, Kind, Leased
from server.storage.statements import Statement, jsonb

# Whoever violates it has found another worker sending for the account: the law, whatever `ready` has seen.
ONE_AT_A_TIME = "social_post_target_sending"


class Busy(Exception):
    """Another target of the account is being sent."""


class Target(NamedTuple):
    """A target that is due; `state` as it was when it was leased. `trace_context` is that of the call
    that has made it due, if somebody traces."""

    project_id: str
    social_post_id: str
    social_account_id: str
    state: int
    trace_context: str | None = None


# The oldest that are due. Where many are, these have enough for a batch; unless most of them wait.
_OLDEST = 256


def _candidates(most: str) -> str:
    """Of the targets that are due, or the oldest of these, those that may come first: of each account one
    that is to be sent, and all whose follow-ups are due. What waits behind them is sorted, and never looked
    at one by one."""
    return f"""
          SELECT h.* FROM (
            SELECT DISTINCT ON (w.social_account_id, w.apart)
              w.social_account_id, w.social_post_id, w.due_time
            FROM (
              SELECT social_account_id, social_post_id, queue_time, due_time,
                CASE WHEN state IN ({PENDING}, {SENDING}) THEN '' ELSE social_post_id END AS apart
              FROM social_post_target WHERE project_id = p.project_id AND due_time <= now()
              ORDER BY due_time {most}
            ) w
            ORDER BY w.social_account_id, w.apart, w.queue_time, w.social_post_id
          ) h ORDER BY h.due_time"""


# An account sends in order of queue_time, and one at a time: the first that waits keeps the others waiting,
# also while it is not due because it is tried again later. Follow-ups of what is published wait for nobody.
_READY = f"""(r.state NOT IN ({PENDING}, {SENDING}) OR (
            NOT EXISTS (
              SELECT FROM social_post_target before
              WHERE before.project_id = r.project_id AND before.social_account_id = r.social_account_id
                AND before.due_time IS NOT NULL AND before.state IN ({PENDING}, {SENDING})
                AND (before.queue_time, before.social_post_id) < (r.queue_time, r.social_post_id))
            AND NOT EXISTS (
              SELECT FROM social_post_target other
              WHERE other.project_id = r.project_id AND other.social_account_id = r.social_account_id
                AND other.state = {SENDING} AND other.social_post_id <> r.social_post_id)))"""
KIND = Kind(
    SENDING_WORK,
    "social_post_target",
    Target,
    ("social_post_id", "social_account_id"),
    batch=16,
    share=16,
    seconds=30,
    room="publish",
    queues=Queues(
        ("social_post_id", "social_account_id"),
        _candidates(f"LIMIT {_OLDEST}"),
        _candidates("OFFSET 0"),
        _READY,
    ),
)
EVERY_SECONDS = 0.5
# What is due for longer than this is not sent any more by itself: nobody expects it now.
LATE = "interval '1 day'"


class Stored(NamedTuple):
    """A target in a worker's hands, and the post's content as it is for its account.

    `follow_ups` are the post's, `outcomes` what became of them here. `late`: it should have been begun a day
    ago. `now` is the database's time.
    """

    state: int
    owner: str | None
    queue_time: datetime | None
    late: bool
    attempt_count: int
    steps: dict[str, Any]
    outcomes: list[dict[str, Any]]
    platform_post_id: str | None
    platform_post_url: str | None
    caption: str
    media: list[dict[str, str]]
    platform_options: dict[str, Any]
    follow_ups: list[dict[str, Any]]
    now: datetime


_KEY = "project_id = $project AND social_post_id = $id AND social_account_id = $account"
_OURS = f"{_KEY} AND attempt = $attempt AND lease_time = $lease_time"
_NOBODYS = "lease_time = NULL, worker = NULL"
_LATER = "now() + $seconds::float8 * interval '1 second'"
_LOAD = Statement(
    "publish.load",
    f"""
    SELECT target.state, target.owner, target.queue_time,
      COALESCE(target.queue_time < now() - {LATE}, false), target.attempt_count, target.steps,
      target.follow_ups, target.platform_post_id, target.platform_post_url,
      COALESCE(target.caption, post.caption), COALESCE(target.media, post.media), post.platform_options,
      post.follow_ups, now()
    FROM social_post_target target
    JOIN social_post post ON post.project_id = $project AND post.id = target.social_post_id
    WHERE target.project_id = $project AND target.social_post_id = $id
      AND target.social_account_id = $account AND target.attempt = $attempt
      AND target.lease_time = $lease_time
    """,
    Stored._make,
)
_BEGIN = Statement(
    "publish.begin",
    f"""
    UPDATE social_post_target
    SET state = {SENDING}, send_time = now(), attempt_count = attempt_count + 1, steps = $steps
    WHERE {_OURS} AND state = {PENDING}
    RETURNING project_id
    """,
    tuple[Any, ...],
)
# The lease goes on from here.
_KEEP = Statement(
    "publish.keep",
    f"UPDATE social_post_target SET steps = steps || $steps, due_time = {_LATER} WHERE {_OURS} "
    "RETURNING project_id",
    tuple[Any, ...],
)
_PUBLISHED = Statement(
    "publish.published",
    f"""
    UPDATE social_post_target
    SET state = {PUBLISHED}, publish_time = now(), platform_post_id = $platform_post_id,
        platform_post_url = $url, error = NULL, steps = steps || $steps, due_time = {_LATER}, {_NOBODYS}
    WHERE {_KEY} AND (
      (attempt = $attempt AND lease_time = $lease_time AND state = {SENDING})
      -- Or late: the step that has published was begun by this attempt, and nobody has said how it ended.
      OR (state IN ({SENDING}, {UNCONFIRMED}) AND (steps #>> ARRAY[$step::text, 'attempt'])::int = $attempt))
    RETURNING project_id
    """,
    tuple[Any, ...],
)
_END = Statement(
    "publish.end",
    f"""
    UPDATE social_post_target
    SET state = $state, error = COALESCE($error, error), steps = $steps, due_time = {_LATER}, {_NOBODYS}
    WHERE {_OURS} AND state IN ({PENDING}, {SENDING})
    RETURNING project_id
    """,
    tuple[Any, ...],
)
_FOLLOW_UP = Statement(
    "publish.follow_up",
    f"""
    UPDATE social_post_target SET follow_ups = $follow_ups, steps = $steps, due_time = {_LATER}, {_NOBODYS}
    WHERE {_OURS} AND state = {PUBLISHED}
    RETURNING project_id
    """,
    tuple[Any, ...],
)
_FOLLOW_UP_BEGUN = Statement(
    "publish.begin_follow_up",
    f"""
    UPDATE social_post_target SET follow_ups = $follow_ups, steps = $steps
    WHERE {_OURS} AND state = {PUBLISHED}
    RETURNING project_id
    """,
    tuple[Any, ...],
)
# When the transaction commits: the next in the account's queue need not wait for a worker's next look.
_NEXT = Statement(
    "publish.next",
    f"""
    SELECT pg_notify('{CHANNEL}', '{KIND.name}') WHERE EXISTS (
      SELECT FROM social_post_target target
      WHERE target.project_id = $project AND target.social_account_id = $account
        AND target.queue_time <= now() AND target.due_time <= now() AND target.state = {PENDING})
    """,
    tuple[Any, ...],
)


def lock(target: Target) -> None:
    """Nobody else changes the post's targets until the transaction ends."""
    LOCK.all(project=target.project_id, id=target.social_post_id)


def load(leased: Leased[Target]) -> Stored | None:
    """The target, if it is still ours."""
    return _LOAD.first(**_ours(leased))


def begin(leased: Leased[Target], steps: dict[str, Any]) -> bool:
    """It is SENDING from now on. Raises Busy."""
    try:
        return _changed(leased, _BEGIN, steps=jsonb(steps))
    except UniqueViolation as error:
        if error.diag.constraint_name == ONE_AT_A_TIME:
            raise Busy from None
        raise


def keep(leased: Leased[Target], steps: dict[str, Any]) -> bool:
    """These steps are as given here; and the lease begins anew. Returns whether it was still ours."""
    return bool(_KEEP.all(**_ours(leased), steps=jsonb(steps), seconds=KIND.seconds))


def published(
    leased: Leased[Target],
    step: str,
    steps: dict[str, Any],
    *,
    platform_post_id: str,
    url: str | None,
    seconds: float | None,
) -> bool:
    """It is PUBLISHED by this step; its first follow-up is due in so many seconds, None if there is none."""
    more = {"step": step, "steps": jsonb(steps), "platform_post_id": platform_post_id, "url": url}
    return _changed(leased, _PUBLISHED, **more, seconds=seconds)


def end(
    leased: Leased[Target],
    state: int,
    error: dict[str, Any] | None,
    steps: dict[str, Any],
    seconds: float | None = None,
) -> bool:
    """It is in this state from now on, due in so many seconds or never; without an error the one before
    stays."""
    values = {"error": jsonb(error) if error else None, "steps": jsonb(steps), "seconds": seconds}
    return _changed(leased, _END, state=state, **values)


def begin_follow_up(leased: Leased[Target], outcomes: list[dict[str, Any]], steps: dict[str, Any]) -> bool:
    """One of its follow-ups is SENDING, as `outcomes` say."""
    return _changed(leased, _FOLLOW_UP_BEGUN, follow_ups=jsonb(outcomes), steps=jsonb(steps))


def end_follow_up(
    leased: Leased[Target], outcomes: list[dict[str, Any]], steps: dict[str, Any], seconds: float | None
) -> bool:
    """What became of its follow-ups so far; the next is due in so many seconds, None if there is none."""
    more = {"follow_ups": jsonb(outcomes), "steps": jsonb(steps), "seconds": seconds}
    return _changed(leased, _FOLLOW_UP, **more)


def _changed(leased: Leased[Target], statement: Statement[tuple[Any, ...]], **values: Any) -> bool:
    """Runs it in a transaction that has locked the post, whose state follows."""
    row = leased.row
    with database.transaction():
        lock(row)
        if not statement.all(**_ours(leased), **values):
            return False
        RECOMPUTE.run(project=row.project_id, id=row.social_post_id)
        if statement in (_PUBLISHED, _END):
            _NEXT.all(project=row.project_id, account=row.social_account_id)
    return True


def _ours(leased: Leased[Target]) -> dict[str, Any]:
    row = leased.row
    return {
        "project": row.project_id,
        "id": row.social_post_id,
        "account": row.social_account_id,
        "attempt": leased.attempt,
        "lease_time": leased.lease_time,
    }
