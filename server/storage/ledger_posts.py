"""Posts that a version has stored which sent none: for migration 0009, and for what was stored beside it."""

import peewee

from server.storage import online

# What is scheduled for later is sent then. What should have been sent already was nobody's to send, and
# nobody knows what its owner has done about it: so it is not sent, and says so.
_BATCH = """
    SELECT project_id, id FROM social_post
    WHERE state = 2 AND (project_id, id) > (%s, %s) ORDER BY project_id, id LIMIT %s"""
_OF_BATCH = """
    (p.project_id, p.id) > (%s, %s) AND (p.project_id, p.id) <= (%s, %s) AND p.state = 2
      AND t.project_id = p.project_id AND t.social_post_id = p.id AND t.state = 1 AND t.queue_time IS NULL"""
_SCHEDULE = f"""
    UPDATE social_post_target t
    SET due_time = p.scheduled_time, queue_time = p.scheduled_time, owner = a.external_id
    FROM social_post p, social_account a
    WHERE {_OF_BATCH} AND p.scheduled_time > now()
      AND a.project_id = t.project_id AND a.id = t.social_account_id"""
_FAIL = f"""
    WITH failed AS (
      UPDATE social_post_target t
      SET state = 4, queue_time = p.scheduled_time, error = jsonb_build_object(
        'category', 7, 'code', 'NOT_SENT', 'retryable', true,
        'message', 'This was due before the server could send posts. RetrySocialPost sends it now.')
      FROM social_post p
      WHERE {_OF_BATCH} AND p.scheduled_time <= now()
      RETURNING t.project_id, t.social_post_id
    )
    UPDATE social_post p SET state = 6, version = version + 1, update_time = now()
    FROM failed WHERE p.project_id = failed.project_id AND p.id = failed.social_post_id"""


def schedule(db: peewee.PostgresqlDatabase) -> None:
    """Gives the targets of scheduled posts that have none their due_time, in batches that commit by
    themselves.
    """
    after = ("", "")
    while keys := db.execute_sql(_BATCH, [*after, online.BATCH]).fetchall():
        for statement in (_SCHEDULE, _FAIL):
            db.execute_sql(statement, [*after, *keys[-1]])
        after = keys[-1]
