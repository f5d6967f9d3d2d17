"""The statements of single posts. A project has no way to the posts of another: each names it."""

from typing import Any

from server.accounts.scope import Owned
from server.posts.rows import STORED, PostRow, post_row
from server.storage.statements import Command, Statement

# The targets of a post come as one parameter, as Content.targets() has them.
_NEW = """jsonb_to_recordset($targets)
      AS new(social_account_id text, position smallint, state smallint, caption text, media jsonb)"""


def _stored_post(columns: tuple[Any, ...]) -> PostRow:
    return post_row(columns[0])


GET = Statement(
    "posts.get",
    f"""
    SELECT {STORED}
    FROM social_post post
    WHERE post.project_id = $project AND post.id = $id
    """,
    _stored_post,
)
# By itself, before the post is read: a statement that waited for a lock would see the targets of before.
LOCK = Statement(
    "posts.lock",
    "SELECT id FROM social_post WHERE project_id = $project AND id = $id FOR UPDATE",
    tuple[Any, ...],
)
# Post and targets in one round trip. What comes back are the accounts: if nothing was inserted, they say why.
CREATE = Statement(
    "posts.create",
    f"""
    WITH held AS (        -- can't be deleted until we commit
      SELECT id, external_id, platform FROM social_account
      WHERE project_id = $project AND id = ANY($ids::text[])
      ORDER BY id FOR KEY SHARE
    ), created AS (       -- only if all are there and, in a call confined to an owner, theirs
      INSERT INTO social_post (
        project_id, id, external_id, caption, media, scheduled_time, state,
        platform_options, version, create_time, update_time, follow_ups)
      SELECT
        $project::text, $id::text, $external_id::text, $caption::text, $media::jsonb,
        $scheduled_time::timestamptz, $state::smallint, $platform_options::jsonb, 1,
        $now::timestamptz, $now::timestamptz, $follow_ups::jsonb
      WHERE (SELECT count(*) FROM held) = cardinality($ids::text[])
        AND ($owner::text IS NULL
             OR NOT EXISTS (SELECT FROM held WHERE held.external_id IS DISTINCT FROM $owner::text))
      RETURNING id
    ), targets AS (
      INSERT INTO social_post_target (
        project_id, social_post_id, social_account_id, position, state, caption, media, owner,
        queue_time, due_time, attempt, attempt_count, steps, follow_ups, trace_context)
      SELECT
        $project::text, created.id, new.social_account_id, new.position, new.state, new.caption, new.media,
        held.external_id, $scheduled_time, $scheduled_time, 0, 0, '{{}}', '[]', $trace::text
      FROM created, {_NEW} JOIN held ON held.id = new.social_account_id
    )
    SELECT id, external_id, platform FROM held
    """,
    Owned._make,
)
UPDATE = Command(
    "posts.update",
    """
    UPDATE social_post
    SET external_id = $external_id, caption = $caption, media = $media, scheduled_time = $scheduled_time,
        state = $state, platform_options = $platform_options, follow_ups = $follow_ups,
        version = version + 1, update_time = $now
    WHERE project_id = $project AND id = $id
    """,
)
DELETE_TARGETS = Command(
    "posts.delete_targets",
    "DELETE FROM social_post_target WHERE project_id = $project AND social_post_id = $id",
)
INSERT_TARGETS = Command(
    "posts.insert_targets",
    f"""
    INSERT INTO social_post_target (
      project_id, social_post_id, social_account_id, position, state, caption, media,
      attempt, attempt_count, steps, follow_ups)
    SELECT $project::text, $id::text, new.social_account_id, new.position, new.state, new.caption, new.media,
      0, 0, '{{}}', '[]'
    FROM {_NEW}
    """,
)
# They wait, and are due then, or never, in the name of who has their accounts now; whatever was tried before
# is begun anew. Whoever has leased them has lost them.
SCHEDULE = Command(
    "posts.schedule",
    """
    UPDATE social_post_target target
    SET state = 1, queue_time = $due_time::timestamptz, due_time = $due_time::timestamptz,
        lease_time = NULL, worker = NULL, owner = account.external_id, publish_time = NULL,
        platform_post_id = NULL, platform_post_url = NULL, error = NULL, steps = '{}', follow_ups = '[]',
        trace_context = $trace::text
    FROM social_account account
    WHERE target.project_id = $project AND target.social_post_id = $id
      AND target.social_account_id = ANY($ids::text[])
      AND account.project_id = $project AND account.id = target.social_account_id
    """,
)
CANCEL = Command(
    "posts.cancel",
    """
    UPDATE social_post_target
    SET state = 6, due_time = NULL, lease_time = NULL, worker = NULL, error = NULL, steps = '{}',
        follow_ups = $follow_ups
    WHERE project_id = $project AND social_post_id = $id AND social_account_id = ANY($ids::text[])
      AND state = 1
    """,
)
# What its follow-ups reply to is known by its id; what its steps had brought is of no more use.
RESOLVE = Command(
    "posts.resolve",
    """
    UPDATE social_post_target
    SET state = 3, publish_time = $now, platform_post_id = $platform_post_id,
        platform_post_url = $platform_post_url, error = NULL, steps = '{}', follow_ups = $follow_ups,
        due_time = $due_time, lease_time = NULL, worker = NULL, trace_context = $trace
    WHERE project_id = $project AND social_post_id = $id AND social_account_id = $account AND state = 5
    """,
)
NOT_PUBLISHED = Command(
    "posts.not_published",
    """
    UPDATE social_post_target
    SET state = 4, error = error || $error, due_time = NULL, lease_time = NULL, worker = NULL
    WHERE project_id = $project AND social_post_id = $id AND social_account_id = $account AND state = 5
    """,
)
SET_TIME = Command(
    "posts.set_time",
    "UPDATE social_post SET scheduled_time = $now WHERE project_id = $project AND id = $id",
)
DELETE = Command("posts.delete", "DELETE FROM social_post WHERE project_id = $project AND id = $id")
